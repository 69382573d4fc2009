/*
 * Sending and receiving. Invariant: `expected` statements and then one sync are unread on the connection, behind
 * `unread_syncs` round trips that nobody is interested in; so results are always those one thinks they are.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "store/postgres.h"

/* ---- errors ---- */

void postgres_note(PostgresStore *s, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(s->reason, sizeof s->reason, format, arguments);
    va_end(arguments);
    for (char *c = s->reason; *c != '\0'; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    for (size_t length = strlen(s->reason); length > 0 && s->reason[length - 1] == ' '; length--)
        s->reason[length - 1] = '\0';
}

int postgres_result_of(const char *sqlstate) {
    static const struct {
        const char *sqlstate;
        int result;
    } results[] = {
        {"22012", STORE_CONFLICT}, /* a guard: see postgres_statements.c */
        {"23505", STORE_CONFLICT}, /* a row of that key is there already */
        {"40001", STORE_CONFLICT}, /* not to be serialized */
        {"40P01", STORE_CONFLICT}, /* a deadlock */
        {"53100", STORE_FULL},     /* the server's disk */
        {"55P03", STORE_BUSY},     /* lock_timeout */
    };
    for (size_t i = 0; sqlstate != NULL && i < COUNT_OF(results); i++)
        if (strcmp(sqlstate, results[i].sqlstate) == 0)
            return results[i].result;
    return STORE_IO;
}

/* An old primary that takes no writes any more, or a server on its way down: another host may do better. */
static bool is_of_no_use(const char *sqlstate) {
    return sqlstate == NULL || strcmp(sqlstate, "25006") == 0 || strncmp(sqlstate, "57P", 3) == 0;
}

int postgres_decoded(PostgresStore *s, int r, const Table *table) {
    if (r == -EBADMSG) {
        postgres_note(s, "a row of table %s holds what this version does not know", table->name);
        return STORE_IO;
    }
    return r;
}

/* What libpq says about the connection itself. */
static int connection_failed(PostgresStore *s, const char *doing) {
    postgres_note(s, "PostgreSQL, %s: %s", doing, PQerrorMessage(s->connection));
    postgres_lose_connection(s);
    return STORE_IO;
}

/* ---- waiting ---- */

int postgres_await(PGconn *connection, int64_t patience_ms) {
    const Clock *clock = clock_system(); /* it bounds a real wait, whatever time a test plays */
    int64_t until_ms = clock_boot_ms(clock) + patience_ms;
    while (PQisBusy(connection)) {
        int64_t left_ms = until_ms - clock_boot_ms(clock);
        struct pollfd readable = {.fd = PQsocket(connection), .events = POLLIN};
        int ready = left_ms > 0 ? poll(&readable, 1, (int)left_ms) : 0;
        if (ready == 0)
            return -ETIMEDOUT;
        if (ready > 0 && PQconsumeInput(connection) == 0)
            return -EIO;
    }
    return 0;
}

/* Until PQgetResult would not block. */
static int await_result(PostgresStore *s) {
    int r = postgres_await(s->connection, s->answer_ms);
    if (r == -EIO)
        return connection_failed(s, "waiting for an answer");
    if (r == 0)
        return 0;
    postgres_note(s, "PostgreSQL did not answer within %lld ms", (long long)s->answer_ms);
    postgres_lose_connection(s);
    return STORE_IO;
}

/* The next result, NULL between two statements. */
static int next_result(PostgresStore *s, PGresult **out) {
    if (s->connection == NULL)
        return STORE_IO;
    int r = await_result(s);
    if (r == 0)
        *out = PQgetResult(s->connection);
    return r;
}

/* Reads up to the end of the round trip, whatever comes. */
static int drain(PostgresStore *s) {
    ExecStatusType status = PGRES_EMPTY_QUERY;
    int nothing = 0;
    while (status != PGRES_PIPELINE_SYNC) {
        PGresult *result = NULL;
        int r = next_result(s, &result);
        if (r != 0)
            return r;
        status = result != NULL ? PQresultStatus(result) : PGRES_EMPTY_QUERY;
        nothing = result != NULL ? 0 : nothing + 1;
        PQclear(result);
        if (nothing > 1) /* after a NULL comes something, unless the connection broke */
            return connection_failed(s, "reading results");
    }
    return 0;
}

static int drain_unread(PostgresStore *s) {
    while (s->unread_syncs > 0) {
        int r = drain(s);
        if (r != 0)
            return r;
        s->unread_syncs--;
    }
    return 0;
}

/* ---- sending ---- */

int postgres_send(PostgresStore *s, PostgresStatement id, const Arguments *arguments) {
    const char *values[ARGUMENTS_MAX];
    int lengths[ARGUMENTS_MAX], formats[ARGUMENTS_MAX], count = arguments->count;
    char name[16];
    if (s->connection == NULL)
        return STORE_IO;
    if (buffer_error(&arguments->bytes) != 0)
        return buffer_error(&arguments->bytes);
    for (int i = 0; i < count; i++) {
        values[i] = arguments_value(arguments, i);
        lengths[i] = (int)arguments->lengths[i];
        formats[i] = 1;
    }
    (void)snprintf(name, sizeof name, "s%d", (int)id);
    if (PQsendQueryPrepared(s->connection, name, count, values, lengths, formats, 1) == 0)
        return connection_failed(s, "sending");
    s->expected++;
    return 0;
}

int postgres_rows_init(PostgresStore *s, Rows *rows, size_t most) {
    *rows = (Rows){.count = 0};
    if (most == 0)
        return 0;
    *rows = (Rows){.rows = arena_alloc(&s->scratch, most * sizeof *rows->rows),
                   .projects = arena_alloc(&s->scratch, most * sizeof *rows->projects)};
    return rows->rows != NULL && rows->projects != NULL ? 0 : -ENOMEM;
}

void postgres_rows_add(Rows *rows, Slice project, const void *row) {
    assert(rows->rows != NULL);
    rows->rows[rows->count] = row;
    rows->projects[rows->count++] = project;
}

int postgres_send_rows(PostgresStore *s, PostgresStatement id, const Table *table, const Rows *rows) {
    arguments_clear(&s->arguments);
    arguments_add_rows(&s->arguments, table, s->row_types[table->id], rows);
    return postgres_send(s, id, &s->arguments);
}

int postgres_send_bare(PostgresStore *s, PostgresStatement id) {
    static const Arguments none;
    return postgres_send(s, id, &none);
}

int postgres_send_begin(PostgresStore *s) {
    if (s->transaction == TRANSACTION_FAILED) {
        postgres_note(s, "PostgreSQL: the transaction has failed already");
        return STORE_IO;
    }
    if (s->transaction != TRANSACTION_OPEN)
        return 0;
    s->transaction = TRANSACTION_BEGUN;
    return postgres_send_bare(s, PG_BEGIN);
}

int postgres_send_find_project(PostgresStore *s, Slice name) {
    arguments_clear(&s->arguments);
    arguments_add_text(&s->arguments, name);
    return postgres_send(s, PG_FIND_PROJECT, &s->arguments);
}

int postgres_send_name_lock(PostgresStore *s, Slice name) {
    arguments_clear(&s->arguments);
    arguments_add_number(&s->arguments, POSTGRES_LOCKS_OF_NAMES);
    arguments_add_text(&s->arguments, name);
    return postgres_send(s, PG_LOCK_NAME, &s->arguments);
}

int postgres_sync(PostgresStore *s) {
    if (s->connection == NULL)
        return STORE_IO;
    if (PQpipelineSync(s->connection) == 0)
        return connection_failed(s, "sending");
    s->round_trips++;
    return drain_unread(s);
}

void postgres_send_rollback(PostgresStore *s) {
    if (s->connection == NULL)
        return;
    /* What was sent before may fail and would take the ROLLBACK with it. */
    bool is_sent = s->expected == 0 || PQpipelineSync(s->connection) == 1;
    s->unread_syncs += s->expected > 0;
    s->expected = 0;
    is_sent = is_sent && postgres_send_bare(s, PG_ROLLBACK) == 0 && PQpipelineSync(s->connection) == 1;
    if (!is_sent)
        postgres_lose_connection(s);
    s->unread_syncs += is_sent;
    s->expected = 0;
}

/* ---- receiving ---- */

/* An error of a statement: the rest of the round trip is skipped by the server, and read here. */
static int statement_failed(PostgresStore *s, const PGresult *result) {
    char sqlstate[6] = "";
    const char *field = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (field != NULL)
        (void)snprintf(sqlstate, sizeof sqlstate, "%s", field);
    if (PQresultStatus(result) != PGRES_PIPELINE_ABORTED)
        postgres_note(s, "PostgreSQL: %s", PQresultErrorMessage(result));
    if (s->transaction == TRANSACTION_BEGUN)
        s->transaction = TRANSACTION_FAILED;
    if (is_of_no_use(field != NULL ? sqlstate : NULL) || PQstatus(s->connection) == CONNECTION_BAD) {
        postgres_lose_connection(s);
        return STORE_IO;
    }
    s->expected = 0;
    int r = drain(s);
    return r != 0 ? r : postgres_result_of(sqlstate);
}

/* The first result of the next statement. */
static int receive(PostgresStore *s, PGresult **out) {
    PGresult *result = NULL;
    int r = next_result(s, &result);
    if (r != 0)
        return r;
    if (result == NULL)
        return connection_failed(s, "reading a result");
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_SINGLE_TUPLE) {
        *out = result;
        return 0;
    }
    r = statement_failed(s, result);
    PQclear(result);
    return r;
}

/* The NULL behind a statement's last result. */
static int end_statement(PostgresStore *s) {
    PGresult *result = NULL;
    int r = next_result(s, &result);
    assert(r != 0 || result == NULL);
    PQclear(result);
    s->expected -= r == 0;
    return r;
}

int postgres_receive(PostgresStore *s, PGresult **out) {
    OWN(postgres_clearp) PGresult *result = NULL;
    assert(s->connection == NULL || s->expected > 0);
    int r = receive(s, &result);
    if (r == 0)
        r = end_statement(s);
    if (r == 0)
        *out = steal(&result);
    return r;
}

void postgres_begin_rows(PostgresStore *s) {
    int is_row_by_row = PQsetSingleRowMode(s->connection);
    assert(is_row_by_row == 1);
    (void)is_row_by_row;
}

int postgres_receive_row(PostgresStore *s, PGresult **out) {
    OWN(postgres_clearp) PGresult *result = NULL;
    int r = receive(s, &result);
    if (r != 0)
        return r;
    if (PQresultStatus(result) == PGRES_SINGLE_TUPLE) {
        *out = steal(&result);
        return 0;
    }
    *out = NULL;
    return end_statement(s);
}

int postgres_skip(PostgresStore *s, size_t count) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        PGresult *result = NULL;
        r = postgres_receive(s, &result);
        PQclear(result);
    }
    return r;
}

int postgres_finish(PostgresStore *s) {
    int r = postgres_skip(s, s->expected);
    return r == 0 ? drain(s) : r;
}
