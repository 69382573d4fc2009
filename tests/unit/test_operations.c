/* The table of operations agrees with itself: names, scopes, flags, and the fields they speak of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/messages.h"

static const Field *field_of(const FieldTable *table, const char *name) {
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->rows[i].name, name) == 0)
            return &table->rows[i];
    }
    return NULL;
}

static void every_operation_is_found_by_its_exact_name(void **state) {
    (void)state;
    for (int id = 0; id < OP_COUNT; id++)
        assert_int_equal(operation_by_name(slice_of(operation_row((OperationId)id)->name)), id);
    static const char *const unknown[] = {"",         "requeststack", "requestStac", "requestStack2", "/requestStack",
                                          "listqueue"};
    for (size_t i = 0; i < COUNT_OF(unknown); i++)
        assert_int_equal(operation_by_name(slice_of(unknown[i])), OP_COUNT);
    assert_int_equal(operation_by_name(SLICE_ABSENT), OP_COUNT);
    assert_int_equal(operation_by_name((Slice)SLICE_LITERAL("backup\0")), OP_COUNT);
}

static void rows_are_whole(void **state) {
    (void)state;
    for (int id = 0; id < OP_COUNT; id++) {
        const OperationRow *row = operation_row((OperationId)id);
        assert_non_null(row->doc);
        assert_non_null(row->command);
        assert_non_null(row->command->name);
        assert_non_null(row->answer);
        assert_non_null(row->answer->name);
        assert_non_null(row->refusals);
        assert_true(row->scope >= SCOPE_READ && row->scope <= SCOPE_ADMIN);
        assert_int_equal(strcmp(row->method, "GET") == 0, (row->flags & OPERATION_READS) != 0);
    }
}

static void the_original_s_operations_keep_their_methods(void **state) {
    (void)state;
    static const struct {
        const char *name, *method;
    } originals[] = {{"requestStack", "POST"},
                     {"releaseStack", "POST"},
                     {"setLastDeployedCommit", "POST"},
                     {"listStacks", "GET"},
                     {"deleteLastStack", "POST"}};
    for (size_t i = 0; i < COUNT_OF(originals); i++) {
        OperationId id = operation_by_name(slice_of(originals[i].name));
        assert_int_not_equal(id, OP_COUNT);
        assert_string_equal(operation_row(id)->method, originals[i].method);
        /* The one key of the original does all five. */
        assert_true(operation_row(id)->scope <= SCOPE_AGENT);
    }
}

static void flags_speak_of_fields_that_are_there(void **state) {
    (void)state;
    static const struct {
        unsigned flag;
        const char *field;
    } needs[] = {{OPERATION_LEASE_OPENS, "lease"},
                 {OPERATION_RPC_NEEDS_LEASE, "lease"},
                 {OPERATION_RPC_NEEDS_REQUEST, "requestId"},
                 {OPERATION_NAMES_PROJECT, "project"}};
    for (int id = 0; id < OP_COUNT; id++) {
        const OperationRow *row = operation_row((OperationId)id);
        for (size_t i = 0; i < COUNT_OF(needs); i++) {
            if ((row->flags & needs[i].flag) != 0)
                assert_non_null(field_of(row->command, needs[i].field));
        }
        /* … and who declares `project` is asked for it. */
        assert_int_equal(field_of(row->command, "project") != NULL, (row->flags & OPERATION_NAMES_PROJECT) != 0);
    }
}

static void check_table(const FieldTable *table, bool is_command, int depth) {
    assert_true(depth < 4);
    for (size_t i = 0; i < table->count; i++) {
        const Field *field = &table->rows[i];
        assert_ptr_equal(field_of(table, field->name), field); /* no name twice */
        assert_true(field->offset < table->size);
        if (field->doc == NULL)
            assert_int_equal(field->kind, FIELD_LIST);
        if (field->kind == FIELD_TEXT)
            assert_true(field->max > 0);
        if (field->kind == FIELD_CHOICE)
            assert_non_null(field->choices);
        if (field->kind == FIELD_OBJECT || field->kind == FIELD_LIST)
            check_table(field->of, is_command, depth + 1);
        if (is_command)
            assert_true(field->kind != FIELD_TIME && field->kind != FIELD_LIST && field->kind != FIELD_JSON);
    }
}

static void field_tables_are_well_formed(void **state) {
    (void)state;
    for (int id = 0; id < OP_COUNT; id++) {
        const OperationRow *row = operation_row((OperationId)id);
        check_table(row->command, true, 0);
        check_table(row->answer, false, 0);
        for (size_t i = 0; (row->flags & OPERATION_READS) != 0 && i < row->command->count; i++)
            assert_true(row->command->rows[i].kind == FIELD_TEXT || row->command->rows[i].kind == FIELD_INTEGER);
    }
    check_table(&problem_fields, false, 0);
    check_table(&queued_fields, false, 0);
}

static void refusals_are_errors_and_listed_once(void **state) {
    (void)state;
    for (int id = 0; id < OP_COUNT; id++) {
        int seen[OUTCOME_COUNT] = {0};
        const Outcome *lists[] = {common_refusals, operation_row((OperationId)id)->refusals};
        for (size_t i = 0; i < COUNT_OF(lists); i++) {
            for (const Outcome *outcome = lists[i]; *outcome != OUTCOME_DONE; outcome++) {
                assert_true(outcome_row(*outcome)->http_status >= 400);
                assert_int_equal(seen[*outcome]++, 0);
            }
        }
    }
}

static void scope_names_follow_the_enum(void **state) {
    (void)state;
    assert_string_equal(scope_names[SCOPE_READ], "read");
    assert_string_equal(scope_names[SCOPE_ADMIN], "admin");
    assert_null(scope_names[SCOPE_ADMIN + 1]);
    for (int i = 0; i <= SCOPE_OPERATOR; i++)
        assert_string_equal(key_scope_names[i], scope_names[i]);
    assert_null(key_scope_names[SCOPE_OPERATOR + 1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_is_found_by_its_exact_name),
        cmocka_unit_test(rows_are_whole),
        cmocka_unit_test(the_original_s_operations_keep_their_methods),
        cmocka_unit_test(flags_speak_of_fields_that_are_there),
        cmocka_unit_test(field_tables_are_well_formed),
        cmocka_unit_test(refusals_are_errors_and_listed_once),
        cmocka_unit_test(scope_names_follow_the_enum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
