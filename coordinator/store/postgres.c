/*
 * One session with a PostgreSQL server, 15 or later, and its transactions. What must hold there is checked when it is
 * connected (postgres_connection.c); what a failure means is said here and in postgres_resolve.c:
 *
 *     an error before COMMIT's own answer, on a session that lives    nothing happened
 *     no answer to COMMIT, or a warning with it                       asked about under the project's lock
 *
 * Durable is what COMMIT confirms without a warning: synchronous_commit is on, and a standby that has to have it does.
 */
#include "store/postgres.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/hex.h"
#include "base/random.h"
#include "store/data_dir.h"

/* ---- transactions ---- */

static int postgres_begin(Store *store) {
    PostgresStore *s = postgres_store(store);
    assert(s->transaction == TRANSACTION_NONE);
    int r = postgres_resolve_doubt(s);
    if (r == 0)
        r = postgres_ensure_connection(s);
    if (r == 0)
        s->transaction = TRANSACTION_OPEN;
    return r;
}

static void end_transaction(PostgresStore *s) {
    s->transaction = TRANSACTION_NONE;
    s->has_written = false;
    s->calls.count = 0;
    s->noted_project[0] = '\0';
}

void postgres_rollback(Store *store) {
    PostgresStore *s = postgres_store(store);
    if (s->transaction == TRANSACTION_BEGUN || s->transaction == TRANSACTION_FAILED)
        postgres_send_rollback(s);
    end_transaction(s);
}

/* The answer to COMMIT, behind which are `behind` more: whether it says what it should, and nothing else. Calls are hints:
 * what becomes of them is nobody's failure, but the next look tells of it. */
static int receive_commit(PostgresStore *s, size_t behind) {
    OWN(postgres_clearp) PGresult *committed = NULL;
    int r = postgres_skip(s, s->expected - behind - 1);
    if (r == 0)
        r = postgres_receive(s, &committed);
    bool is_warned = s->is_warned; /* of COMMIT itself: its warnings come before its answer */
    if (r == 0 && behind == 0)
        r = postgres_finish(s);
    else if (r == 0 && postgres_finish(s) != 0)
        (void)snprintf(s->lost_call, sizeof s->lost_call, "%s", s->reason);
    s->is_warned = is_warned;
    if (r == 0 && strcmp(PQcmdStatus(committed), "COMMIT") != 0) {
        postgres_note(s, "PostgreSQL answered %s to COMMIT", PQcmdStatus(committed));
        return STORE_IO;
    }
    return r;
}

/* NOTIFY's own commit takes a lock that is the whole database's, so it has no place in the transaction it tells of. What is
 * behind COMMIT is one that ends with the round trip; an error before COMMIT makes the server skip it too. */
static int send_calls(PostgresStore *s) {
    int r = postgres_send_bare(s, PG_LAZILY);
    return r == 0 ? postgres_send(s, PG_CALL, &s->calls) : r;
}

/* *behind: how many statements come after COMMIT. */
static int send_commit(PostgresStore *s, size_t *behind) {
    s->is_warned = false;
    int r = postgres_send_bare(s, PG_COMMIT);
    size_t before = s->expected;
    if (r == 0 && s->calls.count > 0)
        r = send_calls(s);
    *behind = s->expected - before;
    if (r == 0)
        r = postgres_sync(s);
    FAILPOINT("committing");
    return r;
}

static int postgres_commit(Store *store) {
    PostgresStore *s = postgres_store(store);
    if (s->transaction == TRANSACTION_OPEN) { /* nothing was done in it */
        end_transaction(s);
        return 0;
    }
    assert(s->transaction != TRANSACTION_NONE);
    if (s->transaction == TRANSACTION_BEGUN && !s->has_written && !s->has_standby) {
        postgres_rollback(store);
        return 0;
    }
    size_t behind = 0;
    int r = s->transaction == TRANSACTION_FAILED ? STORE_IO : send_commit(s, &behind);
    if (r == 0)
        r = receive_commit(s, behind);
    bool is_in_doubt = (r != 0 && s->connection == NULL) || s->is_warned;
    if (is_in_doubt && s->noted_project[0] != '\0')
        r = postgres_resolve(s);
    else if (is_in_doubt && r == 0)
        r = STORE_IO; /* nothing was changed, but what was read may not be on the standby */
    if (r != 0)
        postgres_rollback(store);
    end_transaction(s);
    return r;
}

/* ---- what this engine has no need of ---- */

/* COMMIT was confirmed: it is durable. */
static int postgres_sync_nothing(Store *store, char *reason) {
    (void)store;
    (void)reason;
    return 0;
}

static int postgres_idle(Store *store) {
    (void)store;
    return 0;
}

static int postgres_backup_step(Store *store, const char *path) {
    if (path == NULL)
        return 0;
    postgres_note(
        postgres_store(store),
        "the rows are on PostgreSQL: `export --store URL` copies them, with the URL the daemon has, and so do "
        "its own tools: pg_dump --schema " POSTGRES_SCHEMA ", or a base backup of the server");
    return -ENOTSUP;
}

static const char *postgres_reason(const Store *store) {
    return ((const PostgresStore *)store)->reason;
}

/* ---- opening ---- */

static void postgres_close(Store *store) {
    PostgresStore *s = postgres_store(store);
    postgres_stop_listening(s);
    postgres_lose_connection(s);
    closep(&s->lock_fd);
    arena_deinit(&s->scratch);
    buffer_deinit(&s->arguments.bytes);
    buffer_deinit(&s->calls.bytes);
    free(s->url);
    free(s);
}

static void postgres_closep(PostgresStore **s) {
    if (*s != NULL)
        postgres_close(&(*s)->base);
}

static const StoreVtable postgres_vtable = {
    .close = postgres_close,
    .begin = postgres_begin,
    .load = postgres_load,
    .save = postgres_save,
    .commit = postgres_commit,
    .sync = postgres_sync_nothing,
    .rollback = postgres_rollback,
    .read = postgres_read,
    .find_key = postgres_find_key,
    .find_project = postgres_find_project,
    .save_key_used = postgres_save_key_used,
    .counts = postgres_counts,
    .prune = postgres_prune,
    .backup_step = postgres_backup_step,
    .dump = postgres_dump,
    .put = postgres_put,
    .idle = postgres_idle,
    .coordinator = postgres_coordinator,
    .renew = postgres_renew,
    .look = postgres_look,
    .must_look = postgres_must_look,
    .listen = postgres_listen,
    .reason = postgres_reason,
};

/* Its words may repeat a part of the URL, and that the password. */
static int check_url(PostgresStore *s) {
    char *words = NULL;
    PQconninfoOption *parts = PQconninfoParse(s->url, &words);
    PQfreemem(words);
    if (parts == NULL)
        postgres_note(s,
                      "the URL of the store is none that PostgreSQL knows: "
                      "postgres://USER@HOST:PORT/DATABASE?OPTION=VALUE, with what is not a letter or a digit as %%XX");
    PQconninfoFree(parts);
    return parts != NULL ? 0 : -EINVAL;
}

bool store_url_has_password(const char *url) {
    static const char *const secrets[] = {"password", "sslpassword"};
    bool has_password = false;
    PQconninfoOption *parts = PQconninfoParse(url, NULL);
    if (parts == NULL)
        return strchr(url, '@') != NULL || strstr(url, "password") != NULL;
    for (const PQconninfoOption *part = parts; part->keyword != NULL; part++)
        for (size_t i = 0; i < COUNT_OF(secrets); i++)
            has_password |= strcmp(part->keyword, secrets[i]) == 0 && part->val != NULL;
    PQconninfoFree(parts);
    return has_password;
}

/* The control socket is in it: one daemon. */
static int lock_data_dir(PostgresStore *s, const char *data_dir) {
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, sizeof s->reason);
    int r = data_dir_lock(data_dir, &s->lock_fd, &reason);
    const char *sentence = buffer_text(&reason);
    if (r != 0)
        postgres_note(s, "%s", sentence != NULL ? sentence : data_dir);
    return r;
}

static int name_writer(PostgresStore *s) {
    uint8_t bytes[16];
    int r = random_fill(random_system(), bytes, sizeof bytes);
    if (r == 0)
        hex_encode(bytes, sizeof bytes, s->writer);
    memcpy(&s->coordinator, bytes, sizeof s->coordinator);
    s->coordinator = (s->coordinator & INT64_MAX) | 1; /* never 0 */
    return r;
}

int store_open_postgres(Store **out, const StoreOptions *options, Buffer *reason) {
    assert(store_is_complete(&postgres_vtable));
    OWN(postgres_closep) PostgresStore *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    *s = (PostgresStore){.base = {.vtable = &postgres_vtable},
                         .clock = options->clock,
                         .program = options->program,
                         .lock_fd = -1,
                         .answer_ms = STORE_ANSWER_MS,
                         .doubt_ms = STORE_DOUBT_MS};
    arena_init(&s->scratch);
    s->url = strdup(options->url);
    int r = s->url == NULL ? -ENOMEM : check_url(s);
    if (r == 0 && options->data_dir != NULL)
        r = lock_data_dir(s, options->data_dir);
    if (r == 0)
        r = name_writer(s);
    if (r == 0)
        r = postgres_connect(s);
    if (r == 0)
        *out = &steal(&s)->base;
    else if (reason != NULL)
        buffer_add_text(reason, s->reason);
    return r;
}
