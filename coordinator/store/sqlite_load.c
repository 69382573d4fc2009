/* Wants → rows: from memory; keys, and requests that are over, from their tables. */
#include <errno.h>

#include "store/sqlite.h"

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

/* ---- projects come into memory as a whole ---- */

static int fill_stacks(SqliteStore *s, ResidentProject *project) {
    int r = 0;
    StackRow row;
    sqlite_bind_range(s->statements[SQL_LIST_STACKS_FROM], 1, project->id);
    sqlite_bind_number(s->statements[SQL_LIST_STACKS_FROM], 3, -1);
    while (r == 0 && sqlite_next(s, SQL_LIST_STACKS_FROM, &r) == ROW_HERE) {
        r = sqlite_decode_stack(s, s->statements[SQL_LIST_STACKS_FROM], NULL, &row);
        if (r == 0)
            r = resident_fill_stack(&s->resident, project, &row);
    }
    sqlite_leave(s, SQL_LIST_STACKS_FROM);
    return r;
}

static int fill_queue(SqliteStore *s, ResidentProject *project) {
    int r = 0;
    RequestRow row;
    sqlite_bind_range(s->statements[SQL_LIST_QUEUE_FROM], 1, project->id);
    sqlite_bind_number(s->statements[SQL_LIST_QUEUE_FROM], 3, -1);
    while (r == 0 && sqlite_next(s, SQL_LIST_QUEUE_FROM, &r) == ROW_HERE) {
        r = sqlite_decode_request(s, s->statements[SQL_LIST_QUEUE_FROM], NULL, &row);
        if (r == 0)
            r = resident_fill_request(&s->resident, project, &row);
    }
    sqlite_leave(s, SQL_LIST_QUEUE_FROM);
    return r;
}

/* The project, loaded if need be. 0 | STORE_NOT_FOUND | a failure. */
static int bring_in(SqliteStore *s, WorkingSet *set, ResidentProject **out) {
    *out = resident_project(&s->resident, set->project_name);
    if (*out != NULL)
        return 0;
    ProjectRow row = {0};
    int64_t id = 0;
    int r = sqlite_find_project(s, set->project_name, set->arena, &row, &id);
    if (r != 0)
        return r;
    ResidentProject *project = resident_project_new(id, &row);
    r = project == NULL ? -ENOMEM : fill_stacks(s, project);
    if (r == 0)
        r = fill_queue(s, project);
    if (r != 0) {
        (void)resident_project_free(&s->resident, project);
        return r;
    }
    resident_project_add(&s->resident, project);
    *out = project;
    return 0;
}

/* ---- wants ---- */

static int put_keys(SqliteStore *s, WorkingSet *set, StatementId id) {
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

static int load_keys(SqliteStore *s, WorkingSet *set, const RowWant *want, const ResidentProject *project) {
    if (want->query == ROWS_KEY_BY_ID) {
        sqlite_bind_slice(s->statements[SQL_KEY_BY_ID], 2, want->text);
        return put_keys(s, set, SQL_KEY_BY_ID);
    }
    if (project == NULL)
        return 0;
    sqlite_bind_number(s->statements[SQL_KEYS_OF_PROJECT], 1, project->id);
    sqlite_bind_number(s->statements[SQL_KEYS_OF_PROJECT], 3, want->limit);
    return put_keys(s, set, SQL_KEYS_OF_PROJECT);
}

static int put_stored_request(SqliteStore *s, WorkingSet *set, StatementId id) {
    int r = 0;
    RequestRow row;
    while (r == 0 && sqlite_next(s, id, &r) == ROW_HERE) {
        r = sqlite_decode_request(s, s->statements[id], set->arena, &row);
        if (r == 0)
            r = working_set_put_request(set, &row);
    }
    if (r != 0)
        sqlite_leave(s, id);
    return r;
}

static int load_request(SqliteStore *s, WorkingSet *set, const RowWant *want, const ResidentProject *project) {
    bool is_by_id = want->query == ROWS_REQUEST_BY_ID;
    if (project == NULL || (!is_by_id && (want->number < 1 || want->number > ROW_MASK)))
        return 0;
    const ResidentRequest *request =
        is_by_id ? resident_request_by_id(project, want->text) : resident_request(project, want->number);
    if (request != NULL)
        return working_set_put_request(set, &request->row);
    if (!is_by_id) {
        sqlite_bind_number(s->statements[SQL_REQUEST_BY_TICKET], 1, sqlite_row_id(project->id, want->number));
        return put_stored_request(s, set, SQL_REQUEST_BY_TICKET);
    }
    sqlite_bind_number(s->statements[SQL_REQUEST_BY_ID], 1, project->id);
    sqlite_bind_slice(s->statements[SQL_REQUEST_BY_ID], 2, want->text);
    return put_stored_request(s, set, SQL_REQUEST_BY_ID);
}

/* All numbers are unused where there is no project. */
static int put_first_numbers(WorkingSet *set, RowWant *want) {
    int r = 0;
    for (int64_t number = 1; r == 0 && number <= want->limit; number++)
        r = working_set_put_unused(set, number);
    want->edge = want->limit;
    return r;
}

static int load_want(SqliteStore *s, WorkingSet *set, RowWant *want, const ResidentProject *project) {
    switch (want->query) {
    case ROWS_KEY_BY_ID:
    case ROWS_KEYS:
        return load_keys(s, set, want, project);
    case ROWS_REQUEST_BY_ID:
    case ROWS_REQUEST_BY_TICKET:
        return load_request(s, set, want, project);
    case ROWS_NUMBERS_UNUSED:
        return project != NULL ? resident_load(project, set, want) : put_first_numbers(set, want);
    case ROWS_PROJECT:
    case ROWS_STACK_BY_NUMBER:
    case ROWS_STACK_HIGHEST:
    case ROWS_FREE_ON_BRANCH:
    case ROWS_FREE_AT_COMMIT:
    case ROWS_FREE_OLDEST:
    case ROWS_DIRTY_OLDEST:
    case ROWS_QUEUE:
    case ROWS_QUEUED_BEFORE:
        break;
    }
    return project != NULL ? resident_load(project, set, want) : 0;
}

static int load_set(SqliteStore *s, WorkingSet *set) {
    ResidentProject *project;
    int r = bring_in(s, set, &project);
    bool is_missing = r == STORE_NOT_FOUND;
    if (r != 0 && !is_missing)
        return r;
    r = 0;
    if (!set->is_project_loaded && !set->is_project_missing) {
        if (!is_missing)
            working_set_put_project(set, &project->image->row);
        set->is_project_missing = is_missing;
    }
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
        r = load_set(s, sets[i]);
    if (r != 0)
        sqlite_rollback(store);
    return r;
}
