#include "service/outbox.h"

#include <errno.h>

#include "base/failpoint.h"
#include "service/worker.h"

void outbox_init(Outbox *o, const OutboxOptions *options) {
    *o = (Outbox){.o = *options};
    o->last = &o->first;
    (void)pthread_mutex_init(&o->mutex, NULL);
    (void)pthread_cond_init(&o->pushed, NULL);
    (void)pthread_cond_init(&o->idle, NULL);
}

void outbox_deinit(Outbox *o) {
    (void)pthread_cond_destroy(&o->idle);
    (void)pthread_cond_destroy(&o->pushed);
    (void)pthread_mutex_destroy(&o->mutex);
}

/* ---- handing back ---- */

/* One line an operation: an admin's always, a job's at level debug (history keeps what jobs did). */
static void log_operation(const Outbox *o, const Work *work) {
    LogLevel level =
        work->row->scope >= SCOPE_OPERATOR && (work->row->flags & OPERATION_READS) == 0 ? LOG_INFO : LOG_DEBUG;
    if (level > o->o.log->level)
        return;
    LOG(o->o.log, level, work->row->name, log_text("project", work->command.project),
        log_text("by", work->command.asker), log_text("stack", work->command.stack_name),
        log_string("outcome", outcome_row(work->outcome)->code));
}

void outbox_hand_back(Outbox *o, Work *work) {
    int64_t now = metrics_now_us();
    log_operation(o, work);
    metrics_operation(o->o.metrics, work->command.operation, work->outcome, now - work->arrived_us);
    if (work->granted_us != 0)
        metrics_handed_off(o->o.metrics, now - work->granted_us);
    worker_give_place_back(work);
    work->owner->done(&work->shown);
    FAILPOINT("answered");
}

void outbox_refuse(Outbox *o, Work *work, int result) {
    static const Slice unknown =
        SLICE_LITERAL("the store did not confirm: it may or may not have happened; repeat with the "
                      "same requestId");
    static const Slice full = SLICE_LITERAL("the coordinator's disk is full: nothing happened; make room, then repeat");
    static const Slice failed = SLICE_LITERAL("the store failed: nothing happened; repeat with the same requestId");
    static const Slice busy = SLICE_LITERAL("another session of the database keeps the project's rows locked: nothing "
                                            "happened; repeat with the same requestId");
    static const Slice much =
        SLICE_LITERAL("this is more than one transaction may change: nothing happened; take smaller "
                      "steps, of --max-stacks say");
    if (result == -EMSGSIZE) {
        work_refuse(work, OUTCOME_VALIDATION, NULL, much);
        return;
    }
    bool is_unknown = result == STORE_UNKNOWN || result == STORE_BROKEN;
    work_refuse(work, OUTCOME_STORE_UNAVAILABLE, NULL,
                is_unknown             ? unknown
                : result == STORE_FULL ? full
                : result == STORE_BUSY ? busy
                                       : failed);
    metrics_store_error(o->o.metrics, result);
}

static void hand_all_back(Outbox *o, Work *first, int result) {
    for (Work *next, *work = first; work != NULL; work = next) {
        next = work_of(work->shown.next);
        if (result != 0)
            outbox_refuse(o, work, result);
        outbox_hand_back(o, work);
    }
}

/* ---- syncing ---- */

/* All that waits, with the mutex locked and nobody busy; it is unlocked meanwhile. */
static void send_all(Outbox *o) {
    char reason[STORE_REASON_SIZE];
    Work *first = o->first;
    bool was_changed = o->is_changed;
    uint64_t changes = o->changes;
    o->first = NULL;
    o->last = &o->first;
    o->is_changed = o->is_pushed = false;
    o->is_busy = true;
    (void)pthread_mutex_unlock(&o->mutex);
    int r = was_changed ? store_sync(o->o.store, reason) : 0;
    if (r == 0)
        FAILPOINT("synced");
    else
        o->o.on_failure(o->o.on_failure_arg, r, reason);
    hand_all_back(o, first, r);
    (void)pthread_mutex_lock(&o->mutex);
    if (r == 0)
        o->synced = changes;
    o->is_busy = false;
    o->is_changed |= r != 0;
    if (o->first != NULL) { /* put meanwhile, by whoever may not push any more */
        o->is_pushed = true;
        (void)pthread_cond_signal(&o->pushed);
    }
    (void)pthread_cond_signal(&o->idle);
}

static void *outbox_main(void *arg) {
    Outbox *o = arg;
    (void)pthread_mutex_lock(&o->mutex);
    while (!o->is_stopping) {
        if (o->is_pushed && !o->is_busy)
            send_all(o);
        else
            (void)pthread_cond_wait(&o->pushed, &o->mutex);
    }
    (void)pthread_mutex_unlock(&o->mutex);
    return NULL;
}

int outbox_start(Outbox *o) {
    int r = pthread_create(&o->thread, NULL, outbox_main, o);
    o->is_started = r == 0;
    return -r;
}

void outbox_stop(Outbox *o) {
    if (!o->is_started)
        return;
    (void)outbox_settle(o);
    (void)pthread_mutex_lock(&o->mutex);
    o->is_stopping = true;
    (void)pthread_cond_signal(&o->pushed);
    (void)pthread_mutex_unlock(&o->mutex);
    (void)pthread_join(o->thread, NULL);
    o->is_started = false;
}

/* ---- the worker's side ---- */

uint64_t outbox_changed(Outbox *o) {
    (void)pthread_mutex_lock(&o->mutex);
    o->is_changed = true;
    uint64_t number = ++o->changes;
    (void)pthread_mutex_unlock(&o->mutex);
    return number;
}

bool outbox_has_synced(Outbox *o, uint64_t change) {
    (void)pthread_mutex_lock(&o->mutex);
    bool has_synced = change <= o->synced;
    (void)pthread_mutex_unlock(&o->mutex);
    return has_synced;
}

void outbox_put(Outbox *o, Work *work) {
    (void)pthread_mutex_lock(&o->mutex);
    bool must_wait = o->is_changed || o->is_busy;
    work->shown.next = NULL;
    if (must_wait) {
        *o->last = work;
        o->last = (Work **)&work->shown.next;
    }
    (void)pthread_mutex_unlock(&o->mutex);
    if (!must_wait)
        outbox_hand_back(o, work);
}

void outbox_push(Outbox *o, bool is_idle) {
    (void)pthread_mutex_lock(&o->mutex);
    if (o->first == NULL && !o->is_changed) {
        /* nothing waits */
    } else if (is_idle && !o->is_busy) {
        send_all(o);
    } else {
        o->is_pushed = true;
        if (!o->is_busy)
            (void)pthread_cond_signal(&o->pushed);
    }
    (void)pthread_mutex_unlock(&o->mutex);
}

bool outbox_settle(Outbox *o) {
    (void)pthread_mutex_lock(&o->mutex);
    while (o->is_busy)
        (void)pthread_cond_wait(&o->idle, &o->mutex);
    if (o->first != NULL || o->is_changed)
        send_all(o);
    bool is_durable = !o->is_changed;
    (void)pthread_mutex_unlock(&o->mutex);
    return is_durable;
}
