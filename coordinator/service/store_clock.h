/*
 * The time of those who share a store: its wall time is the store's, whatever the machines' clocks say, so that dates of one
 * coordinator are as old for all others. All else is the machine's. Until the store has told, and where nobody shares it,
 * wall time is the machine's too. Any thread reads it, the worker's sets it. Private to service/.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/clock.h"

typedef struct StoreClock {
    Clock base;
    const Clock *machine; /* borrowed */
    atomic_bool is_set;
    atomic_int_fast64_t ahead_ms; /* of the store's wall time before boot_ms */
} StoreClock;

void store_clock_init(StoreClock *clock, const Clock *machine);
/* The store's clock said this just now. */
void store_clock_set(StoreClock *clock, int64_t wall_ms);
/* What the store's clock and the machine's agree has passed: one of them may be wrong. */
int64_t store_clock_earliest(const StoreClock *clock);
