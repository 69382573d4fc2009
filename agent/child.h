/*
 * One command in a process group of its own: started, given the terminal, told to stop, and its leftovers stopped. Meanwhile
 * the lease it works under is renewed; when that is lost, or not to be kept, the command ends before the lease does. When the
 * command itself has given the lease back, it goes on without.
 */
#pragma once

#include "agent/agent.h"
#include "agent/renewal.h"
#include "agent/stop_signals.h"

typedef struct ChildEnd {
    int exit_code;        /* as a shell says it: 128 + N for signal N, 127 not found, 126 cannot be run */
    bool is_started;      /* false for the last two */
    bool is_told_to_stop; /* a signal that came to us was passed on */
    bool is_lease_lost;   /* it was stopped since its lease was lost, or could not be renewed in time */
} ChildEnd;

typedef struct ChildLease {
    Renewal *renewal;
    const StateFolder *folder; /* its file's */
    Slice request_id;
} ChildLease;

/* The agent's arguments, the first looked up in PATH. 0: it has ended, and with it its whole process group | -errno:
 * likewise, but nothing of `end` is known. If we are killed, it is ended by a guard, which keeps the folder open until then. */
int child_run(const Agent *agent, StopSignals *signals, const ChildLease *lease, char *const *environment,
              ChildEnd *end) MUST_USE;
