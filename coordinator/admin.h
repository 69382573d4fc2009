/*
 * The admin verbs: one operation over the control socket of a running daemon, its answer for people or, with --json, for
 * programs. No verb opens the database.
 */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "coordinator/options.h"

typedef struct Admin {
    const CoordinatorOptions *options;
    VerbId verb; /* any but VERB_SERVE, VERB_EXPORT, VERB_IMPORT */
    const char *const *arguments;
    int argument_count;
    const char *data_dir;
    FILE *input, *output, *errors; /* `key import` reads the key from `input` */
} Admin;

/* The exit code; what went wrong was told on `errors`. */
int admin_run(const Admin *admin);
/* The same, and what was answered is not printed but put into *answer, a new reference. */
int admin_ask(const Admin *admin, json_t **answer) MUST_USE;
/* Tells the text, a sentence made printable, and returns `code`. */
int admin_complain(const Admin *admin, int code, Slice text);
/* Prints `body` as JSON if the options say so, else `text`. The exit code. */
int admin_print_result(const Admin *admin, const json_t *body, Slice text) MUST_USE;
