/*
 * A COMMIT whose answer did not come, or came with a warning: the server may have gone before it or after it, or it is
 * committed here and not on the standby that has to have it.
 *
 * The transaction wrote its number with its effect (table writer). So on a new connection: lock the project, which waits
 * until the old transaction is over, look for the number, and COMMIT. That COMMIT has a position in the log behind the
 * one asked about; when it is confirmed without a warning, so is the other.
 *
 *     number found, confirmed     committed and safe: answer as if nothing had been
 *     number not found            it never happened and never will
 *     no answer in time           nobody is told anything but that; store_begin asks again before it lets anybody in
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "base/limits.h"
#include "store/postgres.h"

#define PAUSE_MS 50 /* between attempts */

/* Whether the project has a row, locked now. */
static int lock_project(PostgresStore *s, Slice project, bool *is_there) {
    OWN(postgres_clearp) PGresult *rows = NULL;
    Rows names = {.projects = &project, .count = 1};
    size_t before = s->expected;
    arguments_clear(&s->arguments);
    arguments_add_projects(&s->arguments, &names);
    int r = postgres_send(s, PG_LOCK_PROJECTS, &s->arguments);
    if (r == 0)
        r = postgres_sync(s);
    if (r == 0)
        r = postgres_skip(s, before);
    if (r == 0)
        r = postgres_receive(s, &rows);
    if (r == 0)
        r = postgres_finish(s);
    *is_there = r == 0 && PQntuples(rows) == 1;
    return r;
}

/* Who made the project held the lock on its name. */
static int lock_name(PostgresStore *s, Slice project) {
    int r = postgres_send_name_lock(s, project);
    if (r == 0)
        r = postgres_sync(s);
    return r == 0 ? postgres_finish(s) : r;
}

/* The number of our last transaction there; and COMMIT, confirmed. */
static int read_number(PostgresStore *s, Slice project, int64_t *number) {
    OWN(postgres_clearp) PGresult *rows = NULL;
    s->is_warned = false;
    arguments_clear(&s->arguments);
    arguments_add_text(&s->arguments, project);
    arguments_add_text(&s->arguments, slice_of(s->writer));
    int r = postgres_send(s, PG_WRITER_NUMBER, &s->arguments);
    if (r == 0)
        r = postgres_send_bare(s, PG_COMMIT);
    if (r == 0)
        r = postgres_sync(s);
    if (r == 0)
        r = postgres_receive(s, &rows);
    if (r == 0)
        r = postgres_finish(s);
    if (r == 0)
        *number = PQntuples(rows) == 1 ? column_read_number(rows, 0, 0) : 0;
    return r == 0 && s->is_warned ? STORE_IO : r;
}

/* One attempt. 0: *is_committed is what became of it. */
static int ask(PostgresStore *s, Slice project, bool *is_committed) {
    bool is_there = false;
    int64_t number = 0;
    int r = s->connection != NULL ? 0 : postgres_connect(s);
    if (r == 0)
        r = postgres_send_bare(s, PG_BEGIN);
    if (r == 0)
        r = lock_project(s, project, &is_there);
    if (r == 0 && !is_there) {
        r = lock_name(s, project);
        if (r == 0)
            r = lock_project(s, project, &is_there);
    }
    if (r == 0)
        r = read_number(s, project, &number);
    *is_committed = r == 0 && number == s->number;
    if (r != 0)
        postgres_lose_connection(s); /* and the transaction with it */
    return r;
}

static void pause_between(void) {
    (void)poll(NULL, 0, PAUSE_MS);
}

/* 0 | -ETIMEDOUT | -ENOMEM. */
static int ask_until(PostgresStore *s, const char *project, int64_t patience_ms, bool *is_committed) {
    const Clock *clock = clock_system(); /* it bounds a real wait, whatever time a test plays */
    int64_t until_ms = clock_boot_ms(clock) + patience_ms;
    for (;;) {
        int r = ask(s, slice_of(project), is_committed);
        if (r == 0 || r == -ENOMEM)
            return r;
        if (clock_boot_ms(clock) >= until_ms)
            return -ETIMEDOUT;
        pause_between();
    }
}

int postgres_resolve(PostgresStore *s) {
    bool is_committed = false;
    s->transaction = TRANSACTION_NONE;
    int r = ask_until(s, s->noted_project, s->doubt_ms, &is_committed);
    if (r == 0)
        return is_committed ? 0 : STORE_IO;
    (void)snprintf(s->doubtful_project, sizeof s->doubtful_project, "%s", s->noted_project);
    return STORE_UNKNOWN;
}

/* It was told to be unknown, so what this process remembers may be older than the rows: that it has to read again. */
int postgres_resolve_doubt(PostgresStore *s) {
    bool is_committed = false;
    if (s->doubtful_project[0] == '\0')
        return 0;
    int r = postgres_ensure_connection(s); /* which knows when it is time to try again */
    if (r != 0)
        return r;
    r = ask_until(s, s->doubtful_project, 0, &is_committed);
    if (r != 0)
        return r == -ENOMEM ? r : STORE_IO;
    s->must_look_at_all |= is_committed;
    s->doubtful_project[0] = '\0';
    return 0;
}
