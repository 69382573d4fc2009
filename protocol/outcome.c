/*
 * The one table of how things end. Invariant: every outcome has a row, codes are unique, and what is retryable is what
 * the same call with the same requestId may still turn into a success.
 */
#include "protocol/outcome.h"

#include <assert.h>

static const OutcomeRow outcomes[OUTCOME_COUNT] = {
    [OUTCOME_DONE] = {"done", 200, 0, "Done", false},
    [OUTCOME_QUEUED] = {"queued", 202, 75, "Waiting for a stack", true},
    [OUTCOME_VALIDATION] = {"validation", 400, 64, "A field is missing or wrong", false},
    [OUTCOME_UNAUTHENTICATED] = {"unauthenticated", 401, 77, "No valid key or lease", false},
    [OUTCOME_FORBIDDEN] = {"forbidden", 403, 77, "Not allowed with this key or lease", false},
    [OUTCOME_UNKNOWN_STACK] = {"unknown-stack", 404, 66, "No such stack", false},
    [OUTCOME_UNKNOWN_REQUEST] = {"unknown-request", 404, 66, "No such request", false},
    [OUTCOME_UNKNOWN_PROJECT] = {"unknown-project", 404, 66, "No such project", false},
    [OUTCOME_UNKNOWN_KEY] = {"unknown-key", 404, 66, "No such key", false},
    [OUTCOME_UNKNOWN_OPERATION] = {"unknown-operation", 404, 64, "No such operation", false},
    [OUTCOME_METHOD_NOT_ALLOWED] = {"method-not-allowed", 405, 64, "Wrong method for this operation", false},
    [OUTCOME_NONE_AVAILABLE] = {"none-available", 409, 75, "No stack is available", true},
    [OUTCOME_LEASE_REQUIRED] = {"lease-required", 409, 66, "The stack is held by a lease", false},
    [OUTCOME_WRONG_STATE] = {"wrong-state", 409, 66, "Not possible in the present state", false},
    [OUTCOME_EXISTS] = {"exists", 409, 66, "It exists already", false},
    [OUTCOME_IN_USE] = {"in-use", 409, 66, "It is in use", false},
    [OUTCOME_LEASE_LOST] = {"lease-lost", 410, 76, "The lease is over", false},
    [OUTCOME_REQUEST_OVER] = {"request-over", 410, 76, "The request is over", false},
    [OUTCOME_TOO_LARGE] = {"too-large", 413, 64, "The message is too large", false},
    [OUTCOME_BAD_JSON] = {"bad-json", 422, 64, "The body is not valid JSON", false},
    [OUTCOME_REQUEST_MISMATCH] = {"request-mismatch", 422, 64, "The requestId was used for something else", false},
    [OUTCOME_RATE_LIMITED] = {"rate-limited", 429, 69, "Too many failed attempts", true},
    [OUTCOME_INTERNAL] = {"internal", 500, 70, "Something broke in the coordinator", false},
    [OUTCOME_STORE_UNAVAILABLE] = {"store-unavailable", 503, 69, "Unknown whether it happened", true},
    [OUTCOME_DRAINING] = {"draining", 503, 69, "The coordinator is shutting down", true},
    [OUTCOME_UNREACHABLE] = {"unreachable", 0, 69, "The coordinator did not answer", true},
};

const OutcomeRow *outcome_row(Outcome outcome) {
    assert(outcome >= OUTCOME_DONE && outcome < OUTCOME_COUNT);
    return &outcomes[outcome];
}

Outcome outcome_by_code(Slice code) {
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        if (slice_equal_text(code, outcomes[i].code))
            return (Outcome)i;
    }
    return OUTCOME_COUNT;
}

/* Statuses that several outcomes share, or that only something between us and the client would send. */
static const struct {
    int http_status;
    Outcome outcome;
} foreign_statuses[] = {
    {204, OUTCOME_DONE},
    {404, OUTCOME_UNKNOWN_OPERATION}, /* most likely a wrong base URL */
    {407, OUTCOME_UNAUTHENTICATED},   /* a proxy wants credentials */
    {408, OUTCOME_STORE_UNAVAILABLE}, /* a proxy's time-outs: it may have happened */
    {502, OUTCOME_STORE_UNAVAILABLE},
    {504, OUTCOME_STORE_UNAVAILABLE},
};

Outcome outcome_by_status(int http_status) {
    for (size_t i = 0; i < COUNT_OF(foreign_statuses); i++) {
        if (foreign_statuses[i].http_status == http_status)
            return foreign_statuses[i].outcome;
    }
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        if (outcomes[i].http_status == http_status && http_status != 0)
            return (Outcome)i;
    }
    if (http_status >= 300 && http_status < 400)
        return OUTCOME_UNKNOWN_OPERATION; /* redirects are not followed: the URL is wrong */
    return http_status >= 400 && http_status < 500 ? OUTCOME_VALIDATION : OUTCOME_INTERNAL;
}
