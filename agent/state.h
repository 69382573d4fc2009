/*
 * One file per lease: what the next call of this program must know to deploy, release, or take back a request whose answer
 * never came. It is written before the request is sent first. The project's key is never in it; the lease's secret is.
 */
#pragma once

#include <jansson.h>

#include "agent/limits.h"
#include "agent/state_folder.h"

typedef struct LeaseState {
    json_t *json; /* what loaded texts live in; NULL for one that was made here */

    Slice request_id; /* the file's name comes from it */
    Slice urls;       /* of the coordinator, separated by blanks */
    Slice ca_file;
    Slice worktree;
    Slice commit; /* what the lease was asked for; absent: unknown */
    Slice paths;  /* globs of what may need a deploy, where `changed` is given none (globs.h) */
    /* Known once the stack is granted. */
    Slice stack; /* absent: no answer was seen */
    Slice last_deployed_commit;
    Slice secret;          /* absent: a plain lease, released by name */
    int64_t generation;    /* FIELD_ABSENT: none */
    int64_t lease_seconds; /* what each renewal asks for; FIELD_ABSENT: it is not renewed */
    bool is_deployed;      /* `deployed` was called under this lease */
    bool is_deploy_needed; /* … was not, since a look found that it would have to be */
    bool is_joined;        /* another job's request: giving the stack back is not ours */
    /* Once the keeper heard that the lease is lost: as the coordinator told it. */
    Slice lost_why, lost_by, lost_at; /* lost_why absent: it is not known to be lost */
    bool is_left;                     /* its job's process has ended without giving it back, and the keeper with it */
    bool is_giving_back;              /* a release is on its way: that the lease is over will be no loss */
} LeaseState;

#define LEASE_STATE_EMPTY ((LeaseState){.generation = FIELD_ABSENT, .lease_seconds = FIELD_ABSENT})
void lease_state_deinit(LeaseState *s);

typedef struct LeaseStates {
    LeaseState items[STATE_FILES_MAX];
    size_t count;
    size_t refused_count; /* files there that cannot be used; the first is named in the list's reason */
} LeaseStates;
void lease_states_deinit(LeaseStates *list);

/* Replaces the lease's file as a whole. 0 | -errno. */
int lease_state_save(const StateFolder *folder, const LeaseState *state) MUST_USE;
/* 0 | STATE_ABSENT | STATE_REFUSED (a link, no plain file, not ours, damaged) | -errno. */
int lease_state_load(const StateFolder *folder, Slice request_id, LeaseState *out, Buffer *reason) MUST_USE;
/* All leases, by request id; past STATE_FILES_MAX they are refused. 0 | -errno. */
int lease_states_load(const StateFolder *folder, LeaseStates *out, Buffer *reason) MUST_USE;
/* Loads, changes and saves it while no other process does; one that is gone stays so. 0 | STATE_ABSENT | STATE_REFUSED |
 * -errno. What `change` puts in must live until this returns. */
int lease_state_change(const StateFolder *folder, Slice request_id, void (*change)(LeaseState *state, const void *arg),
                       const void *arg, Buffer *reason) MUST_USE;
bool lease_state_exists(const StateFolder *folder, Slice request_id);

/* The keeper's log, for appending; its lock is the keeper's life. -errno, -ENOENT: there is none and it is not to be made. */
int lease_log_open(const StateFolder *folder, Slice request_id, bool is_made) MUST_USE;
/* Locks it, for as long as the open file lives. 0 | -EWOULDBLOCK: another process keeps the lease or asks for it | -errno. */
int lease_log_lock(int fd) MUST_USE;
/* While a request waits for its answer whoever asks holds that lock, so that nobody takes it for one that was left. A
 * descriptor for lease_asking_end, -EWOULDBLOCK: another process asks | -errno. */
int lease_asking_begin(const StateFolder *folder, Slice request_id) MUST_USE;
void lease_asking_end(const StateFolder *folder, Slice request_id, int *fd);
/* Somebody asks for it, or keeps it. */
bool lease_is_attended(const StateFolder *folder, Slice request_id);

/* Removes the file and its keeper's log. 0, also when there is none | -errno. */
int lease_state_remove(const StateFolder *folder, Slice request_id) MUST_USE;
