/*
 * The formats of what opens doors, and the only place that knows them.
 *
 * Key:           sok_<project>_<id>_<secret><crc>     id 16 hex, secret 64 hex (256 random bits), crc 8 hex: CRC-32 of all
 *                before it, so that a scanner, or we, can tell a mistyped key from an unknown one without a store.
 *                Stored as SHA-256 of the whole text: enough for 256 random bits. A key brought along from elsewhere
 *                (importKey) is any text; its id is the first 16 hex digits of its SHA-256.
 * Lease secret:  sol_<project>_<ticket>_<generation>_<mac>     mac 64 hex: HMAC-SHA256 under the project's lease key.
 *                Nothing is stored per lease, and a forgery is refused before it costs a place in the queue.
 */
#pragma once

#include "base/arena.h"
#include "base/limits.h"
#include "base/random.h"
#include "protocol/messages.h"

#define HASH_SIZE 32
#define KEY_ID_SIZE 17 /* 16 hex and a NUL */
#define KEY_TEXT_SIZE (4 + PROJECT_NAME_MAX + 1 + 16 + 1 + 64 + 8 + 1)
#define LEASE_SECRET_SIZE (4 + PROJECT_NAME_MAX + 1 + 19 + 1 + 19 + 1 + 64 + 1)

/* What a key as sent says of itself. */
typedef struct KeyClaim {
    char id[KEY_ID_SIZE];
    uint8_t hash[HASH_SIZE];
} KeyClaim;

enum { SECRET_MALFORMED = 1 };

bool secret_equals(const void *a, const void *b, size_t len); /* in constant time */

/* 0 | SECRET_MALFORMED (too long, empty, or a sok_ key whose checksum is wrong) | -EIO. */
int key_read(Slice text, KeyClaim *out) MUST_USE;
bool key_matches(const KeyClaim *claim, const uint8_t hash[HASH_SIZE]); /* in constant time */
/* Makes a new key: its text (NUL-terminated) and what is stored of it. 0 | -errno. */
int key_make(Random *random, Slice project, char text[KEY_TEXT_SIZE], KeyClaim *out) MUST_USE;

typedef struct LeaseClaim {
    Slice project; /* borrowed from the text */
    LeaseRef ref;
    Slice mac;
} LeaseClaim;

/* 0 | SECRET_MALFORMED; says nothing yet about whether it is genuine. */
int lease_secret_read(Slice text, LeaseClaim *out) MUST_USE;
bool lease_secret_is_genuine(const LeaseClaim *claim, const uint8_t lease_key[HASH_SIZE]);
/* The secret's text in the arena; absent when memory is short. */
Slice lease_secret_make(Arena *arena, Slice project, LeaseRef ref, const uint8_t lease_key[HASH_SIZE]);
