/*
 * Rows of history: events of one project that follow one another, up to HISTORY_ROW_MAX of them, and in front of them a
 * Bloom filter of their stacks' names (B. H. Bloom, "Space/Time Trade-offs in Hash Coding with Allowable Errors", 1970). SQLite
 * reads a row's first columns without the pages behind them, so passing a row that has nothing of a stack costs a microsecond.
 */
#include <string.h>

#include "store/changes.h"
#include "store/sqlite.h"

#define FILTER_BITS ((uint64_t)HISTORY_FILTER_SIZE * 8)

/* Two bits of the hash of a name. */
static void filter_add(unsigned char *filter, uint64_t stack) {
    uint64_t a = stack % FILTER_BITS, b = (stack >> 32) % FILTER_BITS;
    filter[a / 8] |= (unsigned char)(1u << a % 8);
    filter[b / 8] |= (unsigned char)(1u << b % 8);
}

static bool filter_may_have(const unsigned char *filter, uint64_t stack) {
    uint64_t a = stack % FILTER_BITS, b = (stack >> 32) % FILTER_BITS;
    return (filter[a / 8] >> a % 8 & 1) != 0 && (filter[b / 8] >> b % 8 & 1) != 0;
}

static Slice blob_at(sqlite3_stmt *statement, int at) {
    return (Slice){.ptr = sqlite3_column_blob(statement, at), .len = (size_t)sqlite3_column_bytes(statement, at)};
}

/* ---- writing ---- */

int sqlite_end_history(SqliteStore *s) {
    HistoryRow *row = &s->history;
    if (row->project == 0)
        return 0;
    Slice bytes = buffer_slice(&row->bytes);
    int r = buffer_error(&row->bytes);
    if (r != 0)
        return r;
    sqlite3_stmt *statement = s->statements[SQL_HISTORY_PUT];
    sqlite_bind_number(statement, 1, sqlite_row_id(row->project, row->first));
    sqlite_bind_number(statement, 2, row->last_ms);
    sqlite_bind_number(statement, 3, row->count);
    (void)sqlite3_bind_blob(statement, 4, row->stacks, sizeof row->stacks, SQLITE_STATIC);
    (void)sqlite3_bind_blob(statement, 5, bytes.ptr, (int)bytes.len, SQLITE_STATIC);
    row->project = 0;
    return sqlite_run(s, SQL_HISTORY_PUT);
}

static bool can_take(const HistoryRow *row, int64_t project, int64_t id) {
    return row->project == project && row->first + row->count == id && row->count < HISTORY_ROW_MAX;
}

static void begin_row(HistoryRow *row, int64_t project, int64_t first) {
    row->project = project;
    row->first = first;
    row->count = row->last_ms = 0;
    memset(row->stacks, 0, sizeof row->stacks);
    buffer_clear(&row->bytes);
}

/* The row that the event belongs into: the project's last one, if it has room, or a new one. */
static int open_row(SqliteStore *s, int64_t project, int64_t id) {
    HistoryRow *row = &s->history;
    sqlite3_stmt *statement = s->statements[SQL_HISTORY_LAST];
    int r = 0;
    begin_row(row, project, id);
    sqlite_bind_range(statement, 1, project);
    while (r == 0 && sqlite_next(s, SQL_HISTORY_LAST, &r) == ROW_HERE) {
        Slice stacks = blob_at(statement, 3);
        if (stacks.len != sizeof row->stacks) {
            r = sqlite_damaged(s, "history");
            break;
        }
        row->first = sqlite3_column_int64(statement, 0) & ROW_MASK;
        row->count = sqlite3_column_int64(statement, 2);
        if (!can_take(row, project, id)) {
            begin_row(row, project, id);
            continue;
        }
        row->last_ms = sqlite3_column_int64(statement, 1);
        memcpy(row->stacks, stacks.ptr, sizeof row->stacks);
        buffer_add_slice(&row->bytes, blob_at(statement, 4));
    }
    sqlite_leave(s, SQL_HISTORY_LAST);
    return r;
}

int sqlite_write_event(SqliteStore *s, int64_t project, const EventMark *event, Slice bytes) {
    HistoryRow *row = &s->history;
    if (!can_take(row, project, event->id)) {
        bool is_full = row->project == project && row->count == HISTORY_ROW_MAX;
        int r = sqlite_end_history(s);
        if (r == 0 && is_full)
            begin_row(row, project, event->id);
        else if (r == 0)
            r = open_row(s, project, event->id);
        if (r != 0)
            return r;
    }
    row->count++;
    row->last_ms = event->at_ms > row->last_ms ? event->at_ms : row->last_ms;
    if (event->stack != 0)
        filter_add(row->stacks, event->stack);
    buffer_add_slice(&row->bytes, bytes);
    return 0;
}

/* ---- reading ---- */

/* One page of it: what the table has, and what only the log has, which is younger. */
typedef struct EventPage {
    SqliteStore *s;
    const ReadQuery *query;
    const StoreRows *rows;
    int64_t project, after, left;
    uint64_t stack; /* 0: of all */
} EventPage;

static int each_event(EventPage *page, const EventRow *row) {
    const ReadQuery *query = page->query;
    bool is_wanted = row->id > page->after && (page->stack == 0 || slice_equal(row->stack_name, query->stack_name));
    if (!is_wanted || page->left == 0)
        return 0;
    page->left--;
    return page->rows->event(page->rows->arg, row);
}

/* The events of one row of history, in the page's direction. */
static int each_event_of(EventPage *page, Slice bytes) {
    EventRow events[HISTORY_ROW_MAX];
    size_t count = 0;
    Change change;
    int r;
    while ((r = changes_next(&bytes, &change)) == 0 && change.kind == CHANGE_EVENT && count < COUNT_OF(events))
        events[count++] = change.row.event;
    if (r != CHANGES_END)
        return sqlite_damaged(page->s, "history");
    r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = each_event(page, &events[page->query->newest_first ? count - 1 - i : i]);
    return r;
}

static int each_event_of_row(EventPage *page, sqlite3_stmt *statement) {
    Slice stacks = blob_at(statement, 0);
    if (stacks.len != HISTORY_FILTER_SIZE)
        return sqlite_damaged(page->s, "history");
    if (page->stack != 0 && !filter_may_have((const unsigned char *)stacks.ptr, page->stack))
        return 0;
    return each_event_of(page, blob_at(statement, 1));
}

static int read_stored_events(EventPage *page) {
    SqliteStore *s = page->s;
    StatementId id = page->query->newest_first ? SQL_HISTORY_BACKWARDS : SQL_HISTORY_FROM;
    sqlite3_stmt *statement = s->statements[id];
    int r = 0;
    /* The row with the first event wanted may begin so much earlier. */
    int64_t from = page->after < HISTORY_ROW_MAX ? 0 : page->after - HISTORY_ROW_MAX;
    sqlite_bind_number(statement, 1, sqlite_row_id(page->project, from < ROW_MASK ? from : ROW_MASK));
    sqlite_bind_number(statement, 2, sqlite_row_id(page->project, ROW_MASK));
    while (r == 0 && page->left > 0 && sqlite_next(s, id, &r) == ROW_HERE)
        r = each_event_of_row(page, statement);
    sqlite_leave(s, id);
    return r;
}

static int read_logged_events(EventPage *page) {
    const ResidentProject *project = NULL;
    while ((project = resident_next_with_events(&page->s->resident, project)) != NULL && project->id != page->project)
        continue;
    if (project == NULL)
        return 0;
    const ResidentLink *list = &project->dirty_events;
    bool is_backwards = page->query->newest_first;
    int r = 0;
    for (const ResidentLink *link = is_backwards ? list->previous : list->next; r == 0 && link != list;
         link = is_backwards ? link->previous : link->next)
        r = each_event_of(page, ((const ResidentEvent *)link)->bytes);
    return r;
}

int sqlite_read_events(SqliteStore *s, const ReadQuery *query, const StoreRows *rows, int64_t project) {
    EventPage page = {.s = s,
                      .query = query,
                      .rows = rows,
                      .project = project,
                      .after = query->after == FIELD_ABSENT ? 0 : query->after,
                      .left = query->limit > 0 ? query->limit : INT64_MAX,
                      .stack = slice_is_absent(query->stack_name) ? 0 : slice_hash(query->stack_name)};
    int (*const parts[])(EventPage *) = {read_stored_events, read_logged_events};
    int r = parts[query->newest_first](&page);
    return r == 0 ? parts[!query->newest_first](&page) : r;
}

/* ---- pruning ---- */

int sqlite_prune_history(SqliteStore *s, int64_t before_ms, int64_t *cursor, int64_t *budget) {
    sqlite3_stmt *from = s->statements[SQL_PRUNE_HISTORY_FROM];
    int r = 0;
    sqlite_bind_number(from, 1, *cursor);
    if (sqlite_next(s, SQL_PRUNE_HISTORY_FROM, &r) != ROW_HERE) {
        *cursor = INT64_MAX;
        return r;
    }
    int64_t id = sqlite3_column_int64(from, 0), count = sqlite3_column_int64(from, 2);
    int64_t last_ms = sqlite3_column_int64(from, 1);
    bool is_old = last_ms<before_ms, is_ahead = last_ms> clock_wall_ms(s->clock);
    sqlite_leave(s, SQL_PRUNE_HISTORY_FROM);
    *cursor = is_old || is_ahead ? id + 1 : sqlite_next_project(id);
    *budget -= is_old ? count : 1;
    sqlite_bind_number(s->statements[SQL_PRUNE_HISTORY], 1, id);
    return is_old ? sqlite_run(s, SQL_PRUNE_HISTORY) : 0;
}
