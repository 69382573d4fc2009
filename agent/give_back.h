/*
 * Which lease a verb means, and ending one.
 */
#pragma once

#include "agent/session.h"
#include "agent/state.h"

/* Opens the folder that --state-dir, CI or the worktree gives. 0 | STATE_ABSENT (only unless it is to be made) is told as
 * folder->fd == -1 | an exit code, said | -errno. */
int state_open(const Agent *agent, bool is_made, StateFolder *folder) MUST_USE;

typedef struct GiveBack {
    int outcome;       /* ReleaseOutcome */
    const char *note;  /* or NULL */
    bool is_abandoned; /* by a `run` that was killed: that its lease is over by now is nothing to fail for */
} GiveBack;

/* Releases what was granted; takes back a request whose answer was never seen. Removes the file once it is over for sure.
 * A signal while under way shortens the call, then: 128 + its number. 0 | an exit code, said | -errno. */
int give_back(const Agent *agent, const StateFolder *folder, const LeaseState *state, GiveBack how) MUST_USE;
