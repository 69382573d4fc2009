#include "lease/ending.h"

#include <errno.h>
#include <inttypes.h>

const Slice by_lease = SLICE_LITERAL("lease");

static const EventKind ending_events[] = {
    [WHY_RELEASED] = EVENT_RELEASED,
    [WHY_FORCED] = EVENT_FORCED,
    [WHY_CANCELLED] = EVENT_CANCELLED,
};

/* `dirty` asks for a cleaner; where the project has none the next one gets the stack as it is, its content unknown. */
static StackEvent event_of(ReleaseOutcome outcome, bool is_cleaning) {
    if (outcome == RELEASE_BROKEN)
        return STACK_RELEASE_BROKEN;
    return outcome == RELEASE_DIRTY && is_cleaning ? STACK_RELEASE_DIRTY : STACK_RELEASE_OK;
}

static void clear_lease(StackRow *row) {
    row->ticket = 0;
    row->generation = 0;
    row->lease_seconds = 0;
    row->since_ms = 0;
    row->is_collected = false;
    row->purpose = PURPOSE_TEST;
    row->holder_json = SLICE_ABSENT;
}

static int end_request(Task *t, RequestSlot *request, const Ending *ending) {
    RequestRow *row = &request->row;
    row->state = REQUEST_OVER;
    row->why = ending->why;
    row->outcome = (int)ending->outcome;
    row->ended_ms = t->moment->wall_ms;
    request_slot_changed(request);
    return task_keep(t, ending->by, &row->ended_by);
}

int lease_end(Task *t, StackSlot *stack, RequestSlot *request, const Ending *ending) {
    ProjectRow *project = &t->set->project;
    StackRow *row = &stack->row;
    const StackRow before = *row;

    int r = task_move(t, stack, event_of(ending->outcome, project->is_cleaning));
    if (r != DECISION_DONE)
        return r;
    bool is_gone = before.state == STACK_RETIRING;
    clear_lease(row);
    if (ending->outcome != RELEASE_OK) {
        row->is_content_unknown = true;
        row->last_commit = SLICE_ABSENT;
    }
    if (!is_gone && row->state == STACK_DIRTY)
        row->dirty_since = ++project->last_ticket;
    project->leased_count--;
    working_set_project_changed(t->set);

    EventRow event = {.outcome = slice_of(release_outcome_names[ending->outcome]), .holder_json = before.holder_json};
    if (request != NULL)
        r = end_request(t, request, ending);
    if (r == DECISION_DONE)
        r = task_keep(t, ending->note, &event.note);
    if (r == DECISION_DONE)
        r = task_record_stack(t, ending_events[ending->why], &before, event);
    if (r == DECISION_DONE && is_gone)
        r = task_record_stack(t, EVENT_DELETED, row, (EventRow){.id = 0});
    return r;
}

static void tell_end(Answer *answer, const RequestRow *row) {
    answer->why = slice_of(request_why_names[row->why]);
    answer->at_ms = row->ended_ms;
    answer->by = row->ended_by;
}

int refuse_lost(Task *t, const RequestSlot *request) {
    Slice name = t->command->stack_name;
    if (request == NULL)
        return task_refuse(t, OUTCOME_LEASE_LOST, NULL,
                           arena_printf(t->set->arena,
                                        "this lease of stack %.*s ended so long ago that nothing is known of it",
                                        SLICE_PRINT(name)));

    const RequestRow *row = &request->row;
    const StackSlot *stack = working_set_stack_named(t->set, name);
    bool is_held = stack != NULL && is_leased(&stack->row);
    Slice now = is_held ? arena_printf(t->set->arena, "; another lease has held it since %.*s",
                                       SLICE_PRINT(task_date(t, stack->row.since_ms)))
                        : slice_of("");
    int r = task_refuse(t, OUTCOME_LEASE_LOST, NULL,
                        arena_printf(t->set->arena, "the lease of stack %.*s is over: %s at %.*s by %.*s%.*s",
                                     SLICE_PRINT(name), request_why_names[row->why],
                                     SLICE_PRINT(task_date(t, row->ended_ms)), SLICE_PRINT(row->ended_by),
                                     SLICE_PRINT(now)));
    tell_end(t->answer, row);
    if (is_held) {
        t->answer->now_held_by = stack->row.holder_json;
        t->answer->now_generation = stack->row.generation;
    }
    return r;
}

int refuse_over(Task *t, const RequestSlot *request) {
    const RequestRow *row = &request->row;
    const char *what = row->stack_number != 0 ? "the lease this request got is over" : "this request is over";
    int r = task_refuse(t, OUTCOME_REQUEST_OVER, "requestId",
                        arena_printf(t->set->arena, "%s: %s at %.*s by %.*s; ask again under a new requestId", what,
                                     request_why_names[row->why], SLICE_PRINT(task_date(t, row->ended_ms)),
                                     SLICE_PRINT(row->ended_by)));
    tell_end(t->answer, row);
    return r;
}

int refuse_without_lease(Task *t, const StackRow *stack) {
    int r = task_refuse(
        t, OUTCOME_LEASE_REQUIRED, "lease",
        arena_printf(t->set->arena,
                     "stack %.*s has been held under a lease since %.*s: only the lease's secret opens it, or "
                     "cancelRequest with its requestId ends it",
                     SLICE_PRINT(stack->name), SLICE_PRINT(task_date(t, stack->since_ms))));
    t->answer->now_held_by = stack->holder_json;
    t->answer->now_generation = stack->generation;
    return r;
}
