/*
 * What the worker does between batches, one step at a time so that operations never wait for more than one: the backup under
 * way, noting when keys were used, pruning, and what the store puts off until there is nothing to do. Private to service/.
 */
#pragma once

#include "service/keys.h"
#include "service/operation.h"
#include "service/store_clock.h"

typedef struct ChoresOptions {
    Store *store;
    Keys *keys;
    const StoreClock *clock;
    /* The store failed; it has a reason. */
    void (*on_failure)(void *arg, int result, const char *doing);
    void *on_failure_arg;
} ChoresOptions;

typedef struct Chores {
    ChoresOptions o;
    Work *backup;                                /* under way; NULL: none */
    int64_t prune_at_ms, used_at_ms, idle_at_ms; /* boot clock; CLOCK_FOREVER: nothing to do */
    int64_t wall_ahead_ms, ahead_since_ms; /* what pruning takes for wall time less boot time, and seen so when last */
} Chores;

void chores_start(Chores *chores, const ChoresOptions *options);
/* Takes the operation over: chores_step gives it back, answered. False: it is refused, and stays the caller's. */
bool chores_begin_backup(Chores *chores, Work *work);
/* One step that is due, if any. `was_busy`: operations came since the last one; `is_stopping`: a backup is given up. Answers
 * the backup's operation, answered, when it has ended; else NULL. */
Work *chores_step(Chores *chores, bool was_busy, bool is_stopping);
/* When the next step is due. */
int64_t chores_next(const Chores *chores);
/* The last ones, before the end. */
void chores_finish(Chores *chores);
