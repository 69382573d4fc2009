/*
 * Answers become bytes here. Invariant: whatever went wrong, the body says so in the shape of RFC 9457 and carries the
 * `message` that the original's clients print.
 */
#include "protocol/messages.h"

#include <assert.h>
#include <stdio.h>

#define TYPE_PREFIX "urn:stack-orchestrator:problem:"
#define TYPE_SIZE 96

void holder_encode(const Holder *holder, Buffer *out) {
    fields_encode(&holder_fields, holder, out);
}

void answer_init(Answer *answer) {
    *answer = (Answer){.outcome = OUTCOME_DONE,
                       .at_ms = FIELD_ABSENT,
                       .now_generation = FIELD_ABSENT,
                       .lease = {.expires_ms = FIELD_ABSENT, .expires_in_seconds = FIELD_ABSENT}};
}

Outcome answer_refuse(Answer *answer, Outcome outcome, const char *field, Slice detail) {
    answer->outcome = outcome;
    answer->field = slice_of(field);
    answer->detail = detail;
    return outcome;
}

/* Rows keep 0 for "none"; no lease ever had generation 0, and nothing ended in 1970. */
static int64_t known_or_absent(int64_t number) {
    return number > 0 ? number : FIELD_ABSENT;
}

static void problem_encode(const Answer *answer, Buffer *out) {
    const OutcomeRow *row = outcome_row(answer->outcome);
    char type[TYPE_SIZE];
    (void)snprintf(type, sizeof type, TYPE_PREFIX "%s", row->code);
    Slice detail = slice_is_absent(answer->detail) ? slice_of(row->title) : answer->detail;
    const Problem problem = {
        .type = slice_of(type),
        .title = slice_of(row->title),
        .status = row->http_status,
        .detail = detail,
        .code = slice_of(row->code),
        .message = detail,
        .field = answer->field.len > 0 ? answer->field : SLICE_ABSENT,
        .why = answer->why,
        .by = answer->by,
        .reason = answer->reason,
        .holder_json = answer->now_held_by,
        .at_ms = known_or_absent(answer->at_ms),
        .generation = known_or_absent(answer->now_generation),
        .expires_ms = known_or_absent(answer->lease.expires_ms),
    };
    fields_encode(&problem_fields, &problem, out);
}

void answer_encode(const OperationRow *row, const Answer *answer, Buffer *out) {
    if (answer->outcome == OUTCOME_QUEUED) {
        fields_encode(&queued_fields, answer, out);
    } else if (answer->outcome == OUTCOME_DONE) {
        assert((row->flags & OPERATION_READS) == 0); /* their tables describe pages, not answers */
        fields_encode(row->answer, answer, out);
    } else {
        problem_encode(answer, out);
    }
}
