/* JSON to struct and back, by table: what is wrong is named, what is absent leaves no trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fields.h"
#include "base/json_guard.h"

typedef struct Holder {
    Slice run, link;
} Holder;

typedef struct Ask {
    Slice branch, id;
    int64_t lease_seconds, position;
    bool now;
    int if_none;
    Holder holder;
    bool has_holder;
} Ask;

static const char *check_link(Slice s) {
    return slice_starts_with(s, "https://") ? NULL : "must begin with https://";
}

static const Field holder_rows[] = {
    {.name = "run", .kind = FIELD_TEXT, .offset = offsetof(Holder, run), .max = 5},
    {.name = "link", .kind = FIELD_TEXT, .offset = offsetof(Holder, link), .check = check_link},
};
static const FieldTable holder_table = {
    .name = "Holder",
    .rows = holder_rows,
    .count = COUNT_OF(holder_rows),
    .size = sizeof(Holder),
    .presence = offsetof(Ask, has_holder),
    .has_presence = true,
};

static const char *const if_none_names[] = {"wait", "fail", NULL};
static const Field ask_rows[] = {
    {.name = "branch",
     .kind = FIELD_TEXT,
     .offset = offsetof(Ask, branch),
     .is_required = true,
     .min = 1,
     .max = 255,
     .doc = "The \"branch\"."},
    {.name = "id", .kind = FIELD_TEXT, .offset = offsetof(Ask, id), .min = 4, .max = 4},
    {.name = "leaseSeconds",
     .kind = FIELD_INTEGER,
     .offset = offsetof(Ask, lease_seconds),
     .min = 2,
     .max = 86400,
     .fallback = FIELD_ABSENT},
    {.name = "position", .kind = FIELD_INTEGER, .offset = offsetof(Ask, position), .fallback = 7},
    {.name = "now", .kind = FIELD_BOOLEAN, .offset = offsetof(Ask, now), .fallback = 1},
    {.name = "ifNone",
     .kind = FIELD_CHOICE,
     .offset = offsetof(Ask, if_none),
     .choices = if_none_names,
     .fallback = -1},
    {.name = "holder", .kind = FIELD_OBJECT, .offset = offsetof(Ask, holder), .of = &holder_table},
};
static const FieldTable ask_table = {.name = "Ask", .rows = ask_rows, .count = COUNT_OF(ask_rows), .size = sizeof(Ask)};
static const FieldTable strict_table = {
    .name = "Strict", .rows = ask_rows, .count = COUNT_OF(ask_rows), .size = sizeof(Ask), .refuses_unknown = true};

typedef struct Stack {
    int64_t created, number;
    Slice holder_json;
} Stack;
static const Field stack_rows[] = {
    {.name = "created", .kind = FIELD_TIME, .offset = offsetof(Stack, created), .is_required = true},
    {.name = "number", .kind = FIELD_INTEGER, .offset = offsetof(Stack, number), .is_required = true},
    {.name = "holder", .kind = FIELD_JSON, .offset = offsetof(Stack, holder_json)},
};
static const FieldTable stack_table = {
    .name = "Stack", .rows = stack_rows, .count = COUNT_OF(stack_rows), .size = sizeof(Stack), .refuses_unknown = true};

typedef struct Stacks {
    FieldList stacks;
} Stacks;
static const Field stacks_rows[] = {
    {.name = "stacks", .kind = FIELD_LIST, .offset = offsetof(Stacks, stacks), .of = &stack_table},
};
static const FieldTable stacks_table = {
    .name = "Stacks", .rows = stacks_rows, .count = COUNT_OF(stacks_rows), .size = sizeof(Stacks)};

static json_t *parse(const char *text) {
    json_t *json = NULL;
    JsonProblem problem;
    assert_int_equal(json_parse(slice_of(text), 32, &json, &problem), 0);
    return json;
}

static void expect_refused_by(const FieldTable *table, FieldSource source, const char *text, const char *field,
                              const char *detail) {
    OWN(json_decrefp) json_t *json = parse(text);
    Ask ask;
    FieldProblem problem = {.field = "untouched"};
    assert_int_equal(fields_decode(table, json, source, &ask, &problem), FIELDS_INVALID);
    assert_string_equal(problem.field, field);
    assert_string_equal(problem.detail, detail);
}

static void expect_refused(const char *text, const char *field, const char *detail) {
    expect_refused_by(&ask_table, FIELDS_FROM_JSON, text, field, detail);
}

/* The text borrows from the returned json. */
static json_t *decode_from(FieldSource source, const char *text, Ask *ask) {
    json_t *json = parse(text);
    FieldProblem problem = {.detail = ""};
    memset(ask, 0xA5, sizeof *ask);
    if (fields_decode(&ask_table, json, source, ask, &problem) != 0)
        fail_msg("%s", problem.detail);
    return json;
}

static json_t *decode(const char *text, Ask *ask) {
    return decode_from(FIELDS_FROM_JSON, text, ask);
}

static void all_kinds_are_decoded(void **state) {
    (void)state;
    Ask ask;
    OWN(json_decrefp)
    json_t *json =
        decode("{\"branch\":\"feat/x\",\"leaseSeconds\":300,\"position\":-3,\"now\":false,\"ifNone\":\"fail\","
               "\"holder\":{\"run\":\"12\",\"link\":\"https://ci/1\"},\"unknown\":[1]}",
               &ask);
    assert_true(slice_equal_text(ask.branch, "feat/x"));
    assert_int_equal(ask.lease_seconds, 300);
    assert_int_equal(ask.position, -3);
    assert_false(ask.now);
    assert_int_equal(ask.if_none, 1);
    assert_true(ask.has_holder);
    assert_true(slice_equal_text(ask.holder.run, "12"));
    assert_true(slice_equal_text(ask.holder.link, "https://ci/1"));
}

static void absent_and_null_decode_alike(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{\"branch\":\"b\"}",
        "{\"branch\":\"b\",\"id\":null,\"leaseSeconds\":null,\"position\":null,\"now\":null,\"ifNone\":null,"
        "\"holder\":null}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        Ask ask;
        OWN(json_decrefp) json_t *json = decode(texts[i], &ask);
        assert_true(slice_is_absent(ask.id));
        assert_true(ask.lease_seconds == FIELD_ABSENT);
        assert_int_equal(ask.position, 7);
        assert_true(ask.now);
        assert_int_equal(ask.if_none, -1);
        assert_false(ask.has_holder);
        assert_true(slice_is_absent(ask.holder.run));
    }
}

static void owned_texts_outlive_the_json(void **state) {
    (void)state;
    Ask ask;
    OWN(freep) char *memory = NULL;
    json_t *json = decode("{\"branch\":\"a branch\",\"holder\":{\"run\":\"12\",\"link\":\"https://ci/1\"}}", &ask);
    assert_int_equal(fields_own_texts(&ask_table, &ask, &memory), 0);
    json_object_clear(json); /* the texts are gone, or the sanitizer sees who still reads them */
    json_decref(json);
    assert_true(slice_equal_text(ask.branch, "a branch"));
    assert_true(slice_equal_text(ask.holder.run, "12"));
    assert_true(slice_equal_text(ask.holder.link, "https://ci/1"));
    assert_true(ask.branch.ptr >= memory && ask.branch.ptr < memory + 22);
}

static void an_empty_holder_is_present(void **state) {
    (void)state;
    Ask ask;
    OWN(json_decrefp) json_t *json = decode("{\"branch\":\"b\",\"holder\":{}}", &ask);
    assert_true(ask.has_holder);
    assert_true(slice_is_absent(ask.holder.link));
}

static void clearing_is_decoding_nothing(void **state) {
    (void)state;
    Ask ask;
    memset(&ask, 0xA5, sizeof ask);
    fields_clear(&ask_table, &ask);
    assert_true(slice_is_absent(ask.branch));
    assert_true(ask.lease_seconds == FIELD_ABSENT);
    assert_int_equal(ask.position, 7);
    assert_true(ask.now);
    assert_int_equal(ask.if_none, -1);
    assert_false(ask.has_holder);
    assert_true(slice_is_absent(ask.holder.run));
}

static void required_fields_must_be_there(void **state) {
    (void)state;
    expect_refused("{}", "branch", "branch is required");
    expect_refused("{\"branch\":null}", "branch", "branch is required");
}

static void wrong_types_are_named(void **state) {
    (void)state;
    expect_refused("{\"branch\":1}", "branch", "branch must be text");
    expect_refused("{\"branch\":\"b\",\"leaseSeconds\":\"300\"}", "leaseSeconds",
                   "leaseSeconds must be a whole number");
    expect_refused("{\"branch\":\"b\",\"now\":1}", "now", "now must be true or false");
    expect_refused("{\"branch\":\"b\",\"now\":\"true\"}", "now", "now must be true or false");
    expect_refused("{\"branch\":\"b\",\"holder\":\"x\"}", "holder", "holder must be a JSON object");
    expect_refused("[]", "", "the message must be a JSON object");
}

static void reals_are_no_whole_numbers(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{\"branch\":\"b\",\"leaseSeconds\":1e2}",
        "{\"branch\":\"b\",\"leaseSeconds\":1e9}",
        "{\"branch\":\"b\",\"leaseSeconds\":300.0}",
        "{\"branch\":\"b\",\"leaseSeconds\":true}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        expect_refused(texts[i], "leaseSeconds", "leaseSeconds must be a whole number");
}

static void bounds_belong_to_the_range(void **state) {
    (void)state;
    Ask ask;
    OWN(json_decrefp) json_t *least = decode("{\"branch\":\"b\",\"leaseSeconds\":2}", &ask);
    OWN(json_decrefp) json_t *most = decode("{\"branch\":\"b\",\"leaseSeconds\":86400}", &ask);
    expect_refused("{\"branch\":\"b\",\"leaseSeconds\":1}", "leaseSeconds", "leaseSeconds must be 2 to 86400");
    expect_refused("{\"branch\":\"b\",\"leaseSeconds\":86401}", "leaseSeconds", "leaseSeconds must be 2 to 86400");
    expect_refused("{\"branch\":\"b\",\"leaseSeconds\":-9223372036854775808}", "leaseSeconds",
                   "leaseSeconds must be 2 to 86400");
}

static void the_mark_of_absence_cannot_be_sent(void **state) {
    (void)state;
    Ask ask;
    OWN(json_decrefp) json_t *least = decode("{\"branch\":\"b\",\"position\":-9223372036854775807}", &ask);
    assert_true(ask.position == INT64_MIN + 1);
    expect_refused("{\"branch\":\"b\",\"position\":-9223372036854775808}", "position",
                   "position must be -9223372036854775807 to 9223372036854775807");
}

static void lengths_are_counted_in_bytes(void **state) {
    (void)state;
    expect_refused("{\"branch\":\"\"}", "branch", "branch must be 1 to 255 bytes long");
    expect_refused("{\"branch\":\"b\",\"id\":\"abc\"}", "id", "id must be exactly 4 bytes long");
    /* Three letters of two bytes each. */
    expect_refused("{\"branch\":\"b\",\"holder\":{\"run\":\"\xC3\xA9\xC3\xA9\xC3\xA9\"}}", "holder.run",
                   "holder.run must be at most 5 bytes long");
}

static void a_row_without_a_maximum_has_64_kib(void **state) {
    (void)state;
    Ask ask;
    FieldProblem problem;
    static char text[FIELD_TEXT_MAX + 2] = "https://";
    memset(text + 8, 'x', FIELD_TEXT_MAX - 8);
    OWN(json_decrefp) json_t *fits = json_pack("{s:s,s:{s:s}}", "branch", "b", "holder", "link", text);
    assert_int_equal(fields_decode(&ask_table, fits, FIELDS_FROM_JSON, &ask, &problem), 0);
    text[FIELD_TEXT_MAX] = 'x';
    OWN(json_decrefp) json_t *longer = json_pack("{s:s,s:{s:s}}", "branch", "b", "holder", "link", text);
    assert_int_equal(fields_decode(&ask_table, longer, FIELDS_FROM_JSON, &ask, &problem), FIELDS_INVALID);
    assert_string_equal(problem.detail, "holder.link must be at most 65536 bytes long");
}

static void a_check_names_the_whole_path(void **state) {
    (void)state;
    expect_refused("{\"branch\":\"b\",\"holder\":{\"link\":\"javascript:1\"}}", "holder.link",
                   "holder.link must begin with https://");
}

static void choices_are_listed_when_none_fits(void **state) {
    (void)state;
    static const char *const texts[] = {"{\"branch\":\"b\",\"ifNone\":\"Wait\"}", "{\"branch\":\"b\",\"ifNone\":\"\"}",
                                        "{\"branch\":\"b\",\"ifNone\":0}", "{\"branch\":\"b\",\"ifNone\":{}}"};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        expect_refused(texts[i], "ifNone", "ifNone must be one of: wait, fail");
}

static void unknown_fields_are_refused_where_the_table_says_so(void **state) {
    (void)state;
    expect_refused_by(&strict_table, FIELDS_FROM_JSON, "{\"branch\":\"b\",\"extra\":1}", "extra",
                      "extra is not a known field");
    /* Even as null; and a known field beside it does not make up for it. */
    expect_refused_by(&strict_table, FIELDS_FROM_JSON, "{\"branch\":\"b\",\"now\":null,\"x\":null}", "x",
                      "x is not a known field");
    /* A field that only answers have. */
    expect_refused_by(&stack_table, FIELDS_FROM_JSON, "{\"number\":1,\"created\":\"1970-01-01T00:00:00.000Z\"}",
                      "created", "created is not a known field");
}

static void an_outside_name_is_clipped_and_printable(void **state) {
    (void)state;
    OWN(json_decrefp)
    json_t *json = parse("{\"branch\":\"b\",\"\\u001b[31m\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82"
                         "\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\":1}");
    Ask ask;
    FieldProblem problem;
    assert_int_equal(fields_decode(&strict_table, json, FIELDS_FROM_JSON, &ask, &problem), FIELDS_INVALID);
    assert_int_equal(strncmp(problem.field, "\\x1b[31m\xE2\x82\xAC", 11), 0);
    /* Cut between letters: what is left is whole letters of three bytes. */
    assert_int_equal((strlen(problem.field) - 8) % 3, 0);
    assert_true(strlen(problem.field) < 32);
}

static void values_of_a_query_are_parsed_from_text(void **state) {
    (void)state;
    Ask ask;
    OWN(json_decrefp)
    json_t *json = decode_from(FIELDS_FROM_TEXT,
                               "{\"branch\":\"12\",\"leaseSeconds\":\"300\",\"position\":\"-3\",\"now\":\"false\","
                               "\"ifNone\":\"wait\"}",
                               &ask);
    assert_true(slice_equal_text(ask.branch, "12"));
    assert_int_equal(ask.lease_seconds, 300);
    assert_int_equal(ask.position, -3);
    assert_false(ask.now);
    assert_int_equal(ask.if_none, 0);
}

static void a_query_holds_nothing_but_text(void **state) {
    (void)state;
    static const char *const numbers[] = {"\"\"", "\"-\"", "\"1e2\"", "\" 1\"", "\"0x10\"", "\"9223372036854775808\"",
                                          "300"};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "{\"branch\":\"b\",\"leaseSeconds\":%s}", numbers[i]);
        expect_refused_by(&ask_table, FIELDS_FROM_TEXT, text, "leaseSeconds", "leaseSeconds must be a whole number");
    }
    expect_refused_by(&ask_table, FIELDS_FROM_TEXT, "{\"branch\":\"b\",\"now\":\"1\"}", "now",
                      "now must be true or false");
    expect_refused_by(&ask_table, FIELDS_FROM_TEXT, "{\"branch\":\"b\",\"now\":true}", "now",
                      "now must be true or false");
    expect_refused_by(&ask_table, FIELDS_FROM_TEXT, "{\"branch\":\"b\",\"holder\":\"{}\"}", "holder",
                      "holder must be a JSON object");
}

static void expect_encoded(const FieldTable *table, const void *in, const char *expected) {
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, 100000);
    fields_encode(table, in, &out);
    assert_string_equal(buffer_text(&out), expected);
}

static void what_is_absent_leaves_no_trace(void **state) {
    (void)state;
    Ask ask;
    fields_clear(&ask_table, &ask);
    expect_encoded(&ask_table, &ask, "{\"position\":7,\"now\":true}");
    ask.branch = slice_of("a\"b");
    ask.if_none = 0;
    ask.now = false;
    ask.has_holder = true;
    expect_encoded(&ask_table, &ask,
                   "{\"branch\":\"a\\\"b\",\"position\":7,\"now\":false,\"ifNone\":\"wait\",\"holder\":{}}");
    ask.holder.link = slice_of("");
    ask.if_none = 2; /* none of the choices */
    expect_encoded(&ask_table, &ask, "{\"branch\":\"a\\\"b\",\"position\":7,\"now\":false,\"holder\":{\"link\":\"\"}}");
}

static void lists_hold_dates_and_ready_json(void **state) {
    (void)state;
    static const Stack items[] = {
        {.created = 1, .number = 1, .holder_json = SLICE_LITERAL("{\"run\":\"1\"}")},
        {.created = FIELD_ABSENT, .number = FIELD_ABSENT},
        {.created = 0, .number = INT64_C(1) << 52},
    };
    const Stacks stacks = {.stacks = {.items = items, .count = COUNT_OF(items)}};
    expect_encoded(&stacks_table, &stacks,
                   "{\"stacks\":[{\"created\":\"1970-01-01T00:00:00.001Z\",\"number\":1,\"holder\":{\"run\":\"1\"}},{},"
                   "{\"created\":\"1970-01-01T00:00:00.000Z\",\"number\":4503599627370496}]}");
    const Stacks none = {.stacks = {.items = NULL}};
    expect_encoded(&stacks_table, &none, "{\"stacks\":[]}");
}

static void encoding_past_the_ceiling_sticks_in_the_buffer(void **state) {
    (void)state;
    Ask ask;
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, 10);
    fields_clear(&ask_table, &ask);
    fields_encode(&ask_table, &ask, &out);
    assert_true(buffer_error(&out) < 0);
}

static void what_was_encoded_decodes_to_the_same(void **state) {
    (void)state;
    Ask ask, again;
    OWN(buffer_deinit) Buffer first, second;
    buffer_init(&first, 1000);
    buffer_init(&second, 1000);
    OWN(json_decrefp)
    json_t *json = decode("{\"branch\":\"\\u0001\xC3\xA9\\\\\",\"id\":\"abcd\",\"leaseSeconds\":2,\"ifNone\":\"fail\","
                          "\"holder\":{\"run\":\"\"}}",
                          &ask);
    fields_encode(&ask_table, &ask, &first);
    OWN(json_decrefp) json_t *parsed = decode(buffer_text(&first), &again);
    fields_encode(&ask_table, &again, &second);
    assert_string_equal(buffer_text(&first), buffer_text(&second));
}

static void the_schema_says_what_the_table_says(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, 10000);
    fields_describe(&strict_table, &out);
    OWN(json_decrefp) json_t *schema = parse(buffer_text(&out));
    const json_t *properties = json_object_get(schema, "properties");
    assert_string_equal(json_string_value(json_object_get(schema, "type")), "object");
    assert_string_equal(json_string_value(json_object_get(schema, "title")), "Strict");
    assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
    assert_int_equal(json_array_size(json_object_get(schema, "required")), 1);
    assert_int_equal(json_object_size(properties), COUNT_OF(ask_rows));

    OWN(json_decrefp)
    json_t *branch =
        parse("{\"type\":\"string\",\"minLength\":1,\"maxLength\":255,\"description\":\"The \\\"branch\\\".\"}");
    assert_true(json_equal(json_object_get(properties, "branch"), branch));
    OWN(json_decrefp) json_t *lease = parse("{\"type\":\"integer\",\"minimum\":2,\"maximum\":86400}");
    assert_true(json_equal(json_object_get(properties, "leaseSeconds"), lease));
    OWN(json_decrefp) json_t *position = parse("{\"type\":\"integer\",\"default\":7}");
    assert_true(json_equal(json_object_get(properties, "position"), position));
    OWN(json_decrefp) json_t *now = parse("{\"type\":\"boolean\",\"default\":true}");
    assert_true(json_equal(json_object_get(properties, "now"), now));
    OWN(json_decrefp) json_t *if_none = parse("{\"type\":\"string\",\"enum\":[\"wait\",\"fail\"]}");
    assert_true(json_equal(json_object_get(properties, "ifNone"), if_none));
    const json_t *holder = json_object_get(properties, "holder");
    assert_non_null(json_object_get(json_object_get(holder, "properties"), "link"));
    assert_null(json_object_get(holder, "required"));
}

static void the_schema_of_answers_is_json_too(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, 10000);
    fields_describe(&stacks_table, &out);
    OWN(json_decrefp) json_t *schema = parse(buffer_text(&out));
    const json_t *stacks = json_object_get(json_object_get(schema, "properties"), "stacks");
    const json_t *item = json_object_get(stacks, "items");
    assert_string_equal(json_string_value(json_object_get(stacks, "type")), "array");
    assert_int_equal(json_array_size(json_object_get(item, "required")), 2);
    const json_t *created = json_object_get(json_object_get(item, "properties"), "created");
    assert_string_equal(json_string_value(json_object_get(created, "format")), "date-time");
}

typedef struct Secret {
    uint8_t hash[3];
} Secret;
static const Field secret_rows[] = {
    {.name = "hash", .kind = FIELD_HEX, .offset = offsetof(Secret, hash), .is_required = true, .max = 3},
};
static const FieldTable secret_table = {
    .name = "Secret", .rows = secret_rows, .count = COUNT_OF(secret_rows), .size = sizeof(Secret)};

static void bytes_are_hexadecimal_digits(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, 1000);
    const Secret secret = {{0, 0x0f, 0xa5}};
    fields_encode(&secret_table, &secret, &out);
    assert_string_equal(buffer_text(&out), "{\"hash\":\"000fa5\"}");
    OWN(json_decrefp) json_t *json = parse(buffer_text(&out));
    Secret decoded = {{1, 1, 1}};
    FieldProblem problem;
    assert_int_equal(fields_decode(&secret_table, json, FIELDS_FROM_JSON, &decoded, &problem), 0);
    assert_memory_equal(&decoded, &secret, sizeof secret);
    fields_clear(&secret_table, &decoded);
    assert_memory_equal(&decoded, "\0\0\0", sizeof decoded);
    static const char *const wrong[] = {"{\"hash\":\"000fa\"}", "{\"hash\":\"000FA5\"}", "{\"hash\":5}"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        OWN(json_decrefp) json_t *refused = parse(wrong[i]);
        assert_int_equal(fields_decode(&secret_table, refused, FIELDS_FROM_JSON, &decoded, &problem), FIELDS_INVALID);
        assert_string_equal(problem.detail, "hash must be 6 hexadecimal digits");
    }
    buffer_clear(&out);
    fields_describe(&secret_table, &out);
    OWN(json_decrefp) json_t *schema = parse(buffer_text(&out));
    OWN(json_decrefp) json_t *hash = parse("{\"type\":\"string\",\"pattern\":\"^[0-9a-f]{6}$\"}");
    assert_true(json_equal(json_object_get(json_object_get(schema, "properties"), "hash"), hash));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_are_decoded),
        cmocka_unit_test(bytes_are_hexadecimal_digits),
        cmocka_unit_test(absent_and_null_decode_alike),
        cmocka_unit_test(owned_texts_outlive_the_json),
        cmocka_unit_test(an_empty_holder_is_present),
        cmocka_unit_test(clearing_is_decoding_nothing),
        cmocka_unit_test(required_fields_must_be_there),
        cmocka_unit_test(wrong_types_are_named),
        cmocka_unit_test(reals_are_no_whole_numbers),
        cmocka_unit_test(bounds_belong_to_the_range),
        cmocka_unit_test(the_mark_of_absence_cannot_be_sent),
        cmocka_unit_test(lengths_are_counted_in_bytes),
        cmocka_unit_test(a_row_without_a_maximum_has_64_kib),
        cmocka_unit_test(a_check_names_the_whole_path),
        cmocka_unit_test(choices_are_listed_when_none_fits),
        cmocka_unit_test(unknown_fields_are_refused_where_the_table_says_so),
        cmocka_unit_test(an_outside_name_is_clipped_and_printable),
        cmocka_unit_test(values_of_a_query_are_parsed_from_text),
        cmocka_unit_test(a_query_holds_nothing_but_text),
        cmocka_unit_test(what_is_absent_leaves_no_trace),
        cmocka_unit_test(lists_hold_dates_and_ready_json),
        cmocka_unit_test(encoding_past_the_ceiling_sticks_in_the_buffer),
        cmocka_unit_test(what_was_encoded_decodes_to_the_same),
        cmocka_unit_test(the_schema_says_what_the_table_says),
        cmocka_unit_test(the_schema_of_answers_is_json_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
