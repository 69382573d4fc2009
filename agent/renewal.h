/*
 * Keeping one lease: one try to renew it at a time. When to make the next is for times.next_ms; what to do about a loss is the
 * caller's.
 */
#pragma once

#include "agent/lease_times.h"
#include "agent/session.h"
#include "agent/state.h"

typedef struct Renewal {
    Session *session; /* borrowed; needs no key */
    Slice stack, secret;
    int64_t lease_seconds;
    LeaseTimes times;
    bool is_failing; /* since the last good one */
    int64_t told_ms; /* when that was said last */
    Reply reply;     /* the latest answer; of a loss, why, when, by whom */
} Renewal;

/* One renewLease, as session_call. `lease_seconds` FIELD_ABSENT: as long as it was asked for. */
int renewal_call(Session *session, Slice secret, int64_t lease_seconds, SessionLimits limits, Reply *reply) MUST_USE;

/* What a good answer of it gives, which a maxHold may make less than was `asked`. */
int64_t renewal_seconds(const Reply *reply, int64_t asked);

/* `state` must outlive it and have lease_seconds. `sent_ms`: see lease_times_init. */
void renewal_init(Renewal *renewal, Session *session, const LeaseState *state, int64_t sent_ms);
void renewal_deinit(Renewal *renewal);

enum {
    RENEWAL_LOST = 1,   /* the coordinator says that the lease is over; nothing was said to people */
    RENEWAL_FAILED = 2, /* no good answer; said at first and now and then */
};
/* Asks every address once. 0 | RENEWAL_… | -ECANCELED: cancel_fd was readable, nothing has changed. */
int renewal_try(Renewal *renewal, int cancel_fd) MUST_USE;
/* Whether what is lost was released by this job, whose `release` has marked or removed the lease's file: then it is no loss. */
bool renewal_was_given_back(const Renewal *renewal, const StateFolder *folder, Slice request_id);
