/*
 * What several coordinators tell each other through the database: renewals, signs of life, what changed, who was served.
 *
 * Which projects changed: every transaction that changes one leaves its number there (table writer). Transactions end in
 * another order than they were numbered in; so a look asks for those from the oldest one on that was under way when it
 * looked last. Whatever had a lower number was over then, and was seen.
 */
#include <assert.h>
#include <errno.h>

#include "store/postgres.h"

int64_t postgres_coordinator(const Store *store) {
    return ((const PostgresStore *)store)->coordinator;
}

/* A transaction of its own, whose loss a crash of the server may cause. */
static int begin_lazily(PostgresStore *s) {
    assert(s->transaction == TRANSACTION_NONE);
    int r = postgres_ensure_connection(s);
    if (r != 0)
        return r;
    s->transaction = TRANSACTION_BEGUN;
    r = postgres_send_bare(s, PG_BEGIN);
    return r == 0 ? postgres_send_bare(s, PG_LAZILY) : r;
}

static int send_commit(PostgresStore *s) {
    int r = postgres_send_bare(s, PG_COMMIT);
    return r == 0 ? postgres_sync(s) : r;
}

static int finish_lazily(PostgresStore *s) {
    int r = postgres_finish(s);
    if (r == 0)
        s->transaction = TRANSACTION_NONE;
    return r;
}

/* An error before COMMIT made the server skip that too: nobody else would end what is still open on the session. */
static int end_lazily(PostgresStore *s, int r) {
    if (r != 0)
        postgres_rollback(&s->base);
    return r;
}

/* ---- renewals ---- */

int postgres_renew(Store *store, Renewal *renewals, size_t count) {
    PostgresStore *s = postgres_store(store);
    OWN(postgres_clearp) PGresult *renewed = NULL;
    Rows rows;
    arena_reset(&s->scratch);
    int r = postgres_rows_init(s, &rows, count);
    for (size_t i = 0; r == 0 && i < count; i++)
        postgres_rows_add(&rows, renewals[i].project, &renewals[i]);
    if (r == 0)
        r = begin_lazily(s);
    if (r == 0)
        r = postgres_send_rows(s, PG_RENEW, &postgres_renewals, &rows);
    if (r == 0)
        r = send_commit(s);
    if (r == 0)
        r = postgres_skip(s, 2);
    if (r == 0)
        r = postgres_receive(s, &renewed);
    if (r == 0)
        r = finish_lazily(s);
    for (int i = 0; r == 0 && i < PQntuples(renewed); i++)
        renewals[column_read_number(renewed, i, 0) - 1].renewals = column_read_number(renewed, i, 1);
    return end_lazily(s, r);
}

/* ---- looking ---- */

static int send_look(PostgresStore *s, int64_t horizon) {
    Arguments *arguments = &s->arguments;
    arguments_clear(arguments);
    arguments_add_number(arguments, s->coordinator);
    arguments_add_text(arguments, slice_of(s->program != NULL ? s->program : ""));
    int r = postgres_send(s, PG_BEAT, arguments);
    arguments_clear(arguments);
    arguments_add_number(arguments, s->coordinator);
    arguments_add_number(arguments, POSTGRES_LOCKS_OF_COORDINATORS);
    if (r == 0)
        r = postgres_send(s, PG_BEATS, arguments);
    if (r == 0)
        r = postgres_send_bare(s, PG_HORIZON);
    arguments_clear(arguments);
    arguments_add_number(arguments, horizon);
    arguments_add_text(arguments, slice_of(s->writer));
    return r == 0 ? postgres_send(s, PG_CHANGED, arguments) : r;
}

static int take_beats(const PGresult *rows, Arena *arena, StoreLook *out) {
    size_t count = (size_t)PQntuples(rows);
    out->beats = arena_alloc(arena, (count + 1) * sizeof *out->beats);
    if (out->beats == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        out->beats[i] = (StoreBeat){.coordinator = column_read_number(rows, (int)i, 0),
                                    .beats = column_read_number(rows, (int)i, 1),
                                    .has_ended = column_read_number(rows, (int)i, 2) != 0};
    out->beat_count = count;
    return 0;
}

static int take_projects(const PGresult *rows, Arena *arena, StoreLook *out) {
    size_t count = (size_t)PQntuples(rows);
    out->projects = arena_alloc(arena, (count + 1) * sizeof *out->projects);
    int r = out->projects == NULL ? -ENOMEM : 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = arena_copy(arena, column_read_text(rows, (int)i, 0), &out->projects[i]);
    out->project_count = count;
    return r;
}

static int receive_look(PostgresStore *s, Arena *arena, StoreLook *out) {
    OWN(postgres_clearp) PGresult *beats = NULL;
    OWN(postgres_clearp) PGresult *horizon = NULL;
    OWN(postgres_clearp) PGresult *changed = NULL;
    int r = postgres_skip(s, 3); /* up to the beat */
    if (r == 0)
        r = postgres_receive(s, &beats);
    if (r == 0)
        r = postgres_receive(s, &horizon);
    if (r == 0)
        r = postgres_receive(s, &changed);
    if (r == 0)
        r = finish_lazily(s);
    if (r != 0)
        return r;
    out->horizon = column_read_number(horizon, 0, 0);
    s->has_standby = column_read_number(horizon, 0, 1) != 0;
    out->wall_ms = column_read_number(horizon, 0, 2);
    r = take_beats(beats, arena, out);
    return r == 0 ? take_projects(changed, arena, out) : r;
}

static int tell_lost_call(PostgresStore *s, Arena *arena, StoreLook *out) {
    int r = s->lost_call[0] != '\0' ? arena_copy(arena, slice_of(s->lost_call), &out->lost_call) : 0;
    if (r == 0)
        s->lost_call[0] = '\0';
    return r;
}

int postgres_look(Store *store, int64_t horizon, Arena *arena, StoreLook *out) {
    PostgresStore *s = postgres_store(store);
    *out = (StoreLook){.horizon = 0};
    int r = begin_lazily(s);
    out->is_all = horizon == 0 || s->must_look_at_all;
    if (r == 0)
        r = send_look(s, out->is_all ? INT64_MAX : horizon);
    if (r == 0)
        r = send_commit(s);
    if (r == 0)
        r = receive_look(s, arena, out);
    if (r == 0)
        r = tell_lost_call(s, arena, out);
    if (r == 0)
        s->must_look_at_all = false;
    return end_lazily(s, r);
}

bool postgres_must_look(const Store *store) {
    return ((const PostgresStore *)store)->must_look_at_all;
}
