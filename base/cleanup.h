/*
 * The one ownership mechanism of this program.
 *
 * An owning local is declared with OWN(x_freep) and initialised where it is declared; it is freed when its scope
 * ends, whatever the way out. steal() hands it over. Never declare an owned local directly under a `case` label
 * (a jump past it would free garbage), and never leave a scope that owns by exit(), longjmp() or pthread_cancel().
 */
#pragma once

#include <stdlib.h>
#include <unistd.h>

/* Not reading an owner again is no mistake: freeing what it holds is its use. */
#define OWN(function) __attribute__((cleanup(function), unused))
#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(pattern, first) __attribute__((format(printf, pattern, first)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Takes the pointer out of an owning variable: the variable becomes NULL, its scope frees nothing. */
#define steal(owner)                                                                                                   \
    __extension__({                                                                                                    \
        __typeof__(*(owner)) stolen_ = *(owner);                                                                       \
        *(owner) = NULL;                                                                                               \
        stolen_;                                                                                                       \
    })

/* For malloc'd memory of any type: `OWN(freep) char *text = NULL;` */
static inline void freep(void *owner) {
    void **memory = owner;
    free(*memory);
    *memory = NULL;
}

/* For file descriptors: `OWN(closep) int fd = -1;` */
static inline void closep(int *fd) {
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}
