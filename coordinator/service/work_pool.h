/*
 * Works that nobody uses, to be used again: one is too large for what malloc keeps at hand for a thread, and its answer is
 * written by one thread and freed by another. Safe from any thread. Private to service/.
 */
#pragma once

#include <pthread.h>

#include "service/operation.h"

typedef struct WorkPool {
    pthread_mutex_t mutex;
    Work *first; /* linked by shown.next */
    size_t count;
} WorkPool;

int work_pool_init(WorkPool *pool) MUST_USE;
/* Every Work that was taken is back. */
void work_pool_deinit(WorkPool *pool);
/* All zero but for the pool and the buffers, which are empty. NULL: memory is short. */
Work *work_pool_take(WorkPool *pool);
/* What the Work owns is gone, but for the memory of its buffers. */
void work_pool_give(Work *work);
