/* Rows → parameters, results → rows. */
#include "store/postgres_columns.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"

/* ---- the lists ---- */

#define NUMBER(row, member)                                                                                            \
    { .name = #member, .kind = COLUMN_NUMBER, .offset = offsetof(row, member) }
#define FLAG(row, member)                                                                                              \
    { .name = #member, .kind = COLUMN_FLAG, .offset = offsetof(row, member) }
#define CHOICE(row, member, count)                                                                                     \
    { .name = #member, .kind = COLUMN_CHOICE, .offset = offsetof(row, member), .size = (count) }
#define TEXT(row, member, column)                                                                                      \
    { .name = (column), .kind = COLUMN_TEXT, .offset = offsetof(row, member) }
#define BYTES(row, member)                                                                                             \
    { .name = #member, .kind = COLUMN_BYTES, .offset = offsetof(row, member), .size = sizeof(((row *)NULL)->member) }

static const Column project_columns[] = {
    TEXT(ProjectRow, name, "name"),
    FLAG(ProjectRow, is_deleted),
    TEXT(ProjectRow, prefix, "prefix"),
    TEXT(ProjectRow, initial_commit, "initial_commit"),
    NUMBER(ProjectRow, max_stacks),
    NUMBER(ProjectRow, max_hold_seconds),
    NUMBER(ProjectRow, expiry_grace_seconds),
    FLAG(ProjectRow, is_cleaning),
    BYTES(ProjectRow, lease_key),
    NUMBER(ProjectRow, created_ms),
    NUMBER(ProjectRow, stack_count),
    NUMBER(ProjectRow, leased_count),
    NUMBER(ProjectRow, queued_count),
    NUMBER(ProjectRow, first_unused),
    NUMBER(ProjectRow, last_generation),
    NUMBER(ProjectRow, last_ticket),
    NUMBER(ProjectRow, last_event),
};
const Table postgres_projects = {.name = "project",
                                 .row_type = "project_row",
                                 .id = TABLE_PROJECTS,
                                 .columns = project_columns,
                                 .key_count = 1,
                                 .column_count = COUNT_OF(project_columns)};

/* A slot begins with its row, so the same offsets fit both. */
_Static_assert(offsetof(StackSlot, row) == 0 && offsetof(RequestSlot, row) == 0 && offsetof(KeySlot, row) == 0,
               "rows are saved through their slots");

static const Column stack_columns[] = {
    NUMBER(StackRow, number),
    TEXT(StackRow, name, "name"),
    CHOICE(StackRow, state, STACK_GONE),
    NUMBER(StackRow, generation),
    NUMBER(StackRow, quiet_until_ms),
    NUMBER(StackRow, requested),
    TEXT(StackRow, branch, "branch"),
    TEXT(StackRow, last_commit, "last_commit"),
    FLAG(StackRow, is_content_unknown),
    NUMBER(StackRow, requested_ms),
    NUMBER(StackRow, created_ms),
    NUMBER(StackRow, modified_ms),
    NUMBER(StackRow, ticket),
    NUMBER(StackRow, lease_seconds),
    NUMBER(StackRow, since_ms),
    FLAG(StackRow, is_collected),
    CHOICE(StackRow, purpose, PURPOSE_CLEAN + 1),
    NUMBER(StackRow, dirty_since),
    NUMBER(StackRow, clean_failures),
    TEXT(StackRow, url, "url"),
    TEXT(StackRow, note, "note"),
    TEXT(StackRow, holder_json, "holder"),
    TEXT(StackRow, before.branch, "before_branch"),
    {.name = "before_requested", .kind = COLUMN_NUMBER, .offset = offsetof(StackRow, before.requested)},
    {.name = "before_requested_ms", .kind = COLUMN_NUMBER, .offset = offsetof(StackRow, before.requested_ms)},
    NUMBER(StackRow, quiet_seconds),
    NUMBER(StackRow, quiet_untold_seconds),
    NUMBER(StackRow, quiet_ticket),
    {.name = "renewals",
     .kind = COLUMN_GROWTH,
     .offset = offsetof(StackRow, renewals),
     .other = offsetof(StackSlot, loaded_renewals)},
    /* Guards. */
    CHOICE(StackSlot, loaded_state, STACK_GONE),
    NUMBER(StackSlot, loaded_generation),
    {.name = "loaded_renewals",
     .kind = COLUMN_GUARD,
     .offset = offsetof(StackSlot, loaded_renewals),
     .other = offsetof(StackSlot, is_guarded)},
};
const Table postgres_stacks = {.name = "stack",
                               .row_type = "stack_row",
                               .id = TABLE_STACKS,
                               .columns = stack_columns,
                               .key_count = 1,
                               .column_count = COUNT_OF(stack_columns) - 3,
                               .guard_count = 3,
                               .belongs_to_project = true};

static const Column request_columns[] = {
    NUMBER(RequestRow, ticket),
    TEXT(RequestRow, request_id, "request_id"),
    CHOICE(RequestRow, state, REQUEST_OVER + 1),
    FLAG(RequestRow, is_heard),
    NUMBER(RequestRow, heard_at),
    CHOICE(RequestRow, why, WHY_UNCOLLECTED + 1),
    TEXT(RequestRow, branch, "branch"),
    TEXT(RequestRow, commit, "commit_id"),
    {.name = "lease_seconds", .kind = COLUMN_SENT_NUMBER, .offset = offsetof(RequestRow, lease_seconds)},
    CHOICE(RequestRow, purpose, PURPOSE_CLEAN + 1),
    TEXT(RequestRow, holder_json, "holder"),
    NUMBER(RequestRow, created_ms),
    NUMBER(RequestRow, stack_number),
    TEXT(RequestRow, stack_name, "stack_name"),
    NUMBER(RequestRow, generation),
    FLAG(RequestRow, is_reused),
    FLAG(RequestRow, from_queue),
    FLAG(RequestRow, is_joined),
    NUMBER(RequestRow, ended_ms),
    TEXT(RequestRow, ended_by, "ended_by"),
    TEXT(RequestRow, ended_reason, "ended_reason"),
    CHOICE(RequestRow, outcome, RELEASE_BROKEN + 1),
};
const Table postgres_requests = {.name = "request",
                                 .row_type = "request_row",
                                 .id = TABLE_REQUESTS,
                                 .columns = request_columns,
                                 .key_count = 1,
                                 .column_count = COUNT_OF(request_columns),
                                 .belongs_to_project = true};

static const Column key_columns[] = {
    TEXT(KeyRow, id, "id"),       TEXT(KeyRow, project, "project"), CHOICE(KeyRow, scope, SCOPE_ADMIN + 1),
    BYTES(KeyRow, hash),          TEXT(KeyRow, label, "label"),     NUMBER(KeyRow, created_ms),
    NUMBER(KeyRow, last_used_ms), NUMBER(KeyRow, revoked_ms),
};
const Table postgres_keys = {.name = "api_key",
                             .row_type = "api_key_row",
                             .id = TABLE_KEYS,
                             .columns = key_columns,
                             .key_count = 2,
                             .column_count = COUNT_OF(key_columns)};

static const Column event_columns[] = {
    NUMBER(EventRow, id),
    NUMBER(EventRow, at_ms),
    CHOICE(EventRow, kind, EVENT_KIND_COUNT),
    NUMBER(EventRow, stack_number),
    TEXT(EventRow, stack_name, "stack_name"),
    NUMBER(EventRow, generation),
    TEXT(EventRow, branch, "branch"),
    TEXT(EventRow, commit, "commit_id"),
    TEXT(EventRow, by, "by_whom"),
    TEXT(EventRow, outcome, "outcome"),
    TEXT(EventRow, note, "note"),
    TEXT(EventRow, holder_json, "holder"),
};
const Table postgres_events = {.name = "event",
                               .row_type = "event_row",
                               .id = TABLE_EVENTS,
                               .columns = event_columns,
                               .key_count = 1,
                               .column_count = COUNT_OF(event_columns),
                               .belongs_to_project = true};

static const Column want_columns[] = {
    TEXT(RowWant, text, "text1"),
    TEXT(RowWant, text2, "text2"),
    NUMBER(RowWant, number),
    {.name = "purpose", .kind = COLUMN_CHOICE, .offset = offsetof(RowWant, purpose), .size = PURPOSE_CLEAN + 1},
    {.name = "most", .kind = COLUMN_COUNT, .offset = offsetof(RowWant, limit)},
};
const Table postgres_wants = {.name = "w",
                              .row_type = "want_row",
                              .id = TABLE_WANTS,
                              .columns = want_columns,
                              .column_count = COUNT_OF(want_columns),
                              .belongs_to_project = true};

static const Column renewal_columns[] = {
    NUMBER(Renewal, number),
    {.name = "ticket", .kind = COLUMN_NUMBER, .offset = offsetof(Renewal, lease.ticket)},
    {.name = "generation", .kind = COLUMN_NUMBER, .offset = offsetof(Renewal, lease.generation)},
    NUMBER(Renewal, seconds),
};
const Table postgres_renewals = {.name = "v",
                                 .row_type = "renewal_row",
                                 .id = TABLE_RENEWALS,
                                 .columns = renewal_columns,
                                 .column_count = COUNT_OF(renewal_columns),
                                 .belongs_to_project = true};

/* Of a request that waits elsewhere. */
static const Column call_columns[] = {NUMBER(RequestRow, heard_at), NUMBER(RequestRow, ticket),
                                      NUMBER(RequestRow, stack_number)};
const Table postgres_calls = {.name = "v",
                              .row_type = "call_row",
                              .id = TABLE_CALLS,
                              .columns = call_columns,
                              .column_count = COUNT_OF(call_columns),
                              .belongs_to_project = true};

const Table *const postgres_tables[] = {
    [TABLE_PROJECTS] = &postgres_projects, [TABLE_STACKS] = &postgres_stacks, [TABLE_REQUESTS] = &postgres_requests,
    [TABLE_KEYS] = &postgres_keys,         [TABLE_EVENTS] = &postgres_events, [TABLE_WANTS] = &postgres_wants,
    [TABLE_RENEWALS] = &postgres_renewals, [TABLE_CALLS] = &postgres_calls,
};

/* ---- parameters ---- */

/* The numbers PostgreSQL's catalog has for the types of columns, fixed for good. */
static const uint32_t types[] = {
    [COLUMN_NUMBER] = 20, [COLUMN_SENT_NUMBER] = 20, [COLUMN_CHOICE] = 20, [COLUMN_GROWTH] = 20, [COLUMN_GUARD] = 20,
    [COLUMN_COUNT] = 20,  [COLUMN_FLAG] = 16,        [COLUMN_TEXT] = 25,   [COLUMN_BYTES] = 17,
};

void arguments_clear(Arguments *arguments) {
    if (arguments->bytes.ceiling == 0)
        buffer_init(&arguments->bytes, STATEMENT_BYTES_MAX);
    buffer_clear(&arguments->bytes);
    arguments->count = 0;
}

static void start(Arguments *arguments, bool is_null) {
    assert(arguments->count < ARGUMENTS_MAX);
    arguments->starts[arguments->count] = arguments->bytes.len;
    arguments->is_null[arguments->count] = is_null;
}

static void end(Arguments *arguments) {
    arguments->lengths[arguments->count] = arguments->bytes.len - arguments->starts[arguments->count];
    arguments->count++;
}

static void add_word(Buffer *bytes, uint32_t word) {
    uint32_t big = htobe32(word);
    buffer_add(bytes, &big, sizeof big);
}

static void add_number(Buffer *bytes, int64_t number) {
    uint64_t big = htobe64((uint64_t)number);
    buffer_add(bytes, &big, sizeof big);
}

void arguments_add_number(Arguments *arguments, int64_t number) {
    start(arguments, false);
    add_number(&arguments->bytes, number);
    end(arguments);
}

void arguments_add_text(Arguments *arguments, Slice text) {
    start(arguments, slice_is_absent(text));
    buffer_add_slice(&arguments->bytes, text);
    end(arguments);
}

/* What comes before the elements: one dimension, perhaps NULLs, the elements' type, how many, counted from 1. */
static void start_array(Arguments *arguments, uint32_t type, size_t count) {
    assert(count > 0 && count <= INT32_MAX);
    start(arguments, false);
    add_word(&arguments->bytes, 1);
    add_word(&arguments->bytes, 1);
    add_word(&arguments->bytes, type);
    add_word(&arguments->bytes, (uint32_t)count);
    add_word(&arguments->bytes, 1);
}

static void add_null_element(Buffer *bytes) {
    add_word(bytes, UINT32_MAX);
}

static void add_number_element(Buffer *bytes, int64_t number) {
    add_word(bytes, sizeof number);
    add_number(bytes, number);
}

static void add_bytes_element(Buffer *bytes, const void *data, size_t size) {
    add_word(bytes, (uint32_t)size);
    buffer_add(bytes, data, size);
}

static void add_text_element(Buffer *bytes, Slice text) {
    if (slice_is_absent(text))
        add_null_element(bytes);
    else
        add_bytes_element(bytes, text.ptr, text.len);
}

static int64_t number_at(const char *member) {
    int64_t number;
    memcpy(&number, member, sizeof number);
    return number;
}

static void add_element(Buffer *bytes, const Column *column, const char *row) {
    const char *member = row + column->offset;
    int choice;
    bool is_guarded;
    uint32_t count;
    Slice text;
    switch (column->kind) {
    case COLUMN_NUMBER:
        add_number_element(bytes, number_at(member));
        break;
    case COLUMN_SENT_NUMBER:
        if (number_at(member) == FIELD_ABSENT)
            add_null_element(bytes);
        else
            add_number_element(bytes, number_at(member));
        break;
    case COLUMN_GROWTH:
        add_number_element(bytes, number_at(member) - number_at(row + column->other));
        break;
    case COLUMN_GUARD:
        memcpy(&is_guarded, row + column->other, sizeof is_guarded);
        if (is_guarded)
            add_number_element(bytes, number_at(member));
        else
            add_null_element(bytes);
        break;
    case COLUMN_CHOICE:
        memcpy(&choice, member, sizeof choice);
        add_number_element(bytes, choice);
        break;
    case COLUMN_COUNT:
        memcpy(&count, member, sizeof count);
        add_number_element(bytes, count);
        break;
    case COLUMN_FLAG:
        add_bytes_element(bytes, member, 1);
        break;
    case COLUMN_TEXT:
        memcpy(&text, member, sizeof text);
        add_text_element(bytes, text);
        break;
    case COLUMN_BYTES:
        add_bytes_element(bytes, member, (size_t)column->size);
        break;
    }
}

void arguments_add_projects(Arguments *arguments, const Rows *rows) {
    start_array(arguments, types[COLUMN_TEXT], rows->count);
    for (size_t i = 0; i < rows->count; i++)
        add_text_element(&arguments->bytes, rows->projects[i]);
    end(arguments);
}

/* How many columns, and of each its type before what any element is. */
static void add_row(Buffer *bytes, const Table *table, Slice project, const void *row) {
    size_t count = table->column_count + table->guard_count;
    add_word(bytes, (uint32_t)(count + table->belongs_to_project));
    if (table->belongs_to_project) {
        add_word(bytes, types[COLUMN_TEXT]);
        add_text_element(bytes, project);
    }
    for (size_t i = 0; i < count; i++) {
        add_word(bytes, types[table->columns[i].kind]);
        add_element(bytes, &table->columns[i], row);
    }
}

/* An element is as long as it turns out to be. */
static void add_row_element(Buffer *bytes, const Table *table, Slice project, const void *row) {
    size_t at = bytes->len;
    add_word(bytes, 0);
    add_row(bytes, table, project, row);
    uint32_t length = htobe32((uint32_t)(bytes->len - at - sizeof length));
    if (buffer_error(bytes) == 0)
        memcpy(bytes->data + at, &length, sizeof length);
}

void arguments_add_rows(Arguments *arguments, const Table *table, uint32_t type, const Rows *rows) {
    start_array(arguments, type, rows->count);
    for (size_t i = 0; i < rows->count; i++)
        add_row_element(&arguments->bytes, table, rows->projects[i], rows->rows[i]);
    end(arguments);
}

const char *arguments_value(const Arguments *arguments, int at) {
    if (arguments->is_null[at])
        return NULL;
    /* An empty text is no NULL, whatever the buffer's memory is. */
    return arguments->bytes.data != NULL ? arguments->bytes.data + arguments->starts[at] : "";
}

/* ---- results ---- */

int64_t column_read_number(const PGresult *result, int row, int at) {
    const char *value = PQgetvalue(result, row, at);
    uint64_t big;
    uint32_t word;
    uint16_t half;
    switch (PQgetlength(result, row, at)) {
    case sizeof big:
        memcpy(&big, value, sizeof big);
        return (int64_t)be64toh(big);
    case sizeof word:
        memcpy(&word, value, sizeof word);
        return (int32_t)be32toh(word);
    case sizeof half:
        memcpy(&half, value, sizeof half);
        return (int16_t)be16toh(half);
    default: /* a boolean, or NULL */
        return PQgetlength(result, row, at) == 1 ? value[0] : 0;
    }
}

Slice column_read_text(const PGresult *result, int row, int at) {
    if (PQgetisnull(result, row, at))
        return SLICE_ABSENT;
    return (Slice){.ptr = PQgetvalue(result, row, at), .len = (size_t)PQgetlength(result, row, at)};
}

static int read_choice(const Column *column, int64_t number, char *member) {
    if (number < 0 || number >= column->size)
        return -EBADMSG;
    int choice = (int)number;
    memcpy(member, &choice, sizeof choice);
    return 0;
}

static int read_bytes(const Column *column, Slice bytes, char *member) {
    if (bytes.ptr == NULL || bytes.len != (size_t)column->size)
        return -EBADMSG;
    memcpy(member, bytes.ptr, bytes.len);
    return 0;
}

static int read_text(Slice text, Arena *arena, char *member) {
    int r = arena != NULL ? arena_copy(arena, text, &text) : 0;
    if (r == 0)
        memcpy(member, &text, sizeof text);
    return r;
}

static int read_member(const Column *column, const PGresult *result, int row, int at, Arena *arena, char *member) {
    int64_t number = column_read_number(result, row, at);
    bool is_set;
    switch (column->kind) {
    case COLUMN_SENT_NUMBER:
        number = PQgetisnull(result, row, at) ? FIELD_ABSENT : number;
        memcpy(member, &number, sizeof number);
        return 0;
    case COLUMN_NUMBER:
    case COLUMN_GROWTH:
        memcpy(member, &number, sizeof number);
        return 0;
    case COLUMN_CHOICE:
        return read_choice(column, number, member);
    case COLUMN_FLAG:
        is_set = number != 0;
        memcpy(member, &is_set, sizeof is_set);
        return 0;
    case COLUMN_TEXT:
        return read_text(column_read_text(result, row, at), arena, member);
    case COLUMN_BYTES:
        return read_bytes(column, column_read_text(result, row, at), member);
    case COLUMN_COUNT:
    case COLUMN_GUARD:
        break;
    }
    return -EBADMSG;
}

int columns_read(const Table *table, const PGresult *result, int row, int at, Arena *arena, void *out) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < table->column_count; i++)
        r = read_member(&table->columns[i], result, row, at + (int)i, arena, (char *)out + table->columns[i].offset);
    return r;
}
