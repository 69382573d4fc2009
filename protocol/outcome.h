/*
 * Every way an operation can end, in one table: code on the wire, HTTP status, exit code of a program, title, whether
 * repeating the same call may help. Functions that decide return these positive values; negative values are failures
 * (-errno), which only the edges turn into OUTCOME_INTERNAL or OUTCOME_STORE_UNAVAILABLE.
 */
#pragma once

#include "base/slice.h"

typedef enum Outcome {
    OUTCOME_DONE = 0,
    OUTCOME_QUEUED, /* 202: waits its turn */
    OUTCOME_VALIDATION,
    OUTCOME_UNAUTHENTICATED,
    OUTCOME_FORBIDDEN,
    OUTCOME_UNKNOWN_STACK,
    OUTCOME_UNKNOWN_REQUEST,
    OUTCOME_UNKNOWN_PROJECT,
    OUTCOME_UNKNOWN_KEY,
    OUTCOME_UNKNOWN_OPERATION,
    OUTCOME_METHOD_NOT_ALLOWED,
    OUTCOME_NONE_AVAILABLE,
    OUTCOME_LEASE_REQUIRED,
    OUTCOME_WRONG_STATE,
    OUTCOME_EXISTS,
    OUTCOME_IN_USE,
    OUTCOME_LEASE_LOST,
    OUTCOME_REQUEST_OVER,
    OUTCOME_TOO_LARGE,
    OUTCOME_BAD_JSON,
    OUTCOME_REQUEST_MISMATCH,
    OUTCOME_RATE_LIMITED,
    OUTCOME_INTERNAL,
    OUTCOME_STORE_UNAVAILABLE,
    OUTCOME_DRAINING,
    OUTCOME_UNREACHABLE, /* the agent's own: no answer to the last try before its deadline */
    OUTCOME_COUNT,
} Outcome;

typedef struct OutcomeRow {
    const char *code;  /* "none-available"; "done" and "queued" never go on the wire */
    int http_status;   /* 0: never on the wire */
    int exit_code;     /* sysexits(3) where one fits */
    const char *title; /* RFC 9457 `title`: the same for every occurrence */
    bool is_retryable; /* by the same call with the same requestId, later */
} OutcomeRow;

const OutcomeRow *outcome_row(Outcome outcome);
/* OUTCOME_COUNT when the code is not one of ours. */
Outcome outcome_by_code(Slice code);
/* What an answer without a usable body means, from its HTTP status alone (a proxy's page, say). */
Outcome outcome_by_status(int http_status);
