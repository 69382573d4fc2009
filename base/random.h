/* Randomness comes in through this vtable, so that a simulation can replay a seed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

typedef struct Random Random;
struct Random {
    /* Fills `out`; 0 | -errno. The system's uses getrandom(2), good for secrets. */
    int (*fill)(Random *random, void *out, size_t size);
};

Random *random_system(void);
int random_fill(Random *random, void *out, size_t size) MUST_USE;
