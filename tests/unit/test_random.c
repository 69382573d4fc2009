/* Randomness: the system's differs, the seeded one repeats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"
#include "base/random.h"
#include "seeded_random.h"

static void the_systems_bytes_differ_each_time(void **state) {
    (void)state;
    unsigned char first[32] = {0}, second[32] = {0};
    assert_int_equal(random_fill(random_system(), first, sizeof first), 0);
    assert_int_equal(random_fill(random_system(), second, sizeof second), 0);
    assert_memory_not_equal(first, second, sizeof first);
}

static void more_than_one_call_of_the_kernel_is_filled(void **state) {
    (void)state;
    static unsigned char large[1024 * 1024];
    assert_int_equal(random_fill(random_system(), large, sizeof large), 0);
    size_t zeros = 0;
    for (size_t i = sizeof large - 4096; i < sizeof large; i++)
        zeros += large[i] == 0;
    assert_true(zeros < 100); /* 16 are expected */
}

static void a_seed_repeats(void **state) {
    (void)state;
    SeededRandom a, b;
    unsigned char first[13], second[13];
    seeded_random_init(&a, 42);
    seeded_random_init(&b, 42);
    assert_int_equal(random_fill(&a.base, first, sizeof first), 0);
    assert_int_equal(random_fill(&b.base, second, sizeof second), 0);
    assert_memory_equal(first, second, sizeof first);
}

static void the_seeded_generator_is_splitmix64(void **state) {
    (void)state;
    /* The first numbers of the reference implementation for the seed 1234567. */
    static const uint64_t expected[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u};
    SeededRandom random;
    seeded_random_init(&random, 1234567);
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        uint64_t number = 0;
        assert_int_equal(random_fill(&random.base, &number, sizeof number), 0);
        assert_true(number == expected[i]);
    }
}

static void results_stay_below_the_bound_and_reach_all_of_it(void **state) {
    (void)state;
    SeededRandom random;
    unsigned seen = 0;
    seeded_random_init(&random, 1);
    for (int i = 0; i < 1000; i++) {
        uint64_t result = seeded_random_below(&random, 7);
        assert_true(result < 7);
        seen |= 1u << result;
    }
    assert_int_equal(seen, 0x7F);
    assert_int_equal(seeded_random_below(&random, 1), 0);
    assert_int_equal(seeded_random_below(&random, 0), 0);
}

static void hex_is_lower_case_and_terminated(void **state) {
    (void)state;
    char out[9];
    hex_encode("\x00\x0f\xa5\xff", 4, out);
    assert_string_equal(out, "000fa5ff");
    hex_encode("", 0, out);
    assert_string_equal(out, "");
}

static void hex_is_read_back_and_nothing_else_is(void **state) {
    (void)state;
    static const char *const wrong[] = {"", "00", "000fa5f", "000fa5fff", "000FA5FF", "000fa5fg", "000fa5f "};
    unsigned char out[4];
    assert_true(hex_decode(slice_of("000fa5ff"), out, sizeof out));
    assert_memory_equal(out, "\x00\x0f\xa5\xff", sizeof out);
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(hex_decode(slice_of(wrong[i]), out, sizeof out));
    assert_false(hex_decode(SLICE_ABSENT, out, sizeof out));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_systems_bytes_differ_each_time),
        cmocka_unit_test(more_than_one_call_of_the_kernel_is_filled),
        cmocka_unit_test(a_seed_repeats),
        cmocka_unit_test(the_seeded_generator_is_splitmix64),
        cmocka_unit_test(results_stay_below_the_bound_and_reach_all_of_it),
        cmocka_unit_test(hex_is_lower_case_and_terminated),
        cmocka_unit_test(hex_is_read_back_and_nothing_else_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
