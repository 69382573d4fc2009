/*
 * What opens doors, as sent: keys and lease secrets. Promised: what is read as a lease secret has exactly one way to be
 * written, and no byte of it can change without the signature noticing; a key's id can be a column of the store.
 */
#include <string.h>

#include "fuzz/require.h"
#include "service/secrets.h"

static const uint8_t lease_key[HASH_SIZE] = {42}, other_key[HASH_SIZE] = {43};

static bool is_hex(const char *text, size_t len) {
    return strspn(text, "0123456789abcdef") == len && text[len] == '\0';
}

static void check_lease(Slice text) {
    LeaseClaim claim;
    int r = lease_secret_read(text, &claim);
    if (r != 0) {
        REQUIRE(r == SECRET_MALFORMED);
        return;
    }
    REQUIRE(claim.ref.ticket > 0 && claim.ref.generation >= 0);
    REQUIRE(claim.project.ptr == text.ptr + 4 && claim.project.len < text.len);
    REQUIRE(!lease_secret_is_genuine(&claim, lease_key)); /* nobody here knows the key */

    Arena arena;
    arena_init(&arena);
    Slice made = lease_secret_make(&arena, claim.project, claim.ref, lease_key);
    bool has_nul = memchr(claim.project.ptr, '\0', claim.project.len) != NULL; /* no name of a project; JSON has none */
    if (!has_nul) {
        REQUIRE(made.len == text.len && memcmp(made.ptr, text.ptr, text.len - claim.mac.len) == 0);
        LeaseClaim ours;
        REQUIRE(lease_secret_read(made, &ours) == 0);
        REQUIRE(lease_secret_is_genuine(&ours, lease_key) && !lease_secret_is_genuine(&ours, other_key));
        REQUIRE(ours.ref.ticket == claim.ref.ticket && ours.ref.generation == claim.ref.generation);
    }
    arena_deinit(&arena);
}

static void check_key(Slice text) {
    KeyClaim claim, again;
    int r = key_read(text, &claim);
    if (r != 0) {
        REQUIRE(r == SECRET_MALFORMED);
        return;
    }
    REQUIRE(text.len >= 8 && text.len <= KEY_TEXT_MAX);
    REQUIRE(is_hex(claim.id, KEY_ID_SIZE - 1));
    REQUIRE(key_read(text, &again) == 0 && key_matches(&again, claim.hash) && strcmp(again.id, claim.id) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Slice text = {.ptr = (const char *)data, .len = size};
    check_lease(text);
    check_key(text);
    return 0;
}
