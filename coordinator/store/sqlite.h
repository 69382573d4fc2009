/*
 * Private to the SQLite engine (and its tests): the connection, its prepared statements, and how their errors become
 * results of store.h.
 *
 *     load ◄── resident (memory) ◄── publish ◄── commit: the changes' bytes into the log ──── sync ──► durable
 *                  │                                                      │
 *                  └── flush: many transactions' rows at once ──► tables ◄┘ replay, after a crash
 *                                                                   └──► lists, history, backups: flushed before they look
 *
 * A transaction that changes tables itself (keys, a new project, pruning) is a flush with these changes in it, one COMMIT
 * of SQLite's: so tables and log never have to agree about one transaction.
 *
 * sqlite.c opens, begins, commits; sqlite_flush.c saves, flushes and replays; sqlite_write.c, _load.c, _read.c,
 * _history.c, _prune.c, _backup.c, _transfer.c do the rest.
 */
#pragma once

#include <sqlite3.h>

#include "base/limits.h"
#include "store/change_log.h"
#include "store/resident.h"
#include "store/store.h"

/* Every statement, prepared once when the store opens; texts in sqlite_statements.c. */
typedef enum StatementId {
    SQL_BEGIN_WRITE,
    SQL_COMMIT_WRITE,
    SQL_ROLLBACK_WRITE,
    SQL_PROJECT_BY_NAME,
    SQL_PROJECT_BY_NUMBER,
    SQL_PROJECT_INSERT,
    SQL_PROJECT_UPDATE,
    SQL_STACK_INSERT,
    SQL_STACK_UPDATE,
    SQL_STACK_DELETE,
    SQL_REQUEST_BY_ID,
    SQL_REQUEST_BY_TICKET,
    SQL_REQUEST_INSERT,
    SQL_REQUEST_UPDATE,
    SQL_KEY_BY_ID,
    SQL_KEYS_OF_PROJECT,
    SQL_KEY_INSERT,
    SQL_KEY_UPDATE,
    SQL_KEY_DELETE,
    SQL_KEY_USED,
    SQL_HISTORY_PUT,
    SQL_HISTORY_LAST,
    SQL_LOG_STATE,
    SQL_LOG_SET_NUMBER,
    SQL_LIST_STACKS_FROM,
    SQL_LIST_QUEUE_FROM,
    SQL_LIST_WATCHED_STACKS,
    SQL_LIST_WATCHED_REQUESTS,
    SQL_HISTORY_FROM,
    SQL_HISTORY_BACKWARDS,
    SQL_LIST_PROJECTS_FROM,
    SQL_LIST_KEYS_FROM,
    SQL_LIST_ALL_KEYS_FROM,
    SQL_DUMP_PROJECTS,
    SQL_DUMP_REQUESTS,
    SQL_COUNT_STACKS,
    SQL_PRUNE_HISTORY_FROM,
    SQL_PRUNE_HISTORY,
    SQL_PRUNE_REQUESTS_FROM,
    SQL_PRUNE_REQUEST,
    STATEMENT_COUNT,
} StatementId;
extern const char *const sqlite_statement_texts[STATEMENT_COUNT];

/* Primary keys: project << ROW_BITS | number in the project. */
#define ROW_BITS 42
#define ROW_MASK ((INT64_C(1) << ROW_BITS) - 1)
_Static_assert(ROW_NUMBER_MAX >> ROW_BITS == 0, "what is imported fits");
#define PROJECT_NUMBER_MAX ((INT64_C(1) << 21) - 1)
#define HISTORY_ROW_MAX 256 /* events in a row of history */
#define HISTORY_FILTER_SIZE 128

#define FAILED_SYNCS_MAX 3 /* in a row; then the store is broken */
#define BACKUP_PAGES_PER_STEP 256
#define BACKUP_STEPS_PER_SYNC 8

/* A row of history: events of one project that follow one another. */
typedef struct HistoryRow {
    int64_t project, first, count, last_ms;    /* project 0: none */
    unsigned char stacks[HISTORY_FILTER_SIZE]; /* a Bloom filter of their names */
    Buffer bytes;
} HistoryRow;

typedef struct SqliteBackup SqliteBackup;

typedef struct SqliteStore {
    Store base;
    const Clock *clock;
    const char *vfs;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    int lock_fd;
    char *db_path;

    Resident resident; /* all that the rules ask for, but for keys and requests that are over */
    ChangeLog log;
    char *log_path;   /* SQLite's kind of name */
    int64_t flush_at; /* slots from which begin flushes first */
    bool
        is_unsettled; /* a COMMIT of SQLite's failed half way: it has to be written over before anything else is promised */
    Buffer changes;
    HistoryRow history; /* being filled */

    int wal_pages;     /* frames of the write-ahead log that wait for a checkpoint */
    int checkpoint_at; /* pages from which begin checkpoints first */
    bool is_open;
    atomic_int failed_syncs; /* in a row; with is_broken also the syncing thread's */
    atomic_bool is_broken;

    int64_t prune_cursor; /* primary key where pruning goes on */
    bool prune_is_at_requests;

    SqliteBackup *backup;
    char reason[STORE_REASON_SIZE];
} SqliteStore;

static inline SqliteStore *sqlite_store(Store *store) {
    return (SqliteStore *)store; /* base is the first member */
}

/* The connection, for tests that look inside or turn durability off. */
sqlite3 *sqlite_store_connection(Store *store);

int64_t sqlite_row_id(int64_t project, int64_t number);
int64_t sqlite_next_project(int64_t id); /* the first id that belongs to a later one */

/* Notes the reason; the result of store.h for an error code outside of COMMIT. */
int sqlite_failed(SqliteStore *s, int rc, const char *doing) MUST_USE;
/* Likewise for an error code of the log's file. */
int sqlite_log_failed(SqliteStore *s, int rc, const char *doing) MUST_USE;
/* Runs a statement that answers no rows, then resets it. 0 or as sqlite_failed. */
int sqlite_run(SqliteStore *s, StatementId id) MUST_USE;
typedef enum RowStep { ROW_NONE, ROW_HERE, ROW_FAILED } RowStep;
/* Steps to the next row. ROW_NONE and ROW_FAILED have reset the statement; the latter put the result into *r. */
RowStep sqlite_next(SqliteStore *s, StatementId id, int *r) MUST_USE;
/* Leaves a statement before its last row. */
void sqlite_leave(SqliteStore *s, StatementId id);

/* Binding cannot fail but by a bug (a wrong index): parameters are numbers and borrowed texts. Texts live until the
 * statement is reset. */
void sqlite_bind_slice(sqlite3_stmt *statement, int at, Slice text);
void sqlite_bind_range(sqlite3_stmt *statement, int at, int64_t project); /* the first and last id of a project */
void sqlite_bind_number(sqlite3_stmt *statement, int at, int64_t number);

/* Decode the columns that sqlite_statements.c names for each table, from the first column on. Texts are copied into the
 * arena; arena NULL: borrowed until the next step. 0 | -ENOMEM | STORE_BROKEN (a value no version wrote). */
int sqlite_decode_project(SqliteStore *s, sqlite3_stmt *row, Arena *arena, ProjectRow *out, int64_t *project) MUST_USE;
int sqlite_decode_stack(SqliteStore *s, sqlite3_stmt *row, Arena *arena, StackRow *out) MUST_USE;
int sqlite_decode_request(SqliteStore *s, sqlite3_stmt *row, Arena *arena, RequestRow *out) MUST_USE;
int sqlite_decode_key(SqliteStore *s, sqlite3_stmt *row, Arena *arena, KeyRow *out) MUST_USE;
/* Notes that a table holds what no version writes: STORE_BROKEN. */
int sqlite_damaged(SqliteStore *s, const char *table) MUST_USE;

/* sqlite.c */
void sqlite_rollback(Store *store);
int sqlite_begin(Store *store) MUST_USE;
int sqlite_commit(Store *store) MUST_USE;
/* Opens the engine's own transaction, unless one is open: what only looks needs none. */
int sqlite_begin_write(SqliteStore *s) MUST_USE;
/* Its COMMIT, and what a failure of it means; nothing of the resident rows. */
int sqlite_end_write(SqliteStore *s) MUST_USE;
/* sqlite_load.c */
int sqlite_load(Store *store, WorkingSet **sets, size_t count) MUST_USE;
int sqlite_find_project(SqliteStore *s, Slice name, Arena *arena, ProjectRow *row, int64_t *project) MUST_USE;
/* sqlite_write.c: rows into the tables, whatever is there of them. */
int sqlite_insert_project(SqliteStore *s, const ProjectRow *row, int64_t *project) MUST_USE;
int sqlite_write_project(SqliteStore *s, int64_t project, const ProjectRow *row) MUST_USE;
int sqlite_insert_stack(SqliteStore *s, int64_t project, const StackRow *row) MUST_USE;
int sqlite_write_stack(SqliteStore *s, int64_t project, const StackRow *row) MUST_USE;
int sqlite_write_stack_gone(SqliteStore *s, int64_t project, int64_t number) MUST_USE;
int sqlite_write_request(SqliteStore *s, int64_t project, const RequestRow *row, bool is_new) MUST_USE;
int sqlite_save_keys(SqliteStore *s, const WorkingSet *set, int64_t project) MUST_USE;
int sqlite_insert_key(SqliteStore *s, int64_t project, const KeyRow *row) MUST_USE;
int sqlite_save_key_used(Store *store, Slice id, int64_t wall_ms) MUST_USE;
/* sqlite_history.c: events are collected into rows, of which sqlite_end_history writes the last one. `bytes` as
 * changes_add_event made them. */
int sqlite_write_event(SqliteStore *s, int64_t project, const EventMark *event, Slice bytes) MUST_USE;
int sqlite_end_history(SqliteStore *s) MUST_USE;
int sqlite_read_events(SqliteStore *s, const ReadQuery *query, const StoreRows *rows, int64_t project) MUST_USE;
/* The row of history at the cursor: deletes it if it is old enough, or moves on to the next project. Takes what it cost off
 * the budget; *cursor INT64_MAX: there is no more. */
int sqlite_prune_history(SqliteStore *s, int64_t before_ms, int64_t *cursor, int64_t *budget) MUST_USE;
/* sqlite_flush.c */
int sqlite_save(Store *store, WorkingSet **sets, size_t count) MUST_USE;
/* What sqlite_save collected: into the log, or into the tables with all the log has. As store_commit. */
int sqlite_append(SqliteStore *s) MUST_USE;
int sqlite_commit_tables(SqliteStore *s) MUST_USE;
/* Brings everything into the tables, in a transaction of its own. 0 | as store_commit; nothing is lost by a failure. */
int sqlite_flush(SqliteStore *s) MUST_USE;
/* Likewise what an earlier process left. */
int sqlite_replay(SqliteStore *s) MUST_USE;
/* For tests: everything is read from the tables again. */
int sqlite_forget(Store *store) MUST_USE;
/* sqlite_read.c */
int sqlite_read(Store *store, const ReadQuery *query, const StoreRows *rows) MUST_USE;
int sqlite_find_key(Store *store, Slice id, Arena *arena, KeyRow *key, ProjectRow *project) MUST_USE;
int sqlite_find_project_row(Store *store, Slice name, Arena *arena, ProjectRow *project) MUST_USE;
int sqlite_counts(Store *store, StoreCounts *out) MUST_USE;
/* sqlite_prune.c */
int sqlite_prune(Store *store, int64_t events_before_ms, int64_t requests_before_ms, size_t budget) MUST_USE;
/* sqlite_transfer.c */
int sqlite_dump(Store *store, StoredRowReader *each, void *arg) MUST_USE;
int sqlite_put(Store *store, const StoredRow *rows, size_t count) MUST_USE;
/* sqlite_backup.c */
int sqlite_backup_step(Store *store, const char *path) MUST_USE;
void sqlite_backup_abandon(SqliteStore *s);
/* Of the database just opened, before anything reads it: -EBADMSG with a reason for a backup that was put in the place of
 * a database whose logs still lie there. */
int sqlite_refuse_former_logs(SqliteStore *s, Buffer *reason) MUST_USE;
