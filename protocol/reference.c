/*
 * The reference: the tables as Markdown. Invariant: what it says of a bound is what decode checks.
 */
#include <inttypes.h>

#include "protocol/messages.h"
#include "protocol/openapi.h"

#define OBJECTS_MAX 16

/* Nested objects met on the way, described once behind the operations. */
typedef struct Objects {
    const FieldTable *tables[OBJECTS_MAX];
    size_t count;
} Objects;

static void remember(Objects *objects, const FieldTable *table) {
    for (size_t i = 0; i < objects->count; i++) {
        if (objects->tables[i] == table)
            return;
    }
    if (objects->count < OBJECTS_MAX)
        objects->tables[objects->count++] = table;
}

static const char *kind_name(FieldKind kind) {
    static const char *const names[] = {
        [FIELD_TEXT] = "text",     [FIELD_INTEGER] = "integer", [FIELD_BOOLEAN] = "boolean",
        [FIELD_CHOICE] = "choice", [FIELD_TIME] = "time",       [FIELD_OBJECT] = "object",
        [FIELD_LIST] = "list of",  [FIELD_JSON] = "JSON",       [FIELD_HEX] = "hex",
    };
    return names[kind];
}

static void add_choices(const Field *field, Buffer *out) {
    const char *lead = "";
    for (int64_t i = field->min; field->choices[i] != NULL; i++) {
        buffer_printf(out, "%s`%s`", lead, field->choices[i]);
        lead = ", ";
    }
}

static void add_bounds(const Field *field, Buffer *out) {
    switch (field->kind) {
    case FIELD_TEXT:
        buffer_printf(out, "%" PRId64 "–%" PRId64 " bytes", field->min, field->max > 0 ? field->max : FIELD_TEXT_MAX);
        break;
    case FIELD_INTEGER:
        if (field->min != 0 || field->max != 0)
            buffer_printf(out, "%" PRId64 "–%" PRId64, field->min, field->max);
        break;
    case FIELD_CHOICE:
        add_choices(field, out);
        break;
    case FIELD_BOOLEAN:
    case FIELD_TIME:
    case FIELD_OBJECT:
    case FIELD_LIST:
    case FIELD_JSON:
        break;
    case FIELD_HEX:
        buffer_printf(out, "%" PRId64 " bytes", field->max);
        break;
    }
}

/* Whether the field is there, in one word; for a request also what its absence means. */
static void add_presence(const Field *field, bool is_request, Buffer *out) {
    bool has_default = is_request && field->kind == FIELD_CHOICE && field->fallback >= field->min;
    if (field->is_required)
        buffer_add_text(out, is_request ? "required" : "always");
    else if (has_default)
        buffer_printf(out, "`%s`", field->choices[field->fallback]);
    else if (is_request && field->kind == FIELD_BOOLEAN)
        buffer_add_text(out, field->fallback != 0 ? "`true`" : "`false`");
    else
        buffer_add_text(out, is_request ? "optional" : "may be absent");
}

static void add_type(const Field *field, Objects *objects, Buffer *out) {
    if (field->kind != FIELD_LIST && field->kind != FIELD_OBJECT) {
        buffer_add_text(out, kind_name(field->kind));
        return;
    }
    remember(objects, field->of);
    buffer_printf(out, "%s%s", field->kind == FIELD_LIST ? "list of " : "", field->of->name);
}

static void add_table(const FieldTable *table, bool is_request, Objects *objects, Buffer *out) {
    buffer_printf(out, "| %s | type | bounds | | |\n| --- | --- | --- | --- | --- |\n",
                  is_request ? "field" : "answer");
    for (size_t i = 0; i < table->count; i++) {
        const Field *field = &table->rows[i];
        buffer_printf(out, "| `%s` | ", field->name);
        add_type(field, objects, out);
        buffer_add_text(out, " | ");
        /* What we send is bounded by what we took; only what is taken needs telling. */
        if (is_request || field->kind == FIELD_CHOICE)
            add_bounds(field, out);
        buffer_add_text(out, " | ");
        add_presence(field, is_request, out);
        buffer_printf(out, " | %s |\n", field->doc != NULL ? field->doc : "");
    }
    buffer_add_char(out, '\n');
}

static void add_refusals(const OperationRow *row, Buffer *out) {
    if (*row->refusals == OUTCOME_DONE)
        return;
    const char *lead = "Refusals of its own: ";
    for (const Outcome *outcome = row->refusals; *outcome != OUTCOME_DONE; outcome++) {
        buffer_printf(out, "%s%d `%s`", lead, outcome_row(*outcome)->http_status, outcome_row(*outcome)->code);
        lead = ", ";
    }
    buffer_add_text(out, ".\n\n");
}

static void add_operation(const OperationRow *row, Objects *objects, Buffer *out) {
    buffer_printf(out, "### %s\n\n%s\n\n", row->name, row->doc);
    if (row->scope == SCOPE_ADMIN)
        buffer_add_text(out, "Control socket only.");
    else
        buffer_printf(out, "`%s /%s`, scope `%s`.", row->method, row->name, scope_names[row->scope]);
    if ((row->flags & OPERATION_LEASE_OPENS) != 0)
        buffer_add_text(out, " With `lease` no key is needed.");
    if ((row->flags & OPERATION_RPC_NEEDS_LEASE) != 0)
        buffer_add_text(out, " Over nng `lease` is required.");
    if ((row->flags & OPERATION_RPC_NEEDS_REQUEST) != 0)
        buffer_add_text(out, " Over nng `requestId` is required.");
    buffer_add_text(out, "\n\n");
    if (row->command->count > 0)
        add_table(row->command, true, objects, out);
    else
        buffer_add_text(out, "No fields; the body may be absent.\n\n");
    add_table(row->answer, false, objects, out);
    if ((row->flags & OPERATION_MAY_QUEUE) != 0) {
        remember(objects, &queued_fields);
        buffer_printf(out, "While the request waits in line: %d with %s.\n\n", outcome_row(OUTCOME_QUEUED)->http_status,
                      queued_fields.name);
    }
    add_refusals(row, out);
}

static void add_objects(Objects *objects, Buffer *out) {
    buffer_add_text(out, "## Objects\n\n");
    for (size_t i = 0; i < objects->count; i++) { /* grows while tables are written */
        const FieldTable *table = objects->tables[i];
        buffer_printf(out, "### %s\n\n", table->name);
        add_table(table, table == &holder_fields, objects, out);
    }
}

static void add_outcomes(Buffer *out) {
    buffer_add_text(out, "## Outcomes\n\nThese may come from any operation:");
    const char *lead = " ";
    for (const Outcome *outcome = common_refusals; *outcome != OUTCOME_DONE; outcome++) {
        buffer_printf(out, "%s`%s`", lead, outcome_row(*outcome)->code);
        lead = ", ";
    }
    buffer_add_text(out, ".\n\n| code | HTTP status | exit code | title | repeating the same call may help |\n"
                         "| --- | --- | --- | --- | --- |\n");
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        const OutcomeRow *row = outcome_row((Outcome)i);
        buffer_printf(out, "| `%s` | ", row->code);
        if (row->http_status != 0)
            buffer_add_number(out, row->http_status);
        else
            buffer_add_text(out, "–");
        buffer_printf(out, " | %d | %s | %s |\n", row->exit_code, row->title, row->is_retryable ? "yes" : "no");
    }
}

void reference_write(Buffer *out) {
    Objects objects = {.count = 0};
    buffer_add_text(out, "## Operations\n\n");
    for (int id = 0; id < OP_COUNT; id++)
        add_operation(operation_row((OperationId)id), &objects, out);
    remember(&objects, &problem_fields);
    add_objects(&objects, out);
    add_outcomes(out);
}
