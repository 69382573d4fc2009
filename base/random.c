/*
 * The system's randomness. Invariant: fill gives all bytes or fails, never some.
 */
#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

static int system_fill(Random *random, void *out, size_t size) {
    (void)random;
    char *at = out;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        at += got;
        size -= (size_t)got;
    }
    return 0;
}

Random *random_system(void) {
    static const Random system_random = {.fill = system_fill};
    /* Mutable only for the sake of generators with a state; this one has none and is never written to. */
    return (Random *)(uintptr_t)&system_random;
}

int random_fill(Random *random, void *out, size_t size) {
    return random->fill(random, out, size);
}
