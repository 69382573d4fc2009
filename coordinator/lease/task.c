#include "lease/task.h"

#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"

int task_refuse(Task *t, Outcome outcome, const char *field, Slice detail) {
    if (slice_is_absent(detail))
        return -ENOMEM;
    (void)answer_refuse(t->answer, outcome, field, detail);
    return DECISION_REFUSED;
}

int task_need(Task *t, RowWant want) {
    int r = working_set_want(t->set, want);
    return r < 0 ? r : DECISION_NEEDS_ROWS;
}

int task_stack_named(Task *t, StackSlot **out) {
    WorkingSet *set = t->set;
    Slice name = t->command->stack_name;
    RowWant want = {.query = ROWS_STACK_BY_NUMBER, .number = stack_number_of(name), .limit = 1};
    StackSlot *slot = working_set_stack_named(set, name);
    if (slot == NULL && working_set_loaded(set, want) == NULL)
        return task_need(t, want);
    if (slot == NULL)
        return task_refuse(t, OUTCOME_UNKNOWN_STACK, "stackName",
                           arena_printf(set->arena, "project %.*s has no stack %.*s: see the list of its stacks",
                                        SLICE_PRINT(set->project_name), SLICE_PRINT(name)));
    *out = slot;
    return DECISION_DONE;
}

/* Whether the request behind the stack's lease, if there is one, would be in the set: a lease that this batch made, or one
 * whose request was looked up. */
static bool is_request_known(const WorkingSet *set, const StackSlot *stack) {
    const RowWant want = {.query = ROWS_REQUEST_BY_TICKET, .number = stack->row.ticket};
    return stack->row.generation != stack->loaded_generation || working_set_loaded(set, want) != NULL;
}

/* A lease is a stack and, mostly, a request; which of the two a command names decides which other half is missing. Once
 * one is, all those of the set are asked for: the commands behind this one will need theirs. */
static int need_other_halves(Task *t) {
    WorkingSet *set = t->set;
    for (size_t i = 0; i < set->stack_count; i++) {
        const StackSlot *slot = set->stacks[i];
        int64_t ticket = slot->row.ticket;
        if (is_leased(&slot->row) && working_set_request(set, ticket) == NULL && !is_request_known(set, slot)) {
            int r = working_set_want(set, (RowWant){.query = ROWS_REQUEST_BY_TICKET, .number = ticket, .limit = 1});
            if (r < 0)
                return r;
        }
    }
    for (size_t i = 0; i < set->request_count; i++) {
        const RequestRow *row = &set->requests[i]->row;
        if (row->state == REQUEST_LIVE && working_set_stack(set, row->stack_number) == NULL) {
            int r = working_set_want(set,
                                     (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = row->stack_number, .limit = 1});
            if (r < 0)
                return r;
        }
    }
    return DECISION_NEEDS_ROWS;
}

int task_request_of(Task *t, const StackSlot *stack, RequestSlot **out) {
    RequestSlot *request = working_set_request(t->set, stack->row.ticket);
    if (request == NULL && !is_request_known(t->set, stack))
        return need_other_halves(t);
    *out = request;
    return DECISION_DONE;
}

int task_stack_of(Task *t, const RequestSlot *request, StackSlot **out) {
    int64_t number = request->row.stack_number;
    StackSlot *stack = working_set_stack(t->set, number);
    if (stack == NULL && working_set_loaded(t->set, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = number}) == NULL)
        return need_other_halves(t);
    if (stack == NULL || stack->row.ticket != request->row.ticket)
        return task_refuse(t, OUTCOME_INTERNAL, NULL,
                           arena_printf(t->set->arena, "lease %" PRId64 " is live, yet stack %.*s is not under it",
                                        request->row.ticket, SLICE_PRINT(request->row.stack_name)));
    *out = stack;
    return DECISION_DONE;
}

int task_move(Task *t, StackSlot *stack, StackEvent event) {
    StackState to;
    if (!stack_state_next(stack->row.state, event, &to))
        return task_refuse(t, OUTCOME_INTERNAL, NULL,
                           arena_printf(t->set->arena, "stack %.*s is %s and cannot go on from there like this",
                                        SLICE_PRINT(stack->row.name), stack_state_name(stack->row.state)));
    if (to != STACK_DIRTY && event != STACK_CLEAN_START) /* its place in the order, should the cleaner never come */
        stack->row.dirty_since = 0;
    stack->row.modified_ms = t->moment->wall_ms;
    if (to == STACK_GONE) {
        ProjectRow *project = &t->set->project;
        project->stack_count--;
        if (stack->row.number < project->first_unused)
            project->first_unused = stack->row.number;
        working_set_project_changed(t->set);
        return stack_slot_deleted(t->set, stack);
    }
    stack->row.state = to;
    stack_slot_changed(stack);
    return DECISION_DONE;
}

void lease_renewed(const Task *t, StackSlot *stack) {
    if (t->moment->coordinator == 0 || !is_bound(&stack->row))
        return;
    stack->row.renewals++;
    stack_slot_changed(stack);
}

int task_record(Task *t, EventRow event) {
    event.at_ms = t->moment->wall_ms;
    int r = task_keep(t, t->command->asker, &event.by);
    return r < 0 ? r : working_set_add_event(t->set, &event);
}

int task_record_stack(Task *t, EventKind kind, const StackRow *row, EventRow event) {
    event.kind = (int)kind;
    event.stack_number = row->number;
    event.stack_name = row->name;
    event.generation = row->generation;
    event.branch = row->branch;
    return task_record(t, event);
}

int task_keep(Task *t, Slice text, Slice *out) {
    return arena_copy(t->set->arena, text, out);
}

int task_say(Task *t, Slice message) {
    if (slice_is_absent(message))
        return -ENOMEM;
    t->answer->message = message;
    return DECISION_DONE;
}

Slice task_date(Task *t, int64_t wall_ms) {
    char text[CLOCK_ISO_SIZE];
    clock_format_iso(wall_ms, text);
    return arena_printf(t->set->arena, "%s", text);
}
