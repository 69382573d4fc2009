#include "lease/replay.h"

#include <errno.h>
#include <inttypes.h>

int replay_find(Task *t, RequestSlot **out) {
    RowWant want = {.query = ROWS_REQUEST_BY_ID, .text = t->command->request_id, .limit = 1};
    RequestSlot *request = working_set_request_by_id(t->set, want.text);
    if (request == NULL && working_set_loaded(t->set, want) == NULL)
        return task_need(t, want);
    *out = request;
    return DECISION_DONE;
}

int replay_compare(Task *t, const RequestSlot *request) {
    const RequestRow *row = &request->row;
    const Command *command = t->command;
    /* Absent differs from a default: what a default is may change between two repeats. */
    const struct {
        const char *field;
        bool is_same;
    } comparisons[] = {
        {"branch", slice_equal(command->branch, row->branch)},
        {"commit", slice_equal(command->commit, row->commit)},
        {"leaseSeconds", command->lease_seconds == row->lease_seconds},
        {"purpose", command->purpose == row->purpose},
    };
    if (row->state == REQUEST_OVER && row->stack_number == 0 && !row->from_queue)
        return DECISION_DONE; /* cancelled before it came: what it would have asked is not known */
    for (size_t i = 0; i < COUNT_OF(comparisons); i++) {
        if (!comparisons[i].is_same)
            return task_refuse(
                t, OUTCOME_REQUEST_MISMATCH, comparisons[i].field,
                arena_printf(t->set->arena,
                             "a request was made under this requestId before, with another %s: repeat it "
                             "unchanged, or ask under a new requestId",
                             comparisons[i].field));
    }
    return DECISION_DONE;
}

int answer_grant(Task *t, const StackRow *stack, const RequestRow *request, bool is_reused) {
    Answer *answer = t->answer;
    answer->stack_name = stack->name;
    answer->url = stack->url;
    answer->is_reused = is_reused;
    if (!stack->is_content_unknown)
        answer->last_deployed_commit =
            slice_is_absent(stack->last_commit) ? t->set->project.initial_commit : stack->last_commit;
    if (request == NULL)
        return DECISION_DONE;
    answer->has_lease = true;
    answer->lease.generation = request->generation;
    answer->lease_ref = (LeaseRef){.ticket = request->ticket, .generation = request->generation};
    answer->lease.id = arena_printf(t->set->arena, "%" PRId64, request->ticket);
    return slice_is_absent(answer->lease.id) ? -ENOMEM : DECISION_DONE;
}
