/*
 * Which of this job's leases a verb means: the only one, or the one whose stack it names. A folder may hold more than lives:
 * what was lost, and what an earlier shell of the same work tree left to run out.
 */
#pragma once

#include "agent/agent.h"
#include "agent/state.h"

/* What `deployed`, `check` and `hand-over` are about: opens the job's folder, loads its leases and chooses one. 0 | an exit
 * code, said: there is none, or several and no name was given | -errno. */
int lease_choice_open(const Agent *agent, StateFolder *folder, LeaseStates *leases, const LeaseState **chosen) MUST_USE;

/* All of the folder's; those that cannot be used are told. 0 | -errno. */
int lease_choice_load(const Agent *agent, const StateFolder *folder, LeaseStates *out) MUST_USE;

/* *chosen NULL: none is granted, or none of that name. 0 | EX_USAGE, said: several, and no name was given. */
int lease_choice_find(const Agent *agent, const LeaseStates *leases, Slice name, const LeaseState **chosen) MUST_USE;
