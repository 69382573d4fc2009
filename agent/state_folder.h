/*
 * Where this job's leases are noted: which folder, and that nobody else has a hand in it.
 */
#pragma once

#include "agent/ci.h"

typedef struct StateFolder {
    int fd;     /* of the folder; -1: not open */
    char *path; /* absolute, malloc'd */
} StateFolder;

#define STATE_FOLDER_CLOSED ((StateFolder){.fd = -1})
void state_folder_close(StateFolder *folder);

enum {
    STATE_ABSENT = 1,  /* there is none */
    STATE_REFUSED = 2, /* it cannot be used; `reason` says why, and the way out */
};

/* The default folder, as text: by CI job where there is one, else by worktree. `worktree`: a folder to find it from.
 * 0 | STATE_REFUSED | -ENOMEM. */
int state_folder_choose(EnvironGet environ_get, const char *worktree, Buffer *path, Buffer *reason) MUST_USE;

/* Opens the folder, made with its parents (0700) when `is_made`. It must be ours, a folder and no link, and writable by
 * nobody else. 0 | STATE_ABSENT | STATE_REFUSED | -errno. */
int state_folder_open(const char *path, bool is_made, StateFolder *out, Buffer *reason) MUST_USE;

/* The folder of one `run`, in the job's folder: made new, and locked for as long as it is open, so that what a killed `run`
 * left is told from what a living one uses. 0 | STATE_REFUSED | -errno. */
int state_folder_open_run(const StateFolder *folder, Slice request_id, StateFolder *out, Buffer *reason) MUST_USE;
/* Whether this is the path of one: then the caller is a `run`'s command. Takes NULL. */
bool state_folder_is_of_run(const char *path);
/* Closes and removes it; one that still holds a lease stays. */
void state_folder_end_run(const StateFolder *folder, Slice request_id, StateFolder *run);
/* Visits the folders of runs that are no more, and removes those that are empty then. 0 | the first non-zero that `visit`
 * returned, a negative one at once | -errno. */
int state_folder_visit_abandoned(const StateFolder *folder, int (*visit)(void *arg, const StateFolder *run), void *arg)
    MUST_USE;
