/*
 * Which of this job's leases a verb means: the only one, or the one whose stack it names.
 */
#pragma once

#include "agent/agent.h"
#include "agent/state.h"

/* All of the folder's; those that cannot be used are told. 0 | -errno. */
int lease_choice_load(const Agent *agent, const StateFolder *folder, LeaseStates *out) MUST_USE;

/* *chosen NULL: none is granted, or none of that name. 0 | EXIT_USAGE, said: several, and no name was given. */
int lease_choice_find(const Agent *agent, const LeaseStates *leases, Slice name, const LeaseState **chosen) MUST_USE;
