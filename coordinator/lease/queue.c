#include "lease/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "lease/grant.h"

#define HEADS_WANTED 8 /* of a queue, at first */

void queue_open(WorkingSet *set) {
    bool is_anybody = set->project.queued_count > 0;
    set->is_queue_due[PURPOSE_TEST] |= is_anybody;
    set->is_queue_due[PURPOSE_CLEAN] |= is_anybody;
}

static bool is_in_line(const RequestSlot *slot, int purpose) {
    return is_waiting(&slot->row) && slot->row.purpose == purpose;
}

static RowWant line_want(int purpose) {
    return (RowWant){.query = ROWS_QUEUE, .purpose = purpose, .limit = HEADS_WANTED};
}

static int need_line(WorkingSet *set, int purpose, const RowWant *loaded) {
    if (loaded != NULL)
        working_set_want_past_edges(set);
    int r = working_set_want(set, line_want(purpose));
    return r < 0 ? r : DECISION_NEEDS_ROWS;
}

int queue_head(WorkingSet *set, int purpose, RequestSlot **out) {
    const RowWant *loaded = working_set_loaded(set, line_want(purpose));
    RequestSlot *head = NULL;
    *out = NULL;
    if (set->project.queued_count == 0)
        return DECISION_DONE;
    for (size_t i = 0; i < set->request_count; i++) {
        RequestSlot *slot = set->requests[i];
        if (is_in_line(slot, purpose) && (head == NULL || slot->row.ticket < head->row.ticket))
            head = slot;
    }
    bool is_certain = loaded != NULL && (loaded->edge == 0 || (head != NULL && head->row.ticket <= loaded->edge));
    if (!is_certain)
        return need_line(set, purpose, loaded);
    *out = head;
    return DECISION_DONE;
}

/* Wants the count before every queued request of the set: the commands behind this one will need theirs. */
static int need_counts(WorkingSet *set, RowWant first) {
    first.limit = 1;
    int r = working_set_want(set, first);
    for (size_t i = 0; r == 0 && i < set->request_count; i++) {
        const RequestRow *row = &set->requests[i]->row;
        if (row->state == REQUEST_QUEUED)
            r = working_set_want(
                set,
                (RowWant){.query = ROWS_QUEUED_BEFORE, .purpose = row->purpose, .number = row->ticket, .limit = 1});
    }
    return r < 0 ? r : DECISION_NEEDS_ROWS;
}

int queue_position(Task *t, int purpose, const RequestSlot *request, int64_t *out) {
    WorkingSet *set = t->set;
    int64_t ticket = request != NULL ? request->row.ticket : INT64_MAX;
    RowWant want = {.query = ROWS_QUEUED_BEFORE, .purpose = purpose, .number = ticket};
    if (set->project.queued_count == 0) {
        *out = 1;
        return DECISION_DONE;
    }
    const RowWant *loaded = working_set_loaded(set, want);
    if (loaded == NULL)
        return need_counts(set, want);
    int64_t before = loaded->count;
    for (size_t i = 0; i < set->request_count; i++) {
        const RequestSlot *slot = set->requests[i];
        if (slot->row.purpose == purpose && slot->row.ticket < ticket)
            before += is_waiting(&slot->row) - slot->was_waiting;
    }
    *out = before + 1;
    return DECISION_DONE;
}

int queue_remove(Task *t, RequestSlot *request, RequestWhy why) {
    RequestRow *row = &request->row;
    assert(row->state == REQUEST_QUEUED);
    row->state = REQUEST_OVER;
    row->is_heard = false;
    row->why = why;
    row->ended_ms = t->moment->wall_ms;
    request_slot_changed(request);
    queue_open(t->set);
    t->set->project.queued_count--;
    working_set_project_changed(t->set);
    int r = task_keep(t, t->command->asker, &row->ended_by);
    if (r < 0)
        return r;
    EventRow event = {.kind = why == WHY_CANCELLED ? EVENT_CANCELLED : EVENT_ABANDONED,
                      .branch = row->branch,
                      .commit = row->commit,
                      .holder_json = row->holder_json};
    return task_record(t, event);
}

void queue_put_back(Task *t, RequestSlot *request) {
    RequestRow *row = &request->row;
    row->state = REQUEST_QUEUED;
    row->why = WHY_UNCOLLECTED; /* what became of its grant, for whoever comes with that one's secret */
    row->ended_ms = t->moment->wall_ms;
    row->is_heard = false;
    row->stack_number = 0;
    row->stack_name = SLICE_ABSENT;
    row->generation = 0;
    row->is_reused = false;
    row->is_joined = false;
    request_slot_changed(request);
    t->set->project.queued_count++;
    working_set_project_changed(t->set);
    queue_open(t->set);
}

void queue_hear(Task *t, RequestSlot *request) {
    int64_t here = t->moment->coordinator;
    if (request->row.is_heard && request->row.heard_at == here)
        return;
    request->row.is_heard = true;
    request->row.heard_at = here;
    request_slot_changed(request);
    queue_open(t->set);
}

/* Those behind a head that lacks rows will want theirs next. */
static int need_choices(WorkingSet *set, int purpose) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < set->request_count; i++) {
        const RequestRow *row = &set->requests[i]->row;
        if (is_in_line(set->requests[i], purpose))
            r = grant_want(set, purpose, row->branch, row->commit);
    }
    return r < 0 ? r : DECISION_NEEDS_ROWS;
}

static int compare_tickets(const void *a, const void *b) {
    const RequestRow *one = &(*(RequestSlot *const *)a)->row, *other = &(*(RequestSlot *const *)b)->row;
    return (one->ticket > other->ticket) - (one->ticket < other->ticket);
}

/* Those of the set, the first one first. */
static int line_up(WorkingSet *set, int purpose, RequestSlot ***line, size_t *count) {
    RequestSlot **slots = arena_alloc(set->arena, (set->request_count + 1) * sizeof(RequestSlot *));
    *count = 0;
    if (slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < set->request_count; i++)
        if (is_in_line(set->requests[i], purpose))
            slots[(*count)++] = set->requests[i];
    qsort(slots, *count, sizeof(RequestSlot *), compare_tickets);
    *line = slots;
    return 0;
}

/* DECISION_REFUSED: there is nothing to give. */
static int serve_one(Task *t, int purpose, RequestSlot *head) {
    Choice choice;
    int r = grant_choose(t->set, purpose, &head->row, &choice);
    if (r == CHOICE_NONE)
        return DECISION_REFUSED;
    if (r == CHOICE_NEEDS_ROWS)
        return need_choices(t->set, purpose);
    if (r != 0)
        return r;
    r = grant_queued(t, head, &choice);
    return r == DECISION_REFUSED ? -ENOTRECOVERABLE : r;
}

/* One by one, until nobody waits or there is nothing to give. */
static int serve(Task *t, int purpose) {
    WorkingSet *set = t->set;
    RequestSlot **line;
    size_t count;
    const RowWant *loaded = working_set_loaded(set, line_want(purpose));
    if (set->project.queued_count == 0)
        return DECISION_DONE;
    if (loaded == NULL)
        return need_line(set, purpose, NULL);
    int64_t edge = loaded->edge;
    int r = line_up(set, purpose, &line, &count);
    for (size_t i = 0; r == DECISION_DONE && set->project.queued_count > 0; i++) {
        bool is_certain = edge == 0 || (i < count && line[i]->row.ticket <= edge);
        if (!is_certain)
            return need_line(set, purpose, loaded);
        if (i == count)
            return DECISION_DONE;
        r = serve_one(t, purpose, line[i]);
    }
    return r == DECISION_REFUSED ? DECISION_DONE : r;
}

int lease_serve(WorkingSet *set, const Moment *moment) {
    const Command nobody = {.asker = SLICE_LITERAL("coordinator")};
    Answer unheard;
    answer_init(&unheard);
    Task t = {.set = set, .command = &nobody, .moment = moment, .answer = &unheard};
    for (int purpose = PURPOSE_TEST; purpose <= PURPOSE_CLEAN; purpose++) {
        int r = set->is_queue_due[purpose] ? serve(&t, purpose) : DECISION_DONE;
        if (r != DECISION_DONE)
            return r;
        set->is_queue_due[purpose] = false;
    }
    return DECISION_DONE;
}
