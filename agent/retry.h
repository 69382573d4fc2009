/*
 * One call until it is answered or its deadline is over: the addresses in turn, then a pause that grows and is random in
 * full (so that a hundred jobs which lost one coordinator do not come back as one), then again.
 */
#pragma once

#include "agent/client.h"
#include "base/clock.h"
#include "base/random.h"

typedef struct RetryWorld {
    const Clock *clock;
    Random *random;
    void *arg;
    /* Sleeps, at most `ms`. 0 | -ECANCELED (cancel_fd became readable). */
    int (*pause)(void *arg, int64_t ms, int cancel_fd);
    /* The call is being repeated: `what` tells why ("coordinator unreachable (connection refused)"), `left_ms` how long
     * still. Called for the first failure, when the reason changes, and every REMIND_MS. */
    void (*waiting)(void *arg, const char *what, int64_t left_ms);
} RetryWorld;

typedef struct RetryCall {
    ClientCall call; /* timeout_ms is set by each try */
    /* The body for a try of that length; NULL: call.body, always. 0 | -ENOMEM. */
    int (*fit)(void *arg, int64_t timeout_ms, Slice *body);
    void *fit_arg;
    int64_t deadline_ms; /* by the clock's boot_ms */
    int64_t try_max_ms;  /* one try at one address; 0: TRY_MS */
    bool is_one_try;     /* each address once, no pause */
    bool is_repeatable;  /* a second arrival changes nothing; else only what certainly never arrived is sent again */
    bool is_met; /* a coordinator has answered about this before: what is no coordinator's answer now is a fault */
} RetryCall;

/* The address that answers moves to the front: the next call begins there, and not with one that hangs or is gone.
 * 0: `reply` is the answer, or the last retryable refusal (429, 503 …) | CLIENT_FAULT, CLIENT_REFUSED: no answer, with
 * the last reason | -ECANCELED | -ENOMEM. reply->is_sent and is_unsure tell about all tries together. */
int retry_call(const RetryWorld *world, Client **clients, size_t count, const RetryCall *call, ClientReply *reply)
    MUST_USE;
/* Sleeps by poll(2). */
int retry_pause(void *arg, int64_t ms, int cancel_fd);
