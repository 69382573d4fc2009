/* A reproducible generator for tests and simulations. Never for secrets. */
#pragma once

#include <string.h>

#include "base/random.h"

typedef struct SeededRandom {
    Random base;
    uint64_t state;
} SeededRandom;

/* splitmix64 (Steele, Lea, Flood 2014; public domain code by Sebastiano Vigna). */
static inline uint64_t next_seeded(SeededRandom *random) {
    uint64_t mixed = random->state += 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
    return mixed ^ mixed >> 31;
}

static inline int seeded_fill(Random *random, void *out, size_t size) {
    SeededRandom *seeded = (SeededRandom *)random; /* base is its first member */
    char *at = out;
    while (size > 0) {
        uint64_t number = next_seeded(seeded);
        size_t len = size < sizeof number ? size : sizeof number;
        memcpy(at, &number, len);
        at += len;
        size -= len;
    }
    return 0;
}

static inline void seeded_random_init(SeededRandom *random, uint64_t seed) {
    *random = (SeededRandom){.base = {.fill = seeded_fill}, .state = seed};
}

/* 0 ≤ result < bound. */
static inline uint64_t seeded_random_below(SeededRandom *random, uint64_t bound) {
    if (bound == 0)
        return 0;
    /* 2^64 mod bound: the numbers below it would make the low results likelier. */
    uint64_t threshold = (0 - bound) % bound;
    uint64_t number;
    do {
        number = next_seeded(random);
    } while (number < threshold);
    return number % bound;
}
