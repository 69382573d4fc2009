/*
 * What is kept long enough goes: history by whole chapters, then requests that are over. A cursor walks the primary keys,
 * first of all events, then of all requests; so a project is left as soon as it has nothing old.
 *
 *   events    A chapter goes when its youngest event is old enough, with the rows that point to it. Ids and times grow
 *             together, so the first chapter of a project that stays ends its turn.
 *   requests  Tickets and times of asking grow together, and nothing is over before it was asked: the first request asked
 *             after the limit ends the project's turn. Old ones that live on are stepped over, no index is needed.
 */
#include <assert.h>
#include <limits.h>

#include "base/failpoint.h"
#include "store/changes.h"
#include "store/sqlite.h"

#define PRUNE_STEP 64 /* requests looked at between deletions */

static int64_t next_project(int64_t id) {
    return ((id >> ROW_BITS) + 1) << ROW_BITS;
}

/* The rows of event_chapter that the events of one row of history stand for; several may name one. */
static int leave_chapter(SqliteStore *s, int64_t project, Slice bytes) {
    sqlite3_stmt *statement = s->statements[SQL_CHAPTER_DELETE];
    Change change;
    int r = 0, next;
    while (r == 0 && (next = changes_next(&bytes, &change)) == 0) {
        const EventRow *event = &change.row.event;
        if (change.kind != CHANGE_EVENT || slice_is_absent(event->stack_name))
            continue;
        sqlite_bind_number(statement, 1, project);
        sqlite_bind_slice(statement, 2, event->stack_name);
        sqlite_bind_number(statement, 3, event->id >> CHAPTER_BITS);
        r = sqlite_run(s, SQL_CHAPTER_DELETE);
    }
    return r != 0 || next == CHANGES_END ? r : sqlite_damaged(s, "history");
}

static int delete_chapter(SqliteStore *s, int64_t first, int64_t last) {
    sqlite3_stmt *rows = s->statements[SQL_HISTORY_FROM], *history = s->statements[SQL_PRUNE_HISTORY];
    int r = 0;
    s->chapters_changed = true;
    sqlite_bind_number(rows, 1, first);
    sqlite_bind_number(rows, 2, last);
    while (r == 0 && sqlite_next(s, SQL_HISTORY_FROM, &r) == ROW_HERE)
        r = leave_chapter(s, first >> ROW_BITS,
                          (Slice){.ptr = sqlite3_column_blob(rows, 0), .len = (size_t)sqlite3_column_bytes(rows, 0)});
    sqlite_leave(s, SQL_HISTORY_FROM);
    sqlite_bind_number(history, 1, first);
    sqlite_bind_number(history, 2, last);
    return r == 0 ? sqlite_run(s, SQL_PRUNE_HISTORY) : r;
}

/* The chapter at the cursor: deletes it, or moves on to the next project. Takes what it cost off the budget. */
static int prune_chapter(SqliteStore *s, int64_t before_ms, int64_t *cursor, int64_t *budget) {
    const int64_t in_chapter = (INT64_C(1) << CHAPTER_BITS) - 1;
    sqlite3_stmt *first_event = s->statements[SQL_PRUNE_FIRST_HISTORY], *age = s->statements[SQL_PRUNE_CHAPTER_AGE];
    int r = 0;
    int64_t youngest_ms = 0, count = 0;
    sqlite_bind_number(first_event, 1, *cursor);
    if (sqlite_next(s, SQL_PRUNE_FIRST_HISTORY, &r) != ROW_HERE) {
        *cursor = INT64_MAX;
        return r;
    }
    int64_t first = sqlite3_column_int64(first_event, 0) & ~in_chapter, last = first | in_chapter;
    bool is_oldest_old = sqlite3_column_int64(first_event, 1) < before_ms;
    sqlite_leave(s, SQL_PRUNE_FIRST_HISTORY);
    if (!is_oldest_old) {
        *cursor = next_project(first);
        --*budget;
        return 0;
    }
    sqlite_bind_number(age, 1, first);
    sqlite_bind_number(age, 2, last);
    while (r == 0 && sqlite_next(s, SQL_PRUNE_CHAPTER_AGE, &r) == ROW_HERE) {
        youngest_ms = sqlite3_column_int64(age, 0);
        count = sqlite3_column_int64(age, 1);
    }
    if (r != 0)
        return r;
    bool is_old = youngest_ms < before_ms;
    *cursor = is_old ? last + 1 : next_project(first);
    *budget -= is_old ? count : 1;
    return is_old ? delete_chapter(s, first, last) : 0;
}

/* Up to PRUNE_STEP requests at the cursor. */
static int prune_requests(SqliteStore *s, int64_t before_ms, int64_t *cursor, int64_t *budget) {
    sqlite3_stmt *from = s->statements[SQL_PRUNE_REQUESTS_FROM];
    int64_t old[PRUNE_STEP];
    size_t old_count = 0;
    int r = 0;
    int64_t step = *budget < PRUNE_STEP ? *budget : PRUNE_STEP, seen = 0;
    sqlite_bind_number(from, 1, *cursor);
    sqlite_bind_number(from, 2, step);
    while (sqlite_next(s, SQL_PRUNE_REQUESTS_FROM, &r) == ROW_HERE) {
        int64_t id = sqlite3_column_int64(from, 0);
        int64_t ended_ms = sqlite3_column_int64(from, 3);
        seen++;
        if (sqlite3_column_int64(from, 2) >= before_ms) {
            *cursor = next_project(id);
            sqlite_leave(s, SQL_PRUNE_REQUESTS_FROM);
            step = seen; /* the rest is of this project, or is asked for anew */
            break;
        }
        *cursor = id + 1;
        if (sqlite3_column_int(from, 1) == REQUEST_OVER && ended_ms < before_ms)
            old[old_count++] = id;
    }
    if (r == 0 && seen < step)
        *cursor = INT64_MAX;
    *budget -= seen > 0 ? seen : 1;
    for (size_t i = 0; r == 0 && i < old_count; i++) {
        sqlite_bind_number(s->statements[SQL_PRUNE_REQUEST], 1, old[i]);
        r = sqlite_run(s, SQL_PRUNE_REQUEST);
    }
    return r;
}

int sqlite_prune(Store *store, int64_t events_before_ms, int64_t requests_before_ms, size_t budget) {
    SqliteStore *s = sqlite_store(store);
    int64_t cursor = s->prune_cursor, left = budget < INT_MAX ? (int64_t)budget : INT_MAX;
    bool is_at_requests = s->prune_is_at_requests;
    int r = sqlite_begin(store);
    if (r == 0)
        r = sqlite_flush(s);
    if (r == 0)
        r = sqlite_begin_write(s);
    if (r != 0)
        return r;
    while (r == 0 && left > 0 && !(is_at_requests && cursor == INT64_MAX)) {
        if (!is_at_requests && cursor == INT64_MAX) {
            is_at_requests = true;
            cursor = 0;
        }
        r = is_at_requests ? prune_requests(s, requests_before_ms, &cursor, &left)
                           : prune_chapter(s, events_before_ms, &cursor, &left);
    }
    if (r != 0) {
        sqlite_rollback(store);
        return r;
    }
    if (s->chapters_changed)
        sqlite_forget_chapters(s);
    FAILPOINT("pruned");
    r = sqlite_commit(store);
    if (r != 0)
        return r;
    bool is_round_over = is_at_requests && cursor == INT64_MAX;
    s->prune_cursor = is_round_over ? 0 : cursor;
    s->prune_is_at_requests = is_round_over ? false : is_at_requests;
    return is_round_over ? STORE_DONE : 0;
}
