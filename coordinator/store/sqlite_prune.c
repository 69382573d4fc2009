/*
 * What is kept long enough goes: history by its rows, then requests that are over. A cursor walks the primary keys, first of
 * all history, then of all requests; so a project is left as soon as it has nothing old.
 *
 *   history   Ids and times grow together, so the first row of a project that stays ends its turn (sqlite_history.c).
 *   requests  Tickets and times of asking grow together, and nothing is over before it was asked: the first request asked
 *             after the limit ends the project's turn. Old ones that live on are stepped over, no index is needed.
 *
 * But for what is later than now, of a time when the machine's clock was ahead: it is stepped over too.
 */
#include <assert.h>
#include <limits.h>

#include "base/failpoint.h"
#include "store/sqlite.h"

#define PRUNE_STEP 64 /* requests looked at between deletions */

/* Up to PRUNE_STEP requests at the cursor. */
static int prune_requests(SqliteStore *s, int64_t before_ms, int64_t *cursor, int64_t *budget) {
    sqlite3_stmt *from = s->statements[SQL_PRUNE_REQUESTS_FROM];
    int64_t old[PRUNE_STEP], now_ms = clock_wall_ms(s->clock);
    size_t old_count = 0;
    int r = 0;
    int64_t step = *budget < PRUNE_STEP ? *budget : PRUNE_STEP, seen = 0;
    sqlite_bind_number(from, 1, *cursor);
    sqlite_bind_number(from, 2, step);
    while (sqlite_next(s, SQL_PRUNE_REQUESTS_FROM, &r) == ROW_HERE) {
        int64_t id = sqlite3_column_int64(from, 0);
        int64_t ended_ms = sqlite3_column_int64(from, 3);
        seen++;
        int64_t asked_ms = sqlite3_column_int64(from, 2);
        if (asked_ms >= before_ms && asked_ms <= now_ms) {
            *cursor = sqlite_next_project(id);
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
                           : sqlite_prune_history(s, events_before_ms, &cursor, &left);
    }
    if (r != 0) {
        sqlite_rollback(store);
        return r;
    }
    FAILPOINT("pruned");
    r = sqlite_commit(store);
    if (r != 0)
        return r;
    bool is_round_over = is_at_requests && cursor == INT64_MAX;
    s->prune_cursor = is_round_over ? 0 : cursor;
    s->prune_is_at_requests = is_round_over ? false : is_at_requests;
    return is_round_over ? STORE_DONE : 0;
}
