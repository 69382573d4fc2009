/*
 * The files by which a step tells GitHub's runner its outputs, later steps' environment, PATH, and what its own post step
 * has to know. Invariant: an entry is one entry, whatever its value holds, and its value is read back as it was written.
 */
#pragma once

#include "agent/ci.h"
#include "base/random.h"

enum {
    GITHUB_NAME_REFUSED = 1,  /* no name of letters, digits, - and _ that begins with a letter or _ */
    GITHUB_VALUE_REFUSED = 2, /* it cannot be read back: no UTF-8, or for a line of PATH more than one line */
    GITHUB_FILE_ABSENT = 3,   /* the runner names no such file */
};

/* For GITHUB_OUTPUT, GITHUB_ENV and GITHUB_STATE. 0 | GITHUB_NAME_REFUSED | GITHUB_VALUE_REFUSED | -errno. */
int github_entry_add(Random *random, Slice name, Slice value, Buffer *out) MUST_USE;
/* For GITHUB_PATH. 0 | GITHUB_VALUE_REFUSED | -errno. */
int github_path_add(Slice folder, Buffer *out) MUST_USE;

/* Appends to the file that the variable names. 0 | GITHUB_FILE_ABSENT | -errno. */
int github_file_append(EnvironGet environ_get, const char *variable, Slice text) MUST_USE;

/* Why a variable of that name is not ours to set for later steps, as the rest of a sentence; NULL: it may be. Refused are
 * those that change what programs do: PATH, LD_PRELOAD, GIT_…, NODE_OPTIONS and their like. */
const char *github_env_name_refusal(Slice name);
