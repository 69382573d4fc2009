/*
 * What GitLab's later jobs get of a stack: a report of variables. Nothing in it opens anything, since whoever may see the
 * pipeline may download it.
 */
#pragma once

#include "agent/state.h"

/* Nothing of an earlier stack may be left there for later jobs. Only a plain file is removed. 0 | -errno. */
int dotenv_remove(const char *path) MUST_USE;
/* STACK_NAME, STACK_REQUEST_ID, STACK_GENERATION, one a line, replacing the file. 0 | -errno. */
int dotenv_write(const char *path, const LeaseState *lease) MUST_USE;
