#include "base/failpoint.h"

#ifdef FAILPOINTS
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *chosen; /* NULL: none */
static size_t chosen_len;
static atomic_long times_left;

static void choose(void) {
    const char *spec = getenv("FAILPOINT");
    const char *colon = spec != NULL ? strchr(spec, ':') : NULL;
    if (colon == NULL)
        return;
    chosen_len = (size_t)(colon - spec);
    atomic_store(&times_left, strtol(colon + 1, NULL, 10));
    chosen = spec;
}

void failpoint_reach(const char *name) {
    (void)pthread_once(&once, choose);
    if (chosen == NULL || strlen(name) != chosen_len || memcmp(name, chosen, chosen_len) != 0)
        return;
    if (atomic_fetch_sub(&times_left, 1) == 1)
        (void)kill(getpid(), SIGKILL);
}
#else
typedef int nothing_here; /* ISO C wants something in a file */
#endif
