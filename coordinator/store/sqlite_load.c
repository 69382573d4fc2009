/* Wants → rows: one seek into an index each. */
#include <errno.h>
#include <stdlib.h>

#include "store/sqlite.h"

int64_t *sqlite_set_project(SqliteStore *s, const WorkingSet *set, size_t hint) {
    if (hint < s->set_project_count && s->set_projects[hint].set == set)
        return &s->set_projects[hint].project;
    for (size_t i = 0; i < s->set_project_count; i++)
        if (s->set_projects[i].set == set)
            return &s->set_projects[i].project;
    return NULL;
}

static int note_project(SqliteStore *s, const WorkingSet *set, int64_t project) {
    if (s->set_project_count == s->set_project_capacity) {
        size_t wider = s->set_project_capacity != 0 ? s->set_project_capacity * 2 : 64;
        SetProject *moved = realloc(s->set_projects, wider * sizeof(*moved));
        if (moved == NULL)
            return -ENOMEM;
        s->set_projects = moved;
        s->set_project_capacity = wider;
    }
    s->set_projects[s->set_project_count++] = (SetProject){.set = set, .project = project};
    return 0;
}

int sqlite_find_project(SqliteStore *s, Slice name, Arena *arena, ProjectRow *row, int64_t *project) {
    sqlite3_stmt *statement = s->statements[SQL_PROJECT_BY_NAME];
    sqlite_bind_slice(statement, 1, name);
    int r = STORE_NOT_FOUND;
    if (sqlite_next(s, SQL_PROJECT_BY_NAME, &r) == ROW_HERE) {
        r = sqlite_decode_project(s, statement, arena, row, project);
        sqlite_leave(s, SQL_PROJECT_BY_NAME);
    }
    return r;
}

static int load_project(SqliteStore *s, WorkingSet *set, int64_t *project) {
    ProjectRow row;
    *project = 0;
    int r = sqlite_find_project(s, set->project_name, set->arena, &row, project);
    if (r == 0) {
        set->project = row;
        set->is_project_loaded = true;
    } else if (r == STORE_NOT_FOUND) {
        set->is_project_missing = true;
        r = 0;
    }
    return r == 0 ? note_project(s, set, *project) : r;
}

/* Of STACK_COLUMNS: what orders go by. */
enum { REQUESTED_COLUMN = 5, DIRTY_SINCE_COLUMN = 17 };

/* Puts the rows of a bound statement into the set, and the want's edge: where its order was left. */
static int put_stacks(SqliteStore *s, WorkingSet *set, RowWant *want, StatementId id) {
    sqlite3_stmt *statement = s->statements[id];
    uint32_t found = 0;
    int64_t last = 0;
    int r = 0;
    while (r == 0 && sqlite_next(s, id, &r) == ROW_HERE) {
        int64_t number = sqlite3_column_int64(statement, 0) & ROW_MASK;
        int64_t requested = sqlite3_column_int64(statement, REQUESTED_COLUMN);
        last = want->query == ROWS_STACK_HIGHEST  ? number
               : want->query == ROWS_DIRTY_OLDEST ? sqlite3_column_int64(statement, DIRTY_SINCE_COLUMN)
                                                  : requested;
        found++;
        if (working_set_stack(set, number) != NULL)
            continue; /* the set's image is newer */
        StackRow row;
        r = sqlite_decode_stack(s, statement, set->arena, &row);
        if (r == 0)
            r = working_set_put_stack(set, &row);
    }
    if (r != 0)
        sqlite_leave(s, id);
    bool is_order = want->query != ROWS_STACK_BY_NAME && want->query != ROWS_STACK_BY_NUMBER;
    want->edge = is_order && found == want->limit ? last : 0;
    return r;
}

static int put_requests(SqliteStore *s, WorkingSet *set, RowWant *want, StatementId id) {
    int r = 0;
    uint32_t found = 0;
    RequestRow row = {0};
    while (r == 0 && sqlite_next(s, id, &r) == ROW_HERE) {
        r = sqlite_decode_request(s, s->statements[id], set->arena, &row);
        if (r == 0)
            r = working_set_put_request(set, &row);
        found++;
    }
    want->edge = want->query == ROWS_QUEUE && found == want->limit ? row.ticket : 0;
    if (r != 0)
        sqlite_leave(s, id);
    return r;
}

static int put_count(SqliteStore *s, WorkingSet *set, RowWant *want, StatementId id) {
    (void)set;
    int r = 0;
    if (sqlite_next(s, id, &r) == ROW_HERE) {
        want->count = sqlite3_column_int64(s->statements[id], 0);
        sqlite_leave(s, id);
    }
    return r;
}

static int put_keys(SqliteStore *s, WorkingSet *set, RowWant *want, StatementId id) {
    (void)want;
    int r = 0;
    while (r == 0 && sqlite_next(s, id, &r) == ROW_HERE) {
        KeyRow row;
        r = sqlite_decode_key(s, s->statements[id], set->arena, &row);
        if (r == 0)
            r = working_set_put_key(set, &row);
    }
    if (r != 0)
        sqlite_leave(s, id);
    return r;
}

/* Puts the numbers from *next on that are below `end`, as many as are still wanted. */
static int put_gap(WorkingSet *set, RowWant *want, int64_t *next, int64_t end, uint32_t *found) {
    int r = 0;
    for (; r == 0 && *next < end && *found < want->limit; (*next)++, (*found)++) {
        r = working_set_put_unused(set, *next);
        want->edge = *next;
    }
    return r;
}

/* Walks the numbers in use from the first that may be free; the gaps are what is wanted. */
static int put_unused(SqliteStore *s, WorkingSet *set, RowWant *want, StatementId id) {
    const int64_t *known = sqlite_set_project(s, set, 0);
    int64_t project = known != NULL ? *known : 0;
    int64_t next = project != 0 && set->project.first_unused > 1 ? set->project.first_unused : 1;
    uint32_t found = 0;
    int r = 0;
    if (project != 0) {
        sqlite3_stmt *statement = s->statements[id];
        sqlite_bind_number(statement, 1, sqlite_row_id(project, next));
        sqlite_bind_number(statement, 2, sqlite_row_id(project, ROW_MASK));
        while (r == 0 && found < want->limit && sqlite_next(s, id, &r) == ROW_HERE) {
            int64_t used = sqlite3_column_int64(statement, 0) & ROW_MASK;
            r = put_gap(set, want, &next, used, &found);
            next = used + 1;
        }
        sqlite_leave(s, id);
    }
    return r != 0 ? r : put_gap(set, want, &next, INT64_MAX, &found);
}

/* How a want becomes a statement. */
enum {
    BIND_PROJECT = 1u << 0, /* ?1 */
    BIND_TEXT = 1u << 1,    /* ?2 */
    BIND_LIMIT = 1u << 2,   /* ?3; such a want is an order, and has an edge */
    BIND_TEXT2 = 1u << 3,   /* ?4 */
    BIND_ROW = 1u << 4,     /* ?1: the row's id, by its number */
    BIND_RANGE = 1u << 5,   /* ?1, ?2: the project's first and last id */
    BIND_PURPOSE = 1u << 6, /* ?2 */
    BIND_BEFORE = 1u << 7,  /* ?3: the id of a number, or the last one there can be */
};
typedef struct Loader {
    StatementId id;
    unsigned binds;
    int (*put)(SqliteStore *s, WorkingSet *set, RowWant *want, StatementId id);
} Loader;

static const Loader loaders[] = {
    [ROWS_PROJECT] = {.put = NULL},
    [ROWS_STACK_BY_NAME] = {SQL_STACK_BY_NAME, BIND_PROJECT | BIND_TEXT, put_stacks},
    [ROWS_STACK_BY_NUMBER] = {SQL_STACK_BY_NUMBER, BIND_ROW, put_stacks},
    [ROWS_STACK_HIGHEST] = {SQL_STACK_HIGHEST, BIND_RANGE | BIND_LIMIT, put_stacks},
    [ROWS_FREE_ON_BRANCH] = {SQL_STACK_FREE_ON_BRANCH, BIND_PROJECT | BIND_TEXT | BIND_LIMIT, put_stacks},
    [ROWS_FREE_AT_COMMIT] = {SQL_STACK_FREE_AT_COMMIT, BIND_PROJECT | BIND_TEXT | BIND_TEXT2 | BIND_LIMIT, put_stacks},
    [ROWS_FREE_OLDEST] = {SQL_STACK_FREE_OLDEST, BIND_PROJECT | BIND_LIMIT, put_stacks},
    [ROWS_DIRTY_OLDEST] = {SQL_STACK_DIRTY_OLDEST, BIND_PROJECT | BIND_LIMIT, put_stacks},
    [ROWS_QUEUE] = {SQL_REQUEST_QUEUE, BIND_PROJECT | BIND_PURPOSE | BIND_LIMIT, put_requests},
    [ROWS_QUEUED_BEFORE] = {SQL_REQUEST_COUNT_BEFORE, BIND_PROJECT | BIND_PURPOSE | BIND_BEFORE, put_count},
    [ROWS_NUMBERS_UNUSED] = {SQL_STACK_NUMBERS_FROM, 0, put_unused},
    [ROWS_REQUEST_BY_ID] = {SQL_REQUEST_BY_ID, BIND_PROJECT | BIND_TEXT, put_requests},
    [ROWS_REQUEST_BY_TICKET] = {SQL_REQUEST_BY_TICKET, BIND_ROW, put_requests},
    [ROWS_KEY_BY_ID] = {SQL_KEY_BY_ID, BIND_TEXT, put_keys},
    [ROWS_KEYS] = {SQL_KEYS_OF_PROJECT, BIND_PROJECT | BIND_LIMIT, put_keys},
};

/* project 0: it is missing, so nothing of it is there; keys are looked up over all projects, and all numbers are unused. */
static int load_want(SqliteStore *s, WorkingSet *set, RowWant *want, int64_t project) {
    const Loader *loader = &loaders[want->query];
    sqlite3_stmt *statement = s->statements[loader->id];
    want->edge = 0;
    if (loader->put == NULL || (project == 0 && (loader->binds & (BIND_PROJECT | BIND_ROW | BIND_RANGE)) != 0))
        return 0;
    if ((loader->binds & BIND_ROW) != 0) {
        if (want->number < 1 || want->number > ROW_MASK)
            return 0;
        sqlite_bind_number(statement, 1, sqlite_row_id(project, want->number));
    }
    if ((loader->binds & BIND_RANGE) != 0)
        sqlite_bind_range(statement, 1, project);
    if ((loader->binds & BIND_PROJECT) != 0)
        sqlite_bind_number(statement, 1, project);
    if ((loader->binds & BIND_TEXT) != 0)
        sqlite_bind_slice(statement, 2, want->text);
    if ((loader->binds & BIND_PURPOSE) != 0)
        sqlite_bind_number(statement, 2, want->purpose);
    if ((loader->binds & BIND_BEFORE) != 0)
        sqlite_bind_number(statement, 3, sqlite_row_id(project, want->number < ROW_MASK ? want->number : ROW_MASK));
    if ((loader->binds & BIND_LIMIT) != 0)
        sqlite_bind_number(statement, 3, want->limit);
    if ((loader->binds & BIND_TEXT2) != 0)
        sqlite_bind_slice(statement, 4, want->text2);
    return loader->put(s, set, want, loader->id);
}

static int load_set(SqliteStore *s, WorkingSet *set, size_t at) {
    int64_t project = 0;
    const int64_t *known = sqlite_set_project(s, set, at);
    int r = 0;
    if (known != NULL)
        project = *known;
    else
        r = load_project(s, set, &project);
    for (size_t i = 0; r == 0 && i < set->want_count; i++) {
        RowWant *want = &set->wants[i];
        if (want->is_loaded)
            continue;
        r = load_want(s, set, want, project);
        want->is_loaded = r == 0;
    }
    return r;
}

int sqlite_load(Store *store, WorkingSet **sets, size_t count) {
    SqliteStore *s = sqlite_store(store);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = load_set(s, sets[i], i);
    if (r != 0)
        sqlite_rollback(store);
    return r;
}
