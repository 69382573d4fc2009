/*
 * Rows → statements. Projects, stacks, requests and history come from a flush or a replay, which write final images over
 * whatever is there; keys are written by the transaction that changes them, and guarded.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store/sqlite.h"

#define bind_number sqlite_bind_number
#define bind_slice sqlite_bind_slice

#define NOT_THERE 1000 /* of write functions, between themselves: no row has that key */

static int run_on_one(SqliteStore *s, StatementId id) {
    int r = sqlite_run(s, id);
    return r != 0 || sqlite3_changes(s->db) == 1 ? r : NOT_THERE;
}

/* ---- projects ---- */

static void bind_project(sqlite3_stmt *statement, const ProjectRow *p) {
    sqlite3_bind_int(statement, 2, p->is_deleted);
    bind_slice(statement, 3, p->prefix);
    bind_slice(statement, 4, p->initial_commit);
    bind_number(statement, 5, p->max_stacks);
    bind_number(statement, 6, p->max_hold_seconds);
    bind_number(statement, 7, p->expiry_grace_seconds);
    bind_number(statement, 8, p->is_cleaning);
    sqlite3_bind_blob(statement, 9, p->lease_key, sizeof p->lease_key, SQLITE_STATIC);
    bind_number(statement, 10, p->created_ms);
    bind_number(statement, 11, p->stack_count);
    bind_number(statement, 12, p->leased_count);
    bind_number(statement, 13, p->first_unused);
    bind_number(statement, 14, p->last_generation);
    bind_number(statement, 15, p->last_ticket);
    bind_number(statement, 16, p->last_event);
    bind_number(statement, 17, p->queued_count);
}

int sqlite_insert_project(SqliteStore *s, const ProjectRow *row, int64_t *project) {
    sqlite3_stmt *statement = s->statements[SQL_PROJECT_INSERT];
    bind_slice(statement, 1, row->name);
    bind_project(statement, row);
    int r = sqlite_run(s, SQL_PROJECT_INSERT);
    if (r != 0)
        return r;
    *project = sqlite3_last_insert_rowid(s->db);
    if (*project <= PROJECT_NUMBER_MAX)
        return 0;
    (void)snprintf(s->reason, sizeof s->reason, "%s: no more than %lld projects fit into one database", s->db_path,
                   (long long)PROJECT_NUMBER_MAX);
    return STORE_FULL;
}

int sqlite_write_project(SqliteStore *s, int64_t project, const ProjectRow *row) {
    sqlite3_stmt *statement = s->statements[SQL_PROJECT_UPDATE];
    bind_number(statement, 1, project);
    bind_project(statement, row);
    return sqlite_run(s, SQL_PROJECT_UPDATE);
}

/* ---- stacks ---- */

static void bind_stack(sqlite3_stmt *statement, int64_t id, const StackRow *row) {
    bind_number(statement, 1, id);
    bind_slice(statement, 2, row->name);
    bind_number(statement, 3, row->state);
    bind_number(statement, 4, row->generation);
    bind_number(statement, 5, row->quiet_until_ms);
    bind_number(statement, 6, row->requested);
    bind_slice(statement, 7, row->branch);
    bind_slice(statement, 8, row->last_commit);
    bind_number(statement, 9, row->is_content_unknown);
    bind_number(statement, 10, row->requested_ms);
    bind_number(statement, 11, row->created_ms);
    bind_number(statement, 12, row->modified_ms);
    bind_number(statement, 13, row->ticket);
    bind_number(statement, 14, row->lease_seconds);
    bind_number(statement, 15, row->since_ms);
    bind_number(statement, 16, row->is_collected);
    bind_number(statement, 17, row->purpose);
    bind_number(statement, 18, row->dirty_since);
    bind_number(statement, 19, row->clean_failures);
    bind_slice(statement, 20, row->url);
    bind_slice(statement, 21, row->note);
    bind_slice(statement, 22, row->holder_json);
    bind_slice(statement, 26, row->before.branch);
    bind_number(statement, 27, row->before.requested);
    bind_number(statement, 28, row->before.requested_ms);
    bind_number(statement, 29, row->quiet_seconds);
    bind_number(statement, 30, row->quiet_untold_seconds);
    bind_number(statement, 31, row->quiet_ticket);
}

int sqlite_insert_stack(SqliteStore *s, int64_t project, const StackRow *row) {
    bind_stack(s->statements[SQL_STACK_INSERT], sqlite_row_id(project, row->number), row);
    bind_number(s->statements[SQL_STACK_INSERT], 23, project);
    return sqlite_run(s, SQL_STACK_INSERT);
}

int sqlite_write_stack(SqliteStore *s, int64_t project, const StackRow *row) {
    bind_stack(s->statements[SQL_STACK_UPDATE], sqlite_row_id(project, row->number), row);
    int r = run_on_one(s, SQL_STACK_UPDATE);
    return r == NOT_THERE ? sqlite_insert_stack(s, project, row) : r;
}

int sqlite_write_stack_gone(SqliteStore *s, int64_t project, int64_t number) {
    bind_number(s->statements[SQL_STACK_DELETE], 1, sqlite_row_id(project, number));
    return sqlite_run(s, SQL_STACK_DELETE);
}

/* ---- requests ---- */

static int insert_request(SqliteStore *s, int64_t project, const RequestRow *row) {
    sqlite3_stmt *statement = s->statements[SQL_REQUEST_INSERT];
    bind_number(statement, 1, sqlite_row_id(project, row->ticket));
    bind_number(statement, 2, project);
    bind_number(statement, 3, row->state);
    bind_number(statement, 4, row->why);
    bind_number(statement, 5, row->outcome);
    bind_number(statement, 6, row->created_ms);
    bind_number(statement, 7, row->ended_ms);
    if (row->lease_seconds == FIELD_ABSENT)
        (void)sqlite3_bind_null(statement, 8);
    else
        bind_number(statement, 8, row->lease_seconds);
    bind_number(statement, 9, row->purpose);
    bind_number(statement, 10, row->stack_number);
    bind_number(statement, 11, row->generation);
    bind_number(statement, 12, row->is_reused);
    bind_number(statement, 13, row->from_queue);
    bind_slice(statement, 14, row->request_id);
    bind_slice(statement, 15, row->branch);
    bind_slice(statement, 16, row->commit);
    bind_slice(statement, 17, row->stack_name);
    bind_slice(statement, 18, row->ended_by);
    bind_slice(statement, 19, row->holder_json);
    bind_number(statement, 20, row->is_heard);
    bind_number(statement, 21, row->is_joined);
    bind_slice(statement, 22, row->ended_reason);
    return sqlite_run(s, SQL_REQUEST_INSERT);
}

static int update_request(SqliteStore *s, int64_t project, const RequestRow *row) {
    sqlite3_stmt *statement = s->statements[SQL_REQUEST_UPDATE];
    bind_number(statement, 1, sqlite_row_id(project, row->ticket));
    bind_number(statement, 2, row->state);
    bind_number(statement, 3, row->why);
    bind_number(statement, 4, row->outcome);
    bind_number(statement, 5, row->ended_ms);
    bind_number(statement, 6, row->stack_number);
    bind_number(statement, 7, row->generation);
    bind_number(statement, 8, row->is_reused);
    bind_number(statement, 9, row->from_queue);
    bind_slice(statement, 10, row->stack_name);
    bind_slice(statement, 11, row->ended_by);
    bind_slice(statement, 12, row->holder_json);
    bind_number(statement, 13, row->is_heard);
    bind_number(statement, 14, row->is_joined);
    bind_slice(statement, 15, row->ended_reason);
    return run_on_one(s, SQL_REQUEST_UPDATE);
}

int sqlite_write_request(SqliteStore *s, int64_t project, const RequestRow *row, bool is_new) {
    int r = is_new ? NOT_THERE : update_request(s, project, row);
    return r == NOT_THERE ? insert_request(s, project, row) : r;
}

/* ---- keys ---- */

static int run_on_key(SqliteStore *s, StatementId id, int64_t project, const KeyRow *row) {
    sqlite3_stmt *statement = s->statements[id];
    bind_slice(statement, 1, row->id);
    bind_number(statement, 2, project);
    if (id != SQL_KEY_DELETE) {
        bind_number(statement, 3, row->scope);
        sqlite3_bind_blob(statement, 4, row->hash, sizeof row->hash, SQLITE_STATIC);
        bind_slice(statement, 5, row->label);
        bind_number(statement, 6, row->created_ms);
        bind_number(statement, 7, row->last_used_ms);
        bind_number(statement, 8, row->revoked_ms);
    }
    return run_on_one(s, id);
}

int sqlite_insert_key(SqliteStore *s, int64_t project, const KeyRow *row) {
    return run_on_key(s, SQL_KEY_INSERT, project, row);
}

static int save_key(SqliteStore *s, const WorkingSet *set, int64_t project, const KeySlot *slot) {
    StatementId id = slot->change == ROW_NEW       ? SQL_KEY_INSERT
                     : slot->change == ROW_CHANGED ? SQL_KEY_UPDATE
                                                   : SQL_KEY_DELETE;
    const KeyRow *row = &slot->row;
    int r = run_on_key(s, id, project, row);
    if (r != NOT_THERE)
        return r;
    (void)snprintf(s->reason, sizeof s->reason, "%s: key %.*s of project %.*s is not as it was loaded", s->db_path,
                   SLICE_PRINT(row->id), SLICE_PRINT(set->project_name));
    return STORE_CONFLICT;
}

int sqlite_save_keys(SqliteStore *s, const WorkingSet *set, int64_t project) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < set->key_count; i++)
        if (set->keys[i]->change != ROW_CLEAN && set->keys[i]->change != ROW_VOID)
            r = save_key(s, set, project, set->keys[i]);
    return r;
}

int sqlite_save_key_used(Store *store, Slice id, int64_t wall_ms) {
    SqliteStore *s = sqlite_store(store);
    int r = sqlite_begin_write(s);
    bind_slice(s->statements[SQL_KEY_USED], 1, id);
    bind_number(s->statements[SQL_KEY_USED], 2, wall_ms);
    if (r == 0)
        r = sqlite_run(s, SQL_KEY_USED);
    if (r != 0)
        sqlite_rollback(store);
    return r;
}
