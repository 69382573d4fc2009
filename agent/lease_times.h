/*
 * When a lease has to be renewed, and when whoever works under it has to stop. Pure; every time is boot_ms.
 *
 *     good ── ⅓ ──► renew … (fails: pauses that shrink towards the end) … term ──► kill ──► end
 *
 * `end` is counted from before the last good renewal was sent, so it never lies behind the coordinator's.
 */
#pragma once

#include <stdint.h>

typedef struct LeaseTimes {
    int64_t lease_ms; /* as asked for */
    int64_t left_ms;  /* what the last good renewal left: lease_ms, or less near the longest hold */
    int64_t good_ms;  /* before it was sent */
    int64_t next_ms;  /* when the next try is due */
    int64_t pause_ms; /* the pause after the next failure is random below it */
} LeaseTimes;

/* A lease of that length was granted or renewed; the message for it was sent at `sent_ms` at the earliest. */
void lease_times_init(LeaseTimes *t, int64_t lease_seconds, int64_t sent_ms);
/* `left_seconds`: what the answer says is left, rounded down; FIELD_ABSENT: nothing. */
void lease_times_renewed(LeaseTimes *t, int64_t sent_ms, int64_t left_seconds);
/* The try had no good answer; `noise` is random. */
void lease_times_failed(LeaseTimes *t, int64_t now_ms, uint64_t noise);

int64_t lease_times_end(const LeaseTimes *t);
int64_t lease_times_term(const LeaseTimes *t);
int64_t lease_times_kill(const LeaseTimes *t);
/* How long one try may take, so that a network which swallows it leaves time for the next. */
int64_t lease_times_try_ms(const LeaseTimes *t, int64_t now_ms);
