/*
 * Answers on their way out. What was decided is not durable before the store has synced it, and nobody hears of it before:
 * refusals and lists too tell of what others changed. So every answer of the worker passes here, in order.
 *
 *     worker: commit → outbox_changed, answers → outbox_put … → outbox_push
 *     outbox: all that waits, one sync for it, hand it back; meanwhile the worker decides the next batch
 *
 * The worker syncs on its own thread when it has nothing else to do: that saves a lone client the way to another one.
 * Private to service/.
 */
#pragma once

#include "service/metrics.h"
#include "service/operation.h"

typedef struct OutboxOptions {
    Store *store;
    Metrics *metrics;
    const Logger *log;
    /* A sync failed, by any thread. */
    void (*on_failure)(void *arg, int result, const char *reason);
    void *on_failure_arg;
} OutboxOptions;

typedef struct Outbox {
    OutboxOptions o;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t pushed, idle;
    Work *first, **last;      /* linked by shown.next */
    bool is_changed;          /* something is committed and not synced */
    uint64_t changes, synced; /* commits that changed something, and how many of them are durable */
    bool is_pushed;           /* the thread is to sync */
    bool is_busy;             /* somebody syncs and hands back */
    bool is_started, is_stopping;
} Outbox;

void outbox_init(Outbox *outbox, const OutboxOptions *options);
void outbox_deinit(Outbox *outbox);
int outbox_start(Outbox *outbox) MUST_USE;
/* Hands everything back, then joins the thread. */
void outbox_stop(Outbox *outbox);

/* The rest is the worker's. Something was committed: what is put from now on waits for a sync. The commit's number. */
uint64_t outbox_changed(Outbox *outbox);
/* Whether the commit of this number (0: none) is durable. */
bool outbox_has_synced(Outbox *outbox, uint64_t change);
/* Ownership goes back to the transport, at once or after the sync; a sync that fails makes it a 503. */
void outbox_put(Outbox *outbox, Work *work);
/* At once, past all that wait: for answers that tell of nothing the store was asked for. */
void outbox_hand_back(Outbox *outbox, Work *work);
/* What waits is on its way soon. `is_idle`: the worker has nothing better to do than to see to it itself. */
void outbox_push(Outbox *outbox, bool is_idle);
/* Returns when nothing waits. True: all that is committed is durable. */
bool outbox_settle(Outbox *outbox);

/* Refuses an operation for a failure of the store. */
void outbox_refuse(Outbox *outbox, Work *work, int result);
