/* Borrowed text: absence is not emptiness, and numbers are digits only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/slice.h"

static void absent_differs_from_empty(void **state) {
    (void)state;
    assert_true(slice_is_absent(slice_of(NULL)));
    assert_false(slice_is_absent(slice_of("")));
    assert_false(slice_equal(SLICE_ABSENT, slice_of("")));
    assert_true(slice_equal(SLICE_ABSENT, SLICE_ABSENT));
    assert_false(slice_equal_text(SLICE_ABSENT, ""));
    assert_true(slice_equal_text(slice_of(""), ""));
}

static void order_is_absent_then_bytes_then_length(void **state) {
    (void)state;
    assert_true(slice_compare(SLICE_ABSENT, slice_of("")) < 0);
    assert_true(slice_compare(slice_of(""), SLICE_ABSENT) > 0);
    assert_int_equal(slice_compare(SLICE_ABSENT, SLICE_ABSENT), 0);
    assert_true(slice_compare(slice_of("ab"), slice_of("abc")) < 0);
    assert_true(slice_compare(slice_of("b"), slice_of("abc")) > 0);
    /* Bytes are unsigned: 0xC3 comes behind 'z'. */
    assert_true(slice_compare(slice_of("\xC3\xA9"), slice_of("z")) > 0);
}

static void splitting_keeps_what_follows_the_first_separator(void **state) {
    (void)state;
    Slice rest = slice_of("a=b=c"), head = SLICE_ABSENT;
    assert_true(slice_split(&rest, '=', &head));
    assert_true(slice_equal_text(head, "a"));
    assert_true(slice_equal_text(rest, "b=c"));
    assert_true(slice_split(&rest, '=', &head));
    assert_false(slice_split(&rest, '=', &head));
    assert_true(slice_equal_text(head, "b"));
    assert_true(slice_equal_text(rest, "c"));
}

static void a_separator_at_the_end_leaves_an_empty_rest(void **state) {
    (void)state;
    Slice rest = slice_of("a="), head = SLICE_ABSENT;
    assert_true(slice_split(&rest, '=', &head));
    assert_true(slice_equal_text(rest, ""));
    Slice absent = SLICE_ABSENT;
    assert_false(slice_split(&absent, '=', &head));
}

static void numbers_are_digits_without_sign_or_leading_zero(void **state) {
    (void)state;
    int64_t number = -7;
    static const char *const refused[] = {
        "", "-1", "+1", "01", "00", "1 ", " 1", "1.0", "1e3", "0x1", "9223372036854775808", "99999999999999999999"};
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        assert_false(slice_to_number(slice_of(refused[i]), &number));
    assert_false(slice_to_number(SLICE_ABSENT, &number));
    assert_int_equal(number, -7);
    assert_true(slice_to_number(slice_of("0"), &number));
    assert_int_equal(number, 0);
    assert_true(slice_to_number(slice_of("9223372036854775807"), &number));
    assert_true(number == INT64_MAX);
}

static void the_hash_is_fnv_1a(void **state) {
    (void)state;
    /* Published test vectors of FNV-1a, 64 bit. */
    assert_true(slice_hash(slice_of("")) == 0xCBF29CE484222325u);
    assert_true(slice_hash(slice_of("a")) == 0xAF63DC4C8601EC8Cu);
    assert_true(slice_hash(slice_of("foobar")) == 0x85944171F73967E8u);
}

static void a_duplicate_is_terminated(void **state) {
    (void)state;
    OWN(freep) char *copy = slice_dup((Slice){.ptr = "abcdef", .len = 3});
    assert_string_equal(copy, "abc");
    OWN(freep) char *nothing = slice_dup(SLICE_ABSENT);
    assert_string_equal(nothing, "");
}

static void a_prefix_must_fit(void **state) {
    (void)state;
    assert_true(slice_starts_with(slice_of("sok_demo"), "sok_"));
    assert_false(slice_starts_with((Slice){.ptr = "sok_", .len = 3}, "sok_"));
    assert_false(slice_starts_with(SLICE_ABSENT, ""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_differs_from_empty),
        cmocka_unit_test(order_is_absent_then_bytes_then_length),
        cmocka_unit_test(splitting_keeps_what_follows_the_first_separator),
        cmocka_unit_test(a_separator_at_the_end_leaves_an_empty_rest),
        cmocka_unit_test(numbers_are_digits_without_sign_or_leading_zero),
        cmocka_unit_test(the_hash_is_fnv_1a),
        cmocka_unit_test(a_duplicate_is_terminated),
        cmocka_unit_test(a_prefix_must_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
