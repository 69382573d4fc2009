/*
 * One command with one stack, for `run` and `clean`: request, environment, the command with its lease kept alive, release.
 */
#pragma once

#include "agent/child.h"
#include "agent/grant.h"

typedef struct Work {
    const Agent *agent;
    StopSignals *signals;
    Purpose purpose;
    /* How the stack is left. `noted`: what the state file says by then. */
    ReleaseOutcome (*judge)(const LeaseState *asked, const LeaseState *noted, const ChildEnd *end);
} Work;

typedef struct WorkEnd {
    ChildEnd child;
    int exit_code; /* 76 when the lease was lost under the command, else the command's */
} WorkEnd;

/* 0: `end` tells | an exit code, said: there was no stack to work with | -errno. */
int work_once(const Work *work, WorkEnd *end) MUST_USE;
