/*
 * Changed rows → one statement for each table and kind of change, whatever the number of rows or projects. They are sent
 * and not waited for: what is wrong with them, COMMIT says.
 *
 * The project's lock alone would keep rows as they were loaded. The guards stand behind it: a lock that was lost or not
 * taken, by a bug or by a promoted standby that had not heard of it, must not overwrite anybody's lease.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "store/postgres.h"

/* ---- which rows ---- */

/* Everything of one table that a set may have changed. */
typedef struct Part {
    size_t (*count)(const WorkingSet *set);
    /* Row `at`, and how it changed. */
    RowChange (*at)(const WorkingSet *set, size_t at, const void **row);
} Part;

static size_t project_count(const WorkingSet *set) {
    (void)set;
    return 1;
}
static RowChange project_at(const WorkingSet *set, size_t at, const void **row) {
    (void)at;
    *row = &set->project;
    return set->project_change;
}
static size_t stack_count(const WorkingSet *set) {
    return set->stack_count;
}
static RowChange stack_at(const WorkingSet *set, size_t at, const void **row) {
    *row = set->stacks[at];
    return set->stacks[at]->change;
}
static size_t request_count(const WorkingSet *set) {
    return set->request_count;
}
static RowChange request_at(const WorkingSet *set, size_t at, const void **row) {
    *row = set->requests[at];
    return set->requests[at]->change;
}
static size_t key_count(const WorkingSet *set) {
    return set->key_count;
}
static RowChange key_at(const WorkingSet *set, size_t at, const void **row) {
    *row = set->keys[at];
    return set->keys[at]->change;
}
static size_t event_count(const WorkingSet *set) {
    return set->event_count;
}
static RowChange event_at(const WorkingSet *set, size_t at, const void **row) {
    *row = &set->events[at];
    return ROW_NEW;
}

static const Part projects = {project_count, project_at}, stacks = {stack_count, stack_at},
                  requests = {request_count, request_at}, keys = {key_count, key_at}, events = {event_count, event_at};

/* In this order: what a row makes room for comes before what takes the room. */
static const struct {
    PostgresStatement statement;
    const Table *table;
    const Part *part;
    RowChange change;
} writes[] = {
    {PG_STACK_DELETE, &postgres_stacks, &stacks, ROW_DELETED},
    {PG_STACK_UPDATE, &postgres_stacks, &stacks, ROW_CHANGED},
    {PG_STACK_INSERT, &postgres_stacks, &stacks, ROW_NEW},
    {PG_REQUEST_UPDATE, &postgres_requests, &requests, ROW_CHANGED},
    {PG_REQUEST_INSERT, &postgres_requests, &requests, ROW_NEW},
    {PG_KEY_DELETE, &postgres_keys, &keys, ROW_DELETED},
    {PG_KEY_UPDATE, &postgres_keys, &keys, ROW_CHANGED},
    {PG_KEY_INSERT, &postgres_keys, &keys, ROW_NEW},
    {PG_EVENT_INSERT, &postgres_events, &events, ROW_NEW},
    {PG_PROJECT_UPDATE, &postgres_projects, &projects, ROW_CHANGED},
    {PG_PROJECT_INSERT, &postgres_projects, &projects, ROW_NEW},
};

static int gather_rows(PostgresStore *s, WorkingSet *const *sets, size_t count, const Part *part, RowChange change,
                       Rows *out) {
    size_t most = 0;
    const void *row;
    for (size_t i = 0; i < count; i++)
        most += part->count(sets[i]);
    int r = postgres_rows_init(s, out, most);
    for (size_t i = 0; r == 0 && i < count; i++)
        for (size_t j = 0; j < part->count(sets[i]); j++)
            if (part->at(sets[i], j, &row) == change)
                postgres_rows_add(out, sets[i]->project_name, row);
    return r;
}

/* ---- sending them ---- */

static int gather_changed(PostgresStore *s, WorkingSet *const *sets, size_t count, Rows *out) {
    int r = postgres_rows_init(s, out, count);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (working_set_is_changed(sets[i]))
            postgres_rows_add(out, sets[i]->project_name, sets[i]);
    return r;
}

int postgres_note_transaction(PostgresStore *s, const Rows *changed) {
    s->number++;
    (void)snprintf(s->noted_project, sizeof s->noted_project, "%.*s", SLICE_PRINT(changed->projects[0]));
    arguments_clear(&s->arguments);
    arguments_add_projects(&s->arguments, changed);
    arguments_add_text(&s->arguments, slice_of(s->writer));
    arguments_add_number(&s->arguments, s->number);
    return postgres_send(s, PG_WRITER_NOTE, &s->arguments);
}

/* Those served who wait at other coordinators. */
static int gather_calls(PostgresStore *s, WorkingSet **sets, size_t count, Rows *out) {
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        most += sets[i]->granted_count;
    int r = postgres_rows_init(s, out, most);
    for (size_t i = 0; r == 0 && i < count; i++)
        for (size_t g = 0; g < sets[i]->granted_count; g++) {
            const RequestSlot *slot = working_set_request(sets[i], sets[i]->granted[g]);
            if (slot != NULL && slot->row.stack_number != 0 && slot->row.heard_at != s->coordinator)
                postgres_rows_add(out, sets[i]->project_name, slot);
        }
    return r;
}

static int keep_calls(PostgresStore *s, WorkingSet **sets, size_t count) {
    Rows calls;
    int r = gather_calls(s, sets, count, &calls);
    if (r != 0 || calls.count == 0)
        return r;
    arguments_clear(&s->calls);
    arguments_add_rows(&s->calls, &postgres_calls, s->row_types[TABLE_CALLS], &calls);
    return buffer_error(&s->calls.bytes); /* behind COMMIT it would be too late to fail */
}

static int save_all(PostgresStore *s, WorkingSet **sets, size_t count) {
    Rows changed;
    int r = gather_changed(s, sets, count, &changed);
    if (r != 0 || changed.count == 0)
        return r;
    s->has_written = true;
    r = postgres_send_begin(s);
    for (size_t i = 0; r == 0 && i < COUNT_OF(writes); i++) {
        Rows rows;
        r = gather_rows(s, sets, count, writes[i].part, writes[i].change, &rows);
        if (r == 0 && rows.count > 0)
            r = postgres_send_rows(s, writes[i].statement, writes[i].table, &rows);
    }
    if (r == 0)
        r = postgres_note_transaction(s, &changed);
    return r == 0 ? keep_calls(s, sets, count) : r;
}

int postgres_save(Store *store, WorkingSet **sets, size_t count) {
    PostgresStore *s = postgres_store(store);
    arena_reset(&s->scratch);
    int r = save_all(s, sets, count);
    if (r != 0)
        postgres_rollback(store);
    return r;
}

int postgres_save_key_used(Store *store, Slice id, int64_t wall_ms) {
    PostgresStore *s = postgres_store(store);
    s->has_written = true;
    int r = postgres_send_begin(s);
    arguments_clear(&s->arguments);
    arguments_add_text(&s->arguments, id);
    arguments_add_number(&s->arguments, wall_ms);
    if (r == 0)
        r = postgres_send(s, PG_KEY_USED, &s->arguments);
    if (r != 0)
        postgres_rollback(store);
    return r;
}
