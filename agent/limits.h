/*
 * The agent's own ceilings and times, with what they are for; what it shares with the coordinator is in base/limits.h.
 */
#pragma once

#include "base/limits.h"

/* What the coordinator, a proxy or somebody in between may send. */
#define REPLY_MAX (1024 * 1024) /* bytes of any answer but a list's, which may have ANSWER_MAX */
#define REPLY_DEPTH_MAX 64      /* nesting of an answer */
#define REPLY_HEADERS_MAX (64 * 1024)
#define REASON_MAX 2048 /* bytes of one sentence about what went wrong */
#define PAGES_MAX 10000 /* of one list */

/* What is printed: a list whose every byte is escaped. */
#define OUTPUT_MAX ((size_t)ANSWER_MAX * 6)

/* Deadlines and pauses. `request` has its --wait instead of CALL_MS. */
#define CALL_MS 15000
#define RELEASE_MS 60000
#define CANCEL_MS 1500 /* to take a request back once a signal asked us to stop */
#define TRY_MS 10000   /* one try at one address */
#define CONNECT_MS 5000
#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 10000
#define RETRY_AFTER_MAX_SECONDS 60 /* a longer Retry-After is not believed */
#define REMIND_MS 60000            /* how often a wait is mentioned again */
#define LAST_ANSWER_MS 500         /* the end of a wait: with less time than that nothing is asked any more */
#define LOOK_MS 2000               /* to see who has the stacks while one waits */
#define LOOK_STACKS_MAX 8          /* so many are named */

/* Leases. What is called TERM and KILL here is at most a quarter and a twelfth of the lease. */
#define TERM_BEFORE_MS 15000  /* the end of a lease: who works under it is told to stop */
#define KILL_BEFORE_MS 5000   /* … and stopped */
#define RENEWAL_LEAST_MS 500  /* between two good renewals */
#define LOST_KILL_MS 10000    /* from being told, by us, that the lease is lost, to being stopped; at most */
#define STOP_KILL_MS 7000     /* the same after a signal that came to us; runners kill after ten seconds */
#define STOP_KILL_NOW_MS 1000 /* … after a second one */
#define LOOK_AGAIN_MS 5000    /* where the kernel cannot tell that a file or a process is gone */
#define ANCESTORS_MAX 64      /* processes above us that are looked at */

/* What lies on this machine. */
#define STATE_FILE_BYTES_MAX (128 * 1024) /* globs, with escapes, are most of it */
#define STATE_FILES_MAX 64                /* leases of one job */
#define EVENT_FILE_MAX (4 * 1024 * 1024)  /* GitHub's event payload */
#define EVENT_DEPTH_MAX 128
#define GIT_OUTPUT_MAX 4096
#define GIT_MS 10000                           /* one call of the git command */
#define GIT_FETCH_MS 60000                     /* … that fetches a commit */
#define GIT_STOP_MS 2000                       /* from being told to end to being killed */
#define CHANGED_FILES_MAX ((size_t)256 * 1024) /* bytes of the names of changed files; those behind are counted */

/* After the command of `run` has ended, what is left of its process group has this long to end before it is killed. */
#define LEFTOVERS_MS 1000
