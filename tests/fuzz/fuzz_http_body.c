/*
 * The body of a request: bytes → JSON → the fields of an operation. The first byte chooses the operation and whether the
 * members are a query's texts; the rest is the body.
 *
 * Promised: a decoded command holds only what its rows allow; what is refused is named; what was decoded survives being
 * encoded and decoded again; every text can be shown back in a problem.
 */
#include <string.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "fuzz/require.h"
#include "protocol/messages.h"

#define QUERY_BIT 0x80
#define COMMANDS_MAX (1024 * 1024) /* a body of 64 KiB, each byte of it escaped */

static bool is_plain_utf8(Slice text) {
    json_t *string = json_stringn(text.ptr, text.len); /* jansson's own check, not ours */
    bool is_valid = string != NULL;
    json_decref(string);
    return is_valid;
}

static void check_text(const Field *field, Slice text) {
    if (slice_is_absent(text)) {
        REQUIRE(!field->is_required);
        return;
    }
    REQUIRE((int64_t)text.len >= field->min);
    REQUIRE(text.len <= (size_t)(field->max > 0 ? field->max : FIELD_TEXT_MAX));
    REQUIRE(is_plain_utf8(text));
    REQUIRE(field->check == NULL || field->check(text) == NULL);
}

/* C0 and DEL are single bytes of UTF-8; C1 is C2 80 to C2 9F. */
static void check_branch(Slice branch) {
    for (size_t i = 0; i < branch.len; i++) {
        unsigned char byte = (unsigned char)branch.ptr[i];
        REQUIRE(byte >= 0x20 && byte != 0x7F);
        REQUIRE(byte != 0xC2 || (unsigned char)branch.ptr[i + 1] >= 0xA0);
    }
}

static size_t count_choices(const Field *field) {
    size_t count = 0;
    while (field->choices[count] != NULL)
        count++;
    return count;
}

static void check_command(const FieldTable *table, const void *in) {
    for (size_t i = 0; i < table->count; i++) {
        const Field *field = &table->rows[i];
        const void *member = (const char *)in + field->offset;
        int64_t number;
        switch (field->kind) {
        case FIELD_TEXT:
            check_text(field, *(const Slice *)member);
            if (strcmp(field->name, "branch") == 0)
                check_branch(*(const Slice *)member);
            break;
        case FIELD_INTEGER:
            number = *(const int64_t *)member;
            REQUIRE(number == field->fallback || (number >= field->min && number <= field->max));
            break;
        case FIELD_BOOLEAN:
            REQUIRE(*(const unsigned char *)member <= 1);
            break;
        case FIELD_CHOICE:
            number = *(const int *)member;
            REQUIRE(number == field->fallback || (number >= field->min && number < (int64_t)count_choices(field)));
            break;
        case FIELD_OBJECT:
            if (*(const bool *)((const char *)in + field->of->presence))
                check_command(field->of, member);
            break;
        case FIELD_TIME:
        case FIELD_LIST:
        case FIELD_JSON:
        case FIELD_HEX:
            break;
        }
    }
}

/* Members that the encoder writes and a decoder must refuse: choices that mean "not sent". */
static json_t *without_unsent(const FieldTable *table, const Command *command, json_t *object) {
    for (size_t i = 0; i < table->count; i++) {
        const Field *field = &table->rows[i];
        if (field->kind == FIELD_CHOICE && *(const int *)((const char *)command + field->offset) < field->min)
            (void)json_object_del(object, field->name);
    }
    return object;
}

static json_t *parse_again(const Buffer *text) {
    REQUIRE(buffer_error(text) == 0);
    json_error_t error;
    json_t *json = json_loadb(buffer_slice(text).ptr, buffer_slice(text).len, JSON_REJECT_DUPLICATES, &error);
    REQUIRE(json_is_object(json));
    return json;
}

static void check_round_trip(const FieldTable *table, const Command *command) {
    OWN(buffer_deinit) Buffer once;
    OWN(buffer_deinit) Buffer twice;
    buffer_init(&once, COMMANDS_MAX);
    buffer_init(&twice, COMMANDS_MAX);
    fields_encode(table, command, &once);
    OWN(json_decrefp) json_t *json = without_unsent(table, command, parse_again(&once));
    Command again = {.operation = command->operation};
    FieldProblem problem = {.field = ""};
    REQUIRE(fields_decode(table, json, FIELDS_FROM_JSON, &again, &problem) == 0);
    fields_encode(table, &again, &twice);
    REQUIRE(slice_equal(buffer_slice(&once), buffer_slice(&twice)));
}

static void check_holder(const Holder *holder) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, HOLDER_MAX);
    holder_encode(holder, &text);
    if (buffer_error(&text) == 0)
        json_decref(parse_again(&text));
}

static void check_problem(const OperationRow *row, Outcome outcome, const char *field, Slice detail) {
    Answer answer;
    answer_init(&answer);
    REQUIRE(answer_refuse(&answer, outcome, field, detail) == outcome);
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, COMMANDS_MAX);
    answer_encode(row, &answer, &text);
    OWN(json_decrefp) json_t *json = parse_again(&text);
    REQUIRE(json_integer_value(json_object_get(json, "status")) == outcome_row(outcome)->http_status);
    REQUIRE(json_string_length(json_object_get(json, "detail")) > 0);
    REQUIRE(json_equal(json_object_get(json, "message"), json_object_get(json, "detail")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    const OperationRow *row = operation_row((OperationId)((data[0] & ~QUERY_BIT) % OP_COUNT));
    FieldSource source = (data[0] & QUERY_BIT) != 0 ? FIELDS_FROM_TEXT : FIELDS_FROM_JSON;
    Slice body = {.ptr = (const char *)data + 1, .len = size - 1};

    json_guard_init();
    OWN(json_decrefp) json_t *json = NULL;
    JsonProblem wrong = {.detail = ""};
    int parsed = json_parse(body, JSON_DEPTH_MAX, &json, &wrong);
    if (parsed != 0) {
        REQUIRE(parsed == JSON_INVALID && wrong.detail[0] != '\0');
        check_problem(row, OUTCOME_BAD_JSON, NULL, slice_of(wrong.detail));
        return 0;
    }
    Command command = {.operation = OP_REQUEST_STACK};
    FieldProblem problem = {.field = ""};
    int decoded = fields_decode(row->command, json, source, &command, &problem);
    if (decoded != 0) {
        REQUIRE(decoded == FIELDS_INVALID && problem.detail[0] != '\0');
        REQUIRE(problem.field[0] != '\0' || !json_is_object(json));
        check_problem(row, OUTCOME_VALIDATION, problem.field, slice_of(problem.detail));
        return 0;
    }
    check_command(row->command, &command);
    check_round_trip(row->command, &command);
    if (command.has_holder)
        check_holder(&command.holder);
    check_problem(row, OUTCOME_NONE_AVAILABLE, NULL, command.branch);
    return 0;
}
