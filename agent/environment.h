/*
 * The environment of a child: ours, some variables set, others (the key) left out.
 */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"

typedef struct EnvironmentChange {
    const char *name;
    const char *value; /* NULL: the child has no such variable */
} EnvironmentChange;

/* NULL-terminated, for posix_spawn; NULL when memory is short. Unchanged entries are borrowed from our own environment. */
char **environment_with(const EnvironmentChange *changes, size_t count) MUST_USE;
void environment_freep(char ***environment);
