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

/* A reproducible generator for tests and simulations (splitmix64). Never for secrets. */
typedef struct SeededRandom {
    Random base;
    uint64_t state;
} SeededRandom;
void seeded_random_init(SeededRandom *random, uint64_t seed);
/* 0 ≤ result < bound. */
uint64_t seeded_random_below(SeededRandom *random, uint64_t bound);

/* Writes 2 × size lower-case hex digits and a NUL. */
void hex_encode(const void *data, size_t size, char *out);
/* False: `text` is not exactly 2 × size lower-case hex digits; *out is then partly written. */
bool hex_decode(Slice text, void *out, size_t size);
