/* openapi.json is whole and true to the table; PROTOCOL.md holds the reference as the tables write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_guard.h"
#include "protocol/messages.h"
#include "protocol/openapi.h"

#define DOCUMENT_MAX (1024 * 1024)
#define PROTOCOL_PAGE SOURCE_DIR "/protocol/PROTOCOL.md"
#define BEGINNING "<!-- operations -->\n"
#define END "<!-- /operations -->\n"

static json_t *document(void) {
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, DOCUMENT_MAX);
    openapi_write("1.2.3", &out);
    assert_int_equal(buffer_error(&out), 0);
    json_t *json = NULL;
    JsonProblem problem = {.detail = ""};
    if (json_parse(buffer_slice(&out), 64, &json, &problem) != 0)
        fail_msg("%s", problem.detail);
    return json;
}

static json_t *member(json_t *object, const char *path) {
    char name[128];
    while (*path != '\0') {
        size_t len = strcspn(path, " ");
        assert_true(len < sizeof name);
        memcpy(name, path, len);
        name[len] = '\0';
        object = json_object_get(object, name);
        if (object == NULL)
            return NULL;
        path += len + (path[len] == ' ');
    }
    return object;
}

static void the_head_names_version_and_ways_in(void **state) {
    (void)state;
    OWN(json_decrefp) json_t *root = document();
    assert_string_equal(json_string_value(member(root, "openapi")), "3.1.0");
    assert_string_equal(json_string_value(member(root, "info version")), "1.2.3");
    assert_string_equal(json_string_value(member(root, "components securitySchemes apiKey name")), "X-API-Key");
    assert_string_equal(json_string_value(member(root, "components securitySchemes bearer scheme")), "bearer");
}

/* Follows every $ref below `json`; returns how many there were. */
static size_t resolve(json_t *root, json_t *json) {
    size_t count = 0, index;
    const char *name;
    json_t *value;
    json_array_foreach(json, index, value) count += resolve(root, value);
    json_object_foreach(json, name, value) {
        if (strcmp(name, "$ref") != 0) {
            count += resolve(root, value);
            continue;
        }
        static const char prefix[] = "#/components/schemas/";
        const char *target = json_string_value(value);
        assert_non_null(target);
        assert_memory_equal(target, prefix, sizeof prefix - 1);
        if (json_object_get(member(root, "components schemas"), target + sizeof prefix - 1) == NULL)
            fail_msg("%s leads nowhere", target);
        count++;
    }
    return count;
}

static void every_reference_resolves(void **state) {
    (void)state;
    OWN(json_decrefp) json_t *root = document();
    assert_true(resolve(root, root) > 50);
}

static void every_operation_of_http_is_there_and_no_other(void **state) {
    (void)state;
    OWN(json_decrefp) json_t *root = document();
    size_t offered = 0;
    for (int id = 0; id < OP_COUNT; id++) {
        const OperationRow *row = operation_row((OperationId)id);
        char path[64];
        (void)snprintf(path, sizeof path, "/%s", row->name);
        json_t *item = json_object_get(member(root, "paths"), path);
        assert_int_equal(item != NULL, row->scope != SCOPE_ADMIN);
        if (item == NULL)
            continue;
        offered++;
        json_t *operation = json_object_get(item, strcmp(row->method, "GET") == 0 ? "get" : "post");
        assert_string_equal(json_string_value(member(operation, "operationId")), row->name);
        assert_non_null(member(operation, "responses 200 content application/json schema"));
        assert_non_null(member(operation, "responses 503 content application/problem+json schema"));
        assert_int_equal(member(operation, "requestBody") != NULL, strcmp(row->method, "POST") == 0);
        for (const Outcome *outcome = row->refusals; *outcome != OUTCOME_DONE; outcome++) {
            char status[16];
            (void)snprintf(status, sizeof status, "%d", outcome_row(*outcome)->http_status);
            json_t *response = json_object_get(member(operation, "responses"), status);
            assert_non_null(strstr(json_string_value(member(response, "description")), outcome_row(*outcome)->code));
        }
    }
    assert_int_equal(json_object_size(member(root, "paths")), offered);
}

static void who_waits_is_answered_as_it_says(void **state) {
    (void)state;
    OWN(json_decrefp) json_t *root = document();
    static const char schema[] = "content application/json schema $ref";
    static const char *const waiting[] = {"/requestStack", "/joinRequest"};
    for (size_t i = 0; i < COUNT_OF(waiting); i++) {
        json_t *responses = member(json_object_get(member(root, "paths"), waiting[i]), "post responses");
        assert_string_equal(json_string_value(member(json_object_get(responses, "202"), schema)),
                            "#/components/schemas/Queued");
    }
    assert_null(member(root, "paths /releaseStack post responses 202"));
    assert_non_null(member(root, "components schemas Queued properties position"));
}

static void what_belongs_to_the_control_socket_is_left_out(void **state) {
    (void)state;
    OWN(json_decrefp) json_t *root = document();
    assert_null(member(root, "components schemas ForceReleaseStack properties project"));
    assert_non_null(member(root, "components schemas ForceReleaseStack properties stackName"));
    json_t *parameters = member(root, "paths /listEvents get parameters"), *parameter;
    size_t index;
    assert_int_equal(json_array_size(parameters), 3);
    json_array_foreach(parameters, index, parameter)
        assert_string_not_equal(json_string_value(member(parameter, "name")), "project");
}

static void choices_that_are_never_sent_are_not_offered(void **state) {
    (void)state;
    OWN(json_decrefp) json_t *root = document();
    json_t *if_none = member(root, "components schemas RequestStack properties ifNone");
    assert_int_equal(json_array_size(member(if_none, "enum")), 2);
    assert_string_equal(json_string_value(json_array_get(member(if_none, "enum"), 0)), "wait");
    assert_null(member(if_none, "default"));
    json_t *outcome = member(root, "components schemas ForceReleaseStack properties outcome");
    assert_string_equal(json_string_value(member(outcome, "default")), "dirty");
}

static void required_fields_are_required_and_unknown_ones_refused_as_decoding_does(void **state) {
    (void)state;
    OWN(json_decrefp) json_t *root = document();
    json_t *schema = member(root, "components schemas SetLastDeployedCommit");
    assert_int_equal(json_array_size(member(schema, "required")), 2);
    assert_true(json_is_false(member(schema, "additionalProperties")));
    assert_true(json_is_true(member(root, "paths /setLastDeployedCommit post requestBody required")));
    assert_true(json_is_false(member(root, "paths /requestStack post requestBody required")));
    assert_null(member(root, "components schemas RequestStack additionalProperties"));
    /* The lease in the body is enough. */
    assert_int_equal(json_array_size(member(root, "paths /releaseStack post security")), 3);
    assert_null(member(root, "paths /requestStack post security"));
}

/* ---- PROTOCOL.md ---- */

static void read_page(Buffer *out) {
    FILE *file = fopen(PROTOCOL_PAGE, "rb");
    if (file == NULL)
        fail_msg("cannot read %s", PROTOCOL_PAGE);
    char chunk[4096];
    for (size_t len; (len = fread(chunk, 1, sizeof chunk, file)) > 0;)
        buffer_add(out, chunk, len);
    assert_int_equal(fclose(file), 0);
}

/* With UPDATE_REFERENCE set the page is rewritten instead. */
static void write_page(Slice before, const Buffer *reference, Slice after) {
    FILE *file = fopen(PROTOCOL_PAGE, "wb");
    assert_non_null(file);
    const Slice parts[] = {before, buffer_slice(reference), after};
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        assert_int_equal(fwrite(parts[i].ptr, 1, parts[i].len, file), parts[i].len);
    assert_int_equal(fclose(file), 0);
}

static void protocol_page_holds_the_reference(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer page, reference;
    buffer_init(&page, DOCUMENT_MAX);
    buffer_init(&reference, DOCUMENT_MAX);
    read_page(&page);
    reference_write(&reference);
    assert_int_equal(buffer_error(&reference), 0);

    const char *text = buffer_text(&page);
    assert_non_null(text);
    const char *from = strstr(text, BEGINNING), *to = strstr(text, END);
    assert_non_null(from);
    assert_non_null(to);
    from += strlen(BEGINNING);
    Slice before = {.ptr = text, .len = (size_t)(from - text)};
    Slice present = {.ptr = from, .len = (size_t)(to - from)};
    Slice after = slice_of(to);
    if (getenv("UPDATE_REFERENCE") != NULL)
        write_page(before, &reference, after);
    else if (!slice_equal(present, buffer_slice(&reference)))
        fail_msg("protocol/PROTOCOL.md is not what the tables say; run this test with UPDATE_REFERENCE=1");
}

static void the_reference_names_every_operation_outcome_and_field(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer reference;
    buffer_init(&reference, DOCUMENT_MAX);
    reference_write(&reference);
    const char *text = buffer_text(&reference);
    char needle[128];
    for (int id = 0; id < OP_COUNT; id++) {
        const OperationRow *row = operation_row((OperationId)id);
        (void)snprintf(needle, sizeof needle, "### %s\n", row->name);
        const char *section = strstr(text, needle);
        assert_non_null(section);
        for (size_t i = 0; i < row->command->count; i++) {
            (void)snprintf(needle, sizeof needle, "| `%s` |", row->command->rows[i].name);
            assert_non_null(strstr(section, needle));
        }
    }
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        (void)snprintf(needle, sizeof needle, "| `%s` |", outcome_row((Outcome)i)->code);
        assert_non_null(strstr(text, needle));
    }
}

static void documents_too_large_for_their_buffer_say_so(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, 1000);
    openapi_write("1", &out);
    assert_true(buffer_error(&out) < 0);
    buffer_clear(&out);
    reference_write(&out);
    assert_true(buffer_error(&out) < 0);
}

int main(void) {
    json_guard_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_names_version_and_ways_in),
        cmocka_unit_test(every_reference_resolves),
        cmocka_unit_test(every_operation_of_http_is_there_and_no_other),
        cmocka_unit_test(who_waits_is_answered_as_it_says),
        cmocka_unit_test(what_belongs_to_the_control_socket_is_left_out),
        cmocka_unit_test(choices_that_are_never_sent_are_not_offered),
        cmocka_unit_test(required_fields_are_required_and_unknown_ones_refused_as_decoding_does),
        cmocka_unit_test(protocol_page_holds_the_reference),
        cmocka_unit_test(the_reference_names_every_operation_outcome_and_field),
        cmocka_unit_test(documents_too_large_for_their_buffer_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
