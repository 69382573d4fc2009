/*
 * A transaction's changes are appended to the log and kept in memory; a flush brings them into the tables later.
 * Invariant: tables + log = what is committed = the resident rows and what only the tables have.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/limits.h"
#include "store/changes.h"
#include "store/sqlite.h"

/* ---- saving ---- */

static int conflict(SqliteStore *s, const WorkingSet *set, const char *what) {
    (void)snprintf(s->reason, sizeof s->reason, "%s: %s of project %.*s is not as it was loaded", s->db_path, what,
                   SLICE_PRINT(set->project_name));
    return STORE_CONFLICT;
}

/* A requestId whose request is over is known to the table alone. */
static int refuse_known_requests(SqliteStore *s, const WorkingSet *set, int64_t project) {
    sqlite3_stmt *statement = s->statements[SQL_REQUEST_BY_ID];
    for (size_t i = 0; i < set->request_count; i++) {
        const RequestSlot *slot = set->requests[i];
        Slice id = slot->row.request_id;
        RowWant looked_up = {.query = ROWS_REQUEST_BY_ID, .text = id};
        if (slot->change != ROW_NEW || slice_is_absent(id) || working_set_loaded(set, looked_up) != NULL)
            continue;
        int r = 0;
        sqlite_bind_number(statement, 1, project);
        sqlite_bind_slice(statement, 2, id);
        RowStep step = sqlite_next(s, SQL_REQUEST_BY_ID, &r);
        sqlite_leave(s, SQL_REQUEST_BY_ID);
        if (step != ROW_NONE)
            return step == ROW_HERE ? conflict(s, set, "a request") : r;
    }
    return 0;
}

/* A project's row goes into its table at once: that is where it gets its number. */
static int make_project(SqliteStore *s, const WorkingSet *set, ResidentProject **out) {
    int64_t id = 0;
    int r = sqlite_insert_project(s, &set->project, &id);
    if (r != 0)
        return r;
    *out = resident_project_new(id, &set->project);
    if (*out == NULL)
        return -ENOMEM;
    resident_stage_project(&s->resident, *out);
    return 0;
}

static int save_events(SqliteStore *s, ResidentProject *project, const WorkingSet *set) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < set->event_count; i++) {
        size_t start = s->changes.len;
        changes_add_event(&s->changes, project->id, &set->events[i]);
        r = buffer_error(&s->changes);
        if (r == 0)
            r = resident_stage_event(&s->resident, project, event_mark(&set->events[i]),
                                     (Slice){.ptr = s->changes.data + start, .len = s->changes.len - start});
    }
    return r;
}

static int save_set(SqliteStore *s, const WorkingSet *set) {
    if (!working_set_is_changed(set))
        return 0;
    ResidentProject *project = resident_project(&s->resident, set->project_name);
    int r = 0;
    bool is_new = set->project_change == ROW_NEW, was_loaded = set->is_project_loaded || set->is_project_missing;
    if (!was_loaded || is_new != (project == NULL))
        return conflict(s, set, "the row");
    if (is_new || set->key_count > 0)
        r = sqlite_begin_write(s);
    if (r == 0 && is_new)
        r = make_project(s, set, &project);
    if (r == 0)
        r = sqlite_save_keys(s, set, project->id);
    if (r == 0)
        r = refuse_known_requests(s, set, project->id);
    if (r == 0)
        r = resident_stage(&s->resident, project, set);
    if (r == RESIDENT_CONFLICT)
        return conflict(s, set, "a row");
    if (r == 0) {
        changes_add(&s->changes, project->id, set);
        r = save_events(s, project, set);
    }
    return r;
}

int sqlite_save(Store *store, WorkingSet **sets, size_t count) {
    SqliteStore *s = sqlite_store(store);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = save_set(s, sets[i]);
    if (r == 0)
        r = buffer_error(&s->changes);
    if (r != 0)
        sqlite_rollback(store);
    return r;
}

int sqlite_append(SqliteStore *s) {
    int rc = s->changes.len > 0 ? change_log_append(&s->log, buffer_slice(&s->changes)) : SQLITE_OK;
    if (rc == SQLITE_OK) {
        buffer_clear(&s->changes);
        resident_publish(&s->resident);
        return 0;
    }
    int r = sqlite_log_failed(s, rc, "appending to the log");
    if (r == STORE_FULL)
        s->flush_at = 0; /* that makes the log's room usable again, if the database has room */
    sqlite_rollback(&s->base);
    s->is_unsettled |= r != STORE_FULL; /* it may have got there: nothing goes by it into the tables before a flush */
    return r == STORE_IO ? STORE_UNKNOWN : r;
}

/* ---- flushing ---- */

static int flush_projects(SqliteStore *s) {
    int r = 0;
    const ResidentLink *list = &s->resident.dirty_images;
    for (const ResidentLink *link = list->next; r == 0 && link != list; link = link->next) {
        const ResidentImage *image = (const ResidentImage *)link;
        r = sqlite_write_project(s, image->project->id, &image->row);
    }
    return r;
}

/* Deletions first: a number may have come back. */
static int flush_stacks(SqliteStore *s) {
    int r = 0;
    const ResidentLink *list = &s->resident.gone_stacks;
    for (const ResidentLink *link = list->next; r == 0 && link != list; link = link->next) {
        const ResidentStack *stack = (const ResidentStack *)link;
        r = sqlite_write_stack_gone(s, stack->project->id, stack->row.number);
    }
    list = &s->resident.dirty_stacks;
    for (const ResidentLink *link = list->next; r == 0 && link != list; link = link->next) {
        const ResidentStack *stack = (const ResidentStack *)link;
        r = sqlite_write_stack(s, stack->project->id, &stack->row);
    }
    return r;
}

static int flush_requests(SqliteStore *s) {
    int r = 0;
    const ResidentLink *list = &s->resident.dirty_requests;
    for (const ResidentLink *link = list->next; r == 0 && link != list; link = link->next) {
        const ResidentRequest *request = (const ResidentRequest *)link;
        r = sqlite_write_request(s, request->project->id, &request->row, !request->is_stored);
    }
    return r;
}

static int flush_events_of(SqliteStore *s, const ResidentProject *project) {
    int r = 0;
    const ResidentLink *list = &project->dirty_events;
    for (const ResidentLink *link = list->next; r == 0 && link != list; link = link->next) {
        const ResidentEvent *event = (const ResidentEvent *)link;
        r = sqlite_write_event(s, project->id, &event->mark, event->bytes);
    }
    return r;
}

/* Project by project, so that their rows fill up. */
static int flush_events(SqliteStore *s) {
    int r = 0;
    for (const ResidentProject *p = NULL; r == 0 && (p = resident_next_with_events(&s->resident, p)) != NULL;)
        r = flush_events_of(s, p);
    return r;
}

/* All that is committed and not in the tables. */
static int flush_rows(SqliteStore *s) {
    int r = flush_projects(s);
    if (r == 0)
        r = flush_stacks(s);
    if (r == 0)
        r = flush_requests(s);
    if (r == 0)
        r = flush_events(s);
    return r;
}

/* Ends a transaction that put the log's slots up to `number` into the tables. */
static int end_log(SqliteStore *s, int64_t number) {
    sqlite_bind_number(s->statements[SQL_LOG_SET_NUMBER], 1, number);
    int r = sqlite_end_history(s);
    if (r == 0)
        r = sqlite_run(s, SQL_LOG_SET_NUMBER);
    if (r == 0)
        r = sqlite_end_write(s);
    if (r != 0)
        return r;
    change_log_restart(&s->log, number);
    s->flush_at = FLUSH_SLOTS;
    s->is_unsettled = false;
    return 0;
}

int sqlite_flush(SqliteStore *s) {
    if (s->is_broken)
        return STORE_BROKEN;
    if (s->log.slot_count == 0 && !s->is_unsettled)
        return 0;
    assert(sqlite3_get_autocommit(s->db) != 0);
    int r = sqlite_begin_write(s);
    if (r == 0)
        r = flush_rows(s);
    FAILPOINT("flushing");
    if (r == 0)
        r = end_log(s, s->log.number);
    if (r == 0) {
        FAILPOINT("flushed");
        resident_flushed(&s->resident);
        return 0;
    }
    s->flush_at = s->log.slot_count + FLUSH_SLOTS / 4;
    sqlite_rollback(&s->base);
    return r;
}

int sqlite_forget(Store *store) {
    SqliteStore *s = sqlite_store(store);
    int r = sqlite_flush(s);
    if (r == 0)
        resident_forget(&s->resident);
    return r;
}

/* ---- replaying ---- */

/* A project that is made is in the tables before anything of it is in the log. */
static int check_project(SqliteStore *s, int64_t project) {
    int r = 0;
    sqlite_bind_number(s->statements[SQL_PROJECT_BY_NUMBER], 1, project);
    if (sqlite_next(s, SQL_PROJECT_BY_NUMBER, &r) == ROW_HERE) {
        sqlite_leave(s, SQL_PROJECT_BY_NUMBER);
        return 0;
    }
    if (r != 0)
        return r;
    (void)snprintf(s->reason, sizeof s->reason,
                   "%s-log is of another database than %s: beside a backup that was put in its place nothing of the "
                   "former one may lie; move %s-log and %s-wal away",
                   s->db_path, s->db_path, s->db_path, s->db_path);
    s->is_broken = true;
    return STORE_BROKEN;
}

static int replay_change(SqliteStore *s, const Change *change, Slice bytes) {
    EventMark mark;
    if (change->project <= 0 || change->project > PROJECT_NUMBER_MAX)
        return sqlite_damaged(s, "log");
    switch (change->kind) {
    case CHANGE_PROJECT:
        return sqlite_write_project(s, change->project, &change->row.project_row);
    case CHANGE_STACK_GONE:
        return sqlite_write_stack_gone(s, change->project, change->row.stack.number);
    case CHANGE_STACK:
        return sqlite_write_stack(s, change->project, &change->row.stack);
    case CHANGE_REQUEST:
        return sqlite_write_request(s, change->project, &change->row.request, false);
    case CHANGE_EVENT:
        mark = event_mark(&change->row.event);
        return sqlite_write_event(s, change->project, &mark, bytes);
    }
    return sqlite_damaged(s, "log");
}

static int replay_changes(SqliteStore *s, Slice bytes) {
    Change change;
    Slice rest = bytes;
    int64_t checked = 0;
    int r;
    while ((r = changes_next(&rest, &change)) == 0) {
        r = change.project == checked ? 0 : check_project(s, change.project);
        checked = change.project;
        if (r == 0)
            r = replay_change(s, &change, (Slice){.ptr = bytes.ptr, .len = bytes.len - rest.len});
        bytes = rest;
        if (r != 0)
            return r;
    }
    return r == CHANGES_END ? 0 : sqlite_damaged(s, "log");
}

/* The transaction under way has changed tables: what the log has, and what it would append to it, go there too. */
int sqlite_commit_tables(SqliteStore *s) {
    int r = flush_rows(s);
    if (r == 0)
        r = replay_changes(s, buffer_slice(&s->changes));
    if (r == 0)
        r = end_log(s, s->log.number);
    if (r != 0) {
        s->is_unsettled |= r == STORE_UNKNOWN;
        sqlite_rollback(&s->base);
        return r;
    }
    buffer_clear(&s->changes);
    resident_publish(&s->resident);
    resident_flushed(&s->resident);
    return 0;
}

static int replay(SqliteStore *s, Slice changes, int64_t last) {
    FAILPOINT("replaying");
    int r = sqlite_begin_write(s);
    if (r == 0)
        r = replay_changes(s, changes);
    if (r == 0)
        r = end_log(s, last);
    if (r != 0)
        sqlite_rollback(&s->base);
    return r;
}

int sqlite_replay(SqliteStore *s) {
    int64_t database = 0, done = 0, last = 0;
    int r = 0;
    while (r == 0 && sqlite_next(s, SQL_LOG_STATE, &r) == ROW_HERE) {
        database = sqlite3_column_int64(s->statements[SQL_LOG_STATE], 0);
        done = sqlite3_column_int64(s->statements[SQL_LOG_STATE], 1);
    }
    if (r != 0)
        return r;
    Buffer changes;
    buffer_init(&changes, SIZE_MAX);
    int rc = change_log_read(&s->log, (uint64_t)database, done, &changes, &last);
    r = rc != SQLITE_OK ? sqlite_log_failed(s, rc, "reading the log") : buffer_error(&changes);
    if (r == 0 && last != done)
        r = replay(s, buffer_slice(&changes), last);
    else if (r == 0)
        change_log_restart(&s->log, done);
    buffer_deinit(&changes);
    return r;
}
