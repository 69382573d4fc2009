/*
 * One transaction: operations in, answers encoded and everything durable out, or nothing happened at all. Knows nothing of
 * queues, threads or retries. Private to service/.
 */
#pragma once

#include "lease/decide.h"
#include "service/operation.h"

typedef struct Batch {
    Arena arena;
    WorkingSet *sets[BATCH_MAX]; /* one a project, in the arena */
    size_t set_count;
} Batch;

void batch_init(Batch *batch);
void batch_deinit(Batch *batch);

/*
 * Decides the resolved operations in order and commits. 0: all are answered, and what they changed is durable; the sets
 * stay readable until the next run. Else a store result or -errno: no operation is answered; all but STORE_UNKNOWN and
 * STORE_BROKEN mean that certainly nothing happened.
 */
int batch_run(Batch *batch, Store *store, const Moment *moment, Work *const *works, size_t count) MUST_USE;
