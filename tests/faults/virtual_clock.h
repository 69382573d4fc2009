/* A clock that stands until a test moves it. Threads that wait by it are woken by every move, and look. */
#pragma once

#include <stdbool.h>

#include "base/clock.h"

typedef struct VirtualClock {
    Clock base;
    pthread_mutex_t mutex; /* over what follows */
    int64_t boot_ms, wall_ms;
    pthread_cond_t *waits_on;
    pthread_mutex_t *waits_with;
} VirtualClock;

void virtual_clock_init(VirtualClock *clock);
/* Moves both clocks; `wall_ms` may differ, or go back. */
void virtual_clock_move(VirtualClock *clock, int64_t boot_ms, int64_t wall_ms);
/* Before who waited by it goes for good: a move must not look for him. */
void virtual_clock_forget(VirtualClock *clock);
