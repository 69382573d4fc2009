/*
 * What this process knows stays in it: no core dump holds the key, no child finds it in its environment.
 */
#pragma once

#include <stdbool.h>

#include "base/slice.h"

/* From here on this process leaves no core dump. `is_readable`: others of the same user may still look at its /proc, as
 * GitHub's runner does to find what a job left running. */
void secrecy_forbid_dumps(bool is_readable);

/* Takes a variable out of our environment, /proc/self/environ included. Its value, malloc'd; NULL when it is not set or
 * memory is short. */
char *secrecy_take_variable(const char *name) MUST_USE;
/* Wipes and frees. */
void secrecy_forget(char **secret);
