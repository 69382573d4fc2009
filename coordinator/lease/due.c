/* What time does: to leases nobody renewed, stacks that were quiet, grants nobody came for, requests not heard of. */
#include "lease/ending.h"
#include "lease/queue.h"

static RowWant stack_of(const Due *due) {
    return (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = due->stack_number, .limit = 1};
}

static RowWant request_of(const Due *due) {
    return (RowWant){.query = ROWS_REQUEST_BY_TICKET, .number = due->ticket, .limit = 1};
}

int lease_want_due(WorkingSet *set, const Due *due) {
    int r = due->stack_number != 0 ? working_set_want(set, stack_of(due)) : 0;
    return r == 0 && due->ticket != 0 ? working_set_want(set, request_of(due)) : r;
}

/* The stack and the request that the due is about, either NULL when it is not there. */
static int find(Task *t, const Due *due, StackSlot **stack, RequestSlot **request) {
    WorkingSet *set = t->set;
    *stack = due->stack_number != 0 ? working_set_stack(set, due->stack_number) : NULL;
    *request = due->ticket != 0 ? working_set_request(set, due->ticket) : NULL;
    bool is_known = (due->stack_number == 0 || *stack != NULL || working_set_loaded(set, stack_of(due)) != NULL) &&
                    (due->ticket == 0 || *request != NULL || working_set_loaded(set, request_of(due)) != NULL);
    if (is_known)
        return DECISION_DONE;
    int r = lease_want_due(set, due);
    return r < 0 ? r : DECISION_NEEDS_ROWS;
}

static bool holds(const StackSlot *stack, const Due *due) {
    return stack != NULL && is_leased(&stack->row) && stack->row.ticket == due->ticket;
}

static int expire(Task *t, const Due *due, StackSlot *stack, RequestSlot *request) {
    if (!holds(stack, due) || !is_bound(&stack->row) || stack->row.renewals != due->renewals)
        return DECISION_DONE;
    const Ending ending = {.why = WHY_EXPIRED, .outcome = RELEASE_DIRTY, .by = t->command->asker};
    return lease_end(t, stack, request, &ending);
}

static int uncollected(Task *t, const Due *due, StackSlot *stack, RequestSlot *request) {
    if (!holds(stack, due) || stack->row.is_collected || request == NULL)
        return DECISION_DONE;
    const StackRow before = stack->row;
    int r = lease_take_back(t, stack);
    if (r != DECISION_DONE)
        return r;
    queue_put_back(t, request);
    return task_record_stack(t, EVENT_UNCOLLECTED, &before, (EventRow){.holder_json = before.holder_json});
}

static int rest(Task *t, const Due *due, StackSlot *stack) {
    if (stack == NULL || !is_quiet(&stack->row) || stack->row.quiet_until_ms != due->quiet_until_ms)
        return DECISION_DONE;
    int r = task_record_stack(t, EVENT_RESTED, &stack->row, (EventRow){.id = 0});
    return r == DECISION_DONE ? lease_rest(t, stack) : r;
}

static int unhear(Task *t, const Due *due, RequestSlot *request) {
    if (request == NULL || !is_waiting(&request->row) || request->row.heard_at != due->heard_at)
        return DECISION_DONE;
    request->row.is_heard = false;
    request_slot_changed(request);
    queue_open(t->set);
    return DECISION_DONE;
}

static int abandon(Task *t, RequestSlot *request) {
    bool is_silent = request != NULL && request->row.state == REQUEST_QUEUED && !request->row.is_heard;
    return is_silent ? queue_remove(t, request, WHY_ABANDONED) : DECISION_DONE;
}

int lease_decide_due(WorkingSet *set, const Due *due, const Moment *moment) {
    const Command nobody = {.asker = SLICE_LITERAL("coordinator")};
    Answer unheard;
    answer_init(&unheard);
    Task t = {.set = set, .command = &nobody, .moment = moment, .answer = &unheard};
    StackSlot *stack = NULL;
    RequestSlot *request = NULL;
    if (!set->is_project_loaded && !set->is_project_missing)
        return DECISION_NEEDS_ROWS;
    int r = find(&t, due, &stack, &request);
    if (r != DECISION_DONE)
        return r;
    switch (due->kind) {
    case DUE_EXPIRED:
        return expire(&t, due, stack, request);
    case DUE_RESTED:
        return rest(&t, due, stack);
    case DUE_UNCOLLECTED:
        return uncollected(&t, due, stack, request);
    case DUE_UNHEARD:
        return unhear(&t, due, request);
    case DUE_HEARD:
        if (request != NULL && request->row.state == REQUEST_QUEUED && request->row.heard_at == due->heard_at)
            queue_hear(&t, request);
        return DECISION_DONE;
    case DUE_ABANDONED:
    default:
        return abandon(&t, request);
    }
}
