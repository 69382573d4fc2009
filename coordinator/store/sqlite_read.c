/* Pages for lists, and counts: one SELECT each, so each sees one state of the database, with all that is committed. And
 * what authentication looks up. */
#include <errno.h>
#include <stdint.h>

#include "store/changes.h"
#include "store/sqlite.h"

static int64_t limit_of(const ReadQuery *query) {
    return query->limit > 0 ? query->limit : -1;
}

static int each_row(SqliteStore *s, const StoreRows *rows, sqlite3_stmt *statement, ListQuery list) {
    StackRow stack;
    RequestRow request;
    ProjectRow project;
    KeyRow key;
    const ResidentProject *resident;
    int64_t number;
    int r;
    switch (list) {
    case LIST_STACKS:
        r = sqlite_decode_stack(s, statement, NULL, &stack);
        return r != 0 ? r : rows->stack(rows->arg, &stack);
    case LIST_PROJECTS:
        r = sqlite_decode_project(s, statement, NULL, &project, &number);
        resident = r == 0 ? resident_project(&s->resident, project.name) : NULL;
        if (r == 0 && resident != NULL)
            project = resident->image->row;
        return r != 0 || project.is_deleted ? r : rows->project(rows->arg, &project);
    case LIST_KEYS:
        r = sqlite_decode_key(s, statement, NULL, &key);
        return r != 0 ? r : rows->key(rows->arg, &key);
    case LIST_QUEUE:
        r = sqlite_decode_request(s, statement, NULL, &request);
        return r != 0 ? r : rows->request(rows->arg, &request);
    case LIST_EVENTS:
    case LIST_WATCHED:
        break;
    }
    return -EINVAL;
}

static int read_rows(SqliteStore *s, const ReadQuery *query, StatementId id, const StoreRows *rows) {
    int r = 0;
    while (r == 0 && sqlite_next(s, id, &r) == ROW_HERE)
        r = each_row(s, rows, s->statements[id], query->list);
    sqlite_leave(s, id);
    return r;
}

static int64_t after_of(const ReadQuery *query) {
    return query->after == FIELD_ABSENT || query->after < 0 ? 0 : query->after;
}

/* The part of a project's ids that a page starts behind. */
static void bind_page(sqlite3_stmt *statement, const ReadQuery *query, int64_t project) {
    int64_t after = after_of(query);
    sqlite_bind_number(statement, 1, sqlite_row_id(project, after < ROW_MASK ? after : ROW_MASK));
    sqlite_bind_number(statement, 2, sqlite_row_id(project, ROW_MASK));
    sqlite_bind_number(statement, 3, limit_of(query));
}

/* A project in memory is newer there. */
static int read_stacks(SqliteStore *s, const ReadQuery *query, const StoreRows *rows, int64_t project) {
    const ResidentProject *resident = resident_project(&s->resident, query->project);
    if (resident != NULL)
        return resident_each_stack(resident, after_of(query), query->limit, rows->stack, rows->arg);
    bind_page(s->statements[SQL_LIST_STACKS_FROM], query, project);
    return read_rows(s, query, SQL_LIST_STACKS_FROM, rows);
}

static int read_queue(SqliteStore *s, const ReadQuery *query, const StoreRows *rows, int64_t project) {
    const ResidentProject *resident = resident_project(&s->resident, query->project);
    if (resident != NULL)
        return resident_each_queued(resident, after_of(query), query->limit, rows->request, rows->arg);
    bind_page(s->statements[SQL_LIST_QUEUE_FROM], query, project);
    return read_rows(s, query, SQL_LIST_QUEUE_FROM, rows);
}

/* The project that rows belong to, by its number: read once for all rows of it, which come one after the other. */
typedef struct OwnerOfRows {
    int64_t number; /* 0: none is read yet */
    ProjectRow row;
    Arena arena;
} OwnerOfRows;

static int find_owner(SqliteStore *s, int64_t number, OwnerOfRows *owner) {
    if (owner->number == number)
        return 0;
    int r = STORE_NOT_FOUND;
    arena_reset(&owner->arena);
    sqlite_bind_number(s->statements[SQL_PROJECT_BY_NUMBER], 1, number);
    if (sqlite_next(s, SQL_PROJECT_BY_NUMBER, &r) == ROW_HERE) {
        r = sqlite_decode_project(s, s->statements[SQL_PROJECT_BY_NUMBER], &owner->arena, &owner->row, &owner->number);
        sqlite_leave(s, SQL_PROJECT_BY_NUMBER);
    }
    return r;
}

static int watched_stack(SqliteStore *s, sqlite3_stmt *statement, const StoreRows *rows, const ProjectRow *project) {
    StackRow row;
    int r = sqlite_decode_stack(s, statement, NULL, &row);
    return r != 0 ? r : rows->watched_stack(rows->arg, project, &row);
}

static int watched_request(SqliteStore *s, sqlite3_stmt *statement, const StoreRows *rows, const ProjectRow *project) {
    RequestRow row;
    int r = sqlite_decode_request(s, statement, NULL, &row);
    return r != 0 ? r : rows->watched_request(rows->arg, project, &row);
}

/* Of all projects, once a start: the tables have to have everything. */
static int read_watched(SqliteStore *s, const StoreRows *rows) {
    const struct {
        StatementId id;
        int (*hand_over)(SqliteStore *, sqlite3_stmt *, const StoreRows *, const ProjectRow *);
    } parts[] = {{SQL_LIST_WATCHED_STACKS, watched_stack}, {SQL_LIST_WATCHED_REQUESTS, watched_request}};
    OwnerOfRows owner = {0};
    int r = sqlite_flush(s);
    arena_init(&owner.arena);
    for (size_t i = 0; r == 0 && i < COUNT_OF(parts); i++) {
        sqlite3_stmt *statement = s->statements[parts[i].id];
        while (r == 0 && sqlite_next(s, parts[i].id, &r) == ROW_HERE) {
            r = find_owner(s, sqlite3_column_int64(statement, 0) >> ROW_BITS, &owner);
            if (r == 0)
                r = parts[i].hand_over(s, statement, rows, &owner.row);
        }
        sqlite_leave(s, parts[i].id);
    }
    arena_deinit(&owner.arena);
    return r;
}

/* Who is deleted or made again, the table has to know; what else of a project is newer in memory comes from there. */
static int read_projects(SqliteStore *s, const ReadQuery *query, const StoreRows *rows) {
    (void)(sqlite_flush(s) == 0);
    sqlite3_stmt *statement = s->statements[SQL_LIST_PROJECTS_FROM];
    sqlite_bind_slice(statement, 1, slice_is_absent(query->after_text) ? (Slice)SLICE_LITERAL("") : query->after_text);
    sqlite_bind_number(statement, 2, limit_of(query));
    return read_rows(s, query, SQL_LIST_PROJECTS_FROM, rows);
}

/* project 0: of all of them. */
static int read_keys(SqliteStore *s, const ReadQuery *query, const StoreRows *rows, int64_t project) {
    StatementId id = project != 0 ? SQL_LIST_KEYS_FROM : SQL_LIST_ALL_KEYS_FROM;
    if (project != 0)
        sqlite_bind_number(s->statements[id], 1, project);
    sqlite_bind_slice(s->statements[id], 2, query->after_text);
    sqlite_bind_number(s->statements[id], 3, limit_of(query));
    return read_rows(s, query, id, rows);
}

static int read_list(SqliteStore *s, const ReadQuery *query, const StoreRows *rows, int64_t project) {
    switch (query->list) {
    case LIST_STACKS:
        return read_stacks(s, query, rows, project);
    case LIST_EVENTS:
        return sqlite_read_events(s, query, rows, project);
    case LIST_PROJECTS:
        return read_projects(s, query, rows);
    case LIST_KEYS:
        return read_keys(s, query, rows, project);
    case LIST_QUEUE:
        return read_queue(s, query, rows, project);
    case LIST_WATCHED:
        return read_watched(s, rows);
    }
    return -EINVAL;
}

int sqlite_read(Store *store, const ReadQuery *query, const StoreRows *rows) {
    SqliteStore *s = sqlite_store(store);
    int64_t project = 0;
    bool is_of_project = query->list != LIST_PROJECTS && query->list != LIST_WATCHED &&
                         !(query->list == LIST_KEYS && slice_is_absent(query->project));
    if (is_of_project) {
        const ResidentProject *resident = resident_project(&s->resident, query->project);
        ProjectRow row = {0};
        int r = 0;
        if (resident != NULL) {
            row = resident->image->row;
            project = resident->id;
        } else {
            r = sqlite_find_project(s, query->project, NULL, &row, &project);
        }
        if (r == 0 && row.is_deleted && query->list != LIST_EVENTS)
            r = STORE_NOT_FOUND;
        if (r != 0)
            return r;
    }
    return read_list(s, query, rows, project);
}

static int copy_project(Arena *arena, const ProjectRow *row, ProjectRow *out) {
    ProjectRow copy = *row;
    int r = arena_copy(arena, row->name, &copy.name);
    if (r == 0)
        r = arena_copy(arena, row->prefix, &copy.prefix);
    if (r == 0)
        r = arena_copy(arena, row->initial_commit, &copy.initial_commit);
    if (r == 0)
        *out = copy;
    return r;
}

int sqlite_find_project_row(Store *store, Slice name, Arena *arena, ProjectRow *project) {
    SqliteStore *s = sqlite_store(store);
    const ResidentProject *resident = resident_project(&s->resident, name);
    ProjectRow row = {0};
    int64_t number;
    int r = resident != NULL ? copy_project(arena, &resident->image->row, &row)
                             : sqlite_find_project(s, name, arena, &row, &number);
    if (r == 0 && row.is_deleted)
        r = STORE_NOT_FOUND;
    if (r == 0)
        *project = row;
    return r;
}

int sqlite_find_key(Store *store, Slice id, Arena *arena, KeyRow *key, ProjectRow *project) {
    SqliteStore *s = sqlite_store(store);
    sqlite3_stmt *statement = s->statements[SQL_KEY_BY_ID];
    KeyRow found = {0};
    sqlite_bind_slice(statement, 2, id);
    int r = STORE_NOT_FOUND;
    if (sqlite_next(s, SQL_KEY_BY_ID, &r) == ROW_HERE) {
        r = sqlite_decode_key(s, statement, arena, &found);
        sqlite_leave(s, SQL_KEY_BY_ID);
    }
    if (r == 0)
        r = sqlite_find_project_row(store, found.project, arena, project);
    if (r == 0)
        *key = found;
    return r;
}

int sqlite_counts(Store *store, StoreCounts *out) {
    SqliteStore *s = sqlite_store(store);
    StoreCounts counts = {0};
    int r = sqlite_flush(s);
    while (r == 0 && sqlite_next(s, SQL_COUNT_STACKS, &r) == ROW_HERE) {
        int state = sqlite3_column_int(s->statements[SQL_COUNT_STACKS], 0);
        if (state >= 0 && state < STACK_GONE)
            counts.stacks[state] = sqlite3_column_int64(s->statements[SQL_COUNT_STACKS], 1);
    }
    if (r == 0)
        *out = counts;
    return r;
}
