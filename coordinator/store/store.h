/*
 * Where the rows are kept. Loads and saves working sets; knows no rule but the sort orders of what it finds.
 *
 * One engine per StoreVtable: SQLite, PostgreSQL, an array in the tests. One contract suite runs them all.
 * Synchronous. One thread at a time: the worker's while it runs, before and after that whoever starts and stops it;
 * store_sync alone is any thread's.
 *
 *     begin → load (again as long as decisions need rows) → save → commit → … → sync        any failure: rollback
 *
 * What is committed the next transaction sees. Nobody may be told of it, or of what was decided on top of it, before a sync
 * answered 0: so the next batch is decided while the last one becomes durable.
 */
#pragma once

#include "base/clock.h"
#include "lease/working_set.h"

typedef struct Store Store;

/* Positive results of store functions. */
enum {
    STORE_LOCKED = 1,       /* another daemon has this data directory */
    STORE_NEWER_SCHEMA = 2, /* written by a newer version */
    STORE_FULL = 3,         /* no room: rolled back for certain, nothing happened */
    STORE_IO = 4,           /* the engine failed: rolled back for certain, nothing happened */
    STORE_UNKNOWN = 5,      /* a commit or a sync failed half way: whether it is durable is not known */
    STORE_CONFLICT = 6,     /* a row was not as loaded: rolled back; a bug on SQLite, a retry elsewhere */
    STORE_BROKEN = 7,       /* this store can no longer promise anything: the process must end */
    STORE_NOT_FOUND = 8,
    STORE_DONE = 9,  /* a stepwise job (backup, prune) has finished */
    STORE_BUSY = 10, /* another session keeps a row locked: rolled back for certain, nothing happened */
};

typedef struct StoreOptions {
    const char *data_dir; /* locked as long as the store is open; SQLite: holds stacks.db; PostgreSQL: may be NULL */
    const char *vfs;      /* SQLite: name of a registered VFS, or NULL (tests inject faults there) */
    const char *url;      /* PostgreSQL: postgres://… */
    const Clock *clock;
    const char
        *program; /* "stack-coordinator 0.1.0": noted in the schema, told when a schema is too new; may be NULL */
} StoreOptions;

typedef enum ListQuery {
    LIST_STACKS,
    LIST_QUEUE, /* queued requests by ticket, of both purposes; `after` is a ticket */
    LIST_EVENTS,
    LIST_PROJECTS,
    LIST_KEYS,
    LIST_WATCHED, /* what the service's clock watches: `watched_*` below; needs no order */
} ListQuery;
typedef struct ReadQuery {
    ListQuery list;
    Slice project;
    int64_t after;         /* stacks: number; events: id; FIELD_ABSENT: from the start */
    int64_t limit;         /* rows; 0: all */
    bool newest_first;     /* events: descending ids, from the newest on (then `after` is FIELD_ABSENT) */
    Slice stack_name;      /* events of one stack; absent: all */
    Slice after_text;      /* projects, keys: name or id */
    const Slice *projects; /* watched: of these alone; NULL: of all */
    size_t project_count;
} ReadQuery;

/* Called for each row in order; the row's texts live until it returns. Non-zero stops and is returned by store_read. */
typedef struct StoreRows {
    int (*stack)(void *arg, const StackRow *row);
    int (*request)(void *arg, const RequestRow *row);
    int (*event)(void *arg, const EventRow *row);
    /* Of LIST_WATCHED: stacks that are bound, not collected or quiet; requests that are queued. */
    int (*watched_stack)(void *arg, const ProjectRow *project, const StackRow *row);
    int (*watched_request)(void *arg, const ProjectRow *project, const RequestRow *row);
    int (*project)(void *arg, const ProjectRow *row);
    int (*key)(void *arg, const KeyRow *row);
    void *arg;
} StoreRows;

typedef struct StoreCounts {
    int64_t stacks[STACK_GONE]; /* by state */
} StoreCounts;

/* A renewal that changes nothing but the stack's count. */
typedef struct Renewal {
    Slice project;
    int64_t number; /* of the stack */
    LeaseRef lease;
    int64_t seconds; /* asked for */
    int64_t
        renewals; /* the count now. 0: not renewed, since it is over, not collected, asked for less than `seconds`, or
                       * somebody is at the row: that has to be decided */
} Renewal;

/* A coordinator that uses the store, or did until lately. */
typedef struct StoreBeat {
    int64_t coordinator;
    int64_t beats;  /* raised by each of its looks */
    bool has_ended; /* it has no session: it is gone, or about to come back */
} StoreBeat;

typedef struct StoreLook {
    int64_t horizon; /* for the next look */
    int64_t wall_ms; /* what the store's clock says */
    bool is_all;     /* whatever is watched may have changed, else that of these projects; borrowed from the arena */
    Slice *projects;
    size_t project_count;
    StoreBeat *beats;
    size_t beat_count;
    Slice lost_call; /* why a call to another coordinator failed since the last look; absent: none did */
} StoreLook;

/* Somebody who waits here was served by another coordinator. */
typedef struct StoreCall {
    Slice project;
    int64_t ticket, stack_number;
} StoreCall;

/* A row of any table and whose it is: how everything leaves a store, and how a new one is filled. */
typedef enum StoredKind {
    STORED_PROJECT,
    STORED_KEY,
    STORED_STACK,
    STORED_REQUEST,
    STORED_EVENT,
    STORED_KINDS,
} StoredKind;
typedef struct StoredRow {
    StoredKind kind;
    Slice project; /* its name; of a project its own, as in the row */
    union {
        ProjectRow project;
        KeyRow key;
        StackRow stack;
        RequestRow request;
        EventRow event;
    } as;
} StoredRow;
typedef int StoredRowReader(void *arg, const StoredRow *row);

typedef struct StoreVtable {
    void (*close)(Store *store);
    int (*begin)(Store *store);
    int (*load)(Store *store, WorkingSet **sets, size_t count);
    int (*save)(Store *store, WorkingSet **sets, size_t count);
    int (*commit)(Store *store);
    int (*sync)(Store *store, char *reason);
    void (*rollback)(Store *store);
    int (*read)(Store *store, const ReadQuery *query, const StoreRows *rows);
    int (*find_key)(Store *store, Slice id, Arena *arena, KeyRow *key, ProjectRow *project);
    int (*find_project)(Store *store, Slice name, Arena *arena, ProjectRow *project);
    int (*save_key_used)(Store *store, Slice id, int64_t wall_ms);
    int (*counts)(Store *store, StoreCounts *out);
    int (*prune)(Store *store, int64_t events_before_ms, int64_t requests_before_ms, size_t budget);
    int (*backup_step)(Store *store, const char *path);
    int (*dump)(Store *store, StoredRowReader *each, void *arg);
    int (*put)(Store *store, const StoredRow *rows, size_t count);
    int (*idle)(Store *store);
    /* Of stores that several coordinators may use; NULL elsewhere. */
    int64_t (*coordinator)(const Store *store);
    int (*renew)(Store *store, Renewal *renewals, size_t count);
    int (*look)(Store *store, int64_t horizon, Arena *arena, StoreLook *out);
    bool (*must_look)(const Store *store);
    int (*listen)(Store *store, void (*on_call)(void *arg, const StoreCall *call), void *arg);
    const char *(*reason)(const Store *store);
} StoreVtable;
struct Store {
    const StoreVtable *vtable;
};
/* Whether an engine has no hole; openers and store_begin insist on it. */
bool store_is_complete(const StoreVtable *vtable);

/* Opens or creates, migrates forward, refuses what is newer or locked. 0 | STORE_LOCKED | STORE_NEWER_SCHEMA | STORE_FULL |
 * STORE_IO | -EBADMSG (not our database, or damaged) | -errno, with one sentence in `reason` (may be NULL). The clock and strings of `options` must outlive the store. */
int store_open_sqlite(Store **out, const StoreOptions *options, Buffer *reason) MUST_USE;
/* Likewise, on a server. Refuses one that cannot keep a promise (no fsync, no synchronous_commit, a standby, a pooler of
 * transactions, too old) and a URL that is none: -EINVAL. A newer schema will do if it says so. */
int store_open_postgres(Store **out, const StoreOptions *options, Buffer *reason) MUST_USE;
/* Whether a PostgreSQL URL says a password, or may: what cannot be read is taken for one that does. */
bool store_url_has_password(const char *url);
Store *store_close(Store *store); /* takes NULL, returns NULL; checkpoints when it can */

/* 0 | STORE_FULL | STORE_IO | STORE_BROKEN | -ENOMEM: and then rolled back. STORE_IO also while a server is away. */
int store_begin(Store *store) MUST_USE;
/* Loads every want that is not loaded yet, of all sets; the project row first. A missing project is
 * set->is_project_missing, not an error. Same results as store_begin, and STORE_CONFLICT, STORE_BUSY. */
int store_load(Store *store, WorkingSet **sets, size_t count) MUST_USE;
/* Writes each changed row once, in its final image, guarded by the image loaded; then events, then the project row. What
 * is wrong with that (STORE_CONFLICT) it may leave for store_commit to say. */
int store_save(Store *store, WorkingSet **sets, size_t count) MUST_USE;
/* 0: decided, not durable yet (on a server it is). STORE_FULL, STORE_IO, STORE_CONFLICT, STORE_BUSY, -ENOMEM: certainly nothing happened, rolled back.
 * STORE_UNKNOWN: rolled back, but a crash may bring it back; answer 503. STORE_BROKEN: likewise, and the process has to end. */
int store_commit(Store *store) MUST_USE;
/* 0: everything committed before the call is durable. STORE_UNKNOWN: maybe; it stays decided, and a later sync may still
 * make it durable, so answer 503. STORE_BROKEN: likewise, and the process has to end. One call at a time, by any thread,
 * also beside the calls of the store's own; a sentence about a failure in `reason` (STORE_REASON_SIZE bytes). */
#define STORE_REASON_SIZE 512
int store_sync(Store *store, char *reason) MUST_USE;
/* Always safe, also outside a transaction and after a failed commit. */
void store_rollback(Store *store);

/* Pages for lists, outside a transaction; sees what is committed. Stacks by number, events by id ascending, projects by
 * name, keys by project and creation; no project: of all. 0 | the callback's non-zero | STORE_NOT_FOUND (no such project;
 * a deleted one has events only) | STORE_IO | STORE_BROKEN (damaged). */
int store_read(Store *store, const ReadQuery *query, const StoreRows *rows) MUST_USE;
/* What authentication needs. 0 | STORE_NOT_FOUND (also what belongs to a deleted project) | STORE_IO | -ENOMEM; texts into
 * the arena. Both may run inside and outside of a transaction. */
int store_find_key(Store *store, Slice id, Arena *arena, KeyRow *key, ProjectRow *project) MUST_USE;
int store_find_project(Store *store, Slice name, Arena *arena, ProjectRow *project) MUST_USE;
/* Inside a transaction: notes when a key was last used. */
int store_save_key_used(Store *store, Slice id, int64_t wall_ms) MUST_USE;
int store_counts(Store *store, StoreCounts *out) MUST_USE;
/* Deletes about `budget` rows of history and of requests over for long, going round the projects, in a transaction of
 * its own. History may go in runs of up to 256 events, when the youngest of them is old enough. 0: call again; STORE_DONE:
 * the round is complete; or an error. */
int store_prune(Store *store, int64_t events_before_ms, int64_t requests_before_ms, size_t budget) MUST_USE;
/* An online copy to `path`, some pages per call. 0: call again; STORE_DONE: complete, synced, renamed into place; or an
 * error, the partial file removed. Refuses an existing path (-EEXIST). path NULL: gives up the copy under way. -ENOTSUP:
 * this engine has other means, store_reason says which. */
int store_backup_step(Store *store, const char *path) MUST_USE;
/* Everything there is, as it was at one moment, row by row: kind by kind, and of each kind in the order of
 * store_compare_rows. Outside of a transaction. `each` as in StoreRows. 0 | the callback's non-zero | STORE_IO | STORE_BROKEN | -ENOMEM. */
int store_dump(Store *store, StoredRowReader *each, void *arg) MUST_USE;
/* In a transaction of nothing else, of a store that has nothing: adds rows as they are, in that same order, in as many calls
 * as one likes; a `count` of 0 only looks whether the store is empty. 0 | STORE_CONFLICT (it is not; a row is there twice) | as
 * store_save. Any but 0 has rolled back. Then store_commit: all of them are there, or none. */
int store_put(Store *store, const StoredRow *rows, size_t count) MUST_USE;
/* By kind, project, and within it: keys by creation and id, stacks by number, requests by ticket, events by id. <0, 0, >0. */
int store_compare_rows(const StoredRow *a, const StoredRow *b);
/* Called when there is nothing to do, for what can wait: flushes and checkpoints, if there is anything to (past a ceiling
 * store_begin does). 0 or an error worth a log line. */
int store_idle(Store *store) MUST_USE;

/*
 * Several coordinators on one store. Rows change under each of them at any time; what they decide they decide on rows that
 * a transaction has loaded, whose projects nobody else changes meanwhile. Renewals alone pass by: they raise a count in
 * the stack's row, and a save that is_guarded fails (STORE_CONFLICT) if one did since the row was loaded.
 */

/* This coordinator's number, never that of another one; 0: nobody else can use the store, and the rest is not for it. */
int64_t store_coordinator(const Store *store);
/* Renews leases outside a transaction, all that can be. Lazily durable. 0 | STORE_IO | -ENOMEM: then some may be renewed. */
int store_renew(Store *store, Renewal *renewals, size_t count) MUST_USE;
/* Shows others that this coordinator lives, and tells of them and of the projects that they changed since the look that
 * gave `horizon` (0: is_all). A change may be told twice, never not at all. 0 | STORE_IO | -ENOMEM; outside a transaction. */
int store_look(Store *store, int64_t horizon, Arena *arena, StoreLook *out) MUST_USE;
/* Whether what the last look told may not be so any more: the session is another one, perhaps with another server. */
bool store_must_look(const Store *store);
/* Behind a COMMIT that served who waits at another coordinator (WorkingSet.granted, RequestRow.heard_at) that one is called.
 * From now on others' calls for this one come, on a thread of the store's own, until store_listen(store, NULL, NULL)
 * returns. Not more than a hint: a look finds what is lost of it. -errno. */
int store_listen(Store *store, void (*on_call)(void *arg, const StoreCall *call), void *arg) MUST_USE;

/* One sentence about the last failure, for the log; valid until the next call. */
const char *store_reason(const Store *store);
