/*
 * After a COMMIT, before anyone hears of it: memory follows the rows. Caches drop what changed, the watch learns leases and
 * queued requests, those who waited for them are woken, metrics count. Nothing here can fail. Private to service/.
 */
#pragma once

#include "service/batch.h"
#include "service/keys.h"
#include "service/waiters.h"

typedef struct Publisher { /* all borrowed */
    Metrics *metrics;
    Snapshots *snapshots;
    Keys *keys;
    Watch *watch;
    Waiters *waiters;
} Publisher;

/* What the batch changed, and the signs of life that its operations are: renewals, requests asked for again, lost leases
 * told to their holders. */
void publish_batch(const Publisher *publisher, const Batch *batch, const Moment *moment, const BatchInput *input);
