/* Asking for a stack: requestStack, joinRequest, cancelRequest. */
#include <inttypes.h>

#include "lease/choice.h"
#include "lease/ending.h"
#include "lease/replay.h"

static Slice branch_of(const Command *command) {
    return slice_is_absent(command->branch) ? slice_of("main") : command->branch;
}

int want_request(WorkingSet *set, const Command *command) {
    return working_set_want(set, (RowWant){.query = ROWS_REQUEST_BY_ID, .text = command->request_id, .limit = 1});
}

int want_request_stack(WorkingSet *set, const Command *command) {
    int r = slice_is_absent(command->request_id) ? 0 : want_request(set, command);
    return r < 0 ? r : choice_want(set, branch_of(command), command->commit);
}

static int refuse_full(Task *t) {
    const ProjectRow *project = &t->set->project;
    return task_refuse(t, OUTCOME_NONE_AVAILABLE, NULL,
                       arena_printf(t->set->arena,
                                    "all of the project's %" PRId64 " stacks are in use, and its ceiling is %" PRId64
                                    ": release one, or raise --max-stacks",
                                    project->stack_count, choice_ceiling(project)));
}

/* The texts of the command that the rows keep. */
typedef struct Kept {
    Slice branch, commit, request_id, holder_json;
} Kept;

static int keep_texts(Task *t, Kept *out) {
    const Command *command = t->command;
    int r = task_keep(t, branch_of(command), &out->branch);
    if (r == 0)
        r = task_keep(t, command->commit, &out->commit);
    if (r == 0)
        r = task_keep(t, command->request_id, &out->request_id);
    if (r == 0)
        r = task_keep(t, command->holder_json, &out->holder_json);
    return r;
}

/* The chosen stack with its counters brought up to date; a new one is made. */
static int take_stack(Task *t, const Choice *choice, StackSlot **out) {
    ProjectRow *project = &t->set->project;
    if (choice->slot != NULL) {
        *out = choice->slot;
        return task_move(t, choice->slot, STACK_GRANT);
    }
    StackRow row = {.number = choice->new_number, .state = STACK_GONE, .created_ms = t->moment->wall_ms};
    row.name = arena_printf(t->set->arena, "%.*s%" PRId64, SLICE_PRINT(project->prefix), row.number);
    int r = working_set_add_stack(t->set, &row, out);
    if (r < 0)
        return r;
    project->stack_count++;
    if (row.number == project->first_unused)
        project->first_unused++;
    return task_move(t, *out, STACK_CREATE);
}

static void begin_lease(Task *t, StackRow *row, const Kept *kept) {
    const Command *command = t->command;
    ProjectRow *project = &t->set->project;
    int64_t wall_ms = t->moment->wall_ms;
    project->last_generation = project->last_generation + 1 > wall_ms ? project->last_generation + 1 : wall_ms;
    project->last_ticket++;
    project->leased_count++;
    working_set_project_changed(t->set);

    row->branch = kept->branch;
    row->requested = project->last_generation;
    row->requested_ms = wall_ms;
    row->ticket = project->last_ticket;
    row->generation = project->last_generation;
    row->lease_seconds = command->lease_seconds != FIELD_ABSENT ? command->lease_seconds : 0;
    row->since_ms = wall_ms;
    row->is_collected = true;
    row->purpose = command->purpose;
    row->holder_json = kept->holder_json;
}

/* A lease that has a secret, or may be asked for again, leaves a row beside its stack's. */
static bool leaves_request(const Command *command) {
    return !slice_is_absent(command->request_id) || command->lease_seconds != FIELD_ABSENT;
}

static int add_request(Task *t, const StackRow *stack, const Kept *kept, bool is_reused, RequestSlot **out) {
    const Command *command = t->command;
    return working_set_add_request(t->set,
                                   &(RequestRow){
                                       .ticket = stack->ticket,
                                       .request_id = kept->request_id,
                                       .state = REQUEST_LIVE,
                                       .branch = slice_is_absent(command->branch) ? SLICE_ABSENT : kept->branch,
                                       .commit = kept->commit,
                                       .lease_seconds = command->lease_seconds,
                                       .purpose = command->purpose,
                                       .holder_json = kept->holder_json,
                                       .created_ms = t->moment->wall_ms,
                                       .stack_number = stack->number,
                                       .stack_name = stack->name,
                                       .generation = stack->generation,
                                       .is_reused = is_reused,
                                   },
                                   out);
}

static int grant(Task *t, const Choice *choice) {
    Kept kept;
    StackSlot *stack = NULL;
    int r = keep_texts(t, &kept);
    if (r == DECISION_DONE)
        r = take_stack(t, choice, &stack);
    if (r != DECISION_DONE)
        return r;
    begin_lease(t, &stack->row, &kept);

    RequestSlot *request = NULL;
    if (leaves_request(t->command))
        r = add_request(t, &stack->row, &kept, choice->is_reused, &request);
    if (r == DECISION_DONE) {
        const char *note = choice->slot == NULL ? "created" : choice->is_reused ? "reused" : NULL;
        EventRow event = {.commit = kept.commit, .holder_json = kept.holder_json, .note = slice_of(note)};
        r = task_record_stack(t, EVENT_GRANTED, &stack->row, event);
    }
    return r != DECISION_DONE ? r
                              : answer_grant(t, &stack->row, request != NULL ? &request->row : NULL, choice->is_reused);
}

static int replay(Task *t, const RequestSlot *request) {
    int r = replay_compare(t, request);
    return r != DECISION_DONE ? r : replay_answer(t, request);
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
    if (command->purpose == PURPOSE_CLEAN)
        return task_refuse(t, OUTCOME_NONE_AVAILABLE, NULL, slice_of("no stack waits for cleaning"));

    Choice choice;
    int r = choice_make(t->set, branch_of(command), command->commit, &choice);
    if (r == CHOICE_NONE)
        return refuse_full(t);
    if (r == CHOICE_NEEDS_ROWS)
        return DECISION_NEEDS_ROWS;
    return r < 0 ? r : grant(t, &choice);
}

int decide_join_request(Task *t) {
    RequestSlot *request = NULL;
    int r = replay_find(t, &request);
    if (r != DECISION_DONE)
        return r;
    if (request == NULL)
        return task_refuse(t, OUTCOME_UNKNOWN_REQUEST, "requestId",
                           slice_of("nobody asked under this requestId, or its lease ended more than a day ago"));
    r = replay_answer(t, request);
    if (r != DECISION_DONE || slice_is_absent(t->command->holder_json))
        return r;
    const RequestRow *row = &request->row;
    EventRow event = {.kind = EVENT_JOINED,
                      .stack_number = row->stack_number,
                      .stack_name = row->stack_name,
                      .generation = row->generation};
    r = task_keep(t, t->command->holder_json, &event.holder_json);
    return r < 0 ? r : task_record(t, event);
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

static int end_cancelled(Task *t, RequestSlot *request) {
    StackSlot *stack = NULL;
    int r = task_stack_of(t, request, &stack);
    if (r != DECISION_DONE)
        return r;
    const Ending ending = {.why = WHY_CANCELLED, .outcome = RELEASE_DIRTY, .by = t->command->asker};
    return lease_end(t, stack, request, &ending);
}

int decide_cancel_request(Task *t) {
    RequestSlot *request = NULL;
    int r = replay_find(t, &request);
    if (r != DECISION_DONE)
        return r;
    bool was_cancelled = request == NULL || request->row.state == REQUEST_LIVE || request->row.why == WHY_CANCELLED;
    bool was_granted = request != NULL && request->row.stack_number != 0;
    if (request == NULL)
        r = store_cancelled(t);
    else if (request->row.state == REQUEST_LIVE)
        r = end_cancelled(t, request);
    if (r != DECISION_DONE)
        return r;
    /* A repeat is told what the first one was. */
    t->answer->result = slice_of(!was_cancelled ? "over" : was_granted ? "ended" : "stored");
    return task_say(t, slice_of(!was_cancelled ? "The request was over already"
                                : was_granted  ? "The request's lease was ended"
                                               : "The request will not be granted"));
}
