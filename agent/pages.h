/*
 * Lists: all their pages.
 */
#pragma once

#include "agent/session.h"

/* Asks until there is no further page (or, when the command has a limit, once) and joins them: {"stacks": […]}. `what` names
 * the verb. 0 | an exit code, said | -errno. */
int pages_read(const Agent *agent, Command *command, const char *member, const char *what, json_t **out) MUST_USE;
