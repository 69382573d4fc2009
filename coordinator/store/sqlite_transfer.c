/*
 * Everything out, and everything into an empty database. Rows are numbered by project here, and projects in the order they
 * were made: so what goes out project by project is asked for by each project's range, in the order of names.
 */
#include <errno.h>
#include <stdio.h>

#include "base/limits.h"
#include "store/changes.h"
#include "store/sqlite.h"

/* ---- out ---- */

typedef struct Dump {
    SqliteStore *s;
    StoredRowReader *each;
    void *arg;
    StoredRow row; /* with the project under way */
} Dump;

static int dump_rows(Dump *d, StatementId id, StoredKind kind, int (*decode)(Dump *d, sqlite3_stmt *row)) {
    int r = 0;
    d->row.kind = kind;
    while (r == 0 && sqlite_next(d->s, id, &r) == ROW_HERE) {
        r = decode(d, d->s->statements[id]);
        if (r == 0)
            r = d->each(d->arg, &d->row);
    }
    sqlite_leave(d->s, id);
    return r;
}

static int decode_key(Dump *d, sqlite3_stmt *row) {
    return sqlite_decode_key(d->s, row, NULL, &d->row.as.key);
}
static int decode_stack(Dump *d, sqlite3_stmt *row) {
    return sqlite_decode_stack(d->s, row, NULL, &d->row.as.stack);
}
static int decode_request(Dump *d, sqlite3_stmt *row) {
    return sqlite_decode_request(d->s, row, NULL, &d->row.as.request);
}

static int dump_project(Dump *d, int64_t project, const ProjectRow *row) {
    (void)project;
    d->row.kind = STORED_PROJECT;
    d->row.as.project = *row;
    return d->each(d->arg, &d->row);
}

static int dump_keys(Dump *d, int64_t project, const ProjectRow *row) {
    sqlite3_stmt *statement = d->s->statements[SQL_LIST_KEYS_FROM];
    (void)row;
    sqlite_bind_number(statement, 1, project);
    sqlite_bind_slice(statement, 2, SLICE_ABSENT);
    sqlite_bind_number(statement, 3, -1);
    return dump_rows(d, SQL_LIST_KEYS_FROM, STORED_KEY, decode_key);
}

static int dump_stacks(Dump *d, int64_t project, const ProjectRow *row) {
    (void)row;
    sqlite_bind_range(d->s->statements[SQL_LIST_STACKS_FROM], 1, project);
    sqlite_bind_number(d->s->statements[SQL_LIST_STACKS_FROM], 3, -1);
    return dump_rows(d, SQL_LIST_STACKS_FROM, STORED_STACK, decode_stack);
}

static int dump_requests(Dump *d, int64_t project, const ProjectRow *row) {
    (void)row;
    sqlite_bind_range(d->s->statements[SQL_DUMP_REQUESTS], 1, project);
    return dump_rows(d, SQL_DUMP_REQUESTS, STORED_REQUEST, decode_request);
}

static int dump_event(void *arg, const EventRow *row) {
    Dump *d = arg;
    d->row.kind = STORED_EVENT;
    d->row.as.event = *row;
    return d->each(d->arg, &d->row);
}

static int dump_events(Dump *d, int64_t project, const ProjectRow *row) {
    const StoreRows rows = {.event = dump_event, .arg = d};
    ReadQuery query = {.list = LIST_EVENTS, .project = row->name, .after = FIELD_ABSENT};
    return sqlite_read_events(d->s, &query, &rows, project);
}

static int each_project(Dump *d, int (*dump)(Dump *d, int64_t project, const ProjectRow *row)) {
    SqliteStore *s = d->s;
    ProjectRow row;
    int64_t project;
    int r = 0;
    while (r == 0 && sqlite_next(s, SQL_DUMP_PROJECTS, &r) == ROW_HERE) {
        r = sqlite_decode_project(s, s->statements[SQL_DUMP_PROJECTS], NULL, &row, &project);
        d->row.project = row.name;
        if (r == 0)
            r = dump(d, project, &row);
    }
    sqlite_leave(s, SQL_DUMP_PROJECTS);
    return r;
}

/* There is one thread, so nothing changes meanwhile. */
int sqlite_dump(Store *store, StoredRowReader *each, void *arg) {
    static int (*const parts[STORED_KINDS])(Dump *, int64_t, const ProjectRow *) = {
        [STORED_PROJECT] = dump_project,  [STORED_KEY] = dump_keys,     [STORED_STACK] = dump_stacks,
        [STORED_REQUEST] = dump_requests, [STORED_EVENT] = dump_events,
    };
    Dump d = {.s = sqlite_store(store), .each = each, .arg = arg};
    int r = sqlite_flush(d.s);
    for (size_t i = 0; r == 0 && i < COUNT_OF(parts); i++)
        r = each_project(&d, parts[i]);
    return r;
}

/* ---- in ---- */

static int check_empty(SqliteStore *s) {
    int r = 0;
    RowStep step = sqlite_next(s, SQL_DUMP_PROJECTS, &r);
    sqlite_leave(s, SQL_DUMP_PROJECTS);
    if (step != ROW_HERE)
        return r;
    (void)snprintf(s->reason, sizeof s->reason, "%s is not empty", s->db_path);
    return STORE_CONFLICT;
}

/* Which project the rows belong to; many that follow one another belong to the same. */
typedef struct Owner {
    Slice name;
    int64_t number;
} Owner;

static int find_owner(SqliteStore *s, Slice name, Owner *owner) {
    ProjectRow row;
    if (slice_equal(owner->name, name))
        return 0;
    int r = sqlite_find_project(s, name, NULL, &row, &owner->number);
    owner->name = r == 0 ? name : SLICE_ABSENT;
    if (r != STORE_NOT_FOUND)
        return r;
    (void)snprintf(s->reason, sizeof s->reason, "%s: a row of project %.*s, which is not there", s->db_path,
                   SLICE_PRINT(name));
    return STORE_CONFLICT;
}

static int put_event(SqliteStore *s, int64_t project, const EventRow *row) {
    OWN(buffer_deinit) Buffer bytes;
    buffer_init(&bytes, CHANGES_MAX);
    changes_add_event(&bytes, project, row);
    int r = buffer_error(&bytes);
    if (r != 0)
        return r;
    const EventMark mark = event_mark(row);
    return sqlite_write_event(s, project, &mark, buffer_slice(&bytes));
}

static int put_row(SqliteStore *s, const StoredRow *row, Owner *owner) {
    int64_t project;
    if (row->kind == STORED_PROJECT)
        return sqlite_insert_project(s, &row->as.project, &project);
    int r = find_owner(s, row->project, owner);
    if (r != 0)
        return r;
    switch (row->kind) {
    case STORED_KEY:
        return sqlite_insert_key(s, owner->number, &row->as.key);
    case STORED_STACK:
        return sqlite_insert_stack(s, owner->number, &row->as.stack);
    case STORED_REQUEST:
        return sqlite_write_request(s, owner->number, &row->as.request, true);
    case STORED_EVENT:
        return put_event(s, owner->number, &row->as.event);
    case STORED_PROJECT:
    case STORED_KINDS:
        break;
    }
    return -EINVAL;
}

int sqlite_put(Store *store, const StoredRow *rows, size_t count) {
    SqliteStore *s = sqlite_store(store);
    Owner owner = {.name = SLICE_ABSENT};
    bool is_first = sqlite3_get_autocommit(s->db) != 0;
    int r = sqlite_begin_write(s);
    if (r == 0 && is_first)
        r = check_empty(s);
    if (r == 0 && is_first) { /* nobody else is served: what does not fit into memory may go ahead of the COMMIT */
        int rc = sqlite3_exec(s->db, "PRAGMA cache_spill = ON", NULL, NULL, NULL);
        r = rc == SQLITE_OK ? 0 : sqlite_failed(s, rc, "making ready for many rows");
    }
    for (size_t i = 0; r == 0 && i < count; i++)
        r = put_row(s, &rows[i], &owner);
    if (r != 0)
        sqlite_rollback(store);
    return r;
}
