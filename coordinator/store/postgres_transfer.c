/* Everything out, by one transaction's view and row by row; and everything into empty tables, by one transaction. */
#include <assert.h>
#include <errno.h>

#include "store/postgres.h"

static const struct {
    PostgresStatement dump, insert;
    const Table *table;
} kinds[STORED_KINDS] = {
    [STORED_PROJECT] = {PG_DUMP_PROJECTS, PG_PROJECT_INSERT, &postgres_projects},
    [STORED_KEY] = {PG_DUMP_KEYS, PG_KEY_INSERT, &postgres_keys},
    [STORED_STACK] = {PG_DUMP_STACKS, PG_STACK_INSERT, &postgres_stacks},
    [STORED_REQUEST] = {PG_DUMP_REQUESTS, PG_REQUEST_INSERT, &postgres_requests},
    [STORED_EVENT] = {PG_DUMP_EVENTS, PG_EVENT_INSERT, &postgres_events},
};

/* ---- out ---- */

static int send_dump(PostgresStore *s) {
    int r = postgres_send_bare(s, PG_DUMP_BEGIN);
    for (size_t i = 0; r == 0 && i < COUNT_OF(kinds); i++)
        r = postgres_send_bare(s, kinds[i].dump);
    if (r == 0)
        r = postgres_send_bare(s, PG_COMMIT);
    return r == 0 ? postgres_sync(s) : r;
}

/* The project's name stands before the row's own columns. */
static int hand_over(PostgresStore *s, const PGresult *result, StoredKind kind, StoredRowReader *each, void *arg) {
    StoredRow row = {.kind = kind, .project = column_read_text(result, 0, 0)};
    const Table *table = kinds[kind].table;
    int r = postgres_decoded(s, columns_read(table, result, 0, 1, NULL, &row.as), table);
    return r != 0 ? r : each(arg, &row);
}

static int receive_rows(PostgresStore *s, StoredKind kind, StoredRowReader *each, void *arg) {
    postgres_begin_rows(s);
    for (;;) {
        OWN(postgres_clearp) PGresult *row = NULL;
        int r = postgres_receive_row(s, &row);
        if (r == 0 && row == NULL)
            return 0;
        if (r == 0)
            r = hand_over(s, row, kind, each, arg);
        if (r != 0)
            return r;
    }
}

int postgres_dump(Store *store, StoredRowReader *each, void *arg) {
    PostgresStore *s = postgres_store(store);
    int r = postgres_ensure_connection(s);
    if (r == 0)
        r = send_dump(s);
    if (r == 0)
        r = postgres_skip(s, 1);
    for (int kind = 0; r == 0 && kind < STORED_KINDS; kind++)
        r = receive_rows(s, (StoredKind)kind, each, arg);
    if (r == 0)
        r = postgres_finish(s);
    if (r != 0)
        postgres_lose_connection(s); /* in the middle of rows, that may be many, and of a transaction */
    return r;
}

/* ---- in ---- */

/* The first thing in the transaction. */
static int check_empty(PostgresStore *s) {
    OWN(postgres_clearp) PGresult *found = NULL;
    int r = postgres_send_begin(s);
    if (r == 0)
        r = postgres_send_bare(s, PG_PUT_PATIENCE);
    if (r == 0)
        r = postgres_send_bare(s, PG_PUT_LOCK);
    if (r == 0)
        r = postgres_send_bare(s, PG_PUT_CHECK);
    if (r == 0)
        r = postgres_sync(s);
    if (r == 0)
        r = postgres_skip(s, s->expected - 1);
    if (r == 0)
        r = postgres_receive(s, &found);
    if (r == 0)
        r = postgres_finish(s);
    if (r != 0 || column_read_number(found, 0, 0) == 0)
        return r;
    postgres_note(s, "schema " POSTGRES_SCHEMA " of database %s is not empty", PQdb(s->connection));
    return STORE_CONFLICT;
}

/* A stack's columns are those of its slot. */
static int make_slots(PostgresStore *s, const StoredRow *rows, Rows *out) {
    StackSlot *slots = arena_alloc(&s->scratch, out->count * sizeof *slots);
    if (slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < out->count; i++) {
        slots[i].row = rows[i].as.stack;
        out->rows[i] = &slots[i];
    }
    return 0;
}

/* Whoever asks what became of it waits for the lock on the name, as there is no row to be locked. And other coordinators see
 * which projects are new. */
static int note_projects(PostgresStore *s, const Rows *projects) {
    int r = postgres_send_name_lock(s, projects->projects[0]);
    return r == 0 ? postgres_note_transaction(s, projects) : r;
}

/* Rows of one kind that follow one another. */
static int send_run(PostgresStore *s, const StoredRow *rows, size_t count) {
    StoredKind kind = rows->kind;
    Rows run;
    int r = postgres_rows_init(s, &run, count);
    for (size_t i = 0; r == 0 && i < count; i++)
        postgres_rows_add(&run, rows[i].project, &rows[i].as);
    if (r == 0 && kind == STORED_STACK)
        r = make_slots(s, rows, &run);
    if (r == 0 && kind == STORED_PROJECT)
        r = note_projects(s, &run);
    return r == 0 ? postgres_send_rows(s, kinds[kind].insert, kinds[kind].table, &run) : r;
}

static int put_rows(PostgresStore *s, const StoredRow *rows, size_t count) {
    int r = 0;
    s->has_written = true;
    for (size_t at = 0, length; r == 0 && at < count; at += length) {
        for (length = 1; at + length < count && rows[at + length].kind == rows[at].kind;)
            length++;
        r = send_run(s, rows + at, length);
    }
    if (r == 0)
        r = postgres_sync(s);
    return r == 0 ? postgres_finish(s) : r;
}

int postgres_put(Store *store, const StoredRow *rows, size_t count) {
    PostgresStore *s = postgres_store(store);
    arena_reset(&s->scratch);
    int r = s->transaction == TRANSACTION_OPEN ? check_empty(s) : 0;
    if (r == 0 && count > 0)
        r = put_rows(s, rows, count);
    if (r != 0)
        postgres_rollback(store);
    return r;
}
