/* What people do to stacks, whoever holds them: deleteLastStack, quarantineStack, restoreStack, annotateStack. */
#include "lease/task.h"

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
    r = task_move(t, stack, STACK_DELETE);
    if (r != DECISION_DONE)
        return r;
    EventKind kind = is_leased(&stack->row) ? EVENT_RETIRED : EVENT_DELETED;
    r = task_record_stack(t, kind, &stack->row, (EventRow){.holder_json = stack->row.holder_json});
    return r < 0 ? r : task_say(t, arena_printf(t->set->arena, "Stack %.*s deleted", SLICE_PRINT(stack->row.name)));
}

static int refuse_leased(Task *t, const StackRow *row, const char *verb) {
    return task_refuse(t, OUTCOME_WRONG_STATE, "stackName",
                       arena_printf(t->set->arena,
                                    "stack %.*s is %s and cannot be %s while its lease lasts: end it first, "
                                    "by `stack release --now`",
                                    SLICE_PRINT(row->name), stack_state_name(row->state), verb));
}

/* quarantineStack and restoreStack: a move by hand to `target`, refused under a lease. */
static int move_by_hand(Task *t, StackState target, StackEvent event, EventKind kind, const char *verb) {
    StackSlot *stack = NULL;
    int r = task_stack_named(t, &stack);
    if (r != DECISION_DONE)
        return r;
    StackRow *row = &stack->row;
    if (is_leased(row))
        return refuse_leased(t, row, verb);
    if (row->state != target) {
        EventRow record = {.id = 0};
        r = task_move(t, stack, event);
        if (r == DECISION_DONE)
            r = task_keep(t, t->command->reason, &record.note);
        if (r == DECISION_DONE)
            r = task_record_stack(t, kind, row, record);
        row->clean_failures = 0; /* a person looked at it */
    }
    return r != DECISION_DONE ? r
                              : task_say(t, arena_printf(t->set->arena, "Stack %.*s %s", SLICE_PRINT(row->name), verb));
}

int decide_quarantine_stack(Task *t) {
    return move_by_hand(t, STACK_QUARANTINED, STACK_QUARANTINE, EVENT_QUARANTINED, "quarantined");
}

int decide_restore_stack(Task *t) {
    return move_by_hand(t, STACK_AVAILABLE, STACK_RESTORE, EVENT_RESTORED, "restored");
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
