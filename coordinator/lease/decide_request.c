/* Asking for a stack: requestStack, joinRequest, cancelRequest. */
#include <inttypes.h>

#include "base/limits.h"
#include "lease/ending.h"
#include "lease/grant.h"
#include "lease/queue.h"
#include "lease/replay.h"

int want_request(WorkingSet *set, const Command *command) {
    RowWant stack = {.query = ROWS_STACK_BY_NUMBER, .number = command->told_stack, .limit = 1};
    int r = working_set_want(set, (RowWant){.query = ROWS_REQUEST_BY_ID, .text = command->request_id, .limit = 1});
    return r < 0 || command->told_stack == 0 ? r : working_set_want(set, stack);
}

int want_request_stack(WorkingSet *set, const Command *command) {
    int r = slice_is_absent(command->request_id) ? 0 : want_request(set, command);
    return r < 0 || command->told_stack != 0 ? r : grant_want(set, command->purpose, command->branch, command->commit);
}

static int refuse_full(Task *t) {
    const ProjectRow *project = &t->set->project;
    if (t->command->purpose == PURPOSE_CLEAN)
        return task_refuse(t, OUTCOME_NONE_AVAILABLE, NULL,
                           project->is_cleaning ? slice_of("no stack waits for cleaning")
                                                : slice_of("no stack waits for cleaning, and none will: the project's "
                                                           "cleaning is off (`stack-coordinator project update NAME "
                                                           "--cleaning on`)"));
    Slice queue = project->queued_count == 0
                      ? slice_of("")
                      : arena_printf(t->set->arena, ", and %" PRId64 " requests wait", project->queued_count);
    return task_refuse(t, OUTCOME_NONE_AVAILABLE, NULL,
                       arena_printf(t->set->arena,
                                    "no stack is free: the project has %" PRId64 " of at most %" PRId64
                                    "%.*s; wait in the queue, release or restore one, or let it have more",
                                    project->stack_count, choice_ceiling(project), SLICE_PRINT(queue)));
}

static bool will_wait(const Command *command) {
    return command->if_none == IF_NONE_WAIT ||
           (command->if_none == IF_NONE_DEFAULT && !slice_is_absent(command->request_id) && command->wait_seconds > 0);
}

static int answer_queued(Task *t, int64_t ticket, int64_t position) {
    t->answer->is_queued = true;
    t->answer->position = position;
    t->answer->lease_ref = (LeaseRef){.ticket = ticket};
    return DECISION_DONE;
}

static int enqueue(Task *t, const RequestRow *request) {
    ProjectRow *project = &t->set->project;
    RequestRow row = *request;
    RequestSlot *slot = NULL;
    int64_t position = 0;
    int r = queue_position(t, row.purpose, NULL, &position);
    if (r != DECISION_DONE)
        return r;
    if (project->queued_count >= QUEUE_LENGTH_MAX)
        return task_refuse(t, OUTCOME_NONE_AVAILABLE, NULL, slice_of("the project's queue is full: ask again later"));
    row.ticket = ++project->last_ticket;
    row.state = REQUEST_QUEUED;
    row.is_heard = true;
    row.heard_at = t->moment->coordinator;
    row.from_queue = true;
    project->queued_count++;
    working_set_project_changed(t->set);
    r = working_set_add_request(t->set, &row, &slot);
    if (r < 0)
        return r;
    EventRow event = {.kind = EVENT_QUEUED, .branch = row.branch, .commit = row.commit, .holder_json = row.holder_json};
    r = task_record(t, event);
    return r < 0 ? r : answer_queued(t, row.ticket, position);
}

/* Asked for the first time: at once when nobody waits and something is free, else by the queue or not at all. */
static int ask(Task *t) {
    const Command *command = t->command;
    RequestRow request;
    RequestSlot *head = NULL;
    Choice choice;
    int r = queue_head(t->set, command->purpose, &head);
    if (r == DECISION_DONE)
        r = grant_request_of(t, &request);
    if (r != DECISION_DONE)
        return r;
    r = head != NULL ? CHOICE_NONE : grant_choose(t->set, command->purpose, &request, &choice);
    if (r == CHOICE_NONE)
        return will_wait(command) ? enqueue(t, &request) : refuse_full(t);
    if (r == CHOICE_NEEDS_ROWS)
        return DECISION_NEEDS_ROWS;
    return r < 0 ? r : grant_now(t, &request, &choice);
}

/* A request that is known: still waiting, live, or over. Asking is a sign of life, and a plain lease is collected by an
 * answer that somebody hears. */
static int answer_known(Task *t, RequestSlot *request) {
    const RequestRow *row = &request->row;
    StackSlot *stack = NULL;
    if (row->state == REQUEST_OVER)
        return refuse_over(t, request);
    if (row->state == REQUEST_QUEUED) {
        int64_t position = 0;
        int r = queue_position(t, row->purpose, request, &position);
        if (r != DECISION_DONE)
            return r;
        queue_hear(t, request);
        return answer_queued(t, row->ticket, position);
    }
    int r = task_stack_of(t, request, &stack);
    if (r != DECISION_DONE)
        return r;
    if (!stack->row.is_collected && !is_bound(&stack->row) && !t->command->is_peer_gone) {
        stack->row.is_collected = true;
        stack_slot_changed(stack);
    }
    lease_renewed(t, stack); /* among several: another coordinator may have told a later end than this one knows of */
    return answer_grant(t, &stack->row, row, row->is_reused);
}

static int replay(Task *t, RequestSlot *request) {
    int r = replay_compare(t, request);
    return r != DECISION_DONE ? r : answer_known(t, request);
}

int decide_request_stack(Task *t) {
    const Command *command = t->command;
    if (!slice_is_absent(command->request_id)) {
        RequestSlot *request = NULL;
        int r = replay_find(t, &request);
        if (r != DECISION_DONE || request != NULL)
            return r != DECISION_DONE ? r : replay(t, request);
    } else if (command->if_none == IF_NONE_WAIT) {
        return task_refuse(t, OUTCOME_VALIDATION, "requestId",
                           slice_of("ifNone wait needs a requestId: without one each repeat would be another request"));
    }
    return ask(t);
}

/* From now on several may hold the lease. */
static int note_joined(Task *t, RequestSlot *request) {
    const RequestRow *row = &request->row;
    if (row->state != REQUEST_LIVE)
        return DECISION_DONE;
    if (!row->is_joined) {
        request->row.is_joined = true;
        request_slot_changed(request);
    }
    if (slice_is_absent(t->command->holder_json))
        return DECISION_DONE;
    EventRow event = {.kind = EVENT_JOINED,
                      .stack_number = row->stack_number,
                      .stack_name = row->stack_name,
                      .generation = row->generation};
    int r = task_keep(t, t->command->holder_json, &event.holder_json);
    return r < 0 ? r : task_record(t, event);
}

int decide_join_request(Task *t) {
    RequestSlot *request = NULL;
    int r = replay_find(t, &request);
    if (r != DECISION_DONE)
        return r;
    if (request == NULL)
        return task_refuse(t, OUTCOME_UNKNOWN_REQUEST, "requestId",
                           slice_of("nobody asked under this requestId, or its lease ended more than a day ago"));
    r = answer_known(t, request);
    return r != DECISION_DONE ? r : note_joined(t, request);
}

/* A cancel that overtook its request: remembered, so that the request is granted to nobody when it comes. */
static int store_cancelled(Task *t) {
    ProjectRow *project = &t->set->project;
    RequestRow row = {.state = REQUEST_OVER,
                      .why = WHY_CANCELLED,
                      .lease_seconds = FIELD_ABSENT,
                      .created_ms = t->moment->wall_ms,
                      .ended_ms = t->moment->wall_ms};
    int r = task_keep(t, t->command->request_id, &row.request_id);
    if (r == 0)
        r = task_keep(t, t->command->asker, &row.ended_by);
    if (r < 0)
        return r;
    row.ticket = ++project->last_ticket;
    working_set_project_changed(t->set);
    RequestSlot *request = NULL;
    return working_set_add_request(t->set, &row, &request);
}

/* Whoever cancels a grant he never collected leaves no trace on the stack. */
static int end_cancelled(Task *t, RequestSlot *request) {
    StackSlot *stack = NULL;
    int r = task_stack_of(t, request, &stack);
    if (r != DECISION_DONE)
        return r;
    if (stack->row.is_collected) {
        const Ending ending = {.why = WHY_CANCELLED, .outcome = RELEASE_DIRTY, .by = t->command->asker};
        return lease_end(t, stack, request, &ending);
    }
    const StackRow before = stack->row;
    r = lease_take_back(t, stack);
    if (r == DECISION_DONE)
        r = task_keep(t, t->command->asker, &request->row.ended_by);
    if (r != DECISION_DONE)
        return r;
    request->row.state = REQUEST_OVER;
    request->row.why = WHY_CANCELLED;
    request->row.ended_ms = t->moment->wall_ms;
    request_slot_changed(request);
    return task_record_stack(t, EVENT_CANCELLED, &before,
                             (EventRow){.outcome = slice_of("ok"), .holder_json = before.holder_json});
}

/* What a cancel did, which its repeat is told again. */
static const struct {
    const char *result, *message;
} cancellations[] = {
    {"over", "The request was over already"},
    {"stored", "The request will not be granted"},
    {"removed", "The request waits no longer"},
    {"ended", "The request's lease was ended"},
};
enum { CANCEL_OVER, CANCEL_STORED, CANCEL_REMOVED, CANCEL_ENDED };

static int cancellation_of(const RequestSlot *request) {
    if (request == NULL)
        return CANCEL_STORED;
    const RequestRow *row = &request->row;
    if (row->state == REQUEST_OVER && row->why != WHY_CANCELLED)
        return CANCEL_OVER;
    return row->stack_number != 0 ? CANCEL_ENDED : row->from_queue ? CANCEL_REMOVED : CANCEL_STORED;
}

int decide_cancel_request(Task *t) {
    RequestSlot *request = NULL;
    int r = replay_find(t, &request);
    if (r != DECISION_DONE)
        return r;
    int what = cancellation_of(request);
    if (request == NULL)
        r = store_cancelled(t);
    else if (request->row.state == REQUEST_QUEUED)
        r = queue_remove(t, request, WHY_CANCELLED);
    else if (request->row.state == REQUEST_LIVE)
        r = end_cancelled(t, request);
    if (r != DECISION_DONE)
        return r;
    t->answer->result = slice_of(cancellations[what].result);
    return task_say(t, slice_of(cancellations[what].message));
}
