/* What the holder of a stack says about it: renewLease, releaseStack, setLastDeployedCommit; and what is said for him,
 * forceReleaseStack. */
#include <assert.h>

#include "lease/ending.h"

int want_lease(WorkingSet *set, const Command *command) {
    return working_set_want(
        set, (RowWant){.query = ROWS_REQUEST_BY_TICKET, .number = command->lease_ref.ticket, .limit = 1});
}

int want_stack_and_lease(WorkingSet *set, const Command *command) {
    int r = working_set_want(
        set, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = stack_number_of(command->stack_name), .limit = 1});
    if (r < 0 || command->lease_ref.ticket == 0)
        return r;
    return want_lease(set, command);
}

/* The request whose lease the command's secret opens: live or over, and of the stack that the command names. */
static int find_lease(Task *t, RequestSlot **out) {
    const LeaseRef *lease = &t->command->lease_ref;
    RowWant want = {.query = ROWS_REQUEST_BY_TICKET, .number = lease->ticket, .limit = 1};
    RequestSlot *request = working_set_request(t->set, lease->ticket);
    if (request == NULL && working_set_loaded(t->set, want) == NULL)
        return task_need(t, want);
    /* The request may have been granted anew since, or after an old backup was restored its ticket be another one's; a
     * generation never comes again. */
    if (request == NULL || request->row.generation != lease->generation)
        return request != NULL && request->row.from_queue ? refuse_taken_back(t, &request->row) : refuse_forgotten(t);
    /* A request back in the queue has no stack: its grant was taken back. */
    bool names_stack = t->command->operation != OP_RENEW_LEASE;
    if (names_stack && !slice_equal(request->row.stack_name, t->command->stack_name))
        return task_refuse(t, OUTCOME_FORBIDDEN, "lease",
                           arena_printf(t->set->arena,
                                        "this lease is for stack %.*s, not for %.*s; nothing was changed",
                                        SLICE_PRINT(request->row.stack_name), SLICE_PRINT(t->command->stack_name)));
    *out = request;
    return DECISION_DONE;
}

static void collect(StackSlot *stack) {
    if (stack->row.is_collected)
        return;
    stack->row.is_collected = true;
    stack_slot_changed(stack);
}

int decide_renew_lease(Task *t) {
    RequestSlot *request = NULL;
    StackSlot *stack = NULL;
    int r = find_lease(t, &request);
    if (r != DECISION_DONE)
        return r;
    assert(request != NULL);
    if (request->row.state != REQUEST_LIVE)
        return refuse_lost(t, request);
    r = task_stack_of(t, request, &stack);
    if (r != DECISION_DONE)
        return r;
    assert(stack != NULL);
    collect(stack);
    lease_renewed(t, stack);
    /* After a start everybody gets the longest length that was asked for. */
    if (is_bound(&stack->row) && t->command->lease_seconds > stack->row.lease_seconds) {
        stack->row.lease_seconds = t->command->lease_seconds;
        stack_slot_changed(stack);
    }
    return DECISION_DONE;
}

static int say_released(Task *t) {
    return task_say(t, arena_printf(t->set->arena, "Stack %.*s released", SLICE_PRINT(t->command->stack_name)));
}

static int release(Task *t, StackSlot *stack, RequestSlot *request, Slice by) {
    const Ending ending = {
        .why = WHY_RELEASED, .outcome = (ReleaseOutcome)t->command->outcome, .by = by, .note = t->command->note};
    int r = lease_end(t, stack, request, &ending);
    return r != DECISION_DONE ? r : say_released(t);
}

static int release_by_lease(Task *t) {
    RequestSlot *request = NULL;
    StackSlot *stack = NULL;
    int r = find_lease(t, &request);
    if (r != DECISION_DONE)
        return r;
    assert(request != NULL);
    const RequestRow *row = &request->row;
    if (row->state == REQUEST_OVER && row->why == WHY_RELEASED && slice_equal(row->ended_by, by_lease))
        return say_released(t); /* a repeat: its first outcome counts */
    if (row->state == REQUEST_OVER)
        return refuse_lost(t, request);
    r = task_stack_of(t, request, &stack);
    return r != DECISION_DONE ? r : release(t, stack, request, by_lease);
}

static int release_by_name(Task *t) {
    StackSlot *stack = NULL;
    RequestSlot *request = NULL;
    int r = task_stack_named(t, &stack);
    if (r != DECISION_DONE)
        return r;
    if (!is_leased(&stack->row))
        return say_released(t);
    if (is_bound(&stack->row))
        return refuse_without_lease(t, &stack->row);
    if (!stack->row.is_collected)
        return say_released(t); /* the former holder says it again: the new one has not heard of his grant yet */
    r = task_request_of(t, stack, &request);
    return r != DECISION_DONE ? r : release(t, stack, request, t->command->asker);
}

int decide_release_stack(Task *t) {
    return t->command->lease_ref.ticket != 0 ? release_by_lease(t) : release_by_name(t);
}

/* The stack a deploy may be noted on. By the secret: the one under its live lease. By a key: one that is free, or held by
 * a plain lease; whoever deploys onto another one does not know what he deploys onto. */
static int find_deployable(Task *t, StackSlot **out) {
    if (t->command->lease_ref.ticket != 0) {
        RequestSlot *request = NULL;
        int r = find_lease(t, &request);
        if (r != DECISION_DONE)
            return r;
        assert(request != NULL);
        return request->row.state == REQUEST_OVER ? refuse_lost(t, request) : task_stack_of(t, request, out);
    }
    StackSlot *stack = NULL;
    int r = task_stack_named(t, &stack);
    if (r != DECISION_DONE)
        return r;
    const StackRow *row = &stack->row;
    if (is_bound(row))
        return refuse_without_lease(t, row);
    if (!is_leased(row) && !is_free(row))
        return task_refuse(t, OUTCOME_WRONG_STATE, "stackName",
                           arena_printf(t->set->arena, "stack %.*s is %s: request it first, then say what was deployed",
                                        SLICE_PRINT(row->name),
                                        is_quiet(row) ? "quiet" : stack_state_name(row->state)));
    *out = stack;
    return DECISION_DONE;
}

int decide_set_last_deployed_commit(Task *t) {
    const Command *command = t->command;
    StackSlot *stack = NULL;
    int r = find_deployable(t, &stack);
    if (r != DECISION_DONE)
        return r;
    assert(stack != NULL);
    StackRow *row = &stack->row;
    r = task_keep(t, command->last_deployed_commit, &row->last_commit);
    if (r == 0 && !slice_is_absent(command->url))
        r = task_keep(t, command->url, &row->url);
    if (r < 0)
        return r;
    if (command->lease_ref.ticket != 0)
        collect(stack); /* a key is anybody's */
    row->is_content_unknown = false;
    row->modified_ms = t->moment->wall_ms;
    stack_slot_changed(stack);
    r = task_record_stack(t, EVENT_DEPLOYED, row,
                          (EventRow){.commit = row->last_commit, .holder_json = row->holder_json});
    return r < 0
               ? r
               : task_say(t, arena_printf(t->set->arena, "Last commit of stack %.*s updated", SLICE_PRINT(row->name)));
}

int decide_force_release_stack(Task *t) {
    const Command *command = t->command;
    StackSlot *stack = NULL;
    RequestSlot *request = NULL;
    int r = task_stack_named(t, &stack);
    if (r != DECISION_DONE)
        return r;
    if (!is_leased(&stack->row))
        return task_refuse(t, OUTCOME_WRONG_STATE, "stackName",
                           arena_printf(t->set->arena, "stack %.*s is %s: there is no lease to end%s",
                                        SLICE_PRINT(stack->row.name), stack_state_name(stack->row.state),
                                        stack->row.quiet_until_ms == 0
                                            ? ""
                                            : ", and it rests until the last one's holder must have stopped "
                                              "(`stack-coordinator stack restore PROJECT STACK --now` ends that)"));
    r = task_request_of(t, stack, &request);
    if (r != DECISION_DONE)
        return r;
    const Ending ending = {.why = WHY_FORCED,
                           .outcome = (ReleaseOutcome)command->outcome,
                           .by = command->asker,
                           .note = command->reason,
                           .is_now = command->now};
    r = lease_end(t, stack, request, &ending);
    return r != DECISION_DONE ? r : say_released(t);
}
