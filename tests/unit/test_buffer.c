/* Bytes with a ceiling: the first failure sticks, and JSON text is escaped. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buffer.h"

static void exactly_the_ceiling_fits(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer b;
    buffer_init(&b, 4);
    buffer_add_text(&b, "abcd");
    assert_int_equal(buffer_error(&b), 0);
    assert_string_equal(buffer_text(&b), "abcd");
    assert_true(b.capacity <= 5);
}

static void the_first_failure_sticks_until_cleared(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer b;
    buffer_init(&b, 4);
    buffer_add_text(&b, "abc");
    buffer_add_text(&b, "de"); /* one byte too many: nothing of it is written */
    buffer_add_char(&b, 'f');  /* would fit */
    buffer_add_number(&b, 1);
    buffer_printf(&b, "%s", "x");
    assert_int_equal(buffer_error(&b), -EMSGSIZE);
    assert_int_equal(b.len, 3);
    assert_null(buffer_text(&b));
    assert_null(buffer_reserve(&b, 0));
    assert_true(slice_is_absent(buffer_slice(&b)));

    buffer_clear(&b);
    buffer_add_text(&b, "ok");
    assert_string_equal(buffer_text(&b), "ok");
}

static void printf_past_the_ceiling_fails(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer b;
    buffer_init(&b, 4);
    buffer_printf(&b, "%s", "abcd");
    assert_string_equal(buffer_text(&b), "abcd");
    buffer_printf(&b, "%d", 1);
    assert_int_equal(buffer_error(&b), -EMSGSIZE);
}

static void a_huge_length_is_too_big_and_overflows_nothing(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer b;
    buffer_init(&b, SIZE_MAX);
    buffer_add_text(&b, "a");
    assert_null(buffer_reserve(&b, SIZE_MAX - 1));
    assert_int_equal(buffer_error(&b), -EMSGSIZE);
}

static void an_untouched_buffer_is_empty_text(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer b;
    buffer_init(&b, 10);
    assert_string_equal(buffer_text(&b), "");
    assert_true(slice_equal_text(buffer_slice(&b), ""));
    size_t len = 7;
    assert_null(buffer_steal(&b, &len));
    assert_int_equal(len, 0);
}

static void growth_keeps_what_was_written(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer b;
    buffer_init(&b, 100000);
    for (int i = 0; i < 20000; i++)
        buffer_add_char(&b, (char)('a' + i % 26));
    buffer_printf(&b, "%0*d", 3000, 7);
    assert_int_equal(buffer_error(&b), 0);
    assert_int_equal(b.len, 23000);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(b.data[i], 'a' + i % 26);
    assert_int_equal(b.data[22999], '7');
}

static void reserved_room_counts_once_confirmed(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer b;
    buffer_init(&b, 10);
    char *room = buffer_reserve(&b, 10);
    assert_non_null(room);
    memcpy(room, "0123456789", 10);
    assert_string_equal(buffer_text(&b), "");
    memcpy(room, "0123456789", 10);
    buffer_grew(&b, 10);
    assert_string_equal(buffer_text(&b), "0123456789");
}

static void stolen_memory_is_terminated_and_the_buffer_starts_anew(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer b;
    buffer_init(&b, 10);
    buffer_add_text(&b, "abc");
    size_t len = 0;
    OWN(freep) char *text = buffer_steal(&b, &len);
    assert_string_equal(text, "abc");
    assert_int_equal(len, 3);
    buffer_add_text(&b, "z");
    assert_string_equal(buffer_text(&b), "z");
}

static void numbers_are_written_to_both_extremes(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer b;
    buffer_init(&b, 100);
    static const int64_t numbers[] = {0, -1, 10, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        buffer_add_number(&b, numbers[i]);
        buffer_add_char(&b, ' ');
    }
    assert_string_equal(buffer_text(&b), "0 -1 10 9223372036854775807 -9223372036854775808 ");
}

static void expect_json(Slice text, const char *expected) {
    OWN(buffer_deinit) Buffer b;
    buffer_init(&b, 1000);
    buffer_add_json_text(&b, text);
    assert_string_equal(buffer_text(&b), expected);
}

static void json_text_escapes_what_rfc_8259_asks_for(void **state) {
    (void)state;
    expect_json(slice_of("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
    expect_json(slice_of("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"");
    expect_json(slice_of("\x01\x1b\x1f"), "\"\\u0001\\u001b\\u001f\"");
    expect_json((Slice){.ptr = "a\0b", .len = 3}, "\"a\\u0000b\"");
    expect_json(slice_of(""), "\"\"");
    expect_json(SLICE_ABSENT, "null");
    expect_json(slice_of("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
}

static void json_text_escapes_what_draws_on_a_terminal(void **state) {
    (void)state;
    expect_json(slice_of("\x7F\xC2\x9B\xE2\x80\xAE\xE2\x80\xA8"), "\"\\u007f\\u009b\\u202e\\u2028\"");
}

static void json_text_replaces_each_byte_that_is_not_utf_8(void **state) {
    (void)state;
    expect_json(slice_of("a\xFFz"), "\"a\xEF\xBF\xBDz\"");
    expect_json(slice_of("\xC3"), "\"\xEF\xBF\xBD\"");                                 /* cut short */
    expect_json(slice_of("\xC0\xAF"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");                 /* overlong '/' */
    expect_json(slice_of("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""); /* a surrogate */
    expect_json(slice_of("\xC3\x28"), "\"\xEF\xBF\xBD(\"");                            /* the byte behind is kept */
}

static void every_byte_survives_the_way_through_a_parser(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer b;
    buffer_init(&b, 4096);
    char all[127];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (char)(i + 1);
    buffer_add_char(&b, '[');
    buffer_add_json_text(&b, (Slice){.ptr = all, .len = sizeof all});
    buffer_add_char(&b, ']');
    json_t *parsed = json_loadb(b.data, b.len, 0, NULL);
    assert_non_null(parsed);
    const json_t *text = json_array_get(parsed, 0);
    assert_int_equal(json_string_length(text), sizeof all);
    assert_memory_equal(json_string_value(text), all, sizeof all);
    json_decref(parsed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_the_ceiling_fits),
        cmocka_unit_test(the_first_failure_sticks_until_cleared),
        cmocka_unit_test(printf_past_the_ceiling_fails),
        cmocka_unit_test(a_huge_length_is_too_big_and_overflows_nothing),
        cmocka_unit_test(an_untouched_buffer_is_empty_text),
        cmocka_unit_test(growth_keeps_what_was_written),
        cmocka_unit_test(reserved_room_counts_once_confirmed),
        cmocka_unit_test(stolen_memory_is_terminated_and_the_buffer_starts_anew),
        cmocka_unit_test(numbers_are_written_to_both_extremes),
        cmocka_unit_test(json_text_escapes_what_rfc_8259_asks_for),
        cmocka_unit_test(json_text_escapes_what_draws_on_a_terminal),
        cmocka_unit_test(json_text_replaces_each_byte_that_is_not_utf_8),
        cmocka_unit_test(every_byte_survives_the_way_through_a_parser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
