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
    bool is_leased = row->ticket != 0;
    bool is_quiet = row->quiet_until_ms != 0;
    bool is_bound = is_leased && row->lease_seconds > 0;
    int64_t left = is_bound ? watch_left(r->watch, r->project, row->ticket, row->lease_seconds * 1000) : 0;
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
        .is_available = row->state == STACK_AVAILABLE && !is_quiet,
        .is_quiet = is_quiet,
        .has_lease = is_leased,
        .lease = {.id = slice_of(id),
                  .generation = row->generation,
                  .since_ms = row->since_ms,
                  .expires_ms = is_bound ? r->wall_ms + left : FIELD_ABSENT,
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

int list_render(Store *store, const Watch *watch, int64_t wall_ms, const Command *c, size_t ceiling, Buffer *out,
                bool *is_whole) {
    int64_t limit = c->limit != FIELD_ABSENT ? c->limit : lists[c->operation].rows_default;
    ReadQuery query = {.list = lists[c->operation].query,
                       .project = c->project,
                       .after = c->after,
                       .limit = limit,
                       .stack_name = c->operation == OP_LIST_EVENTS ? c->stack_name : SLICE_ABSENT,
                       .after_text = SLICE_ABSENT};
    int r = 0;
    if (c->operation == OP_LIST_EVENTS && c->after == FIELD_ABSENT)
        r = find_tail(store, &query);
    if (r != 0)
        return r;
    if (c->operation == OP_LIST_QUEUE)
        query.after = FIELD_ABSENT;
    query.limit = limit != 0 && c->operation != OP_LIST_QUEUE ? limit + 1 : 0;
    buffer_printf(out, "{\"%s\":[", lists[c->operation].member);
    Render render = {.out = out,
                     .start = out->len,
                     .ceiling = ceiling,
                     .left = limit != 0 ? limit : INT64_MAX,
                     .next = FIELD_ABSENT,
                     .is_first = true,
                     .watch = watch,
                     .wall_ms = wall_ms,
                     .project = c->project,
                     .after = c->after != FIELD_ABSENT ? c->after : 0};
    StoreRows rows = {.stack = stack_row,
                      .request = request_row,
                      .event = event_row,
                      .project = project_row,
                      .key = key_row,
                      .arg = &render};
    r = store_read(store, &query, &rows);
    if (r != 0 && r != RENDER_CUT)
        return r;
    buffer_add_char(out, ']');
    if (render.next != FIELD_ABSENT && lists[c->operation].is_paged)
        buffer_printf(out, ",\"next\":%lld", (long long)render.next);
    buffer_add_char(out, '}');
    *is_whole = render.next == FIELD_ABSENT || limit != 0;
    return buffer_error(out);
}
