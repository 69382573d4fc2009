/* The verbs, one file each in commands/. Each returns an exit code, or -errno for main to report. */
#pragma once

#include "agent/agent.h"

int command_request(const Agent *agent);
int command_join(const Agent *agent);
int command_deployed(const Agent *agent);
int command_changed(const Agent *agent);
int command_release(const Agent *agent);
int command_hand_over(const Agent *agent);
int command_run(const Agent *agent);
int command_clean(const Agent *agent);
int command_check(const Agent *agent);
int command_list(const Agent *agent);
int command_queue(const Agent *agent);
int command_history(const Agent *agent);
int command_delete_last(const Agent *agent);
int command_keep(const Agent *agent);
int command_github_main(const Agent *agent);
int command_github_post(const Agent *agent);
int command_github_release(const Agent *agent);
