/*
 * The admin verbs: one operation over the control socket of a running daemon, its answer for people or, with --json, for
 * programs. No verb opens the database.
 */
#pragma once

#include <stdio.h>

#include "coordinator/options.h"

typedef struct Admin {
    const CoordinatorOptions *options;
    VerbId verb; /* any but VERB_SERVE */
    const char *const *arguments;
    int argument_count;
    const char *data_dir;
    FILE *input, *output, *errors; /* `key import` reads the key from `input` */
} Admin;

/* The exit code; what went wrong was told on `errors`. */
int admin_run(const Admin *admin);
