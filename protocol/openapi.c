/*
 * openapi.json, written from the tables. Invariant: nothing about an operation stands here that is not in its row; every
 * $ref points at a component this file writes.
 */
#include "protocol/openapi.h"

#include <assert.h>
#include <string.h>

#include "protocol/messages.h"

#define SCHEMA_ROWS_MAX 32

/* A command as HTTP offers it. */
typedef struct TableView {
    FieldTable table;
    Field rows[SCHEMA_ROWS_MAX];
} TableView;

static bool is_offered(const OperationRow *row) {
    return row->scope != SCOPE_ADMIN;
}

/* With a key, the project is the key's. */
static bool is_control_only(const OperationRow *row, const Field *field) {
    return (row->flags & OPERATION_NAMES_PROJECT) != 0 && strcmp(field->name, "project") == 0;
}

static void add_text(Buffer *out, const char *name, const char *text) {
    buffer_add_json_text(out, slice_of(name));
    buffer_add_char(out, ':');
    buffer_add_json_text(out, slice_of(text));
}

/* The table without what HTTP ignores, and without the choices that are never sent. */
static void view_command(const OperationRow *row, TableView *view) {
    const FieldTable *table = row->command;
    view->table = *table;
    view->table.rows = view->rows;
    view->table.count = 0;
    assert(table->count <= SCHEMA_ROWS_MAX);
    for (size_t i = 0; i < table->count; i++) {
        Field field = table->rows[i];
        if (is_control_only(row, &field))
            continue;
        if (field.kind == FIELD_CHOICE) {
            field.choices += field.min;
            field.fallback -= field.min;
        }
        view->rows[view->table.count++] = field;
    }
}

/* ---- schemas ---- */

static bool was_described(const FieldTable *table, OperationId before,
                          const FieldTable *(*table_of)(const OperationRow *)) {
    for (int id = 0; id < (int)before; id++) {
        const OperationRow *row = operation_row((OperationId)id);
        if (is_offered(row) && table_of(row) == table)
            return true;
    }
    return false;
}

static const FieldTable *command_of(const OperationRow *row) {
    return row->command;
}

static const FieldTable *answer_of(const OperationRow *row) {
    return row->answer;
}

static void add_schema(const char *name, const FieldTable *table, Buffer *out) {
    buffer_add_json_text(out, slice_of(name));
    buffer_add_char(out, ':');
    fields_describe(table, out);
}

static void add_schemas(Buffer *out) {
    buffer_add_text(out, "\"schemas\":{");
    for (int id = 0; id < OP_COUNT; id++) {
        const OperationRow *row = operation_row((OperationId)id);
        if (!is_offered(row))
            continue;
        bool has_body = (row->flags & OPERATION_READS) == 0;
        if (has_body && !was_described(row->command, (OperationId)id, command_of)) {
            TableView view;
            view_command(row, &view);
            add_schema(row->command->name, &view.table, out);
            buffer_add_char(out, ',');
        }
        if (!was_described(row->answer, (OperationId)id, answer_of)) {
            add_schema(row->answer->name, row->answer, out);
            buffer_add_char(out, ',');
        }
    }
    add_schema(queued_fields.name, &queued_fields, out);
    buffer_add_char(out, ',');
    add_schema(holder_fields.name, &holder_fields, out);
    buffer_add_char(out, ',');
    add_schema(problem_fields.name, &problem_fields, out);
    buffer_add_char(out, '}');
}

static void add_content(const char *media_type, const char *schema, Buffer *out) {
    buffer_printf(out, "\"content\":{\"%s\":{\"schema\":{\"$ref\":\"#/components/schemas/%s\"}}}", media_type, schema);
}

/* ---- requests ---- */

/* The query holds numbers and texts only. */
static void add_parameter_schema(const Field *field, Buffer *out) {
    buffer_add_text(out, field->kind == FIELD_INTEGER ? "{\"type\":\"integer\"" : "{\"type\":\"string\"");
    if (field->kind == FIELD_INTEGER)
        buffer_printf(out, ",\"minimum\":%lld,\"maximum\":%lld}", (long long)field->min, (long long)field->max);
    else
        buffer_printf(out, ",\"minLength\":%lld,\"maxLength\":%lld}", (long long)field->min, (long long)field->max);
}

static void add_parameters(const FieldTable *table, Buffer *out) {
    buffer_add_text(out, ",\"parameters\":[");
    for (size_t i = 0; i < table->count; i++) {
        const Field *field = &table->rows[i];
        assert(field->kind == FIELD_INTEGER || field->kind == FIELD_TEXT);
        buffer_add_text(out, i > 0 ? ",{\"in\":\"query\"," : "{\"in\":\"query\",");
        add_text(out, "name", field->name);
        buffer_add_char(out, ',');
        add_text(out, "description", field->doc);
        buffer_add_text(out, field->is_required ? ",\"required\":true,\"schema\":" : ",\"required\":false,\"schema\":");
        add_parameter_schema(field, out);
        buffer_add_char(out, '}');
    }
    buffer_add_char(out, ']');
}

static void add_body(const FieldTable *table, Buffer *out) {
    bool is_required = false;
    for (size_t i = 0; i < table->count; i++)
        is_required = is_required || table->rows[i].is_required;
    buffer_add_text(out,
                    is_required ? ",\"requestBody\":{\"required\":true," : ",\"requestBody\":{\"required\":false,");
    add_content("application/json", table->name, out);
    buffer_add_char(out, '}');
}

/* ---- answers ---- */

typedef struct Refusals {
    Outcome outcomes[OUTCOME_COUNT];
    size_t count;
} Refusals;

static void collect(Refusals *refusals, const Outcome *outcomes) {
    for (; *outcomes != OUTCOME_DONE; outcomes++)
        refusals->outcomes[refusals->count++] = *outcomes;
}

static int lowest_status_above(const Refusals *refusals, int status) {
    int lowest = 0;
    for (size_t i = 0; i < refusals->count; i++) {
        int candidate = outcome_row(refusals->outcomes[i])->http_status;
        if (candidate > status && (lowest == 0 || candidate < lowest))
            lowest = candidate;
    }
    return lowest;
}

/* One response a status: "`lease-lost`: The lease is over. `request-over`: …" */
static void add_problem(const Refusals *refusals, int status, Buffer *out) {
    buffer_printf(out, ",\"%d\":{\"description\":\"", status);
    const char *lead = "";
    for (size_t i = 0; i < refusals->count; i++) {
        const OutcomeRow *row = outcome_row(refusals->outcomes[i]);
        if (row->http_status != status)
            continue;
        buffer_printf(out, "%s`%s`: %s.", lead, row->code, row->title);
        lead = " ";
    }
    buffer_add_text(out, "\",");
    add_content("application/problem+json", problem_fields.name, out);
    buffer_add_char(out, '}');
}

static void add_responses(const OperationRow *row, Buffer *out) {
    buffer_add_text(out, ",\"responses\":{\"200\":{\"description\":\"Done.\",");
    add_content("application/json", row->answer->name, out);
    buffer_add_char(out, '}');
    if ((row->flags & OPERATION_MAY_QUEUE) != 0) {
        const OutcomeRow *queued = outcome_row(OUTCOME_QUEUED);
        buffer_printf(out, ",\"%d\":{\"description\":\"`%s`: %s.\",", queued->http_status, queued->code, queued->title);
        add_content("application/json", queued_fields.name, out);
        buffer_add_char(out, '}');
    }
    Refusals refusals = {.count = 0};
    collect(&refusals, common_refusals);
    collect(&refusals, row->refusals);
    for (int status = lowest_status_above(&refusals, 0); status != 0; status = lowest_status_above(&refusals, status))
        add_problem(&refusals, status, out);
    buffer_add_char(out, '}');
}

/* ---- the document ---- */

static void add_operation(const OperationRow *row, Buffer *out) {
    bool is_get = (row->flags & OPERATION_READS) != 0;
    buffer_printf(out, "\"/%s\":{\"%s\":{", row->name, is_get ? "get" : "post");
    add_text(out, "operationId", row->name);
    buffer_add_char(out, ',');
    add_text(out, "description", row->doc);
    buffer_printf(out, ",\"x-scope\":\"%s\"", scope_names[row->scope]);
    if ((row->flags & OPERATION_LEASE_OPENS) != 0) /* the lease in the body is enough */
        buffer_add_text(out, ",\"security\":[{\"apiKey\":[]},{\"bearer\":[]},{}]");
    TableView view;
    view_command(row, &view);
    if (is_get)
        add_parameters(&view.table, out);
    else
        add_body(&view.table, out);
    add_responses(row, out);
    buffer_add_text(out, "}}");
}

void openapi_write(const char *version, Buffer *out) {
    buffer_add_text(out, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"stack-orchestrator\",");
    add_text(out, "version", version);
    buffer_add_text(out, ",\"description\":\"Hands out a team's test environments, each to one job at a time.\"}");
    buffer_add_text(out, ",\"servers\":[{\"url\":\".\"}],\"security\":[{\"apiKey\":[]},{\"bearer\":[]}],\"paths\":{");
    const char *lead = "";
    for (int id = 0; id < OP_COUNT; id++) {
        const OperationRow *row = operation_row((OperationId)id);
        if (!is_offered(row))
            continue;
        buffer_add_text(out, lead);
        add_operation(row, out);
        lead = ",";
    }
    buffer_add_text(out, "},\"components\":{\"securitySchemes\":{"
                         "\"apiKey\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-API-Key\"},"
                         "\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\"}},");
    add_schemas(out);
    buffer_add_text(out, "}}");
}
