/*
 * The system's randomness and a reproducible stand-in. Invariant: fill gives all bytes or fails, never some.
 */
#include "base/random.h"

#include <errno.h>
#include <string.h>
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

/* splitmix64 (Steele, Lea, Flood 2014; public domain code by Sebastiano Vigna). */
static uint64_t next_seeded(SeededRandom *random) {
    uint64_t mixed = random->state += 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
    return mixed ^ mixed >> 31;
}

static int seeded_fill(Random *random, void *out, size_t size) {
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

void seeded_random_init(SeededRandom *random, uint64_t seed) {
    *random = (SeededRandom){.base = {.fill = seeded_fill}, .state = seed};
}

uint64_t seeded_random_below(SeededRandom *random, uint64_t bound) {
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

void hex_encode(const void *data, size_t size, char *out) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * size] = '\0';
}

/* -1: no such digit. */
static int digit_of(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(Slice text, void *out, size_t size) {
    unsigned char *bytes = out;
    if (text.len != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        int high = digit_of(text.ptr[2 * i]), low = digit_of(text.ptr[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}
