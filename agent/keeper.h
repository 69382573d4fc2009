/*
 * The process that keeps a lease alive for the rest of the job, after `request` has printed the stack's name and ended. It is
 * this program again, with a verb that is not for people:
 *
 *     request ── posix_spawn ──► keep: renews each third … until its file is gone (released, handed over),
 *                                      the lease is lost (the file is marked), or the job's process has ended
 *
 * It is in a session of its own, holds none of our standard descriptors, and does not know the key.
 */
#pragma once

#include "agent/agent.h"
#include "agent/job_process.h"
#include "agent/state.h"

/* The process that --watch names, else the one that stands for the job. 0, pid 0 where none can be told | EX_USAGE, said. */
int keeper_find_job(const Agent *agent, const CiJob *ci, JobProcess *out) MUST_USE;
/* 0, also when one is there already | an exit code, said | -errno. */
int keeper_start(const Agent *agent, const StateFolder *folder, const LeaseState *state, const JobProcess *job)
    MUST_USE;
/* There was one, and it is no more: nobody renews the lease. */
bool keeper_has_ended(const StateFolder *folder, Slice request_id);
