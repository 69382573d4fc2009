/*
 * Whether a stack has to be deployed to: whether what is on it differs from the worktree's HEAD. What cannot be told is a
 * yes, with the reason.
 */
#pragma once

#include "agent/agent.h"
#include "agent/difference.h"
#include "agent/state.h"
#include "agent/worktree.h"

typedef struct DeployNeed {
    bool is_needed, is_compared; /* is_compared: `difference` tells */
    Worktree worktree;           /* HEAD; its commit is "" when there is no checkout to read */
    Difference difference;
    Buffer reason; /* one line, safe to print: "3 files differ from 3f2c1a9", "what is on the stack is not known" */
} DeployNeed;

void deploy_need_init(DeployNeed *need);
void deploy_need_deinit(DeployNeed *need);

/* `deployed`: what is on the stack; absent: unknown. `globs`: see globs.h. 0 | -ENOMEM. */
int deploy_need_find(const Agent *agent, Slice deployed, Slice globs, DeployNeed *need) MUST_USE;
/* Notes with the lease that a deploy is needed: until it is told of, nobody can say what is on the stack. 0 | an exit code,
 * said. */
int deploy_need_note(const Agent *agent, const StateFolder *folder, Slice request_id);
