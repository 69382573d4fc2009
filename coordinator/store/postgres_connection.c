/*
 * Connecting: what the URL says, then what must hold on the other side before anything is trusted to it. Every
 * connection is checked, not the first alone: after a failover it leads to another server.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "store/postgres.h"

/* What every session has, whatever the server's or the role's defaults are. */
static const struct {
    const char *name, *value;
} settings[] = {
    {"search_path", POSTGRES_SCHEMA ", pg_temp"},
    {"default_transaction_isolation", "read committed"},
    /* A coordinator that stops in the middle of a transaction, or whose machine is gone, must not keep its locks. */
    {"idle_in_transaction_session_timeout", TEXT_OF(STORE_IDLE_MS)},
    {"tcp_keepalives_idle", "5"},
    {"tcp_keepalives_interval", "2"},
    {"tcp_keepalives_count", "3"},
    {"tcp_user_timeout", TEXT_OF(STORE_ANSWER_MS)},
    {"lock_timeout", TEXT_OF(STORE_LOCK_MS)},
    /* Never: it would end a COMMIT's wait for a standby, which then is committed and not safe. */
    {"statement_timeout", "0"},
    /* Each statement seeks an index, however small or new the table is; so one plan, made once, is right for good. What
     * has no other way still sorts and scans: "off" is a high price. */
    {"plan_cache_mode", "force_generic_plan"},
    {"enable_seqscan", "off"},
    {"enable_bitmapscan", "off"},
    {"enable_hashjoin", "off"},
    {"enable_mergejoin", "off"},
    {"enable_sort", "off"},
    {"jit", "off"},
};

void postgres_lose_connection(PostgresStore *s) {
    if (s->connection == NULL)
        return;
    PQfinish(s->connection);
    s->connection = NULL;
    s->expected = 0;
    s->unread_syncs = 0;
    if (s->transaction == TRANSACTION_BEGUN)
        s->transaction = TRANSACTION_FAILED;
}

static void note_warning(void *arg, const PGresult *result) {
    PostgresStore *s = arg;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity == NULL || strcmp(severity, "WARNING") != 0)
        return;
    s->is_warned = true;
    postgres_note(s, "PostgreSQL: %s", PQresultErrorMessage(result));
}

/* ---- what must hold ---- */

/* The result that is there, kept in place of the one before. */
static bool keep_last(PGconn *connection, PGresult **last) {
    PGresult *next = PQgetResult(connection);
    if (next == NULL)
        return false;
    bool is_failed = *last != NULL && PQresultStatus(*last) == PGRES_FATAL_ERROR;
    PQclear(is_failed ? next : *last);
    *last = is_failed ? *last : next;
    return true;
}

PGresult *postgres_ask(PostgresStore *s, PGconn *connection, const char *question, int64_t patience_ms) {
    OWN(postgres_clearp) PGresult *last = NULL;
    int r = PQsendQuery(connection, question) == 1 ? postgres_await(connection, patience_ms) : -EIO;
    while (r == 0 && keep_last(connection, &last))
        r = postgres_await(connection, patience_ms);
    ExecStatusType status = PQresultStatus(last);
    if (r == 0 && (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK))
        return steal(&last);
    const char *sqlstate = PQresultErrorField(last, PG_DIAG_SQLSTATE);
    (void)snprintf(s->sqlstate, sizeof s->sqlstate, "%s", sqlstate != NULL ? sqlstate : "");
    if (r == -ETIMEDOUT)
        postgres_note(s, "PostgreSQL did not answer within %lld ms", (long long)patience_ms);
    else
        postgres_note(s, "PostgreSQL: %s", last != NULL ? PQresultErrorMessage(last) : PQerrorMessage(connection));
    return NULL;
}

static PGresult *ask(PostgresStore *s, const char *question) {
    return postgres_ask(s, s->connection, question, STORE_ANSWER_MS);
}

static bool is_text(const PGresult *result, int at, const char *expected) {
    return strcmp(PQgetvalue(result, 0, at), expected) == 0;
}

static int check_server(PostgresStore *s) {
    if (PQserverVersion(s->connection) < POSTGRES_OLDEST_SERVER) {
        postgres_note(s, "the PostgreSQL server is of version %d; 15 is the oldest that will do",
                      PQserverVersion(s->connection) / 10000);
        return STORE_IO;
    }
    OWN(postgres_clearp)
    PGresult *found =
        ask(s, "SELECT current_setting('transaction_read_only'), current_setting('fsync'), "
               "current_setting('synchronous_commit'), current_setting('server_encoding'), current_database()");
    if (found == NULL)
        return STORE_IO;
    const char *database = PQgetvalue(found, 0, 4);
    if (is_text(found, 0, "on"))
        postgres_note(s,
                      "the PostgreSQL server takes no writes: it is a standby, or default_transaction_read_only is on");
    else if (!is_text(found, 1, "on"))
        postgres_note(s,
                      "the PostgreSQL server runs with fsync off: what it confirms a power loss takes back; set it on");
    else if (!is_text(found, 2, "on") && !is_text(found, 2, "remote_apply"))
        postgres_note(s,
                      "synchronous_commit is %s, so what PostgreSQL confirms may be lost: set it on, for the server, "
                      "the database and the role",
                      PQgetvalue(found, 0, 2));
    else if (!is_text(found, 3, "UTF8"))
        postgres_note(s, "the encoding of database %s is %s: make one with ENCODING 'UTF8' TEMPLATE template0",
                      database, PQgetvalue(found, 0, 3));
    else
        return 0;
    return STORE_IO;
}

/* Two sessions of a pooler that lends servers for a transaction each may see the same one; their own, never. Asked only
 * where there is a pooler: it makes up the number of the process behind a connection. */
static int check_pooler(PostgresStore *s) {
    static const char question[] = "SELECT pg_backend_pid()";
    OWN(postgres_clearp) PGresult *mine = ask(s, question);
    if (mine == NULL)
        return STORE_IO;
    if (atoi(PQgetvalue(mine, 0, 0)) == PQbackendPID(s->connection))
        return 0;
    PGconn *other = postgres_open_connection(s->url, s->reason, sizeof s->reason);
    if (other == NULL)
        return STORE_IO;
    OWN(postgres_clearp) PGresult *begun = postgres_ask(s, other, "BEGIN", STORE_ANSWER_MS);
    OWN(postgres_clearp) PGresult *theirs = postgres_ask(s, other, question, STORE_ANSWER_MS);
    OWN(postgres_clearp) PGresult *again = ask(s, question);
    bool is_shared = theirs != NULL && again != NULL &&
                     (is_text(theirs, 0, PQgetvalue(mine, 0, 0)) || !is_text(mine, 0, PQgetvalue(again, 0, 0)));
    bool is_answered = theirs != NULL && again != NULL;
    PQfinish(other);
    if (is_shared)
        postgres_note(s, "between here and PostgreSQL is a pooler that gives each transaction another session: let it "
                         "pool sessions (pool_mode = session), or go to the server itself");
    return is_answered && !is_shared ? 0 : STORE_IO;
}

void postgres_session_text(Buffer *out) {
    /* synchronous_commit stays what it was when it was looked at, should somebody lower it later. */
    buffer_add_text(out, "SELECT set_config('synchronous_commit', current_setting('synchronous_commit'), false)");
    for (size_t i = 0; i < COUNT_OF(settings); i++)
        buffer_printf(out, ", set_config('%s', '%s', false)", settings[i].name, settings[i].value);
}

static int set_session(PostgresStore *s) {
    OWN(buffer_deinit) Buffer question;
    buffer_init(&question, 4096);
    postgres_session_text(&question);
    const char *text = buffer_text(&question);
    if (text == NULL)
        return -ENOMEM;
    OWN(postgres_clearp) PGresult *set = ask(s, text);
    return set != NULL ? 0 : STORE_IO;
}

/* Rights are looked at before they are needed, else a job would be the first to hear. */
static int check_rights(PostgresStore *s) {
    OWN(postgres_clearp)
    PGresult *found =
        ask(s, "SELECT coalesce(string_agg(c.relname || ' (' || p || ')', ', '), ''), current_user FROM pg_class c, "
               "unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p WHERE c.relkind = 'r' AND c.relnamespace = "
               "'" POSTGRES_SCHEMA "'::regnamespace AND c.relname NOT IN ('schema', 'compatibility') "
               "AND NOT has_table_privilege(c.oid, p)");
    if (found == NULL)
        return STORE_IO;
    if (is_text(found, 0, ""))
        return 0;
    postgres_note(s, "role %s lacks rights on tables of schema " POSTGRES_SCHEMA ": %.300s", PQgetvalue(found, 0, 1),
                  PQgetvalue(found, 0, 0));
    return STORE_IO;
}

/* Held as long as the session lives, and so says that it does. */
static int show_session(PostgresStore *s) {
    char question[96];
    (void)snprintf(question, sizeof question, "SELECT pg_advisory_lock_shared(%d, %d)", POSTGRES_LOCKS_OF_COORDINATORS,
                   (int)(s->coordinator & INT32_MAX));
    OWN(postgres_clearp) PGresult *held = ask(s, question);
    return held != NULL ? 0 : STORE_IO;
}

/* ---- statements ---- */

/* Each database has numbers of its own for the types its schema makes. */
static int find_row_types(PostgresStore *s) {
    OWN(buffer_deinit) Buffer question;
    buffer_init(&question, 4096);
    for (int id = 0; id < TABLE_COUNT; id++)
        buffer_printf(&question, "%s '%s'::regtype::oid", id == 0 ? "SELECT" : ",", postgres_tables[id]->row_type);
    const char *text = buffer_text(&question);
    if (text == NULL)
        return -ENOMEM;
    OWN(postgres_clearp) PGresult *found = ask(s, text);
    for (int id = 0; found != NULL && id < TABLE_COUNT; id++)
        s->row_types[id] = (uint32_t)strtoul(PQgetvalue(found, 0, id), NULL, 10);
    return found != NULL ? 0 : STORE_IO;
}

static int prepare_all(PostgresStore *s) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, 65536);
    if (PQenterPipelineMode(s->connection) == 0)
        return STORE_IO;
    for (int id = 0; id < PG_STATEMENT_COUNT; id++) {
        char name[16];
        (void)snprintf(name, sizeof name, "s%d", id);
        buffer_clear(&text);
        postgres_statement_text((PostgresStatement)id, &text);
        const char *sql = buffer_text(&text);
        if (sql == NULL)
            return -ENOMEM;
        if (PQsendPrepare(s->connection, name, sql, 0, NULL) == 0) {
            postgres_note(s, "PostgreSQL, preparing: %s", PQerrorMessage(s->connection));
            return STORE_IO;
        }
        s->expected++;
    }
    int r = postgres_sync(s);
    return r == 0 ? postgres_finish(s) : r;
}

/* ---- */

static int check(PostgresStore *s) {
    static int (*const steps[])(PostgresStore *) = {check_server, check_pooler, set_session,    postgres_migrate,
                                                    check_rights, show_session, find_row_types, prepare_all};
    int r = 0;
    for (size_t i = 0; r == 0 && i < COUNT_OF(steps); i++)
        r = steps[i](s);
    return r;
}

int postgres_connect(PostgresStore *s) {
    assert(s->connection == NULL);
    char reason[sizeof s->reason];
    s->connection = postgres_open_connection(s->url, reason, sizeof reason);
    if (s->connection == NULL) {
        postgres_note(s, "cannot connect to PostgreSQL: %s", reason);
        return STORE_IO;
    }
    (void)PQsetNoticeReceiver(s->connection, note_warning, s);
    s->must_look_at_all = true; /* another server may number its transactions otherwise */
    int r = check(s);
    if (r != 0)
        postgres_lose_connection(s);
    return r;
}

/* Whether the server has not hung up while nobody looked. Its last words come before the end does. */
static bool is_alive(PostgresStore *s) {
    struct pollfd readable = {.fd = PQsocket(s->connection), .events = POLLIN};
    while (poll(&readable, 1, 0) > 0)
        if (PQconsumeInput(s->connection) == 0)
            return false;
    return PQstatus(s->connection) == CONNECTION_OK;
}

int postgres_ensure_connection(PostgresStore *s) {
    if (s->connection != NULL && is_alive(s))
        return 0;
    postgres_lose_connection(s);
    int64_t now_ms = clock_boot_ms(clock_system());
    if (now_ms < s->retry_at_ms)
        return STORE_IO; /* the reason is that of the last attempt */
    int r = postgres_connect(s);
    if (r == 0) {
        s->backoff_ms = 0;
        s->retry_at_ms = 0;
        return 0;
    }
    s->backoff_ms = s->backoff_ms == 0                       ? STORE_RETRY_MIN_MS
                    : s->backoff_ms < STORE_RETRY_MAX_MS / 2 ? s->backoff_ms * 2
                                                             : STORE_RETRY_MAX_MS;
    s->retry_at_ms = clock_boot_ms(clock_system()) + s->backoff_ms;
    return r == -ENOMEM ? r : STORE_IO;
}
