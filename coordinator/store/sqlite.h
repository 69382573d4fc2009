/*
 * Private to the SQLite engine (and its tests): the connection, its prepared statements, and how their errors become
 * results of store.h. sqlite.c opens, begins, commits; sqlite_load.c, _save.c, _read.c, _prune.c, _backup.c do the rest.
 */
#pragma once

#include <sqlite3.h>

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
    SQL_STACK_BY_NAME,
    SQL_STACK_BY_NUMBER,
    SQL_STACK_HIGHEST,
    SQL_STACK_FREE_ON_BRANCH,
    SQL_STACK_FREE_AT_COMMIT,
    SQL_STACK_FREE_OLDEST,
    SQL_STACK_DIRTY_OLDEST,
    SQL_STACK_NUMBERS_FROM,
    SQL_STACK_INSERT,
    SQL_STACK_UPDATE,
    SQL_STACK_RENAME,
    SQL_STACK_DELETE,
    SQL_REQUEST_BY_ID,
    SQL_REQUEST_BY_TICKET,
    SQL_REQUEST_QUEUE,
    SQL_REQUEST_COUNT_BEFORE,
    SQL_REQUEST_INSERT,
    SQL_REQUEST_UPDATE,
    SQL_KEY_BY_ID,
    SQL_KEYS_OF_PROJECT,
    SQL_KEY_INSERT,
    SQL_KEY_UPDATE,
    SQL_KEY_DELETE,
    SQL_KEY_USED,
    SQL_EVENT_INSERT,
    SQL_CHAPTER_INSERT,
    SQL_LIST_STACKS_FROM,
    SQL_LIST_QUEUE_FROM,
    SQL_LIST_WATCHED_STACKS,
    SQL_LIST_WATCHED_REQUESTS,
    SQL_LIST_EVENTS_FROM,
    SQL_LIST_EVENTS_BACKWARDS,
    SQL_LIST_STACK_EVENTS_FROM,
    SQL_LIST_STACK_EVENTS_BACKWARDS,
    SQL_LIST_PROJECTS_FROM,
    SQL_LIST_KEYS_FROM,
    SQL_LIST_ALL_KEYS_FROM,
    SQL_COUNT_PROJECTS_KEYS,
    SQL_COUNT_STACKS,
    SQL_PRUNE_FIRST_EVENT,
    SQL_PRUNE_CHAPTER_AGE,
    SQL_PRUNE_CHAPTER_ROWS,
    SQL_PRUNE_CHAPTER_EVENTS,
    SQL_PRUNE_REQUESTS_FROM,
    SQL_PRUNE_REQUEST,
    STATEMENT_COUNT,
} StatementId;
extern const char *const sqlite_statement_texts[STATEMENT_COUNT];

/* Primary keys: project << ROW_BITS | number in the project. */
#define ROW_BITS 42
#define ROW_MASK ((INT64_C(1) << ROW_BITS) - 1)
#define PROJECT_NUMBER_MAX ((INT64_C(1) << 21) - 1)
#define CHAPTER_BITS 8 /* an event belongs to chapter id >> CHAPTER_BITS; sqlite_statements.c says it in SQL */

#define FAILED_SYNCS_MAX 3     /* in a row; then the store is broken */
#define CHAPTERS_SEEN_MAX 4096 /* stacks whose newest chapter is remembered; a power of two */
#define BACKUP_PAGES_PER_STEP 256
#define BACKUP_STEPS_PER_SYNC 8

/* The project of a working set, known from its load to its save. 0: there is none yet. */
typedef struct SetProject {
    const WorkingSet *set;
    int64_t project;
} SetProject;

/* Chapters that are surely in the table: an event of a stack need not look again. Direct-mapped. */
typedef struct ChapterSeen {
    uint64_t stack; /* a hash of project and stack name */
    int64_t chapter;
} ChapterSeen;

typedef struct SqliteBackup SqliteBackup;

typedef struct SqliteStore {
    Store base;
    const Clock *clock;
    const char *vfs;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    int lock_fd;
    char *db_path;

    SetProject *set_projects;
    size_t set_project_count, set_project_capacity;
    ChapterSeen chapters_seen[CHAPTERS_SEEN_MAX];
    bool chapters_changed; /* by the transaction under way */

    int log_pages;     /* frames of the write-ahead log that wait for a checkpoint */
    int checkpoint_at; /* pages from which begin checkpoints first */
    int failed_syncs;  /* in a row */
    bool is_broken;

    int64_t prune_cursor; /* primary key where pruning goes on */
    bool prune_is_at_requests;

    SqliteBackup *backup;
    char reason[512];
} SqliteStore;

static inline SqliteStore *sqlite_store(Store *store) {
    return (SqliteStore *)store; /* base is the first member */
}

/* The connection, for tests that look inside or turn durability off. */
sqlite3 *sqlite_store_connection(Store *store);

int64_t sqlite_row_id(int64_t project, int64_t number);

/* Notes the reason; the result of store.h for an error code outside of COMMIT. */
int sqlite_failed(SqliteStore *s, int rc, const char *doing) MUST_USE;
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
int sqlite_decode_event(SqliteStore *s, sqlite3_stmt *row, EventRow *out) MUST_USE;

/* sqlite.c */
void sqlite_rollback(Store *store);
int sqlite_begin(Store *store) MUST_USE;
int sqlite_commit(Store *store) MUST_USE;
/* sqlite_load.c. The number of a set's project in this transaction; NULL: it was not loaded in it. */
int64_t *sqlite_set_project(SqliteStore *s, const WorkingSet *set, size_t hint);
int sqlite_load(Store *store, WorkingSet **sets, size_t count) MUST_USE;
int sqlite_find_project(SqliteStore *s, Slice name, Arena *arena, ProjectRow *row, int64_t *project) MUST_USE;
/* sqlite_save.c */
int sqlite_save(Store *store, WorkingSet **sets, size_t count) MUST_USE;
int sqlite_save_key_used(Store *store, Slice id, int64_t wall_ms) MUST_USE;
void sqlite_forget_chapters(SqliteStore *s);
/* sqlite_read.c */
int sqlite_read(Store *store, const ReadQuery *query, const StoreRows *rows) MUST_USE;
int sqlite_find_key(Store *store, Slice id, Arena *arena, KeyRow *key, ProjectRow *project) MUST_USE;
int sqlite_find_project_row(Store *store, Slice name, Arena *arena, ProjectRow *project) MUST_USE;
int sqlite_counts(Store *store, StoreCounts *out) MUST_USE;
/* sqlite_prune.c */
int sqlite_prune(Store *store, int64_t events_before_ms, int64_t requests_before_ms, size_t budget) MUST_USE;
/* sqlite_backup.c */
int sqlite_backup_step(Store *store, const char *path) MUST_USE;
void sqlite_backup_abandon(SqliteStore *s);
