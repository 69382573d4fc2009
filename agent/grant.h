/*
 * Getting a stack, for `request`, `join` and `run`: what it is for, the note before the first send, the call, the note of
 * what came.
 */
#pragma once

#include "agent/session.h"
#include "agent/state.h"
#include "agent/stop_signals.h"
#include "agent/worktree.h"

#define REQUEST_ID_DIGITS 32 /* 128 random bits in hex */

typedef struct Grant {
    Arena texts;
    CiJob job;
    Worktree worktree;
    char *root; /* of the worktree */
    Slice branch;
    Slice request_id; /* in `texts`, or borrowed from the command line */
    Reply reply;      /* the answer */
    LeaseState state; /* as noted; borrows from all of the above */
} Grant;

void grant_init(Grant *grant);
void grant_deinit(Grant *grant);

/* Reads branch, commit and who we are; makes a request id. 0 | an exit code, said | -errno. */
int grant_prepare(const Agent *agent, Grant *grant) MUST_USE;
/* The same for somebody else's request: `request_id` is given, the branch is not asked for. */
int grant_prepare_join(const Agent *agent, Slice request_id, Grant *grant) MUST_USE;

/* Asks for the stack and notes it. A signal takes the request back: 128 + its number. 0 with the stack in grant->state | an
 * exit code, said; then nothing is held, unless a file in the folder says that it is not known | -errno. */
int grant_request(Session *session, const StateFolder *folder, StopSignals *signals, Grant *grant) MUST_USE;
/* Joins the prepared request. */
int grant_join(Session *session, const StateFolder *folder, Grant *grant) MUST_USE;

/* What `request` and `join` print: the stack's name alone, or as JSON all but the secret. */
int grant_print(const Agent *agent, const Grant *grant) MUST_USE;
