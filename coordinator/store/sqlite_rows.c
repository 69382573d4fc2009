/* Columns → rows, in the order sqlite_statements.c names them; and the few helpers every statement is run with. */
#include "store/sqlite.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

int64_t sqlite_row_id(int64_t project, int64_t number) {
    assert(project > 0 && project <= PROJECT_NUMBER_MAX && number >= 0 && number <= ROW_MASK);
    return project << ROW_BITS | number;
}

int64_t sqlite_next_project(int64_t id) {
    return ((id >> ROW_BITS) + 1) << ROW_BITS;
}

void sqlite_bind_number(sqlite3_stmt *statement, int at, int64_t number) {
    int rc = sqlite3_bind_int64(statement, at, number);
    assert(rc == SQLITE_OK);
    (void)rc;
}

void sqlite_bind_slice(sqlite3_stmt *statement, int at, Slice text) {
    assert(text.len <= INT_MAX);
    int rc = slice_is_absent(text) ? sqlite3_bind_null(statement, at)
                                   : sqlite3_bind_text(statement, at, text.ptr, (int)text.len, SQLITE_STATIC);
    assert(rc == SQLITE_OK);
    (void)rc;
}

void sqlite_bind_range(sqlite3_stmt *statement, int at, int64_t project) {
    sqlite_bind_number(statement, at, sqlite_row_id(project, 0));
    sqlite_bind_number(statement, at + 1, sqlite_row_id(project, ROW_MASK));
}

int sqlite_run(SqliteStore *s, StatementId id) {
    sqlite3_stmt *statement = s->statements[id];
    int rc = sqlite3_step(statement);
    (void)sqlite3_reset(statement);
    return rc == SQLITE_DONE ? 0 : sqlite_failed(s, rc, sqlite_statement_texts[id]);
}

RowStep sqlite_next(SqliteStore *s, StatementId id, int *r) {
    sqlite3_stmt *statement = s->statements[id];
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        return ROW_HERE;
    (void)sqlite3_reset(statement);
    if (rc == SQLITE_DONE)
        return ROW_NONE;
    *r = sqlite_failed(s, rc, sqlite_statement_texts[id]);
    return ROW_FAILED;
}

void sqlite_leave(SqliteStore *s, StatementId id) {
    (void)sqlite3_reset(s->statements[id]);
}

/* The columns of one row, read from left to right. */
typedef struct Columns {
    sqlite3_stmt *row;
    int at;
    Arena *arena;
    bool is_short_of_memory, is_impossible;
} Columns;

static int64_t next_number(Columns *c) {
    return sqlite3_column_int64(c->row, c->at++);
}

static bool next_flag(Columns *c) {
    return sqlite3_column_int(c->row, c->at++) != 0;
}

/* A number of an enumeration of `count` members. */
static int next_choice(Columns *c, int count) {
    int choice = sqlite3_column_int(c->row, c->at++);
    if (choice >= 0 && choice < count)
        return choice;
    c->is_impossible = true;
    return 0;
}

static Slice next_text(Columns *c) {
    int at = c->at++;
    Slice text = {.ptr = (const char *)sqlite3_column_text(c->row, at)};
    if (text.ptr == NULL) {
        c->is_short_of_memory |= sqlite3_column_type(c->row, at) != SQLITE_NULL;
        return SLICE_ABSENT;
    }
    text.len = (size_t)sqlite3_column_bytes(c->row, at);
    if (c->arena != NULL && arena_copy(c->arena, text, &text) != 0)
        c->is_short_of_memory = true;
    return text;
}

static void next_bytes(Columns *c, uint8_t *out, int size) {
    int at = c->at++;
    const void *bytes = sqlite3_column_blob(c->row, at);
    if (bytes != NULL && sqlite3_column_bytes(c->row, at) == size)
        memcpy(out, bytes, (size_t)size);
    else
        c->is_impossible = true;
}

int sqlite_damaged(SqliteStore *s, const char *table) {
    (void)snprintf(s->reason, sizeof s->reason, "%s is damaged: a row of table %s holds what no version writes",
                   s->db_path, table);
    s->is_broken = true;
    return STORE_BROKEN;
}

static int decoded(SqliteStore *s, const Columns *c, const char *table) {
    if (c->is_short_of_memory)
        return -ENOMEM;
    return c->is_impossible ? sqlite_damaged(s, table) : 0;
}

/* What only several coordinators have stays 0. */
int sqlite_decode_project(SqliteStore *s, sqlite3_stmt *row, Arena *arena, ProjectRow *out, int64_t *project) {
    Columns c = {.row = row, .arena = arena};
    *out = (ProjectRow){0};
    *project = next_number(&c);
    out->name = next_text(&c);
    out->is_deleted = next_flag(&c);
    out->prefix = next_text(&c);
    out->initial_commit = next_text(&c);
    out->max_stacks = next_number(&c);
    out->max_hold_seconds = next_number(&c);
    out->expiry_grace_seconds = next_number(&c);
    out->is_cleaning = next_flag(&c);
    next_bytes(&c, out->lease_key, sizeof out->lease_key);
    out->created_ms = next_number(&c);
    out->stack_count = next_number(&c);
    out->leased_count = next_number(&c);
    out->first_unused = next_number(&c);
    out->last_generation = next_number(&c);
    out->last_ticket = next_number(&c);
    out->last_event = next_number(&c);
    out->queued_count = next_number(&c);
    return decoded(s, &c, "project");
}

int sqlite_decode_stack(SqliteStore *s, sqlite3_stmt *row, Arena *arena, StackRow *out) {
    Columns c = {.row = row, .arena = arena};
    *out = (StackRow){0};
    out->number = next_number(&c) & ROW_MASK;
    out->name = next_text(&c);
    out->state = (StackState)next_choice(&c, STACK_GONE);
    out->generation = next_number(&c);
    out->quiet_until_ms = next_number(&c);
    out->requested = next_number(&c);
    out->branch = next_text(&c);
    out->last_commit = next_text(&c);
    out->is_content_unknown = next_flag(&c);
    out->requested_ms = next_number(&c);
    out->created_ms = next_number(&c);
    out->modified_ms = next_number(&c);
    out->ticket = next_number(&c);
    out->lease_seconds = next_number(&c);
    out->since_ms = next_number(&c);
    out->is_collected = next_flag(&c);
    out->purpose = next_choice(&c, PURPOSE_CLEAN + 1);
    out->dirty_since = next_number(&c);
    out->clean_failures = next_number(&c);
    out->url = next_text(&c);
    out->note = next_text(&c);
    out->holder_json = next_text(&c);
    out->before.branch = next_text(&c);
    out->before.requested = next_number(&c);
    out->before.requested_ms = next_number(&c);
    out->quiet_seconds = next_number(&c);
    out->quiet_untold_seconds = next_number(&c);
    out->quiet_ticket = next_number(&c);
    return decoded(s, &c, "stack");
}

int sqlite_decode_request(SqliteStore *s, sqlite3_stmt *row, Arena *arena, RequestRow *out) {
    Columns c = {.row = row, .arena = arena};
    *out = (RequestRow){0};
    out->ticket = next_number(&c) & ROW_MASK;
    out->state = (RequestState)next_choice(&c, REQUEST_OVER + 1);
    out->why = (RequestWhy)next_choice(&c, WHY_UNCOLLECTED + 1);
    out->outcome = next_choice(&c, RELEASE_BROKEN + 1);
    out->created_ms = next_number(&c);
    out->ended_ms = next_number(&c);
    bool is_sent = sqlite3_column_type(row, c.at) != SQLITE_NULL;
    int64_t lease_seconds = next_number(&c);
    out->lease_seconds = is_sent ? lease_seconds : FIELD_ABSENT;
    out->purpose = next_choice(&c, PURPOSE_CLEAN + 1);
    out->stack_number = next_number(&c);
    out->generation = next_number(&c);
    out->is_reused = next_flag(&c);
    out->from_queue = next_flag(&c);
    out->request_id = next_text(&c);
    out->branch = next_text(&c);
    out->commit = next_text(&c);
    out->stack_name = next_text(&c);
    out->ended_by = next_text(&c);
    out->ended_reason = next_text(&c);
    out->holder_json = next_text(&c);
    out->is_heard = next_flag(&c);
    out->is_joined = next_flag(&c);
    return decoded(s, &c, "request");
}

int sqlite_decode_key(SqliteStore *s, sqlite3_stmt *row, Arena *arena, KeyRow *out) {
    Columns c = {.row = row, .arena = arena};
    *out = (KeyRow){0};
    out->id = next_text(&c);
    out->project = next_text(&c);
    out->scope = next_choice(&c, SCOPE_ADMIN + 1);
    next_bytes(&c, out->hash, sizeof out->hash);
    out->label = next_text(&c);
    out->created_ms = next_number(&c);
    out->last_used_ms = next_number(&c);
    out->revoked_ms = next_number(&c);
    return decoded(s, &c, "api_key");
}
