/*
 * Operations that wait for a stack (long polls), found by who hung up, by the request they wait for, and by when they have
 * waited long enough. What leaves is decided again, which tells it what there is to tell now. Belongs to the worker's
 * thread. Private to service/.
 */
#pragma once

#include "base/heap.h"
#include "service/operation.h"

typedef struct Parking {
    Heap heap; /* of work->parked.timer, boot clock */
    Work *by_id[PARKING_BUCKETS], *by_ticket[PARKING_BUCKETS];
} Parking; /* zeroed memory is empty */

/* `work` answered that its request is queued under `ticket`. -ENOMEM: not parked. */
int parking_add(Parking *parking, Work *work, int64_t ticket, int64_t until_ms) MUST_USE;
void parking_remove(Parking *parking, Work *work);

/* NULL: none such. */
Work *parking_by_id(const Parking *parking, uint64_t operation_id);
Work *parking_by_ticket(const Parking *parking, Slice project, int64_t ticket);
/* One that asked with that key. Looks through them all. */
Work *parking_by_key(const Parking *parking, Slice key_id);
/* One whose time is up, or (boot_ms CLOCK_FOREVER) any at all; NULL: none. */
Work *parking_over(const Parking *parking, int64_t boot_ms);
/* When the next one's time is up; CLOCK_FOREVER. */
int64_t parking_next(const Parking *parking);
static inline size_t parking_count(const Parking *parking) {
    return parking->heap.count;
}
void parking_deinit(Parking *parking); /* must be empty */
