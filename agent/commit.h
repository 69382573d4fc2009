/* The commit that --commit names. */
#pragma once

#include "agent/agent.h"

/* 0: it is one, or one of another system than git, which is warned of | an exit code, said. */
int commit_check(const Agent *agent, Slice commit) MUST_USE;
