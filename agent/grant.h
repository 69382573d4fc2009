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
    Purpose purpose;
    Reply reply;      /* the answer */
    LeaseState state; /* as noted; borrows from all of the above */
    int asking_fd;    /* of lease_asking_begin; -1 */
    int64_t sent_ms;  /* boot_ms before the grant, or the renewal that collected it, was asked for */
} Grant;

void grant_init(Grant *grant);
void grant_deinit(Grant *grant);

/* Before anything else of a request, whatever becomes of it: what lies there of an earlier stack would be told to later jobs,
 * by a job that failed, too. 0 | an exit code, said. */
int grant_forget_dotenv(const Agent *agent) MUST_USE;

/* Reads branch, commit and who we are; makes a request id. 0 | an exit code, said | -errno. */
int grant_prepare(const Agent *agent, Grant *grant) MUST_USE;
/* To clean a stack: whichever is dirty longest, so neither branch nor commit is asked for. */
int grant_prepare_clean(const Agent *agent, Grant *grant) MUST_USE;
/* The same for somebody else's request: `request_id` is given, the branch is not asked for. */
int grant_prepare_join(const Agent *agent, Slice request_id, Grant *grant) MUST_USE;

/* Asks for the stack, waits in line for it, notes it; a lease that may be from the queue is renewed once, since that is what
 * collects it. A signal takes the request back: 128 + its number. 0 with the stack in grant->state | an exit code, said; then
 * nothing is held, unless a file in the folder says that it is not known | -errno. */
int grant_request(Session *session, const StateFolder *folder, StopSignals *signals, Grant *grant) MUST_USE;
/* Joins the prepared request, waiting with it if it waits, and renews its lease. A signal, or the end of the patience, leaves
 * the request as it is. 0 | an exit code, said | -errno. */
int grant_join(Session *session, const StateFolder *folder, StopSignals *signals, Grant *grant) MUST_USE;

/* Writes --dotenv, then what `request` and `join` print: the stack's name alone, or as JSON all but the secret. */
int grant_print(const Agent *agent, const Grant *grant) MUST_USE;
