/*
 * Keys and lease secrets: what opens, what does not, and that one flipped character never does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"
#include "seeded_random.h"
#include "service/secrets.h"

static void made_key_reads_back_with_its_id(void **state) {
    (void)state;
    SeededRandom random;
    seeded_random_init(&random, 7);
    char text[KEY_TEXT_SIZE];
    KeyClaim made, read;
    assert_int_equal(key_make(&random.base, slice_of("web-shop"), text, &made), 0);
    assert_memory_equal(text, "sok_web-shop_", 13);
    assert_int_equal(strlen(text), 13 + 16 + 1 + 64 + 8);
    assert_memory_equal(text + 13, made.id, 16);
    assert_int_equal(key_read(slice_of(text), &read), 0);
    assert_string_equal(read.id, made.id);
    assert_true(key_matches(&read, made.hash));
}

static void two_keys_differ(void **state) {
    (void)state;
    char a[KEY_TEXT_SIZE], b[KEY_TEXT_SIZE];
    KeyClaim first, second;
    assert_int_equal(key_make(random_system(), slice_of("p"), a, &first), 0);
    assert_int_equal(key_make(random_system(), slice_of("p"), b, &second), 0);
    assert_string_not_equal(a, b);
    assert_false(key_matches(&first, second.hash));
}

static void mistyped_key_is_malformed_at_every_place(void **state) {
    (void)state;
    SeededRandom random;
    seeded_random_init(&random, 1);
    char text[KEY_TEXT_SIZE];
    KeyClaim claim;
    assert_int_equal(key_make(&random.base, slice_of("p"), text, &claim), 0);
    for (size_t i = 4; text[i] != '\0'; i++) {
        char kept = text[i];
        text[i] = kept == '0' ? '1' : '0';
        assert_int_equal(key_read(slice_of(text), &claim), SECRET_MALFORMED);
        text[i] = kept;
    }
    assert_int_equal(key_read((Slice){.ptr = text, .len = strlen(text) - 1}, &claim), SECRET_MALFORMED);
}

static void imported_key_is_named_by_its_hash(void **state) {
    (void)state;
    KeyClaim claim;
    /* printf abcdefgh-original | sha256sum */
    assert_int_equal(key_read(slice_of("abcdefgh-original"), &claim), 0);
    assert_int_equal(strlen(claim.id), 16);
    char hex[HASH_SIZE * 2 + 1];
    hex_encode(claim.hash, HASH_SIZE, hex);
    assert_memory_equal(hex, claim.id, 16);
    /* FIPS 180-2's example for "abc" does not fit: keys have 8 characters at least. */
    assert_int_equal(key_read(slice_of("abc"), &claim), SECRET_MALFORMED);
    assert_int_equal(key_read(SLICE_ABSENT, &claim), SECRET_MALFORMED);
}

static void sha256_is_sha256(void **state) {
    (void)state;
    KeyClaim claim;
    char hex[HASH_SIZE * 2 + 1];
    /* FIPS 180-2, appendix B.2. */
    assert_int_equal(key_read(slice_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), &claim), 0);
    hex_encode(claim.hash, HASH_SIZE, hex);
    assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void lease_secret_is_genuine_only_unchanged_and_under_its_key(void **state) {
    (void)state;
    Arena arena;
    arena_init(&arena);
    uint8_t lease_key[HASH_SIZE] = {1, 2, 3}, other_key[HASH_SIZE] = {1, 2, 4};
    LeaseRef ref = {.ticket = 42, .generation = 1763849000123};
    Slice secret = lease_secret_make(&arena, slice_of("shop"), ref, lease_key);
    assert_true(slice_starts_with(secret, "sol_shop_42_1763849000123_"));
    LeaseClaim claim;
    assert_int_equal(lease_secret_read(secret, &claim), 0);
    assert_int_equal(claim.ref.ticket, 42);
    assert_int_equal(claim.ref.generation, 1763849000123);
    assert_true(slice_equal_text(claim.project, "shop"));
    assert_true(lease_secret_is_genuine(&claim, lease_key));
    assert_false(lease_secret_is_genuine(&claim, other_key));
    char *text = slice_dup(secret);
    for (size_t i = 4; i < secret.len; i++) {
        char kept = text[i];
        text[i] = kept == '1' ? '2' : '1';
        bool opens = lease_secret_read(slice_of(text), &claim) == 0 && lease_secret_is_genuine(&claim, lease_key);
        assert_false(opens);
        text[i] = kept;
    }
    free(text);
    arena_deinit(&arena);
}

static void lease_secrets_of_another_form_are_malformed(void **state) {
    (void)state;
    static const char *const vectors[] = {
        "",
        "sol",
        "sol_",
        "sol_p_1_2",
        "sol_p_1_2_",
        "sol_p_1_2_zz",
        "sok_p_1_2_00",
        "sol_p_0_2_00",
        "sol_p_-1_2_00",
        "sol_p_99999999999999999999_2_00",
        "sol_p_1_2_0000000000000000000000000000000000000000000000000000000000000000extra",
        "sol_p_1_2_000000000000000000000000000000000000000000000000000000000000000G",
    };
    LeaseClaim claim;
    for (size_t i = 0; i < COUNT_OF(vectors); i++)
        assert_int_equal(lease_secret_read(slice_of(vectors[i]), &claim), SECRET_MALFORMED);
    assert_int_equal(lease_secret_read(SLICE_ABSENT, &claim), SECRET_MALFORMED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_key_reads_back_with_its_id),
        cmocka_unit_test(two_keys_differ),
        cmocka_unit_test(mistyped_key_is_malformed_at_every_place),
        cmocka_unit_test(imported_key_is_named_by_its_hash),
        cmocka_unit_test(sha256_is_sha256),
        cmocka_unit_test(lease_secret_is_genuine_only_unchanged_and_under_its_key),
        cmocka_unit_test(lease_secrets_of_another_form_are_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
