/* JSON from outside: what two readers could read differently is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/json_guard.h"
#include "base/limits.h"

static void expect_valid(const char *text) {
    OWN(json_decrefp) json_t *json = NULL;
    JsonProblem problem = {.detail = ""};
    assert_int_equal(json_parse(slice_of(text), JSON_DEPTH_MAX, &json, &problem), 0);
    assert_non_null(json);
}

static void expect_slice_invalid(Slice text, const char *excerpt) {
    json_t *json = NULL;
    JsonProblem problem = {.detail = ""};
    assert_int_equal(json_parse(text, JSON_DEPTH_MAX, &json, &problem), JSON_INVALID);
    assert_null(json);
    if (strstr(problem.detail, excerpt) == NULL)
        fail_msg("'%s' does not hold '%s'", problem.detail, excerpt);
}

static void expect_invalid(const char *text, const char *excerpt) {
    expect_slice_invalid(slice_of(text), excerpt);
}

static void blank_and_absent_text_is_an_empty_object(void **state) {
    (void)state;
    static const char *const blanks[] = {NULL, "", " \t\r\n"};
    for (size_t i = 0; i < COUNT_OF(blanks); i++) {
        OWN(json_decrefp) json_t *json = NULL;
        JsonProblem problem;
        assert_int_equal(json_parse(slice_of(blanks[i]), 1, &json, &problem), 0);
        assert_true(json_is_object(json));
        assert_int_equal(json_object_size(json), 0);
    }
}

static void duplicate_keys_are_refused(void **state) {
    (void)state;
    expect_invalid("{\"branch\":\"a\",\"branch\":\"a\"}", "duplicate object key");
    expect_invalid("{\"holder\":{\"run\":\"1\",\"run\":\"2\"}}", "duplicate object key");
    /* The same key in other letters. */
    expect_invalid("{\"run\":\"1\",\"\\u0072un\":\"2\"}", "duplicate object key");
    expect_valid("{\"run\":\"1\",\"Run\":\"2\",\"holder\":{\"run\":\"3\"}}");
}

static void nest(Buffer *out, int depth, const char *inner) {
    for (int i = 0; i < depth; i++)
        buffer_add_text(out, i % 2 == 0 ? "[" : "{\"a\":");
    buffer_add_text(out, inner);
    for (int i = depth - 1; i >= 0; i--)
        buffer_add_char(out, i % 2 == 0 ? ']' : '}');
}

static void nesting_of_32_is_the_last_that_passes(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, 1000);
    nest(&text, 32, "1");
    expect_valid(buffer_text(&text));
    buffer_clear(&text);
    nest(&text, 33, "1");
    expect_invalid(buffer_text(&text), "nesting deeper than 32");
}

static void brackets_within_strings_are_no_nesting(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, 1000);
    nest(&text, 32, "\"[[[{{{\\\"[[[\\\\\"");
    expect_valid(buffer_text(&text));
}

static void siblings_are_no_nesting(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, 10000);
    buffer_add_char(&text, '[');
    for (int i = 0; i < 1000; i++)
        buffer_add_text(&text, i == 0 ? "[]" : ",{}");
    buffer_add_char(&text, ']');
    expect_valid(buffer_text(&text));
}

static void a_bracket_bomb_never_reaches_the_parser(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, BODY_MAX);
    for (int i = 0; i < BODY_MAX; i++)
        buffer_add_char(&text, '[');
    expect_invalid(buffer_text(&text), "nesting deeper than 32");
}

static void a_string_left_open_hides_nothing(void **state) {
    (void)state;
    expect_invalid("{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "premature end of input");
    expect_invalid("\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "invalid token");
    expect_invalid("]]]]][", "unexpected token");
}

static void nul_is_refused_in_either_form(void **state) {
    (void)state;
    expect_invalid("{\"branch\":\"a\\u0000b\"}", "a text holds \\u0000");
    expect_slice_invalid((Slice){.ptr = "{\"a\":\"\0\"}", .len = 9}, "control character");
    expect_slice_invalid((Slice){.ptr = "{}\0", .len = 3}, "");
}

static void lone_surrogates_are_refused(void **state) {
    (void)state;
    expect_invalid("{\"a\":\"\\ud800\"}", "invalid Unicode");
    expect_invalid("{\"a\":\"\\udc00\"}", "invalid Unicode");
    expect_invalid("{\"a\":\"\\ud800\\u0041\"}", "invalid Unicode");
    expect_valid("{\"a\":\"\\ud83d\\ude00\"}");
}

static void invalid_utf_8_is_refused(void **state) {
    (void)state;
    expect_invalid("{\"a\":\"\xFF\"}", "unable to decode byte 0xff");
    expect_invalid("{\"a\":\"\xC0\xAF\"}", "unable to decode byte 0xc0");
    expect_invalid("{\"a\":\"\xED\xA0\x80\"}", "unable to decode byte 0xed");
}

static void trailing_bytes_are_refused(void **state) {
    (void)state;
    expect_invalid("{} x", "end of file expected");
    expect_invalid("{}{}", "end of file expected");
    expect_valid("{} \n");
}

static void integers_past_63_bits_are_refused(void **state) {
    (void)state;
    expect_invalid("{\"a\":9223372036854775808}", "too big integer");
    expect_invalid("{\"a\":-9223372036854775809}", "too big negative integer");
    expect_invalid("{\"a\":1e999}", "real number overflow");
    expect_valid("{\"a\":9223372036854775807}");
}

static void expect_type(const char *text, json_type type) {
    OWN(json_decrefp) json_t *json = NULL;
    JsonProblem problem;
    assert_int_equal(json_parse(slice_of(text), 32, &json, &problem), 0);
    assert_int_equal(json_typeof(json), type);
}

/* RFC 8259 §2: any value is a JSON text; whether it is the one asked for is the reader's matter. */
static void bare_values_are_json(void **state) {
    (void)state;
    expect_type("42", JSON_INTEGER);
    expect_type("\"text\"", JSON_STRING);
    expect_type("null", JSON_NULL);
    expect_invalid("NaN", "invalid token");
    expect_invalid("{\"a\":NaN}", "invalid token");
    expect_invalid("{'a':1}", "expected");
    expect_invalid("1 2", "end of file");
}

static void explanations_are_printable(void **state) {
    (void)state;
    json_t *json = NULL;
    JsonProblem problem = {.detail = ""};
    const char *text = "{\"\xE2\x80\xAEgnp\" x";
    assert_int_equal(json_parse(slice_of(text), JSON_DEPTH_MAX, &json, &problem), JSON_INVALID);
    assert_null(strstr(problem.detail, "\xE2\x80\xAE"));
    assert_int_equal(json_parse(slice_of("{\x1b[31m"), JSON_DEPTH_MAX, &json, &problem), JSON_INVALID);
    assert_null(strchr(problem.detail, '\x1b'));
}

int main(void) {
    json_guard_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blank_and_absent_text_is_an_empty_object),
        cmocka_unit_test(duplicate_keys_are_refused),
        cmocka_unit_test(nesting_of_32_is_the_last_that_passes),
        cmocka_unit_test(brackets_within_strings_are_no_nesting),
        cmocka_unit_test(siblings_are_no_nesting),
        cmocka_unit_test(a_bracket_bomb_never_reaches_the_parser),
        cmocka_unit_test(a_string_left_open_hides_nothing),
        cmocka_unit_test(nul_is_refused_in_either_form),
        cmocka_unit_test(lone_surrogates_are_refused),
        cmocka_unit_test(invalid_utf_8_is_refused),
        cmocka_unit_test(trailing_bytes_are_refused),
        cmocka_unit_test(integers_past_63_bits_are_refused),
        cmocka_unit_test(bare_values_are_json),
        cmocka_unit_test(explanations_are_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
