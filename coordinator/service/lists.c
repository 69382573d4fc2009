/*
 * Rows → items → JSON, for every list. Rows are read one more than the limit says, so that `next` is exact: it is there
 * if and only if there is more.
 */
#include "service/lists.h"

#include <stdio.h>

#include "base/limits.h"

typedef struct Render {
    Buffer *out;
    size_t start;   /* bytes in `out` before the first row */
    size_t ceiling; /* bytes of rows; 0: none */
    int64_t left;   /* rows still allowed */
    int64_t next;   /* the last row written, once the list was cut; FIELD_ABSENT */
    int64_t last;
    bool is_first;
    const Watch *watch;
    int64_t wall_ms;
    Slice project;
    int64_t after, positions[2]; /* of listQueue: the last ticket not wanted; by purpose */
} Render;

enum { RENDER_CUT = 1000 }; /* stops store_read; never leaves this file */

/* Before a row: false once it may not be written any more. */
static bool row_begin(Render *r) {
    if (r->left == 0 || (r->ceiling != 0 && r->out->len - r->start > r->ceiling)) {
        r->next = r->last;
        return false;
    }
    if (!r->is_first)
        buffer_add_char(r->out, ',');
    r->is_first = false;
    r->left--;
    return true;
}

static Slice name_of(const char *text) {
    return slice_of(text);
}

static int stack_row(void *arg, const StackRow *row) {
    Render *r = arg;
    if (!row_begin(r))
        return RENDER_CUT;
    char id[24];
    (void)snprintf(id, sizeof id, "%lld", (long long)row->ticket);
    int64_t left = is_bound(row) ? watch_left(r->watch, r->project, row->ticket, row->lease_seconds * 1000) : 0;
    StackItem item = {
        .number = row->number,
        .created_ms = row->created_ms,
        .modified_ms = row->modified_ms,
        .requested_ms = row->requested_ms,
        .entity = SLICE_LITERAL("Stack"),
        .stack_name = row->name,
        .state = name_of(stack_state_name(row->state)),
        .branch = row->branch,
        .last_deployed_commit = row->is_content_unknown ? SLICE_ABSENT : row->last_commit,
        .url = row->url,
        .note = row->note,
        .is_available = is_free(row),
        .is_quiet = is_quiet(row),
        .has_lease = is_leased(row),
        .lease = {.id = slice_of(id),
                  .generation = row->generation,
                  .since_ms = row->since_ms,
                  .expires_ms = is_bound(row) ? r->wall_ms + left : FIELD_ABSENT,
                  .holder_json = row->holder_json},
    };
    r->last = row->number;
    fields_encode(&stack_item_fields, &item, r->out);
    return 0;
}

/* Positions are told from the head of each queue, whatever page is asked for. */
static int request_row(void *arg, const RequestRow *row) {
    Render *r = arg;
    int64_t position = row->is_heard ? ++r->positions[row->purpose] : FIELD_ABSENT;
    if (row->ticket <= r->after)
        return 0;
    if (!row_begin(r))
        return RENDER_CUT;
    QueueItem item = {
        .ticket = row->ticket,
        .position = position,
        .since_ms = row->created_ms,
        .purpose = name_of(purpose_names[row->purpose]),
        .branch = row->branch,
        .holder_json = row->holder_json,
    };
    r->last = row->ticket;
    fields_encode(&queue_item_fields, &item, r->out);
    return 0;
}

static int event_row(void *arg, const EventRow *row) {
    Render *r = arg;
    if (!row_begin(r))
        return RENDER_CUT;
    EventItem item = {
        .id = row->id,
        .at_ms = row->at_ms,
        .generation = row->generation != 0 ? row->generation : FIELD_ABSENT,
        .kind = name_of(event_kind_names[row->kind]),
        .stack_name = row->stack_name,
        .branch = row->branch,
        .commit = row->commit,
        .by = row->by,
        .outcome = row->outcome,
        .note = row->note,
        .holder_json = row->holder_json,
    };
    r->last = row->id;
    fields_encode(&event_item_fields, &item, r->out);
    return 0;
}

static int project_row(void *arg, const ProjectRow *row) {
    Render *r = arg;
    if (row->is_deleted)
        return 0;
    if (!row_begin(r))
        return RENDER_CUT;
    ProjectItem item = {
        .project_name = row->name,
        .prefix = row->prefix,
        .initial_commit = row->initial_commit,
        .max_stacks = row->max_stacks != 0 ? row->max_stacks : FIELD_ABSENT,
        .max_hold_seconds = row->max_hold_seconds,
        .expiry_grace_seconds = row->expiry_grace_seconds,
        .created_ms = row->created_ms,
        .stacks = row->stack_count,
        .cleaning = name_of(row->is_cleaning ? "on" : "off"),
    };
    fields_encode(&project_item_fields, &item, r->out);
    return 0;
}

static int key_row(void *arg, const KeyRow *row) {
    Render *r = arg;
    if (!row_begin(r))
        return RENDER_CUT;
    KeyItem item = {
        .key_id = row->id,
        .project_name = row->project,
        .scope = name_of(scope_names[row->scope]),
        .label = row->label,
        .created_ms = row->created_ms,
        .last_used_ms = row->last_used_ms != 0 ? row->last_used_ms : FIELD_ABSENT,
        .revoked_ms = row->revoked_ms != 0 ? row->revoked_ms : FIELD_ABSENT,
    };
    fields_encode(&key_item_fields, &item, r->out);
    return 0;
}

static const struct {
    const char *member;
    ListQuery query;
    bool is_paged;
    int64_t rows_default; /* 0: all */
} lists[OP_COUNT] = {
    [OP_LIST_STACKS] = {"stacks", LIST_STACKS, true, 0},
    [OP_LIST_QUEUE] = {"queue", LIST_QUEUE, true, 0},
    [OP_LIST_EVENTS] = {"events", LIST_EVENTS, true, EVENT_PAGE_MAX},
    [OP_LIST_PROJECTS] = {"projects", LIST_PROJECTS, false, 0},
    [OP_LIST_KEYS] = {"keys", LIST_KEYS, false, 0},
};

/* Without `after` the history is read from its end: finds the id that the last `limit` events come after. */
typedef struct Tail {
    int64_t left, oldest;
} Tail;

static int tail_row(void *arg, const EventRow *row) {
    Tail *tail = arg;
    tail->oldest = row->id;
    return --tail->left > 0 ? 0 : RENDER_CUT;
}

static int find_tail(Store *store, ReadQuery *query) {
    Tail tail = {.left = query->limit, .oldest = 1};
    StoreRows rows = {.event = tail_row, .arg = &tail};
    ReadQuery backwards = *query;
    backwards.newest_first = true;
    int r = store_read(store, &backwards, &rows);
    if (r == 0 || r == RENDER_CUT) {
        query->after = tail.oldest - 1;
        r = 0;
    }
    return r;
}

/* *fitted: how many rows came before the ceiling; `limit` or all: it was not met. */
static int render(Store *store, ReadQuery query, Render *render, const Command *c, int64_t limit, int64_t *fitted) {
    buffer_clear(render->out);
    buffer_printf(render->out, "{\"%s\":[", lists[c->operation].member);
    render->start = render->out->len;
    render->left = limit != 0 ? limit : INT64_MAX;
    render->next = FIELD_ABSENT;
    render->is_first = true;
    const StoreRows rows = {.stack = stack_row,
                            .request = request_row,
                            .event = event_row,
                            .project = project_row,
                            .key = key_row,
                            .arg = render};
    int r = store_read(store, &query, &rows);
    if (r != 0 && r != RENDER_CUT)
        return r;
    *fitted = (limit != 0 ? limit : INT64_MAX) - render->left;
    buffer_add_char(render->out, ']');
    if (render->next != FIELD_ABSENT && lists[c->operation].is_paged)
        buffer_printf(render->out, ",\"next\":%lld", (long long)render->next);
    buffer_add_char(render->out, '}');
    return buffer_error(render->out);
}

/* The latest events that fit: their number is found by those that did, which were older. */
static int render_tail(Store *store, ReadQuery query, Render *r, const Command *c, int64_t limit) {
    int64_t fitted = limit;
    int result;
    do {
        limit = fitted;
        query.after = FIELD_ABSENT;
        query.limit = limit;
        result = find_tail(store, &query);
        query.limit = limit + 1;
        if (result == 0)
            result = render(store, query, r, c, limit, &fitted);
    } while (result == 0 && r->next != FIELD_ABSENT && fitted < limit);
    return result;
}

int list_render(Store *store, const Watch *watch, int64_t wall_ms, const Command *c, size_t ceiling, Buffer *out,
                bool *is_whole) {
    int64_t limit = c->limit != FIELD_ABSENT ? c->limit : lists[c->operation].rows_default, fitted;
    bool is_queue = c->operation == OP_LIST_QUEUE, is_history = c->operation == OP_LIST_EVENTS;
    ReadQuery query = {.list = lists[c->operation].query,
                       .project = c->project,
                       .after = is_queue ? FIELD_ABSENT : c->after,
                       .limit = limit != 0 && !is_queue ? limit + 1 : 0,
                       .stack_name = is_history ? c->stack_name : SLICE_ABSENT,
                       .after_text = SLICE_ABSENT};
    Render r = {.out = out,
                .ceiling = ceiling,
                .watch = watch,
                .wall_ms = wall_ms,
                .project = c->project,
                .after = c->after != FIELD_ABSENT ? c->after : 0};
    int result = is_history && c->after == FIELD_ABSENT ? render_tail(store, query, &r, c, limit)
                                                        : render(store, query, &r, c, limit, &fitted);
    *is_whole = r.next == FIELD_ABSENT || limit != 0;
    return result;
}
