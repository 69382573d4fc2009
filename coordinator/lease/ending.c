#include "lease/ending.h"

#include <errno.h>
#include <inttypes.h>

#include "lease/queue.h"

const Slice by_lease = SLICE_LITERAL("lease");

#define CLEAN_FAILURES_MAX 3

static const EventKind ending_events[] = {
    [WHY_RELEASED] = EVENT_RELEASED,
    [WHY_FORCED] = EVENT_FORCED,
    [WHY_CANCELLED] = EVENT_CANCELLED,
    [WHY_EXPIRED] = EVENT_EXPIRED,
};

/* `dirty` asks for a cleaner; where the project has none the next one gets the stack as it is, its content unknown. */
static StackEvent event_of_test(ReleaseOutcome outcome, bool is_cleaning) {
    if (outcome == RELEASE_BROKEN)
        return STACK_RELEASE_BROKEN;
    return outcome == RELEASE_DIRTY && is_cleaning ? STACK_RELEASE_DIRTY : STACK_RELEASE_OK;
}

static StackEvent event_of_cleaning(ReleaseOutcome outcome, int64_t failures) {
    if (outcome == RELEASE_OK)
        return STACK_CLEAN_OK;
    return outcome == RELEASE_BROKEN || failures >= CLEAN_FAILURES_MAX ? STACK_CLEAN_GIVEN_UP : STACK_CLEAN_FAILED;
}

static void clear_lease(StackRow *row) {
    row->ticket = 0;
    row->generation = 0;
    row->lease_seconds = 0;
    row->since_ms = 0;
    row->is_collected = false;
    row->before.branch = SLICE_ABSENT;
    row->before.requested = 0;
    row->before.requested_ms = 0;
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
    int r = task_keep(t, ending->why == WHY_FORCED ? ending->note : SLICE_ABSENT, &row->ended_reason);
    return r == DECISION_DONE ? task_keep(t, ending->by, &row->ended_by) : r;
}

/* Nobody gets the stack before its last holder must have stopped. An expired one counts the time himself; one whose lease
 * an operator ended has to be told, at the latest by his own clock; of several holders one who is told does not speak for
 * the others. */
static void begin_quiet(const Task *t, StackSlot *stack, const StackRow *before, const RequestSlot *request,
                        const Ending *ending) {
    StackRow *row = &stack->row;
    bool is_holders_word = ending->why == WHY_RELEASED || ending->why == WHY_CANCELLED;
    if (before->lease_seconds == 0 || is_holders_word || ending->is_now)
        return;
    stack->is_guarded = true;
    int64_t grace = t->set->project.expiry_grace_seconds;
    row->quiet_seconds = grace < before->lease_seconds ? grace : before->lease_seconds;
    row->quiet_untold_seconds = ending->why == WHY_FORCED ? before->lease_seconds : 0;
    row->quiet_ticket = request != NULL && request->row.is_joined ? 0 : before->ticket;
    int64_t most = row->quiet_seconds + row->quiet_untold_seconds;
    row->quiet_until_ms = most > 0 ? t->moment->wall_ms + most * 1000 : 0;
}

/* Where the end sends the stack. While it is quiet a retiring one stays. */
static int move_on(Task *t, StackSlot *stack, const StackRow *before, const Ending *ending) {
    bool is_cleaning = before->purpose == PURPOSE_CLEAN;
    if (before->state == STACK_RETIRING && is_quiet(&stack->row)) {
        stack->row.modified_ms = t->moment->wall_ms;
        stack_slot_changed(stack);
        return DECISION_DONE;
    }
    if (is_cleaning)
        stack->row.clean_failures = ending->outcome == RELEASE_OK ? 0 : before->clean_failures + 1;
    return task_move(t, stack,
                     is_cleaning ? event_of_cleaning(ending->outcome, stack->row.clean_failures)
                                 : event_of_test(ending->outcome, t->set->project.is_cleaning));
}

static void settle_content(StackRow *row, const StackRow *before, ReleaseOutcome outcome) {
    if (outcome == RELEASE_OK && before->purpose != PURPOSE_CLEAN)
        return;
    row->is_content_unknown = outcome != RELEASE_OK; /* a clean one is as new */
    row->last_commit = SLICE_ABSENT;
}

static Slice note_of(Task *t, const StackRow *row, const StackRow *before, const Ending *ending) {
    if (!slice_is_absent(ending->note) || before->purpose != PURPOSE_CLEAN)
        return ending->note;
    if (ending->outcome == RELEASE_OK)
        return slice_of("cleaned");
    return arena_printf(t->set->arena, "cleaning failed, %" PRId64 " in a row%s", row->clean_failures,
                        row->state == STACK_QUARANTINED ? ": quarantined" : "");
}

static int record_end(Task *t, const StackSlot *stack, const StackRow *before, const Ending *ending) {
    EventRow event = {.outcome = slice_of(release_outcome_names[ending->outcome]), .holder_json = before->holder_json};
    int r = task_keep(t, note_of(t, &stack->row, before, ending), &event.note);
    if (r == DECISION_DONE)
        r = task_record_stack(t, ending_events[ending->why], before, event);
    bool is_gone = stack->change == ROW_DELETED || stack->change == ROW_VOID;
    return r == DECISION_DONE && is_gone ? task_record_stack(t, EVENT_DELETED, &stack->row, (EventRow){.id = 0}) : r;
}

int lease_end(Task *t, StackSlot *stack, RequestSlot *request, const Ending *ending) {
    ProjectRow *project = &t->set->project;
    StackRow *row = &stack->row;
    const StackRow before = *row;

    begin_quiet(t, stack, &before, request, ending);
    int r = move_on(t, stack, &before, ending);
    if (r != DECISION_DONE)
        return r;
    clear_lease(row);
    settle_content(row, &before, ending->outcome);
    if (row->state == STACK_DIRTY)
        row->dirty_since = ++project->last_ticket;
    project->leased_count--;
    working_set_project_changed(t->set);
    queue_open(t->set);
    if (request != NULL)
        r = end_request(t, request, ending);
    return r == DECISION_DONE ? record_end(t, stack, &before, ending) : r;
}

int lease_take_back(Task *t, StackSlot *stack) {
    StackRow *row = &stack->row;
    const StackRow before = *row;
    bool was_made = before.before.requested == 0 && before.purpose == PURPOSE_TEST;
    int r = task_move(t, stack, before.purpose == PURPOSE_CLEAN ? STACK_RELEASE_DIRTY : STACK_RELEASE_OK);
    if (r != DECISION_DONE)
        return r;
    clear_lease(row);
    if (before.purpose == PURPOSE_TEST) {
        row->branch = before.before.branch;
        row->requested = was_made ? before.requested : before.before.requested;
        row->requested_ms = was_made ? before.requested_ms : before.before.requested_ms;
    }
    t->set->project.leased_count--;
    working_set_project_changed(t->set);
    queue_open(t->set);
    bool is_gone = stack->change == ROW_DELETED || stack->change == ROW_VOID;
    return is_gone ? task_record_stack(t, EVENT_DELETED, row, (EventRow){.id = 0}) : DECISION_DONE;
}

int lease_rest(Task *t, StackSlot *stack) {
    StackRow *row = &stack->row;
    row->quiet_until_ms = 0;
    row->quiet_untold_seconds = 0;
    row->quiet_ticket = 0; /* quiet_seconds stays: the next grant takes over from a lost lease */
    stack_slot_changed(stack);
    queue_open(t->set);
    if (row->state != STACK_RETIRING || is_leased(row))
        return DECISION_DONE;
    int r = task_move(t, stack, STACK_REST);
    return r == DECISION_DONE ? task_record_stack(t, EVENT_DELETED, row, (EventRow){.id = 0}) : r;
}

static void tell_end(Answer *answer, const RequestRow *row) {
    answer->why = slice_of(request_why_names[row->why]);
    answer->at_ms = row->ended_ms;
    answer->by = row->ended_by;
    answer->reason = row->ended_reason;
}

/* " (broken disk)" behind who ended it. */
static Slice reason_of(Task *t, const RequestRow *row) {
    return row->ended_reason.len > 0 ? arena_printf(t->set->arena, " (%.*s)", SLICE_PRINT(row->ended_reason))
                                     : slice_of("");
}

/* The stack a lease was on, as it is today; *out NULL: gone. */
static int find_stack_of(Task *t, const RequestRow *row, StackSlot **out) {
    RowWant want = {.query = ROWS_STACK_BY_NUMBER, .number = row->stack_number, .limit = 1};
    *out = working_set_stack(t->set, row->stack_number);
    return *out == NULL && working_set_loaded(t->set, want) == NULL ? task_need(t, want) : DECISION_DONE;
}

int refuse_forgotten(Task *t) {
    return task_refuse(
        t, OUTCOME_LEASE_LOST, NULL,
        slice_of("nothing is known of this lease: it ended more than a day ago, or the coordinator went back "
                 "to a copy that is older"));
}

int refuse_taken_back(Task *t, const RequestRow *row) {
    bool is_back = row->state == REQUEST_QUEUED && row->why == WHY_UNCOLLECTED; /* when it was is known only so long */
    Slice when =
        is_back ? arena_printf(t->set->arena, " at %.*s", SLICE_PRINT(task_date(t, row->ended_ms))) : slice_of("");
    Slice then = slice_of(is_back ? "; repeat requestStack with its requestId: it kept its place in the queue" : "");
    int r = task_refuse(t, OUTCOME_LEASE_LOST, NULL,
                        arena_printf(t->set->arena,
                                     "this grant was taken back%.*s, because no renewal had collected it%.*s",
                                     SLICE_PRINT(when), SLICE_PRINT(then)));
    t->answer->why = slice_of(request_why_names[WHY_UNCOLLECTED]);
    if (is_back)
        t->answer->at_ms = row->ended_ms;
    return r;
}

int refuse_lost(Task *t, const RequestSlot *request) {
    const RequestRow *row = &request->row;
    Slice name = row->stack_name;
    t->answer->lease_ref = t->command->lease_ref; /* his holder is told */
    StackSlot *stack = NULL;
    int r = find_stack_of(t, row, &stack);
    if (r != DECISION_DONE)
        return r;
    bool is_held = stack != NULL && is_leased(&stack->row);
    Slice now = is_held ? arena_printf(t->set->arena, "; another lease has held it since %.*s",
                                       SLICE_PRINT(task_date(t, stack->row.since_ms)))
                        : slice_of("");
    r = task_refuse(t, OUTCOME_LEASE_LOST, NULL,
                    arena_printf(t->set->arena, "the lease of stack %.*s is over: %s at %.*s by %.*s%.*s%.*s",
                                 SLICE_PRINT(name), request_why_names[row->why],
                                 SLICE_PRINT(task_date(t, row->ended_ms)), SLICE_PRINT(row->ended_by),
                                 SLICE_PRINT(reason_of(t, row)), SLICE_PRINT(now)));
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
                        arena_printf(t->set->arena, "%s: %s at %.*s by %.*s%.*s; ask again under a new requestId", what,
                                     request_why_names[row->why], SLICE_PRINT(task_date(t, row->ended_ms)),
                                     SLICE_PRINT(row->ended_by), SLICE_PRINT(reason_of(t, row))));
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
    t->answer->lease_ref = (LeaseRef){.ticket = stack->ticket, .generation = stack->generation};
    return r;
}
