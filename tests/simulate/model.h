/*
 * The rules once more, for one project, as plainly as they can be said: arrays, loops, no batches, no rows to want. It
 * shares nothing with lease/ but the names of commands and outcomes, and is what the random schedule is judged by.
 */
#pragma once

#include "lease/rows.h"

#define MODEL_STACKS 64     /* numbers 1 … 63 */
#define MODEL_REQUESTS 4096 /* remembered at once */
#define MODEL_NONE (-1)     /* a branch, commit, requestId or leaseSeconds that is not sent, or not there */

typedef struct ModelStack {
    bool exists, is_unknown, is_bound;
    StackState state;
    int branch, commit;
    int64_t requested, ticket, generation;
} ModelStack;

typedef struct ModelRequest {
    int64_t ticket, generation, ended_ms;
    int id, branch, commit, lease_seconds, stack; /* stack 0: cancelled before it came */
    bool is_live, is_reused, is_own_release;
    RequestWhy why;
} ModelRequest;

typedef struct Model {
    ModelStack stacks[MODEL_STACKS];
    ModelRequest requests[MODEL_REQUESTS];
    int request_count, max_stacks;
    int64_t last_generation, last_ticket, wall_ms;
} Model;

/* A command as the model sees it: branches, commits and ids are numbers. */
typedef struct ModelCommand {
    OperationId operation;
    int branch, commit, id, lease_seconds, stack, max_stacks;
    int64_t ticket, generation; /* of the lease named; ticket 0: by key */
    ReleaseOutcome outcome;
    IfNone if_none;
} ModelCommand;

typedef struct ModelAnswer {
    Outcome outcome;
    int stack; /* 0: none told */
    int commit;
    bool is_reused, has_lease;
    int64_t ticket, generation;
    RequestWhy why;
    const char *result; /* of cancelRequest */
} ModelAnswer;

ModelAnswer model_do(Model *m, const ModelCommand *c);
/* Forgets requests that were over before `wall_ms`. */
void model_prune(Model *m, int64_t wall_ms);
