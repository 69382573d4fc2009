/* Pages for lists, and counts; a list is read row by row, however long it is. And what authentication looks up. */
#include <assert.h>
#include <errno.h>

#include "store/postgres.h"

/* ---- rows ---- */

typedef int (*RowReader)(PostgresStore *s, const PGresult *row, const StoreRows *rows);

static int read_stack(PostgresStore *s, const PGresult *row, const StoreRows *rows) {
    StackRow stack;
    int r = postgres_decoded(s, columns_read(&postgres_stacks, row, 0, 0, NULL, &stack), &postgres_stacks);
    return r != 0 ? r : rows->stack(rows->arg, &stack);
}

static int read_request(PostgresStore *s, const PGresult *row, const StoreRows *rows) {
    RequestRow request;
    int r = postgres_decoded(s, columns_read(&postgres_requests, row, 0, 0, NULL, &request), &postgres_requests);
    return r != 0 ? r : rows->request(rows->arg, &request);
}

static int read_event(PostgresStore *s, const PGresult *row, const StoreRows *rows) {
    EventRow event;
    int r = postgres_decoded(s, columns_read(&postgres_events, row, 0, 0, NULL, &event), &postgres_events);
    return r != 0 ? r : rows->event(rows->arg, &event);
}

static int read_project(PostgresStore *s, const PGresult *row, const StoreRows *rows) {
    ProjectRow project;
    int r = postgres_decoded(s, columns_read(&postgres_projects, row, 0, 0, NULL, &project), &postgres_projects);
    return r != 0 ? r : rows->project(rows->arg, &project);
}

static int read_key(PostgresStore *s, const PGresult *row, const StoreRows *rows) {
    KeyRow key;
    int r = postgres_decoded(s, columns_read(&postgres_keys, row, 0, 0, NULL, &key), &postgres_keys);
    return r != 0 ? r : rows->key(rows->arg, &key);
}

/* The project's columns stand behind the row's own. */
static int read_owner(PostgresStore *s, const PGresult *row, const Table *of, ProjectRow *project) {
    return postgres_decoded(s, columns_read(&postgres_projects, row, 0, (int)of->column_count, NULL, project),
                            &postgres_projects);
}

static int read_watched_stack(PostgresStore *s, const PGresult *row, const StoreRows *rows) {
    StackRow stack;
    ProjectRow project;
    int r = postgres_decoded(s, columns_read(&postgres_stacks, row, 0, 0, NULL, &stack), &postgres_stacks);
    if (r == 0)
        r = read_owner(s, row, &postgres_stacks, &project);
    return r != 0 ? r : rows->watched_stack(rows->arg, &project, &stack);
}

static int read_watched_request(PostgresStore *s, const PGresult *row, const StoreRows *rows) {
    RequestRow request;
    ProjectRow project;
    int r = postgres_decoded(s, columns_read(&postgres_requests, row, 0, 0, NULL, &request), &postgres_requests);
    if (r == 0)
        r = read_owner(s, row, &postgres_requests, &project);
    return r != 0 ? r : rows->watched_request(rows->arg, &project, &request);
}

/* Hands over the rows of the next statement, until *stopped is not 0: then the rest is read and dropped. A failure of the
 * connection is the result. */
static int read_rows(PostgresStore *s, RowReader reader, const StoreRows *rows, int *stopped) {
    postgres_begin_rows(s);
    for (;;) {
        OWN(postgres_clearp) PGresult *row = NULL;
        int r = postgres_receive_row(s, &row);
        if (r != 0 || row == NULL)
            return r;
        if (*stopped == 0)
            *stopped = reader(s, row, rows);
    }
}

/* ---- lists ---- */

typedef struct List {
    PostgresStatement statement;
    RowReader reader;
} List;

static bool is_of_all_projects(const ReadQuery *query) {
    return query->list == LIST_PROJECTS || (query->list == LIST_KEYS && slice_is_absent(query->project));
}

static List list_of(const ReadQuery *query) {
    bool is_of_one = !slice_is_absent(query->stack_name), is_backwards = query->newest_first;
    switch (query->list) {
    case LIST_STACKS:
        return (List){PG_LIST_STACKS, read_stack};
    case LIST_QUEUE:
        return (List){PG_LIST_QUEUE, read_request};
    case LIST_EVENTS:
        return (List){is_of_one      ? is_backwards ? PG_LIST_STACK_EVENTS_BACKWARDS : PG_LIST_STACK_EVENTS
                      : is_backwards ? PG_LIST_EVENTS_BACKWARDS
                                     : PG_LIST_EVENTS,
                      read_event};
    case LIST_PROJECTS:
        return (List){PG_LIST_PROJECTS, read_project};
    case LIST_KEYS:
        return (List){is_of_all_projects(query) ? PG_LIST_ALL_KEYS : PG_LIST_KEYS, read_key};
    case LIST_WATCHED:
        break;
    }
    return (List){PG_STATEMENT_COUNT, NULL};
}

static int send_list(PostgresStore *s, const ReadQuery *query, PostgresStatement statement) {
    Arguments *arguments = &s->arguments;
    arguments_clear(arguments);
    if (!is_of_all_projects(query))
        arguments_add_text(arguments, query->project);
    if (query->list == LIST_KEYS || query->list == LIST_PROJECTS)
        arguments_add_text(arguments, query->after_text);
    else
        arguments_add_number(arguments, query->after == FIELD_ABSENT || query->after < 0 ? 0 : query->after);
    if (query->limit > 0)
        arguments_add_number(arguments, query->limit);
    else
        arguments_add_text(arguments, SLICE_ABSENT);
    if (!slice_is_absent(query->stack_name) && query->list == LIST_EVENTS)
        arguments_add_text(arguments, query->stack_name);
    return postgres_send(s, statement, arguments);
}

/* The project a list is of. A deleted one has its history. */
static int receive_project(PostgresStore *s, const ReadQuery *query, int *stopped) {
    OWN(postgres_clearp) PGresult *rows = NULL;
    ProjectRow project;
    int r = postgres_receive(s, &rows);
    if (r != 0)
        return r;
    if (PQntuples(rows) == 0) {
        *stopped = STORE_NOT_FOUND;
        return 0;
    }
    r = postgres_decoded(s, columns_read(&postgres_projects, rows, 0, 0, NULL, &project), &postgres_projects);
    if (r == 0 && project.is_deleted && query->list != LIST_EVENTS)
        *stopped = STORE_NOT_FOUND;
    return r;
}

static int read_list(PostgresStore *s, const ReadQuery *query, const StoreRows *rows, int *stopped) {
    List list = list_of(query);
    bool has_project = !is_of_all_projects(query);
    int r = has_project ? postgres_send_find_project(s, query->project) : 0;
    if (r == 0)
        r = send_list(s, query, list.statement);
    if (r == 0)
        r = postgres_sync(s);
    if (r == 0 && has_project)
        r = receive_project(s, query, stopped);
    return r == 0 ? read_rows(s, list.reader, rows, stopped) : r;
}

static int send_watched(PostgresStore *s, const ReadQuery *query) {
    if (query->projects == NULL) {
        int r = postgres_send_bare(s, PG_LIST_WATCHED_STACKS);
        return r == 0 ? postgres_send_bare(s, PG_LIST_WATCHED_REQUESTS) : r;
    }
    const Rows of = {.projects = (Slice *)query->projects, .count = query->project_count};
    arguments_clear(&s->arguments);
    arguments_add_projects(&s->arguments, &of);
    int r = postgres_send(s, PG_LIST_WATCHED_STACKS_OF, &s->arguments);
    return r == 0 ? postgres_send(s, PG_LIST_WATCHED_REQUESTS_OF, &s->arguments) : r;
}

static int read_watched(PostgresStore *s, const ReadQuery *query, const StoreRows *rows, int *stopped) {
    int r = send_watched(s, query);
    if (r == 0)
        r = postgres_sync(s);
    if (r == 0)
        r = read_rows(s, read_watched_stack, rows, stopped);
    return r == 0 ? read_rows(s, read_watched_request, rows, stopped) : r;
}

int postgres_read(Store *store, const ReadQuery *query, const StoreRows *rows) {
    PostgresStore *s = postgres_store(store);
    int stopped = 0;
    int r = postgres_ensure_connection(s);
    if (r == 0)
        r = query->list == LIST_WATCHED ? read_watched(s, query, rows, &stopped) : read_list(s, query, rows, &stopped);
    if (r == 0)
        r = postgres_finish(s);
    return r != 0 ? r : stopped;
}

/* ---- single rows ---- */

/* One statement, inside of a transaction or outside. */
static int fetch(PostgresStore *s, PostgresStatement statement, Slice key, PGresult **out) {
    size_t before = s->expected;
    int r = s->transaction == TRANSACTION_BEGUN ? 0 : postgres_ensure_connection(s);
    arguments_clear(&s->arguments);
    arguments_add_text(&s->arguments, key);
    if (r == 0)
        r = postgres_send(s, statement, &s->arguments);
    if (r == 0)
        r = postgres_sync(s);
    if (r == 0)
        r = postgres_skip(s, before);
    if (r == 0)
        r = postgres_receive(s, out);
    return r == 0 ? postgres_finish(s) : r;
}

int postgres_find_project(Store *store, Slice name, Arena *arena, ProjectRow *project) {
    PostgresStore *s = postgres_store(store);
    OWN(postgres_clearp) PGresult *rows = NULL;
    ProjectRow row;
    int r = fetch(s, PG_FIND_PROJECT, name, &rows);
    if (r == 0 && PQntuples(rows) == 0)
        return STORE_NOT_FOUND;
    if (r == 0)
        r = postgres_decoded(s, columns_read(&postgres_projects, rows, 0, 0, arena, &row), &postgres_projects);
    if (r == 0 && row.is_deleted)
        return STORE_NOT_FOUND;
    if (r == 0)
        *project = row;
    return r;
}

int postgres_find_key(Store *store, Slice id, Arena *arena, KeyRow *key, ProjectRow *project) {
    PostgresStore *s = postgres_store(store);
    OWN(postgres_clearp) PGresult *rows = NULL;
    KeyRow found;
    ProjectRow owner;
    int r = fetch(s, PG_FIND_KEY, id, &rows);
    if (r == 0 && PQntuples(rows) == 0)
        return STORE_NOT_FOUND;
    if (r == 0)
        r = postgres_decoded(s, columns_read(&postgres_keys, rows, 0, 0, arena, &found), &postgres_keys);
    if (r == 0)
        r = postgres_decoded(s,
                             columns_read(&postgres_projects, rows, 0, (int)postgres_keys.column_count, arena, &owner),
                             &postgres_projects);
    if (r != 0)
        return r;
    *key = found;
    *project = owner;
    return 0;
}

/* ---- counts ---- */

static int receive_counts(PostgresStore *s, StoreCounts *counts) {
    OWN(postgres_clearp) PGresult *states = NULL;
    int r = postgres_receive(s, &states);
    if (r == 0)
        r = postgres_finish(s);
    if (r != 0)
        return r;
    for (int i = 0; i < PQntuples(states); i++) {
        int64_t state = column_read_number(states, i, 0);
        if (state >= 0 && state < STACK_GONE)
            counts->stacks[state] = column_read_number(states, i, 1);
    }
    return 0;
}

int postgres_counts(Store *store, StoreCounts *out) {
    PostgresStore *s = postgres_store(store);
    StoreCounts counts = {0};
    int r = postgres_ensure_connection(s);
    if (r == 0)
        r = postgres_send_bare(s, PG_COUNT_STACKS);
    if (r == 0)
        r = postgres_sync(s);
    if (r == 0)
        r = receive_counts(s, &counts);
    if (r == 0)
        *out = counts;
    return r;
}
