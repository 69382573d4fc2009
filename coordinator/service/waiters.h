/*
 * Who waits, and what ends a wait: the request was served or is over, the poll was long enough, its peer hung up, the
 * coordinator goes down. Whatever ends it, the operation is decided once more, like one that just came; so there is one
 * place that knows the answer. Belongs to the worker's thread. Private to service/.
 *
 *     answered "queued" ──► parked ──┬─ served, over, time is up, drain ──► ready ──► decided again
 *                                    └─ hang-up ──► handed back as it is
 *
 * A key that is revoked is a hang-up as well, but for the answer.
 */
#pragma once

#include "service/metrics.h"
#include "service/parking.h"
#include "service/watch.h"

typedef struct Waiters {
    Watch *watch; /* borrowed */
    Parking parking;
    Work *ready, **ready_last; /* linked by shown.next; waiters_init sets it */
    bool is_draining;
} Waiters;

void waiters_init(Waiters *waiters, Watch *watch);
void waiters_deinit(Waiters *waiters);

/* After an operation was decided: true when it waits now, or is ready to be decided again; false: hand it back. */
bool waiters_keep(Waiters *waiters, Work *work, int64_t boot_ms);
/* The request is queued no longer, but was given that stack (0: over, or not known): whoever waits for it hears it. False:
 * nobody does. */
bool waiters_wake(Waiters *waiters, Slice project, int64_t ticket, int64_t stack_number);
/* Those that waited long enough by boot_ms. */
void waiters_end_polls(Waiters *waiters, int64_t boot_ms);
/* Those whose key is revoked: decided again, which refuses them, and passed over meanwhile. */
void waiters_turn_away(Waiters *waiters, Slice key_id);
/* Nobody waits from now on. */
void waiters_drain(Waiters *waiters);
/* The operation whose peer hung up, to be handed back; NULL: it does not wait (any more). */
Work *waiters_hang_up(Waiters *waiters, uint64_t operation_id);
/* The next one to be decided again; NULL: none. */
Work *waiters_take_ready(Waiters *waiters);
