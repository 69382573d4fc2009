/*
 * Wants → rows. The first load of a transaction locks the projects' rows, in the order of their names, and what follows in
 * the same round trip sees what everybody before committed: READ COMMITTED takes a snapshot a statement, and these come
 * after the lock. All wants of one kind are one statement.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/postgres.h"

/* One kind of want: what asks for it, what comes back, and what an order goes by. */
typedef struct Query {
    PostgresStatement statement;
    const Table *table; /* NULL: a number a row */
    bool is_order;      /* it has an edge */
    size_t edge_offset; /* in the row */
} Query;

#define STACK(id)                                                                                                      \
    { .statement = (id), .table = &postgres_stacks }
#define STACK_ORDER(id, member)                                                                                        \
    { .statement = (id), .table = &postgres_stacks, .is_order = true, .edge_offset = offsetof(StackRow, member) }

static const Query queries[] = {
    [ROWS_STACK_BY_NUMBER] = STACK(PG_LOAD_STACK_BY_NUMBER),
    [ROWS_STACK_HIGHEST] = STACK_ORDER(PG_LOAD_STACK_HIGHEST, number),
    [ROWS_FREE_ON_BRANCH] = STACK_ORDER(PG_LOAD_FREE_ON_BRANCH, requested),
    [ROWS_FREE_AT_COMMIT] = STACK_ORDER(PG_LOAD_FREE_AT_COMMIT, requested),
    [ROWS_FREE_OLDEST] = STACK_ORDER(PG_LOAD_FREE_OLDEST, requested),
    [ROWS_DIRTY_OLDEST] = STACK_ORDER(PG_LOAD_DIRTY_OLDEST, dirty_since),
    [ROWS_QUEUE] = {.statement = PG_LOAD_QUEUE,
                    .table = &postgres_requests,
                    .is_order = true,
                    .edge_offset = offsetof(RequestRow, ticket)},
    [ROWS_QUEUED_BEFORE] = {.statement = PG_LOAD_QUEUED_BEFORE},
    [ROWS_NUMBERS_UNUSED] = {.statement = PG_LOAD_NUMBERS_UNUSED, .is_order = true},
    [ROWS_REQUEST_BY_ID] = {.statement = PG_LOAD_REQUEST_BY_ID, .table = &postgres_requests},
    [ROWS_REQUEST_BY_TICKET] = {.statement = PG_LOAD_REQUEST_BY_TICKET, .table = &postgres_requests},
    [ROWS_KEY_BY_ID] = {.statement = PG_LOAD_KEY_BY_ID, .table = &postgres_keys},
    [ROWS_KEYS] = {.statement = PG_LOAD_KEYS, .table = &postgres_keys},
};

/* ---- which wants ---- */

/* The wants of one kind, of all sets. */
typedef struct Wanted {
    Rows rows; /* RowWant and project */
    WorkingSet **sets;
    RowWant **wants;
} Wanted;

static bool is_to_load(const RowWant *want, RowQuery query) {
    return !want->is_loaded && want->query == query;
}

static size_t count_wants(WorkingSet *const *sets, size_t count, RowQuery query) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < sets[i]->want_count; j++)
            found += is_to_load(&sets[i]->wants[j], query);
    return found;
}

static int gather_wants(PostgresStore *s, WorkingSet **sets, size_t count, RowQuery query, Wanted *out) {
    size_t most = count_wants(sets, count, query);
    *out = (Wanted){.rows.count = 0};
    if (most == 0)
        return 0;
    int r = postgres_rows_init(s, &out->rows, most);
    out->sets = arena_alloc(&s->scratch, most * sizeof(WorkingSet *));
    out->wants = arena_alloc(&s->scratch, most * sizeof(RowWant *));
    if (r < 0 || out->sets == NULL || out->wants == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < sets[i]->want_count; j++) {
            RowWant *want = &sets[i]->wants[j];
            if (!is_to_load(want, query))
                continue;
            out->sets[out->rows.count] = sets[i];
            out->wants[out->rows.count] = want;
            postgres_rows_add(&out->rows, sets[i]->project_name, want);
        }
    return 0;
}

static int send_wants(PostgresStore *s, RowQuery query, const Wanted *wanted) {
    if (wanted->rows.count == 0)
        return 0;
    return postgres_send_rows(s, queries[query].statement, &postgres_wants, &wanted->rows);
}

/* ---- what comes back ---- */

typedef union AnyRow {
    StackRow stack;
    RequestRow request;
    KeyRow key;
} AnyRow;

static int put_row(WorkingSet *set, const Table *table, const AnyRow *row) {
    return table == &postgres_stacks     ? working_set_put_stack(set, &row->stack)
           : table == &postgres_requests ? working_set_put_request(set, &row->request)
                                         : working_set_put_key(set, &row->key);
}

/* One row for a want; *edge gets what its order goes by. */
static int take_row(PostgresStore *s, const Query *query, WorkingSet *set, const PGresult *rows, int at,
                    int64_t *edge) {
    AnyRow row;
    int r = postgres_decoded(s, columns_read(query->table, rows, at, 1, set->arena, &row), query->table);
    if (r == 0 && query->is_order)
        memcpy(edge, (const char *)&row + query->edge_offset, sizeof *edge);
    return r == 0 ? put_row(set, query->table, &row) : r;
}

static int take_number(RowWant *want, WorkingSet *set, const PGresult *rows, int at, int64_t *edge) {
    int64_t number = column_read_number(rows, at, 1);
    if (want->query == ROWS_QUEUED_BEFORE) {
        want->count = number;
        return 0;
    }
    *edge = number;
    return working_set_put_unused(set, number);
}

static int take_rows(PostgresStore *s, RowQuery query, const Wanted *wanted, const PGresult *rows) {
    const Query *kind = &queries[query];
    uint32_t found = 0;
    int64_t last = 0;
    int r = 0;
    for (int i = 0; r == 0 && i < PQntuples(rows); i++) {
        int64_t at = column_read_number(rows, i, 0);
        size_t which = (size_t)at - 1;
        int64_t edge = 0;
        found = at == last ? found + 1 : 1;
        last = at;
        r = kind->table != NULL ? take_row(s, kind, wanted->sets[which], rows, i, &edge)
                                : take_number(wanted->wants[which], wanted->sets[which], rows, i, &edge);
        if (kind->is_order && found == wanted->wants[which]->limit)
            wanted->wants[which]->edge = edge;
    }
    for (size_t i = 0; r == 0 && i < wanted->rows.count; i++)
        wanted->wants[i]->is_loaded = true;
    return r;
}

/* ---- projects ---- */

static bool is_new_set(const WorkingSet *set) {
    return !set->is_project_loaded && !set->is_project_missing;
}

static size_t count_new(WorkingSet *const *sets, size_t count) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += is_new_set(sets[i]);
    return found;
}

static int send_locks(PostgresStore *s, WorkingSet **sets, size_t count) {
    Rows rows = {.projects = arena_alloc(&s->scratch, count * sizeof *rows.projects)};
    if (rows.projects == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        if (is_new_set(sets[i]))
            rows.projects[rows.count++] = sets[i]->project_name;
    arguments_clear(&s->arguments);
    arguments_add_projects(&s->arguments, &rows);
    return postgres_send(s, PG_LOCK_PROJECTS, &s->arguments);
}

static WorkingSet *find_set(WorkingSet **sets, size_t count, Slice name) {
    for (size_t i = 0; i < count; i++)
        if (slice_equal(sets[i]->project_name, name))
            return sets[i];
    return NULL;
}

/* The projects that are there; the others are missing. */
static int take_projects(PostgresStore *s, WorkingSet **sets, size_t count, const PGresult *rows) {
    int r = 0;
    for (int i = 0; r == 0 && i < PQntuples(rows); i++) {
        WorkingSet *set = find_set(sets, count, column_read_text(rows, i, 0));
        if (set == NULL)
            continue;
        ProjectRow row;
        r = postgres_decoded(s, columns_read(&postgres_projects, rows, i, 0, set->arena, &row), &postgres_projects);
        if (r == 0)
            working_set_put_project(set, &row);
    }
    for (size_t i = 0; r == 0 && i < count; i++)
        if (is_new_set(sets[i]))
            sets[i]->is_project_missing = true;
    return r;
}

static int by_name(const void *a, const void *b) {
    return slice_compare((*(WorkingSet *const *)a)->project_name, (*(WorkingSet *const *)b)->project_name);
}

/* A project that is not there has no row to lock, and somebody may be about to make it: its name is locked instead, by
 * whoever looked for it in vain. If it is there by then, everything has to be looked at again. */
static int lock_missing(PostgresStore *s, WorkingSet *const *sets, size_t count) {
    WorkingSet **missing = arena_alloc(&s->scratch, count * sizeof(WorkingSet *));
    size_t missing_count = 0;
    int r = missing == NULL ? -ENOMEM : 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        if (sets[i]->is_project_missing && !sets[i]->is_project_loaded)
            missing[missing_count++] = sets[i];
    if (r != 0 || missing_count == 0)
        return r;
    qsort(missing, missing_count, sizeof(WorkingSet *), by_name);
    for (size_t i = 0; r == 0 && i < missing_count; i++)
        r = postgres_send_name_lock(s, missing[i]->project_name);
    for (size_t i = 0; r == 0 && i < missing_count; i++)
        r = postgres_send_find_project(s, missing[i]->project_name);
    if (r == 0)
        r = postgres_sync(s);
    if (r == 0)
        r = postgres_skip(s, missing_count);
    bool is_there = false;
    for (size_t i = 0; r == 0 && i < missing_count; i++) {
        OWN(postgres_clearp) PGresult *row = NULL;
        r = postgres_receive(s, &row);
        is_there |= r == 0 && PQntuples(row) > 0;
    }
    if (r == 0)
        r = postgres_finish(s);
    if (r == 0 && is_there) {
        postgres_note(s, "a project was made by another coordinator while this one looked for it");
        return STORE_CONFLICT;
    }
    return r;
}

/* ---- the round trip ---- */

typedef struct Load {
    WorkingSet **sets;
    size_t count, new_count, before; /* statements sent before these */
    Wanted wanted[COUNT_OF(queries)];
} Load;

static int send_all(PostgresStore *s, Load *load) {
    int r = postgres_send_begin(s);
    load->before = s->expected;
    load->new_count = count_new(load->sets, load->count);
    if (r == 0 && load->new_count > 0)
        r = send_locks(s, load->sets, load->count);
    for (RowQuery query = ROWS_STACK_BY_NUMBER; r == 0 && query < COUNT_OF(queries); query++) {
        r = gather_wants(s, load->sets, load->count, query, &load->wanted[query]);
        if (r == 0)
            r = send_wants(s, query, &load->wanted[query]);
    }
    return r == 0 ? postgres_sync(s) : r;
}

static int receive_all(PostgresStore *s, Load *load) {
    int r = postgres_skip(s, load->before);
    if (r == 0 && load->new_count > 0) {
        OWN(postgres_clearp) PGresult *projects = NULL;
        r = postgres_receive(s, &projects);
        if (r == 0)
            r = take_projects(s, load->sets, load->count, projects);
    }
    for (RowQuery query = ROWS_STACK_BY_NUMBER; r == 0 && query < COUNT_OF(queries); query++) {
        OWN(postgres_clearp) PGresult *rows = NULL;
        if (load->wanted[query].rows.count == 0)
            continue;
        r = postgres_receive(s, &rows);
        if (r == 0)
            r = take_rows(s, query, &load->wanted[query], rows);
    }
    return r == 0 ? postgres_finish(s) : r;
}

static bool needs_load(WorkingSet *const *sets, size_t count) {
    bool needs = false;
    for (size_t i = 0; i < count && !needs; i++)
        needs = is_new_set(sets[i]) || working_set_needs_load(sets[i]);
    return needs;
}

/* The project's own row is there with every load. */
static void mark_projects(WorkingSet **sets, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < sets[i]->want_count; j++)
            if (sets[i]->wants[j].query == ROWS_PROJECT)
                sets[i]->wants[j].is_loaded = true;
}

int postgres_load(Store *store, WorkingSet **sets, size_t count) {
    PostgresStore *s = postgres_store(store);
    Load load = {.sets = sets, .count = count};
    mark_projects(sets, count);
    if (!needs_load(sets, count))
        return 0;
    arena_reset(&s->scratch);
    int r = send_all(s, &load);
    if (r == 0) {
        r = receive_all(s, &load);
        if (r != 0 && s->transaction == TRANSACTION_BEGUN) /* it is no error of the server's: results are left unread */
            postgres_lose_connection(s);
    }
    if (r == 0 && load.new_count > 0)
        r = lock_missing(s, sets, count);
    if (r != 0)
        postgres_rollback(store);
    return r;
}
