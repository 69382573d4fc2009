/*
 * One operation's life: made by a transport, answered once, freed by the transport.
 */
#include "service/operation.h"

#include <errno.h>
#include <string.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "service/work_pool.h"
#include "service/worker.h"

Operation *operation_free(Operation *op) {
    if (op == NULL)
        return NULL;
    Work *w = work_of(op);
    worker_give_place_back(w);
    json_decref(w->json);
    free(w->texts);
    if (w->made != NULL)
        explicit_bzero(w->made, sizeof *w->made);
    free(w->made);
    (void)snapshot_unref(w->snapshot);
    work_pool_give(w);
    return NULL;
}

void work_shrink(Work *w) {
    if (w->json == NULL || w->texts != NULL || fields_own_texts(w->row->command, &w->command, &w->texts) < 0)
        return;
    json_decref(w->json);
    w->json = NULL;
}

/* A stack comes free in minutes, a store or a place in the queue in a moment. */
static int retry_after(Outcome outcome) {
    if (outcome == OUTCOME_NONE_AVAILABLE)
        return 10;
    return outcome_row(outcome)->is_retryable ? 1 : 0;
}

static void set_answer(Work *w, Outcome outcome, Slice body) {
    w->outcome = outcome;
    w->answered_ref = (LeaseRef){0};
    w->shown.status = outcome_row(outcome)->http_status;
    w->shown.body = body;
    w->shown.is_problem = outcome != OUTCOME_DONE && outcome != OUTCOME_QUEUED;
    w->shown.retry_after_seconds = retry_after(outcome);
}

static const Slice out_of_memory =
    SLICE_LITERAL("{\"type\":\"urn:stack-orchestrator:problem:store-unavailable\",\"title\":\"Unknown whether it "
                  "happened\",\"status\":503,\"code\":\"store-unavailable\","
                  "\"detail\":\"out of memory: nothing is known to have happened; repeat with the same requestId\","
                  "\"message\":\"out of memory: nothing is known to have happened; repeat with the same requestId\"}");

bool work_answer(Work *w, const Answer *answer) {
    buffer_clear(&w->answer);
    answer_encode(w->row, answer, &w->answer);
    if (buffer_error(&w->answer) != 0) {
        set_answer(w, OUTCOME_STORE_UNAVAILABLE, out_of_memory);
        return false;
    }
    set_answer(w, answer->outcome, buffer_slice(&w->answer));
    w->answered_ref = answer->lease_ref;
    if (answer->outcome == OUTCOME_QUEUED)
        w->shown.retry_after_seconds = (int)answer->retry_after_seconds;
    return true;
}

void work_refuse(Work *w, Outcome outcome, const char *field, Slice detail) {
    Answer answer;
    answer_init(&answer);
    (void)answer_refuse(&answer, outcome, field, detail);
    (void)work_answer(w, &answer);
}

void work_answer_snapshot(Work *w, Snapshot *snapshot) {
    (void)snapshot_unref(w->snapshot);
    w->snapshot = snapshot;
    set_answer(w, OUTCOME_DONE, snapshot_bytes(snapshot));
}

bool work_is_shared_list(const Work *w) {
    const Command *c = &w->command;
    return c->operation == OP_LIST_STACKS && c->after == FIELD_ABSENT && c->limit == FIELD_ABSENT &&
           w->transport == TRANSPORT_HTTP;
}
