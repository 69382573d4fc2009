#include "lease/grant.h"

#include <inttypes.h>

#include "base/clock.h"
#include "lease/replay.h"

static Slice branch_of(const RequestRow *request) {
    return slice_is_absent(request->branch) ? slice_of("main") : request->branch;
}

static RowWant dirty_oldest(void) {
    return (RowWant){.query = ROWS_DIRTY_OLDEST, .limit = 1};
}

int grant_want(WorkingSet *set, int purpose, Slice branch, Slice commit) {
    if (purpose == PURPOSE_CLEAN)
        return working_set_want(set, dirty_oldest());
    return choice_want(set, slice_is_absent(branch) ? slice_of("main") : branch, commit);
}

static int choose_dirty(WorkingSet *set, Choice *out) {
    StackSlot *oldest = NULL;
    for (size_t i = 0; i < set->stack_count; i++) {
        StackSlot *slot = set->stacks[i];
        bool is_candidate = slot->row.state == STACK_DIRTY && !is_quiet(&slot->row) && slot->change != ROW_DELETED &&
                            slot->change != ROW_VOID;
        if (is_candidate && (oldest == NULL || slot->row.dirty_since < oldest->row.dirty_since))
            oldest = slot;
    }
    const RowWant *order = working_set_loaded(set, dirty_oldest());
    bool is_certain =
        set->are_all_leased ||
        (order != NULL && (order->edge == 0 || (oldest != NULL && oldest->row.dirty_since <= order->edge)));
    if (!is_certain) {
        if (order != NULL)
            working_set_want_past_edges(set);
        int r = working_set_want(set, dirty_oldest());
        return r < 0 ? r : CHOICE_NEEDS_ROWS;
    }
    if (oldest == NULL)
        return CHOICE_NONE;
    *out = (Choice){.slot = oldest};
    return 0;
}

int grant_choose(WorkingSet *set, int purpose, const RequestRow *request, Choice *out) {
    if (purpose == PURPOSE_CLEAN)
        return choose_dirty(set, out);
    Slice branch = branch_of(request);
    int r = choice_make(set, branch, request->commit, out);
    if (r != CHOICE_NEEDS_ROWS)
        return r;
    r = choice_want(set, branch, request->commit); /* all of its orders at one go */
    return r < 0 ? r : CHOICE_NEEDS_ROWS;
}

int grant_request_of(Task *t, RequestRow *out) {
    const Command *command = t->command;
    RequestRow row = {
        .lease_seconds = command->lease_seconds, .purpose = command->purpose, .created_ms = t->moment->wall_ms};
    int r = task_keep(t, command->branch, &row.branch);
    if (r == 0)
        r = task_keep(t, command->commit, &row.commit);
    if (r == 0)
        r = task_keep(t, command->request_id, &row.request_id);
    if (r == 0)
        r = task_keep(t, command->holder_json, &row.holder_json);
    if (r == 0)
        *out = row;
    return r;
}

/* The chosen stack with its counters brought up to date; a new one is made. */
static int take_stack(Task *t, int purpose, const Choice *choice, StackSlot **out) {
    ProjectRow *project = &t->set->project;
    if (choice->slot != NULL) {
        *out = choice->slot;
        return task_move(t, choice->slot, purpose == PURPOSE_CLEAN ? STACK_CLEAN_START : STACK_GRANT);
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

/* A cleaner leaves branch and order as they were: the stack is not his. */
static void begin_lease(Task *t, StackRow *row, const RequestRow *request) {
    ProjectRow *project = &t->set->project;
    int64_t wall_ms = t->moment->wall_ms;
    project->last_generation = project->last_generation + 1 > wall_ms ? project->last_generation + 1 : wall_ms;
    project->leased_count++;
    working_set_project_changed(t->set);

    if (request->purpose != PURPOSE_CLEAN) {
        row->branch = branch_of(request);
        row->requested = project->last_generation;
        row->requested_ms = wall_ms;
    }
    row->ticket = request->ticket;
    row->generation = project->last_generation;
    row->lease_seconds = request->lease_seconds != FIELD_ABSENT ? request->lease_seconds : 0;
    row->since_ms = wall_ms;
    row->is_collected = true;
    row->purpose = request->purpose;
    row->holder_json = request->holder_json;
    row->quiet_seconds = 0; /* whoever had lost it is history now */
}

static void begin_request(RequestRow *request, const StackRow *stack, bool is_reused) {
    request->state = REQUEST_LIVE;
    request->is_heard = false;
    request->stack_number = stack->number;
    request->stack_name = stack->name;
    request->generation = stack->generation;
    request->is_reused = is_reused;
}

/* "created", "reused, waited 4m", "taken over from who had not given it back", …; absent when there is nothing to say. */
static Slice note_of(Task *t, const RequestRow *request, const StackRow *before, const Choice *choice) {
    const char *parts[3];
    size_t count = 0;
    char span[24], waited[40];
    if (request->purpose == PURPOSE_CLEAN)
        parts[count++] = "to be cleaned";
    else if (choice->slot == NULL)
        parts[count++] = "created";
    else if (choice->is_reused)
        parts[count++] = "reused";
    if (before->quiet_seconds != 0)
        parts[count++] = "taken over from who had not given it back";
    if (request->from_queue) {
        int64_t ms = t->moment->wall_ms - request->created_ms;
        clock_format_span(ms > 0 ? ms / 1000 : 0, span);
        (void)snprintf(waited, sizeof waited, "waited %s", span);
        parts[count++] = waited;
    }
    if (count == 0)
        return SLICE_ABSENT;
    return arena_printf(t->set->arena, "%s%s%s%s%s", parts[0], count > 1 ? ", " : "", count > 1 ? parts[1] : "",
                        count > 2 ? ", " : "", count > 2 ? parts[2] : "");
}

static int give(Task *t, const RequestRow *request, const Choice *choice, StackSlot **out) {
    StackRow before = {0};
    if (choice->slot != NULL)
        before = choice->slot->row;
    int r = take_stack(t, request->purpose, choice, out);
    if (r != DECISION_DONE)
        return r;
    StackRow *row = &(*out)->row;
    begin_lease(t, row, request);
    (*out)->is_granted = true;
    lease_renewed(t, *out);
    if (request->from_queue) {
        row->is_collected = false;
        row->before.branch = before.branch;
        row->before.requested = before.requested;
        row->before.requested_ms = before.requested_ms;
    }
    EventRow event = {
        .commit = request->commit, .holder_json = request->holder_json, .note = note_of(t, request, &before, choice)};
    return task_record_stack(t, EVENT_GRANTED, row, event);
}

int grant_now(Task *t, const RequestRow *request, const Choice *choice) {
    RequestRow row = *request;
    RequestSlot *slot = NULL;
    StackSlot *stack = NULL;
    row.ticket = ++t->set->project.last_ticket;
    int r = give(t, &row, choice, &stack);
    if (r != DECISION_DONE)
        return r;
    begin_request(&row, &stack->row, choice->is_reused);
    /* A lease that has a secret, or may be asked for again, leaves a row beside its stack's. */
    bool is_kept = !slice_is_absent(row.request_id) || row.lease_seconds != FIELD_ABSENT;
    if (is_kept)
        r = working_set_add_request(t->set, &row, &slot);
    return r != DECISION_DONE ? r : answer_grant(t, &stack->row, is_kept ? &row : NULL, choice->is_reused);
}

int grant_queued(Task *t, RequestSlot *request, const Choice *choice) {
    StackSlot *stack = NULL;
    int r = give(t, &request->row, choice, &stack);
    if (r != DECISION_DONE)
        return r;
    begin_request(&request->row, &stack->row, choice->is_reused);
    request_slot_changed(request);
    t->set->project.queued_count--;
    return working_set_add_granted(t->set, request->row.ticket);
}
