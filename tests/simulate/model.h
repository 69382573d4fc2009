/*
 * The rules once more, for one project, as plainly as they can be said: arrays, loops, no batches, no rows to want, no
 * heap. It shares nothing with lease/ but the names of commands and outcomes, and is what the random schedule is judged by.
 *
 * Time is the lease clock's, which the schedule moves. What it makes due is told by model_is_due; whoever finds a due
 * elsewhere (the service's watch) asks here whether it is one, and model_happen does it.
 */
#pragma once

#include "lease/decide.h"

#define MODEL_STACKS 64     /* numbers 1 … 63 */
#define MODEL_REQUESTS 4096 /* remembered at once */
#define MODEL_NONE (-1)     /* a branch, commit, requestId or leaseSeconds that is not sent, or not there */

typedef struct ModelStack {
    bool exists, is_unknown;
    StackState state;
    int branch, commit;
    int64_t requested, dirty_since;
    int clean_failures;
    /* Its lease; ticket 0: none. */
    int64_t ticket, generation;
    int64_t granted_in; /* that batch: what it had left is known only after it */
    int purpose;
    int lease_seconds, asked_seconds; /* the longest it was asked for with, and the first; 0: plain */
    bool is_asked_known;              /* that first one, without a look at its request */
    bool is_collected;
    struct {
        int branch;
        int64_t requested;
    } before;                       /* of a grant that is not collected */
    int64_t lease_end, collect_end; /* whichever is first ends it; collect_end only until it is collected */
    int64_t hold_end;
    /* Its quiet. */
    bool is_quiet, is_untold;
    int64_t quiet_end, quiet_ticket;   /* told to this one, it ends rest_ms later; 0: no single one can be told */
    int64_t rest_ms, stored_untold_ms; /* what a start begins again with */
    int64_t due_told;                  /* when it was last said to be due; that is not repeated at once */
} ModelStack;

typedef struct ModelRequest {
    RequestState state;
    RequestWhy why;
    int64_t ticket, generation, ended_ms;
    int id, branch, commit, lease_seconds, purpose;
    int stack; /* 0: never granted */
    bool is_reused, is_own_release, from_queue, is_joined;
    /* While queued. */
    bool is_heard, must_be_heard;
    int64_t since; /* it was heard of, or was not any more */
    int parked;    /* connections that wait for it */
    int64_t due_told;
} ModelRequest;

typedef struct Model {
    ModelStack stacks[MODEL_STACKS];
    ModelRequest requests[MODEL_REQUESTS];
    int request_count, max_stacks, expiry_grace_seconds, max_hold_seconds;
    bool is_cleaning;
    int64_t last_generation, last_ticket, wall_ms;
    int64_t now;   /* the lease clock */
    int64_t batch; /* its number */
} Model;

/* A command as the model sees it: branches, commits and ids are numbers. */
typedef struct ModelCommand {
    OperationId operation;
    int branch, commit, id, lease_seconds, stack, purpose, wait_seconds;
    int64_t ticket, generation; /* of the lease named; ticket 0: by key */
    ReleaseOutcome outcome;
    IfNone if_none;
    bool now, is_peer_gone;
    int max_stacks, expiry_grace_seconds, max_hold_seconds;
    bool is_cleaning;
} ModelCommand;

typedef struct ModelAnswer {
    Outcome outcome;
    int stack; /* 0: none told */
    int commit;
    bool is_reused, has_lease;
    int64_t ticket, generation, position;
    RequestWhy why;
    const char *result; /* of cancelRequest */
} ModelAnswer;

ModelAnswer model_do(Model *m, const ModelCommand *c);
/* Forgets requests that were over before `wall_ms`. */
void model_prune(Model *m, int64_t wall_ms);

/* Whether time has made it due. */
bool model_is_due(Model *m, const Due *due);
/* Something is due, and was for a second, that model_is_due was not asked about. */
bool model_is_forgotten(const Model *m);
void model_happen(Model *m, const Due *due);

/* A connection began (1) or ended (-1) to wait for a request. False: it is not queued (any more). */
bool model_parked(Model *m, int64_t ticket, int by);
/* The last one hung up. */
void model_hung_up(Model *m, int64_t ticket);
/* A renewal that no transaction sees: whether it is one; then it is done. */
bool model_renew(Model *m, const ModelCommand *c);
/* The coordinator starts again: its clock at 0, everybody has all of his time. */
void model_restart(Model *m);
ModelRequest *model_request(Model *m, int64_t ticket); /* NULL: forgotten */
