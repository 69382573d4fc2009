/*
 * One transaction: operations in, answers encoded and everything committed out, or nothing happened at all. Knows nothing of
 * queues, threads or retries. Private to service/.
 */
#pragma once

#include "lease/decide.h"
#include "service/operation.h"
#include "service/watch.h"

typedef struct Batch {
    Arena arena;
    Watch *watch; /* borrowed: says what leases have left, makes room for what follows a COMMIT */
    WorkingSet *sets[BATCH_MAX + DUE_MAX]; /* one a project, in the arena */
    size_t set_count;
    bool is_changed; /* the last run committed something */
} Batch;

void batch_init(Batch *batch, Watch *watch);
void batch_deinit(Batch *batch);

/* What one transaction is to decide: who is not heard of any more, operations in order of arrival, what else is due. */
typedef struct BatchInput {
    Work **works;
    size_t count; /* ≤ BATCH_MAX; of all, when the batch has run */
    /* Asked once, when the projects are locked: who came meanwhile and is about the batch's projects, `most` of them, if
     * they are at least `least`. NULL: nobody comes later. */
    size_t (*more)(void *arg, const Batch *batch, size_t least, Work **out, size_t most);
    void *more_arg;
    WatchDue *dues;
    size_t due_count; /* ≤ DUE_MAX */
} BatchInput;

/*
 * Decides everything, serves the queues that got something to give, and commits. 0: all are answered, and what they changed
 * is committed, not durable yet; the sets stay readable until the next run. Else a store result or -errno: no operation is
 * answered; all but STORE_UNKNOWN and STORE_BROKEN mean that certainly nothing happened.
 */
int batch_run(Batch *batch, Store *store, const Moment *moment, BatchInput *input) MUST_USE;
/* What the last run knows of a project; NULL: it was not about it. */
WorkingSet *batch_set(const Batch *batch, Slice project);
