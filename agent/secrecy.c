/* See the header. */
#include "agent/secrecy.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

void secrecy_forbid_dumps(bool is_readable) {
    /* A limit of one byte is too little for a file, and the kernel's word for "no pipe either" where dumps go to a program. It
     * is inherited, which suits the keeper alone: what `run` starts may dump as its user likes. */
    if (is_readable)
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){.rlim_cur = 1, .rlim_max = 1});
    else
        (void)prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L);
}

char *secrecy_take_variable(const char *name) {
    char *value = getenv(name);
    char *copy = value != NULL ? strdup(value) : NULL;
    if (copy == NULL)
        return NULL;
    explicit_bzero(value, strlen(value)); /* it is our own memory, and what /proc shows of us */
    (void)unsetenv(name);
    return copy;
}

void secrecy_forget(char **secret) {
    if (*secret != NULL)
        explicit_bzero(*secret, strlen(*secret));
    free(*secret);
    *secret = NULL;
}
