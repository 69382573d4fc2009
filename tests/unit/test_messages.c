/*
 * Messages: every field of every operation against what does not belong there, and the bytes of answers and problems.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "protocol/messages.h"

/* ---- requests ---- */

/* One right body with every field, for each operation. */
static const char *const right_bodies[OP_COUNT] = {
    [OP_REQUEST_STACK] =
        "{\"branch\":\"feat/x\",\"commit\":\"3f2c1a9\",\"requestId\":\"0123456789abcdef\",\"leaseSeconds\":300,"
        "\"waitSeconds\":25,\"ifNone\":\"wait\",\"purpose\":\"test\",\"holder\":{\"job\":\"e2e\"}}",
    [OP_JOIN_REQUEST] = "{\"requestId\":\"0123456789abcdef\",\"holder\":{}}",
    [OP_RENEW_LEASE] = "{\"lease\":\"sol_x\",\"leaseSeconds\":300}",
    [OP_SET_LAST_DEPLOYED_COMMIT] =
        "{\"stackName\":\"test-1\",\"lastDeployedCommit\":\"abc\",\"lease\":\"sol_x\",\"url\":\"https://a\"}",
    [OP_RELEASE_STACK] = "{\"stackName\":\"test-1\",\"lease\":\"sol_x\",\"outcome\":\"dirty\",\"note\":\"n\"}",
    [OP_CANCEL_REQUEST] = "{\"requestId\":\"0123456789abcdef\"}",
    [OP_LIST_STACKS] = "{\"after\":0,\"limit\":1,\"project\":\"web\"}",
    [OP_DELETE_LAST_STACK] = "{}",
    [OP_LIST_QUEUE] = "{\"after\":0,\"limit\":1,\"project\":\"web\"}",
    [OP_LIST_EVENTS] = "{\"after\":7,\"limit\":200,\"stackName\":\"test-1\",\"project\":\"web\"}",
    [OP_QUARANTINE_STACK] = "{\"stackName\":\"test-1\",\"now\":true,\"reason\":\"r\",\"project\":\"web\"}",
    [OP_RESTORE_STACK] = "{\"stackName\":\"test-1\",\"now\":true,\"reason\":\"r\",\"project\":\"web\"}",
    [OP_ANNOTATE_STACK] = "{\"stackName\":\"test-1\",\"note\":\"\",\"project\":\"web\"}",
    [OP_FORCE_RELEASE_STACK] =
        "{\"stackName\":\"test-1\",\"outcome\":\"ok\",\"now\":true,\"reason\":\"r\",\"project\":\"web\"}",
    [OP_CREATE_PROJECT] = "{\"project\":\"web\",\"prefix\":\"e2e-\",\"initialCommit\":\"abc\",\"maxStacks\":1,"
                          "\"maxHoldSeconds\":60,\"expiryGraceSeconds\":0,\"cleaning\":\"on\"}",
    [OP_UPDATE_PROJECT] = "{\"project\":\"web\",\"prefix\":\"e2e-\",\"initialCommit\":\"\",\"maxStacks\":0,"
                          "\"maxHoldSeconds\":31536000,\"expiryGraceSeconds\":3600,\"cleaning\":\"off\"}",
    [OP_LIST_PROJECTS] = "{}",
    [OP_DELETE_PROJECT] = "{\"project\":\"web\"}",
    [OP_CREATE_KEY] = "{\"project\":\"web\",\"scope\":\"operator\",\"label\":\"ci\"}",
    [OP_IMPORT_KEY] = "{\"project\":\"web\",\"secret\":\"0123abcd\",\"scope\":\"read\",\"label\":\"old\"}",
    [OP_LIST_KEYS] = "{\"project\":\"web\"}",
    [OP_REVOKE_KEY] = "{\"project\":\"web\",\"keyId\":\"9f86d081884c7d65\"}",
    [OP_BACKUP] = "{\"path\":\"/var/backups/stacks.db\"}",
};

static json_t *body_from(const char *text) {
    json_t *body = NULL;
    JsonProblem problem;
    assert_int_equal(json_parse(slice_of(text), JSON_DEPTH_MAX, &body, &problem), 0);
    return body;
}

static int decode(OperationId id, const json_t *body, Command *command, FieldProblem *problem) {
    *problem = (FieldProblem){.field = ""};
    *command = (Command){.operation = id};
    return fields_decode(operation_row(id)->command, body, FIELDS_FROM_JSON, command, problem);
}

static void right_bodies_are_accepted_and_complete(void **state) {
    (void)state;
    for (int id = 0; id < OP_COUNT; id++) {
        OWN(json_decrefp) json_t *body = body_from(right_bodies[id]);
        Command command;
        FieldProblem problem;
        if (decode((OperationId)id, body, &command, &problem) != 0)
            fail_msg("%s: %s", operation_row((OperationId)id)->name, problem.detail);
        const FieldTable *table = operation_row((OperationId)id)->command;
        assert_int_equal(json_object_size(body), table->count);
    }
}

/* Puts `value` (taken over; NULL removes) into a right body; expects it refused under the field's name, or accepted. */
static void expect(OperationId id, const Field *field, json_t *value, bool is_right, const char *what) {
    OWN(json_decrefp) json_t *body = body_from(right_bodies[id]);
    if (value != NULL)
        assert_int_equal(json_object_set_new_nocheck(body, field->name, value), 0);
    else
        assert_int_equal(json_object_del(body, field->name), 0);
    Command command;
    FieldProblem problem;
    int result = decode(id, body, &command, &problem);
    if ((result == 0) != is_right)
        fail_msg("%s.%s, %s: %s", operation_row(id)->name, field->name, what,
                 result == 0 ? "was accepted" : problem.detail);
    if (result == 0)
        return;
    assert_int_equal(result, FIELDS_INVALID);
    assert_string_equal(problem.field, field->name);
    assert_memory_equal(problem.detail, field->name, strlen(field->name)); /* the sentence names it */
}

static json_t *text_of(size_t len) {
    char *bytes = malloc(len + 1);
    assert_non_null(bytes);
    memset(bytes, 'a', len + 1);
    json_t *text = json_stringn(bytes, len);
    free(bytes);
    return text;
}

static void try_texts(OperationId id, const Field *field) {
    expect(id, field, json_integer(1), false, "a number");
    expect(id, field, json_true(), false, "a boolean");
    expect(id, field, json_array(), false, "a list");
    expect(id, field, text_of((size_t)field->max + 1), false, "too long");
    expect(id, field, text_of((size_t)field->max + 70000), false, "far too long");
    if (field->min > 0)
        expect(id, field, text_of((size_t)field->min - 1), false, "too short");
    if (field->check == NULL)
        return; /* a lease: what is in it is authentication's to judge */
    static const char *const bad[] = {"0123456789abcde\x1b",        "/0123456789abcd\n",      "https://0123456789\x7f",
                                      "/0123456789abcd\xC2\x9B",    "https://0123456789\xFF", "0123456789abcde\xC0\xAF",
                                      "0123456789abcde\xED\xA0\x80"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        expect(id, field, json_string_nocheck(bad[i]), false, "control characters or bad UTF-8");
    expect(id, field, json_stringn_nocheck("0123456789abcde\0", 16), false, "a NUL");
}

static void try_integers(OperationId id, const Field *field) {
    expect(id, field, json_string("5"), false, "text");
    expect(id, field, json_real(1e9), false, "1e9");
    expect(id, field, json_real((double)field->min), false, "a real in its range");
    expect(id, field, json_integer(field->min), true, "the least");
    expect(id, field, json_integer(field->max), true, "the most");
    expect(id, field, json_integer(field->min - 1), false, "too little");
    expect(id, field, json_integer(field->max + 1), false, "too much");
    expect(id, field, json_integer(INT64_MAX), false, "2^63 - 1");
    expect(id, field, json_integer(INT64_MIN), false, "-2^63");
}

static void try_choices(OperationId id, const Field *field) {
    for (int i = (int)field->min; field->choices[i] != NULL; i++)
        expect(id, field, json_string(field->choices[i]), true, field->choices[i]);
    expect(id, field, json_string(""), false, "empty");
    expect(id, field, json_string("OK"), false, "another case");
    expect(id, field, json_string("admin"), false, "what is never offered");
    expect(id, field, json_integer(1), false, "an index");
}

static void try_others(OperationId id, const Field *field) {
    expect(id, field, json_string("true"), false, "text");
    expect(id, field, json_integer(1), false, "a number");
    expect(id, field, json_array(), false, "a list");
}

static void every_field_refuses_what_does_not_belong_there(void **state) {
    (void)state;
    for (int i = 0; i < OP_COUNT; i++) {
        OperationId id = (OperationId)i;
        const FieldTable *table = operation_row(id)->command;
        for (size_t row = 0; row < table->count; row++) {
            const Field *field = &table->rows[row];
            expect(id, field, NULL, !field->is_required, "absent");
            expect(id, field, json_null(), !field->is_required, "null");
            if (field->kind == FIELD_TEXT)
                try_texts(id, field);
            else if (field->kind == FIELD_INTEGER)
                try_integers(id, field);
            else if (field->kind == FIELD_CHOICE)
                try_choices(id, field);
            else
                try_others(id, field);
        }
    }
}

static void numbers_past_64_bits_and_bad_utf8_are_no_json(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "{\"leaseSeconds\":9223372036854775808}",
        "{\"leaseSeconds\":-9223372036854775809}",
        "{\"branch\":\"a\xFF\"}",
        "{\"branch\":\"a\xED\xA0\x80\"}",
        "{\"branch\":\"\\ud800\"}",
        "{\"branch\":\"a\",\"branch\":\"b\"}",
    };
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        OWN(json_decrefp) json_t *body = NULL;
        JsonProblem problem;
        if (json_parse(slice_of(bodies[i]), JSON_DEPTH_MAX, &body, &problem) != JSON_INVALID)
            fail_msg("accepted: %s", bodies[i]);
    }
}

static void unknown_fields_are_refused_by_set_last_deployed_commit_alone(void **state) {
    (void)state;
    for (int id = 0; id < OP_COUNT; id++) {
        OWN(json_decrefp) json_t *body = body_from(right_bodies[id]);
        assert_int_equal(json_object_set_new(body, "colour", json_string("blue")), 0);
        Command command;
        FieldProblem problem;
        int expected = id == OP_SET_LAST_DEPLOYED_COMMIT ? FIELDS_INVALID : 0;
        assert_int_equal(decode((OperationId)id, body, &command, &problem), expected);
    }
}

static void absent_fields_have_the_protocol_s_defaults(void **state) {
    (void)state;
    Command command;
    FieldProblem problem;
    OWN(json_decrefp) json_t *empty = json_object();
    assert_int_equal(decode(OP_REQUEST_STACK, empty, &command, &problem), 0);
    assert_true(slice_is_absent(command.branch));
    assert_true(slice_is_absent(command.request_id));
    assert_true(command.lease_seconds == FIELD_ABSENT);
    assert_true(command.wait_seconds == FIELD_ABSENT);
    assert_int_equal(command.if_none, IF_NONE_DEFAULT);
    assert_int_equal(command.purpose, PURPOSE_TEST);
    assert_false(command.has_holder);

    assert_int_equal(decode(OP_LIST_STACKS, empty, &command, &problem), 0);
    assert_true(command.after == FIELD_ABSENT);
    assert_true(command.limit == FIELD_ABSENT);

    OWN(json_decrefp) json_t *stack = body_from("{\"stackName\":\"test-1\"}");
    assert_int_equal(decode(OP_RELEASE_STACK, stack, &command, &problem), 0);
    assert_int_equal(command.outcome, RELEASE_OK);
    assert_int_equal(decode(OP_FORCE_RELEASE_STACK, stack, &command, &problem), 0);
    assert_int_equal(command.outcome, RELEASE_DIRTY);
    assert_false(command.now);

    OWN(json_decrefp) json_t *project = body_from("{\"project\":\"web\"}");
    assert_int_equal(decode(OP_UPDATE_PROJECT, project, &command, &problem), 0);
    assert_true(command.max_stacks == FIELD_ABSENT);
    assert_int_equal(command.cleaning, SWITCH_UNSET);
    assert_int_equal(decode(OP_CREATE_KEY, project, &command, &problem), 0);
    assert_int_equal(command.key_scope, SCOPE_AGENT);
}

static void fields_of_a_request_reach_their_members(void **state) {
    (void)state;
    Command command;
    FieldProblem problem;
    OWN(json_decrefp) json_t *body = body_from(right_bodies[OP_REQUEST_STACK]);
    assert_int_equal(decode(OP_REQUEST_STACK, body, &command, &problem), 0);
    assert_true(slice_equal_text(command.branch, "feat/x"));
    assert_true(slice_equal_text(command.commit, "3f2c1a9"));
    assert_true(slice_equal_text(command.request_id, "0123456789abcdef"));
    assert_true(command.lease_seconds == 300);
    assert_true(command.wait_seconds == 25);
    assert_int_equal(command.if_none, IF_NONE_WAIT);
    assert_true(command.has_holder);
    assert_true(slice_equal_text(command.holder.job, "e2e"));
    assert_true(slice_is_absent(command.holder.link));
}

static void query_fields_are_read_from_text(void **state) {
    (void)state;
    Command command;
    FieldProblem problem;
    OWN(json_decrefp) json_t *query = body_from("{\"after\":\"7\",\"limit\":\"200\",\"stackName\":\"test-1\"}");
    assert_int_equal(fields_decode(operation_row(OP_LIST_EVENTS)->command, query, FIELDS_FROM_TEXT, &command, &problem),
                     0);
    assert_true(command.after == 7);
    assert_true(command.limit == 200);
    static const char *const bad[] = {"{\"limit\":\"201\"}",
                                      "{\"limit\":\"0\"}",
                                      "{\"limit\":\"\"}",
                                      "{\"limit\":\"1e2\"}",
                                      "{\"limit\":\"0x1\"}",
                                      "{\"after\":\"-1\"}",
                                      "{\"after\":\"9223372036854775808\"}"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        OWN(json_decrefp) json_t *wrong = body_from(bad[i]);
        assert_int_equal(
            fields_decode(operation_row(OP_LIST_EVENTS)->command, wrong, FIELDS_FROM_TEXT, &command, &problem),
            FIELDS_INVALID);
    }
}

static void holders_are_checked_inside(void **state) {
    (void)state;
    static const struct {
        const char *holder, *field; /* field NULL: right */
    } vectors[] = {
        {"{}", NULL},
        {"{\"link\":\"https://ci.example/1\",\"note\":\"\",\"colour\":1}", NULL},
        {"{\"link\":\"javascript:1\"}", "holder.link"},
        {"{\"link\":\"\"}", "holder.link"},
        {"{\"job\":7}", "holder.job"},
        {"{\"actor\":\"a\\u0007\"}", "holder.actor"},
        {"{\"note\":\"a\\u009b\"}", "holder.note"},
        {"{\"run\":\"a\\nb\"}", "holder.run"},
        {"[]", "holder"},
        {"\"me\"", "holder"},
    };
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "{\"holder\":%s}", vectors[i].holder);
        OWN(json_decrefp) json_t *body = body_from(text);
        Command command;
        FieldProblem problem;
        int result = decode(OP_REQUEST_STACK, body, &command, &problem);
        assert_int_equal(result, vectors[i].field != NULL ? FIELDS_INVALID : 0);
        if (vectors[i].field != NULL)
            assert_string_equal(problem.field, vectors[i].field);
    }
}

/* ---- answers ---- */

static void expect_text(const Buffer *buffer, const char *expected) {
    Slice text = buffer_slice(buffer);
    if (!slice_equal_text(text, expected))
        fail_msg("%.*s\nis not\n%s", SLICE_PRINT(text), expected);
}

static void expect_answer(OperationId id, const Answer *answer, const char *expected) {
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, BODY_MAX);
    answer_encode(operation_row(id), answer, &out);
    expect_text(&out, expected);
}

static void a_holder_is_encoded_in_declared_order(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, HOLDER_MAX);
    holder_encode(
        &(Holder){.note = SLICE_LITERAL("n"), .provider = SLICE_LITERAL("git\"hub"), .job = SLICE_LITERAL("e2e")},
        &out);
    expect_text(&out, "{\"provider\":\"git\\\"hub\",\"job\":\"e2e\",\"note\":\"n\"}");
    buffer_clear(&out);
    holder_encode(&(Holder){.note = SLICE_ABSENT}, &out);
    expect_text(&out, "{}");
}

static void a_plain_grant_looks_like_the_original_s(void **state) {
    (void)state;
    Answer answer;
    answer_init(&answer);
    answer.stack_name = slice_of("test-1");
    expect_answer(OP_REQUEST_STACK, &answer, "{\"stackName\":\"test-1\",\"reused\":false}");
    answer.last_deployed_commit = slice_of("abc");
    answer.is_reused = true;
    expect_answer(OP_REQUEST_STACK, &answer,
                  "{\"stackName\":\"test-1\",\"lastDeployedCommit\":\"abc\",\"reused\":true}");
}

static void a_grant_with_a_lease_tells_secret_and_generation(void **state) {
    (void)state;
    Answer answer;
    answer_init(&answer);
    answer.stack_name = slice_of("test-1");
    answer.url = slice_of("https://a");
    answer.has_lease = true;
    answer.lease.id = slice_of("41");
    answer.lease.secret = slice_of("sol_x");
    answer.lease.generation = 1763847600123;
    const char *expected = "{\"stackName\":\"test-1\",\"url\":\"https://a\",\"reused\":false,"
                           "\"lease\":{\"id\":\"41\",\"secret\":\"sol_x\",\"generation\":1763847600123}}";
    expect_answer(OP_REQUEST_STACK, &answer, expected);
    expect_answer(OP_JOIN_REQUEST, &answer, expected);
}

static void messages_results_and_keys_are_encoded(void **state) {
    (void)state;
    Answer answer;
    answer_init(&answer);
    answer.message = slice_of("Stack test-1 released");
    expect_answer(OP_RELEASE_STACK, &answer, "{\"message\":\"Stack test-1 released\"}");
    answer.result = slice_of("stored");
    expect_answer(OP_CANCEL_REQUEST, &answer, "{\"result\":\"stored\",\"message\":\"Stack test-1 released\"}");

    answer_init(&answer);
    answer.project_name = slice_of("web");
    answer.key = slice_of("sok_k");
    answer.key_id = slice_of("9f");
    answer.key_scope = SCOPE_AGENT;
    expect_answer(OP_CREATE_PROJECT, &answer, "{\"project\":\"web\",\"key\":\"sok_k\"}");
    expect_answer(OP_CREATE_KEY, &answer, "{\"key\":\"sok_k\",\"keyId\":\"9f\",\"scope\":\"agent\"}");
    expect_answer(OP_IMPORT_KEY, &answer, "{\"keyId\":\"9f\",\"scope\":\"agent\"}");
}

static void a_queued_request_is_told_its_place(void **state) {
    (void)state;
    Answer answer;
    answer_init(&answer);
    answer.outcome = OUTCOME_QUEUED;
    answer.is_queued = true;
    answer.position = 2;
    answer.retry_after_seconds = 10;
    expect_answer(OP_REQUEST_STACK, &answer, "{\"queued\":true,\"position\":2,\"retryAfterSeconds\":10}");
}

static void refusals_are_problems_with_the_original_s_message(void **state) {
    (void)state;
    Answer answer;
    answer_init(&answer);
    assert_int_equal(answer_refuse(&answer, OUTCOME_VALIDATION, "branch", slice_of("branch must be text")),
                     OUTCOME_VALIDATION);
    expect_answer(OP_REQUEST_STACK, &answer,
                  "{\"type\":\"urn:stack-orchestrator:problem:validation\",\"title\":\"A field is missing or wrong\","
                  "\"status\":400,\"detail\":\"branch must be text\",\"code\":\"validation\","
                  "\"message\":\"branch must be text\",\"field\":\"branch\"}");
}

static void a_lost_lease_says_why_when_and_who_has_it_now(void **state) {
    (void)state;
    Answer answer;
    answer_init(&answer);
    (void)answer_refuse(&answer, OUTCOME_LEASE_LOST, NULL, slice_of("gone"));
    answer.why = slice_of("forced");
    answer.by = slice_of("control");
    answer.reason = slice_of("stuck");
    answer.at_ms = 0;
    answer.now_held_by = slice_of("{\"job\":\"e2e\"}");
    answer.now_generation = 7;
    expect_answer(
        OP_RELEASE_STACK, &answer,
        "{\"type\":\"urn:stack-orchestrator:problem:lease-lost\",\"title\":\"The lease is over\",\"status\":410,"
        "\"detail\":\"gone\",\"code\":\"lease-lost\",\"message\":\"gone\",\"why\":\"forced\",\"by\":\"control\","
        "\"reason\":\"stuck\",\"holder\":{\"job\":\"e2e\"},\"generation\":7}");
    answer.at_ms = 1795379095474;
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, BODY_MAX);
    answer_encode(NULL, &answer, &out);
    assert_non_null(strstr(buffer_text(&out), "\"at\":\"2026-11-22T20:24:55.474Z\""));
}

static void every_refusal_is_a_whole_problem(void **state) {
    (void)state;
    for (int i = OUTCOME_VALIDATION; i < OUTCOME_COUNT; i++) {
        Answer answer;
        answer_init(&answer);
        (void)answer_refuse(&answer, (Outcome)i, NULL, SLICE_ABSENT);
        OWN(buffer_deinit) Buffer out;
        buffer_init(&out, BODY_MAX);
        answer_encode(NULL, &answer, &out);
        OWN(json_decrefp) json_t *problem = body_from(buffer_text(&out));
        assert_string_equal(json_string_value(json_object_get(problem, "code")), outcome_row((Outcome)i)->code);
        assert_string_equal(json_string_value(json_object_get(problem, "detail")), outcome_row((Outcome)i)->title);
        assert_string_equal(json_string_value(json_object_get(problem, "message")), outcome_row((Outcome)i)->title);
        assert_int_equal(json_integer_value(json_object_get(problem, "status")), outcome_row((Outcome)i)->http_status);
        assert_int_equal(json_object_size(problem), 6);
    }
}

static void a_listed_stack_leads_with_the_original_s_members(void **state) {
    (void)state;
    const StackItem item = {
        .number = 9,
        .created_ms = 0,
        .modified_ms = 1,
        .requested_ms = 2,
        .entity = SLICE_LITERAL("Stack"),
        .stack_name = SLICE_LITERAL("test-9"),
        .state = SLICE_LITERAL("leased"),
        .branch = SLICE_LITERAL("main"),
        .has_lease = true,
        .lease = {.id = SLICE_LITERAL("41"),
                  .generation = 7,
                  .since_ms = 2,
                  .expires_ms = FIELD_ABSENT,
                  .holder_json = SLICE_LITERAL("{\"job\":\"e2e\"}")},
    };
    const ListPage page = {.items = {.items = &item, .count = 1}, .next = 9};
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, BODY_MAX);
    fields_encode(operation_row(OP_LIST_STACKS)->answer, &page, &out);
    expect_text(&out,
                "{\"stacks\":[{\"created\":\"1970-01-01T00:00:00.000Z\",\"modified\":\"1970-01-01T00:00:00.001Z\","
                "\"entity\":\"Stack\",\"stackName\":\"test-9\",\"isAvailable\":false,\"branch\":\"main\",\"number\":9,"
                "\"state\":\"leased\",\"quiet\":false,\"requested\":\"1970-01-01T00:00:00.002Z\","
                "\"lease\":{\"id\":\"41\",\"generation\":7,\"holder\":{\"job\":\"e2e\"},"
                "\"since\":\"1970-01-01T00:00:00.002Z\"}}],\"next\":9}");
}

int main(void) {
    json_guard_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_bodies_are_accepted_and_complete),
        cmocka_unit_test(every_field_refuses_what_does_not_belong_there),
        cmocka_unit_test(numbers_past_64_bits_and_bad_utf8_are_no_json),
        cmocka_unit_test(unknown_fields_are_refused_by_set_last_deployed_commit_alone),
        cmocka_unit_test(absent_fields_have_the_protocol_s_defaults),
        cmocka_unit_test(fields_of_a_request_reach_their_members),
        cmocka_unit_test(query_fields_are_read_from_text),
        cmocka_unit_test(holders_are_checked_inside),
        cmocka_unit_test(a_holder_is_encoded_in_declared_order),
        cmocka_unit_test(a_plain_grant_looks_like_the_original_s),
        cmocka_unit_test(a_grant_with_a_lease_tells_secret_and_generation),
        cmocka_unit_test(messages_results_and_keys_are_encoded),
        cmocka_unit_test(a_queued_request_is_told_its_place),
        cmocka_unit_test(refusals_are_problems_with_the_original_s_message),
        cmocka_unit_test(a_lost_lease_says_why_when_and_who_has_it_now),
        cmocka_unit_test(every_refusal_is_a_whole_problem),
        cmocka_unit_test(a_listed_stack_leads_with_the_original_s_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
