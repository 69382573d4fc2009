/*
 * Time comes in through this vtable, so that tests own it.
 *
 * boot_ms  CLOCK_BOOTTIME: counts through suspend, never steps. For deadlines, leases, timers.
 * wall_ms  CLOCK_REALTIME in ms since 1970: for generations and for dates shown to people. May step.
 * wait     blocks on `condition` (its `mutex` held) until it is signalled or boot_ms() reaches `until_ms`
 *          (CLOCK_FOREVER: no deadline). Spurious wake-ups are allowed.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>

#define CLOCK_FOREVER INT64_MAX

typedef struct Clock Clock;
typedef struct ClockVtable {
    int64_t (*boot_ms)(const Clock *clock);
    int64_t (*wall_ms)(const Clock *clock);
    void (*wait)(const Clock *clock, pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t until_ms);
} ClockVtable;
struct Clock {
    const ClockVtable *vtable;
};

static inline int64_t clock_boot_ms(const Clock *c) {
    return c->vtable->boot_ms(c);
}
static inline int64_t clock_wall_ms(const Clock *c) {
    return c->vtable->wall_ms(c);
}

/* The machine's clocks. A condition waited on through it must be made by clock_condition_init(). */
const Clock *clock_system(void);
/* A condition variable that waits by CLOCK_MONOTONIC (the nearest POSIX offers). 0 | -errno. */
int clock_condition_init(pthread_cond_t *condition);

#define CLOCK_ISO_SIZE 25
/* "2026-11-22T20:22:15.474Z" (RFC 3339, UTC, milliseconds), NUL-terminated. Years 1970 to 9999; others are clamped. */
void clock_format_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE]);
/* "4m", "52m", "3h 5m", "2d 4h": for people. `out` of 24 bytes. */
void clock_format_span(int64_t seconds, char out[24]);
