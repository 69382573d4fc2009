/*
 * Private to the PostgreSQL engine (and its tests): the connection, what is under way on it, and how its errors become
 * results of store.h.
 *
 *     begin     nothing is sent yet
 *     load      BEGIN, the projects' rows locked, every want: one round trip
 *     save      the changed rows, sent and not waited for
 *     commit    … with COMMIT, and behind it calls to other coordinators: one round trip
 *
 * The connection is in pipeline mode for good: statements are sent, a sync ends the round trip, results are read in
 * order. An error makes the server skip everything up to the sync, so a COMMIT behind it never happens.
 *
 * postgres_hosts.c connects, postgres_connection.c refuses what cannot be trusted; postgres_pipeline.c sends and receives;
 * postgres_resolve.c finds out about a COMMIT that was not answered; postgres_load.c, _save.c, _read.c, _prune.c,
 * _transfer.c do the rest; postgres_others.c is about the other coordinators, whose calls postgres_listener.c hears on a
 * session of its own; postgres_columns.c and postgres_statements.c know the tables.
 */
#pragma once

#include <libpq-fe.h>

#include "base/limits.h"
#include "store/postgres_columns.h"
#include "store/store.h"

/* A number of base/limits.h, in the text of a statement or an option. */
#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number

/* Every statement, prepared on each connection; texts in postgres_statements.c. */
typedef enum PostgresStatement {
    PG_BEGIN,
    PG_COMMIT,
    PG_ROLLBACK,
    PG_LOCK_PROJECTS,
    PG_LOCK_NAME,
    PG_LOAD_STACK_BY_NUMBER,
    PG_LOAD_STACK_HIGHEST,
    PG_LOAD_FREE_ON_BRANCH,
    PG_LOAD_FREE_AT_COMMIT,
    PG_LOAD_FREE_OLDEST,
    PG_LOAD_DIRTY_OLDEST,
    PG_LOAD_QUEUE,
    PG_LOAD_QUEUED_BEFORE,
    PG_LOAD_NUMBERS_UNUSED,
    PG_LOAD_REQUEST_BY_ID,
    PG_LOAD_REQUEST_BY_TICKET,
    PG_LOAD_KEY_BY_ID,
    PG_LOAD_KEYS,
    PG_PROJECT_INSERT,
    PG_PROJECT_UPDATE,
    PG_STACK_INSERT,
    PG_STACK_UPDATE,
    PG_STACK_DELETE,
    PG_REQUEST_INSERT,
    PG_REQUEST_UPDATE,
    PG_KEY_INSERT,
    PG_KEY_UPDATE,
    PG_KEY_DELETE,
    PG_KEY_USED,
    PG_EVENT_INSERT,
    PG_WRITER_NOTE,
    PG_WRITER_NUMBER,
    PG_FIND_PROJECT,
    PG_FIND_KEY,
    PG_LIST_STACKS,
    PG_LIST_QUEUE,
    PG_LIST_EVENTS,
    PG_LIST_EVENTS_BACKWARDS,
    PG_LIST_STACK_EVENTS,
    PG_LIST_STACK_EVENTS_BACKWARDS,
    PG_LIST_PROJECTS,
    PG_LIST_KEYS,
    PG_LIST_ALL_KEYS,
    PG_LIST_WATCHED_STACKS,
    PG_LIST_WATCHED_REQUESTS,
    PG_LIST_WATCHED_STACKS_OF,
    PG_LIST_WATCHED_REQUESTS_OF,
    PG_COUNT_STACKS,
    PG_DUMP_BEGIN,
    PG_DUMP_PROJECTS,
    PG_DUMP_KEYS,
    PG_DUMP_STACKS,
    PG_DUMP_REQUESTS,
    PG_DUMP_EVENTS,
    PG_PUT_LOCK,
    PG_PUT_PATIENCE,
    PG_PUT_CHECK,
    PG_PRUNE_EVENTS,
    PG_PRUNE_REQUESTS,
    PG_PRUNE_WRITERS,
    PG_PRUNE_COORDINATORS,
    PG_LAZILY,
    PG_RENEW,
    PG_BEAT,
    PG_BEATS,
    PG_HORIZON,
    PG_CHANGED,
    PG_CALL,
    PG_STATEMENT_COUNT,
} PostgresStatement;
/* Appends the text of a statement. */
void postgres_statement_text(PostgresStatement id, Buffer *out);

#define POSTGRES_SCHEMA "stack_coordinator"
/* Advisory locks are pairs of numbers: ours ("SOst"), and which. Names of projects hash into the whole second range. */
#define POSTGRES_LOCKS 1397715828
#define POSTGRES_LOCK_MIGRATION 2
#define POSTGRES_LOCKS_OF_COORDINATORS (POSTGRES_LOCKS + 2) /* shared, held by the session of each */
#define POSTGRES_LOCKS_OF_NAMES (POSTGRES_LOCKS + 1)

#define POSTGRES_OLDEST_SERVER 150000
/* What a coordinator listens on: this and its number. */
#define POSTGRES_CHANNEL "stack_coordinator_"

typedef enum PostgresTransaction {
    TRANSACTION_NONE,
    TRANSACTION_OPEN,   /* store_begin came; BEGIN was not sent yet */
    TRANSACTION_BEGUN,  /* it was */
    TRANSACTION_FAILED, /* it was, and something failed: only a rollback helps */
} PostgresTransaction;

typedef struct PostgresStore {
    Store base;
    const Clock *clock;
    const char *program;
    char *url;
    int lock_fd; /* of the data directory; -1: there is none */

    /* STORE_ANSWER_MS and STORE_DOUBT_MS, but tests have less patience. */
    int64_t answer_ms, doubt_ms;

    PGconn *connection; /* NULL: away */
    int64_t retry_at_ms, backoff_ms;
    size_t expected;  /* statements sent since the last sync whose results nobody has read */
    int unread_syncs; /* round trips whose results nobody wants: a ROLLBACK is not waited for */
    bool is_warned;   /* the server sent a warning since it was last cleared */
    bool has_standby; /* COMMIT waits for one */
    bool must_look_at_all;
    bool has_written;                  /* the transaction under way, something */
    struct PostgresListener *listener; /* NULL: nobody listens */
    int64_t round_trips;
    uint32_t row_types[TABLE_COUNT]; /* this server's numbers of the tables' row types */

    PostgresTransaction transaction;
    int64_t coordinator;                         /* random, of this store: its number in table coordinator */
    char writer[33];                             /* likewise, its name in table writer */
    int64_t number;                              /* of its last transaction that changed anything */
    char noted_project[PROJECT_NAME_MAX + 1];    /* where the one under way is noted; "": it is not */
    char doubtful_project[PROJECT_NAME_MAX + 1]; /* likewise of one that was told to be unknown; "": there is none */

    Arguments arguments;
    Arguments calls; /* of PG_CALL, to be sent behind the COMMIT of the transaction under way; none: nobody is called */
    Arena scratch;   /* of one call */
    char sqlstate[6];                  /* of the last question that failed */
    char lost_call[STORE_REASON_SIZE]; /* why one failed since the last look; "": none did */
    char reason[STORE_REASON_SIZE];
} PostgresStore;

static inline PostgresStore *postgres_store(Store *store) {
    return (PostgresStore *)store; /* base is the first member */
}

/* postgres_connection.c */
/* One attempt: connects, checks what must hold, migrates, prepares. 0 | as store_open_postgres, the reason noted. */
int postgres_connect(PostgresStore *s) MUST_USE;
/* A connection that is there as far as one can see, made anew if it is time to try again. 0 | STORE_IO | … */
int postgres_ensure_connection(PostgresStore *s) MUST_USE;
/* postgres_hosts.c: connects to the host of the URL that takes writes (or what else its target_session_attrs says), within
 * STORE_CONNECT_SECONDS, asking nothing. NULL: `reason` says why. */
PGconn *postgres_open_connection(const char *url, char *reason, size_t size) MUST_USE;
/* postgres_connection.c. Closes the connection, if there is one: whatever was under way on it has ended, as far as this side knows. */
void postgres_lose_connection(PostgresStore *s);

/* Questions before the pipeline. Text results; NULL: it failed, the reason noted. Several statements in one text: the last
 * one's result, a failure of any. */
PGresult *postgres_ask(PostgresStore *s, PGconn *connection, const char *question, int64_t patience_ms) MUST_USE;

/* The statement that gives a session its settings. */
void postgres_session_text(Buffer *out);

/* postgres_migrate.c, on a connection that is not in pipeline mode. 0 | STORE_NEWER_SCHEMA | STORE_FULL | STORE_IO |
 * -EBADMSG | -ENOMEM, the reason noted. */
int postgres_migrate(PostgresStore *s) MUST_USE;

/* postgres_pipeline.c */
/* Notes one sentence; line breaks become blanks. */
void postgres_note(PostgresStore *s, const char *format, ...) PRINTF_LIKE(2, 3);
/* The result of store.h for an SQLSTATE; "" or NULL: the connection's own trouble. */
int postgres_result_of(const char *sqlstate);
/* Until PQgetResult would not block: 0 | -ETIMEDOUT | -EIO. */
int postgres_await(PGconn *connection, int64_t patience_ms) MUST_USE;
/* Sends a statement (its arguments are copied). 0 | -ENOMEM | STORE_IO. */
int postgres_send(PostgresStore *s, PostgresStatement id, const Arguments *arguments) MUST_USE;
/* The same without parameters. */
int postgres_send_bare(PostgresStore *s, PostgresStatement id) MUST_USE;
/* Room for `most` rows of one statement, in the scratch memory; then one row after another, which is borrowed. 0 | -ENOMEM. */
int postgres_rows_init(PostgresStore *s, Rows *rows, size_t most) MUST_USE;
void postgres_rows_add(Rows *rows, Slice project, const void *row);
/* Sends a statement about rows, its one parameter. */
int postgres_send_rows(PostgresStore *s, PostgresStatement id, const Table *table, const Rows *rows) MUST_USE;
/* BEGIN, if the transaction that is open was not begun. */
int postgres_send_begin(PostgresStore *s) MUST_USE;
/* The project's row, not locked; a lock on its name, for one that has no row. */
int postgres_send_find_project(PostgresStore *s, Slice name) MUST_USE;
int postgres_send_name_lock(PostgresStore *s, Slice name) MUST_USE;
/* Ends the round trip: what was sent is on its way. */
int postgres_sync(PostgresStore *s) MUST_USE;
/* The result of the next statement; the caller PQclears it. A failure ends the round trip. */
int postgres_receive(PostgresStore *s, PGresult **out) MUST_USE;
/* Receives `count` results that have no rows anybody wants. */
int postgres_skip(PostgresStore *s, size_t count) MUST_USE;
/* Receives all that are left, and the end of the round trip. */
int postgres_finish(PostgresStore *s) MUST_USE;
/* Sends ROLLBACK without waiting, if a transaction was begun. */
void postgres_send_rollback(PostgresStore *s);
/* The next statement's result one row at a time, for lists: begun before anything of it is received, then 0 with *out NULL
 * after the last one. */
void postgres_begin_rows(PostgresStore *s);
int postgres_receive_row(PostgresStore *s, PGresult **out) MUST_USE;
static inline void postgres_clearp(PGresult **result) {
    PQclear(*result);
    *result = NULL;
}
/* Notes that a table holds what no version writes; the result for it. `r` as columns_read: 0 and -ENOMEM stay. */
int postgres_decoded(PostgresStore *s, int r, const Table *table) MUST_USE;

/* postgres_resolve.c: what became of the transaction under way, whose COMMIT was not answered cleanly. 0: it is committed
 * and safe; STORE_IO: it is not and never will be; STORE_UNKNOWN. */
int postgres_resolve(PostgresStore *s) MUST_USE;
/* For store_begin: the doubt of an earlier transaction, if there is one, asked about again. */
int postgres_resolve_doubt(PostgresStore *s) MUST_USE;

/* postgres_load.c */
int postgres_load(Store *store, WorkingSet **sets, size_t count) MUST_USE;
/* postgres_save.c */
int postgres_save(Store *store, WorkingSet **sets, size_t count) MUST_USE;
int postgres_save_key_used(Store *store, Slice id, int64_t wall_ms) MUST_USE;
/* The number of this transaction, in each project it changed: all of it is there if that is in one of them. */
int postgres_note_transaction(PostgresStore *s, const Rows *changed) MUST_USE;
/* postgres_transfer.c */
int postgres_dump(Store *store, StoredRowReader *each, void *arg) MUST_USE;
int postgres_put(Store *store, const StoredRow *rows, size_t count) MUST_USE;
/* postgres_read.c */
int postgres_read(Store *store, const ReadQuery *query, const StoreRows *rows) MUST_USE;
int postgres_find_key(Store *store, Slice id, Arena *arena, KeyRow *key, ProjectRow *project) MUST_USE;
int postgres_find_project(Store *store, Slice name, Arena *arena, ProjectRow *project) MUST_USE;
int postgres_counts(Store *store, StoreCounts *out) MUST_USE;
/* postgres_others.c */
int64_t postgres_coordinator(const Store *store);
int postgres_renew(Store *store, Renewal *renewals, size_t count) MUST_USE;
bool postgres_must_look(const Store *store);
int postgres_look(Store *store, int64_t horizon, Arena *arena, StoreLook *out) MUST_USE;
/* postgres_listener.c */
int postgres_listen(Store *store, void (*on_call)(void *arg, const StoreCall *call), void *arg) MUST_USE;
void postgres_stop_listening(PostgresStore *s);
/* postgres_prune.c */
int postgres_prune(Store *store, int64_t events_before_ms, int64_t requests_before_ms, size_t budget) MUST_USE;
/* postgres.c */
void postgres_rollback(Store *store);
