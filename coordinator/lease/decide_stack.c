/* What people do to stacks, whoever holds them: deleteLastStack, quarantineStack, restoreStack, annotateStack. */
#include "lease/ending.h"
#include "lease/queue.h"

int want_highest(WorkingSet *set, const Command *command) {
    (void)command;
    return working_set_want(set, (RowWant){.query = ROWS_STACK_HIGHEST, .limit = 1});
}

/* The highest number that is not retiring; *out NULL: there is none. Only deletes take rows off this order, and each of
 * them wanted one: unlike with the orders of free stacks nothing past an edge can ever matter. */
static int find_highest(Task *t, StackSlot **out) {
    WorkingSet *set = t->set;
    RowWant want = {.query = ROWS_STACK_HIGHEST, .limit = 1};
    if (working_set_loaded(set, want) == NULL)
        return task_need(t, want);
    StackSlot *highest = NULL;
    for (size_t i = 0; i < set->stack_count; i++) {
        StackSlot *slot = set->stacks[i];
        bool is_candidate =
            slot->change != ROW_DELETED && slot->change != ROW_VOID && slot->row.state != STACK_RETIRING;
        if (is_candidate && (highest == NULL || slot->row.number > highest->row.number))
            highest = slot;
    }
    *out = highest;
    return DECISION_DONE;
}

int decide_delete_last_stack(Task *t) {
    StackSlot *stack = NULL;
    int r = find_highest(t, &stack);
    if (r != DECISION_DONE)
        return r;
    if (stack == NULL)
        return task_say(t, slice_of("No more stack"));
    bool is_in_use = is_leased(&stack->row) || is_quiet(&stack->row);
    r = task_move(t, stack, is_in_use ? STACK_RETIRE : STACK_DELETE);
    if (r != DECISION_DONE)
        return r;
    queue_open(t->set);
    EventKind kind = is_in_use ? EVENT_RETIRED : EVENT_DELETED;
    r = task_record_stack(t, kind, &stack->row, (EventRow){.holder_json = stack->row.holder_json});
    return r < 0 ? r : task_say(t, arena_printf(t->set->arena, "Stack %.*s deleted", SLICE_PRINT(stack->row.name)));
}

static int refuse_state(Task *t, const StackRow *row, const char *verb, const char *way_out) {
    return task_refuse(t, OUTCOME_WRONG_STATE, "stackName",
                       arena_printf(t->set->arena, "stack %.*s is %s and cannot be %s: %s", SLICE_PRINT(row->name),
                                    stack_state_name(row->state), verb, way_out));
}

/* A move by hand of a stack nobody holds. */
static int move_by_hand(Task *t, StackSlot *stack, StackEvent event, EventKind kind) {
    EventRow record = {.id = 0};
    int r = task_move(t, stack, event);
    if (r == DECISION_DONE)
        r = task_keep(t, t->command->reason, &record.note);
    if (r == DECISION_DONE)
        r = task_record_stack(t, kind, &stack->row, record);
    stack->row.clean_failures = 0; /* a person looked at it */
    queue_open(t->set);
    return r;
}

static int say(Task *t, const StackSlot *stack, const char *verb) {
    return task_say(t, arena_printf(t->set->arena, "Stack %.*s %s", SLICE_PRINT(stack->row.name), verb));
}

/* Under a lease: the lease ends, and the stack is out of use whoever still thinks he has it. */
static int quarantine_leased(Task *t, StackSlot *stack) {
    RequestSlot *request = NULL;
    int r = task_request_of(t, stack, &request);
    if (r != DECISION_DONE)
        return r;
    const Ending ending = {.why = WHY_FORCED,
                           .outcome = RELEASE_BROKEN,
                           .by = t->command->asker,
                           .note = t->command->reason,
                           .is_now = t->command->now};
    return lease_end(t, stack, request, &ending);
}

/* An operator in a hurry, who has to answer for it. */
static int end_quiet(Task *t, StackSlot *stack) {
    EventRow record = {.id = 0};
    int r = task_keep(t, t->command->reason, &record.note);
    if (r == DECISION_DONE)
        r = task_record_stack(t, EVENT_RESTED, &stack->row, record);
    return r == DECISION_DONE ? lease_rest(t, stack) : r;
}

int decide_quarantine_stack(Task *t) {
    StackSlot *stack = NULL;
    int r = task_stack_named(t, &stack);
    if (r != DECISION_DONE)
        return r;
    const StackRow *row = &stack->row;
    if (row->state == STACK_RETIRING)
        return refuse_state(t, row, "quarantined", "it is gone as soon as its lease is over");
    if (is_leased(row))
        r = quarantine_leased(t, stack);
    else if (row->state != STACK_QUARANTINED)
        r = move_by_hand(t, stack, STACK_QUARANTINE, EVENT_QUARANTINED);
    if (r == DECISION_DONE && t->command->now && is_quiet(row))
        r = end_quiet(t, stack);
    return r != DECISION_DONE ? r : say(t, stack, "quarantined");
}

/* The quiet goes on, unless the operator is in a hurry: restored is not the same as left alone. */
int decide_restore_stack(Task *t) {
    StackSlot *stack = NULL;
    int r = task_stack_named(t, &stack);
    if (r != DECISION_DONE)
        return r;
    const StackRow *row = &stack->row;
    if (is_leased(row))
        return refuse_state(t, row, "restored", "end its lease first, by `stack release`");
    if (row->state == STACK_RETIRING)
        return refuse_state(t, row, "restored", "it was deleted, and is gone as soon as it is quiet no longer");
    if (row->state != STACK_AVAILABLE)
        r = move_by_hand(t, stack, STACK_RESTORE, EVENT_RESTORED);
    if (r == DECISION_DONE && t->command->now && is_quiet(row))
        r = end_quiet(t, stack);
    return r != DECISION_DONE ? r : say(t, stack, "restored");
}

int decide_annotate_stack(Task *t) {
    StackSlot *stack = NULL;
    int r = task_stack_named(t, &stack);
    if (r != DECISION_DONE)
        return r;
    StackRow *row = &stack->row;
    /* An empty note takes the old one away. */
    Slice note = t->command->note.len != 0 ? t->command->note : SLICE_ABSENT;
    if (!slice_equal(note, row->note)) {
        r = task_keep(t, note, &row->note);
        if (r < 0)
            return r;
        row->modified_ms = t->moment->wall_ms;
        stack_slot_changed(stack);
        r = task_record_stack(t, EVENT_ANNOTATED, row, (EventRow){.note = row->note});
    }
    return r < 0 ? r : task_say(t, arena_printf(t->set->arena, "Note of stack %.*s updated", SLICE_PRINT(row->name)));
}
