/* Arithmetic of one lease. */
#include "agent/lease_times.h"

#include "agent/limits.h"
#include "base/fields.h"

static int64_t lesser(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t within(int64_t value, int64_t least, int64_t most) {
    return value < least ? least : lesser(value, most);
}

void lease_times_init(LeaseTimes *t, int64_t lease_seconds, int64_t sent_ms) {
    *t = (LeaseTimes){.lease_ms = lease_seconds * 1000};
    lease_times_renewed(t, sent_ms, FIELD_ABSENT);
}

void lease_times_renewed(LeaseTimes *t, int64_t sent_ms, int64_t left_seconds) {
    t->good_ms = sent_ms;
    t->left_ms = t->lease_ms;
    /* One second less is the rounding of the answer, not a lease that comes to its end. */
    if (left_seconds != FIELD_ABSENT && (left_seconds + 1) * 1000 < t->lease_ms)
        t->left_ms = left_seconds * 1000;
    t->next_ms = sent_ms + within(t->left_ms / 3, RENEWAL_LEAST_MS, t->left_ms);
    t->pause_ms = BACKOFF_FIRST_MS;
}

void lease_times_failed(LeaseTimes *t, int64_t now_ms, uint64_t noise) {
    int64_t left_ms = lease_times_term(t) - now_ms;
    int64_t most_ms = left_ms > 0 ? within(left_ms / 8, BACKOFF_FIRST_MS / 5, BACKOFF_MAX_MS) : BACKOFF_MAX_MS;
    t->next_ms = now_ms + 1 + (int64_t)(noise % (uint64_t)lesser(t->pause_ms, most_ms));
    t->pause_ms = lesser(t->pause_ms * 2, BACKOFF_MAX_MS);
}

int64_t lease_times_end(const LeaseTimes *t) {
    return t->good_ms + t->left_ms;
}

int64_t lease_times_term(const LeaseTimes *t) {
    return lease_times_end(t) - lesser(TERM_BEFORE_MS, t->lease_ms / 4);
}

int64_t lease_times_kill(const LeaseTimes *t) {
    return lease_times_end(t) - lesser(KILL_BEFORE_MS, t->lease_ms / 12);
}

int64_t lease_times_try_ms(const LeaseTimes *t, int64_t now_ms) {
    int64_t left_ms = lease_times_term(t) - now_ms;
    return left_ms > 0 ? within(left_ms / 3, BACKOFF_FIRST_MS, TRY_MS) : TRY_MS;
}
