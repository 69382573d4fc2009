/* UTF-8 by RFC 3629: shortest forms only, no surrogates, no byte past the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

static void expect_read(const char *text, size_t size, uint32_t expected) {
    uint32_t code_point = 0;
    assert_int_equal(utf8_read(text, strlen(text), &code_point), size);
    assert_int_equal(code_point, expected);
}

static void expect_refused(const char *text) {
    uint32_t code_point = 7;
    assert_int_equal(utf8_read(text, strlen(text), &code_point), 0);
    assert_int_equal(code_point, 7);
}

static void the_ends_of_each_length_are_read(void **state) {
    (void)state;
    expect_read("\x01", 1, 1);
    expect_read("\x7F", 1, 0x7F);
    expect_read("\xC2\x80", 2, 0x80);
    expect_read("\xDF\xBF", 2, 0x7FF);
    expect_read("\xE0\xA0\x80", 3, 0x800);
    expect_read("\xED\x9F\xBF", 3, 0xD7FF);
    expect_read("\xEE\x80\x80", 3, 0xE000);
    expect_read("\xEF\xBF\xBF", 3, 0xFFFF);
    expect_read("\xF0\x90\x80\x80", 4, 0x10000);
    expect_read("\xF4\x8F\xBF\xBF", 4, 0x10FFFF);
}

static void what_lies_outside_is_refused(void **state) {
    (void)state;
    expect_refused("\x80");             /* a continuation alone */
    expect_refused("\xC0\x80");         /* NUL in two bytes */
    expect_refused("\xC1\xBF");         /* DEL in two bytes */
    expect_refused("\xE0\x9F\xBF");     /* U+07FF in three bytes */
    expect_refused("\xF0\x8F\xBF\xBF"); /* U+FFFF in four bytes */
    expect_refused("\xED\xA0\x80");     /* U+D800 */
    expect_refused("\xED\xBF\xBF");     /* U+DFFF */
    expect_refused("\xF4\x90\x80\x80"); /* U+110000 */
    expect_refused("\xF5\x80\x80\x80");
    expect_refused("\xE2\x82"); /* cut short */
    expect_refused("\xE2\x28\xA1");
    expect_refused("");
}

static void bytes_past_the_end_are_not_read(void **state) {
    (void)state;
    uint32_t code_point = 7;
    assert_int_equal(utf8_read("\xE2\x82\xAC", 2, &code_point), 0);
    assert_int_equal(utf8_read("\xE2\x82\xAC", 3, &code_point), 3);
    assert_int_equal(code_point, 0x20AC);
}

static void controls_are_what_draws_or_breaks_lines(void **state) {
    (void)state;
    static const uint32_t controls[] = {0,      0x1B,   0x1F,   0x7F,   0x80,   0x9F,  0x61C,
                                        0x200E, 0x2028, 0x202A, 0x202E, 0x2066, 0x2069};
    static const uint32_t letters[] = {0x20, 0x7E, 0xA0, 0xE9, 0x2027, 0x202F, 0x2065, 0x206A, 0x1F600};
    for (size_t i = 0; i < sizeof controls / sizeof controls[0]; i++)
        assert_true(utf8_is_control(controls[i]));
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
        assert_false(utf8_is_control(letters[i]));
}

static void utf8_is_strict(void **state) {
    (void)state;
    static const struct {
        Slice text;
        bool is_valid;
    } vectors[] = {
        {SLICE_LITERAL(""), true},
        {SLICE_LITERAL("plain"), true},
        {SLICE_LITERAL("\xC3\xA9"), true},
        {SLICE_LITERAL("\xE2\x82\xAC"), true},
        {SLICE_LITERAL("\xF0\x9F\x9A\x80"), true},
        {SLICE_LITERAL("\xF4\x8F\xBF\xBF"), true}, /* U+10FFFF */
        {SLICE_LITERAL("\xED\x9F\xBF"), true},     /* U+D7FF */
        {SLICE_LITERAL("\xEE\x80\x80"), true},     /* U+E000 */
        {SLICE_LITERAL("\x80"), false},            /* lonely continuation */
        {SLICE_LITERAL("\xC3"), false},            /* cut off */
        {SLICE_LITERAL("\xE2\x82"), false},
        {SLICE_LITERAL("\xF0\x9F\x9A"), false},
        {SLICE_LITERAL("\xC3\x28"), false},
        {SLICE_LITERAL("\xC0\xAF"), false}, /* overlong '/' */
        {SLICE_LITERAL("\xC1\xBF"), false},
        {SLICE_LITERAL("\xE0\x80\xAF"), false},
        {SLICE_LITERAL("\xE0\x9F\xBF"), false},
        {SLICE_LITERAL("\xF0\x80\x80\xAF"), false},
        {SLICE_LITERAL("\xF0\x8F\xBF\xBF"), false},
        {SLICE_LITERAL("\xED\xA0\x80"), false}, /* surrogates */
        {SLICE_LITERAL("\xED\xBF\xBF"), false},
        {SLICE_LITERAL("\xF4\x90\x80\x80"), false}, /* past U+10FFFF */
        {SLICE_LITERAL("\xF5\x80\x80\x80"), false},
        {SLICE_LITERAL("\xFE"), false},
        {SLICE_LITERAL("\xFF"), false},
        {SLICE_LITERAL("ok\xFFok"), false},
    };
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        if (utf8_is_valid(vectors[i].text) != vectors[i].is_valid)
            fail_msg("vector %zu", i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ends_of_each_length_are_read),
        cmocka_unit_test(what_lies_outside_is_refused),
        cmocka_unit_test(bytes_past_the_end_are_not_read),
        cmocka_unit_test(controls_are_what_draws_or_breaks_lines),
        cmocka_unit_test(utf8_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
