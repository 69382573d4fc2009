/*
 * A process that is there for the case that ours is killed (SIGKILL, memory that ran out): then nobody is left who renews the
 * lease and stops the command, so it stops the command's group.
 *
 *     guard_start ──► guard_watch ──┬── guard_end: ends
 *                                   └── our end of the pipe is closed by nobody but our death: TERM, a moment later KILL; ends
 */
#pragma once

#include <sys/types.h>

#include "base/cleanup.h"

typedef struct Guard {
    pid_t pid;
    int fd; /* of the pipe; -1: there is none */
} Guard;
#define GUARD_NONE ((Guard){.fd = -1})

/* It keeps `held_fd` open, and with it the lock on that folder, until the group has ended. 0 | -errno. */
int guard_start(Guard *guard, int held_fd) MUST_USE;
/* Of which group. The guard is there before it, so that no more than this call is between a command and its guard: whoever
 * is killed in that moment leaves the command behind. */
int guard_watch(const Guard *guard, pid_t group) MUST_USE;
/* Takes GUARD_NONE too. */
void guard_end(Guard *guard);
