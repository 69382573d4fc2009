#include "service/waiters.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "service/worker.h"

void waiters_init(Waiters *w, Watch *watch) {
    *w = (Waiters){.watch = watch};
    w->ready_last = &w->ready;
}

void waiters_deinit(Waiters *w) {
    parking_deinit(&w->parking);
}

static void make_ready(Waiters *w, Work *work) {
    work->shown.next = NULL;
    *w->ready_last = work;
    w->ready_last = (Work **)&work->shown.next;
}

static void unpark(Waiters *w, Work *work) {
    (void)watch_parked(w->watch, work->command.project, work->parked.ticket, -1);
    parking_remove(&w->parking, work);
    worker_take_place_again(work);
    work->arrived_us = metrics_now_us(); /* what it waited for is no work of ours */
    if (work->owner->unparked != NULL)
        work->owner->unparked(&work->shown);
}

static void end_poll(Waiters *w, Work *work) {
    unpark(w, work);
    work->is_wait_over = true;
    work->is_draining = w->is_draining;
    make_ready(w, work);
}

bool waiters_keep(Waiters *w, Work *work, int64_t boot_ms) {
    const Command *c = &work->command;
    int64_t ticket = work->answered_ref.ticket;
    if (work->outcome != OUTCOME_QUEUED)
        return false;
    bool is_queued = watch_is_queued(w->watch, c->project, ticket);
    if (!is_queued && !work->is_again) {
        work->is_again = true; /* served by the same transaction that queued it, or heard of it again */
        make_ready(w, work);
        return true;
    }
    if (!is_queued || !operation_may_wait(&work->shown) || !work->shown.may_park || work->is_wait_over ||
        w->is_draining)
        return false;
    (void)watch_parked(w->watch, c->project, ticket, 1);
    if (parking_add(&w->parking, work, ticket, boot_ms + c->wait_seconds * 1000) < 0) {
        (void)watch_parked(w->watch, c->project, ticket, -1);
        return false;
    }
    FAILPOINT("parked");
    work_shrink(work);
    worker_give_place_back(work); /* whoever waits takes nobody's */
    if (work->owner->parked != NULL)
        work->owner->parked(&work->shown);
    return true;
}

bool waiters_wake(Waiters *w, Slice project, int64_t ticket, int64_t stack_number) {
    Work *work;
    bool is_anybody = false;
    while ((work = parking_by_ticket(&w->parking, project, ticket)) != NULL) {
        FAILPOINT("granted");
        unpark(w, work);
        work->granted_us = metrics_now_us();
        work->command.told_stack = stack_number;
        make_ready(w, work);
        FAILPOINT("woken");
        is_anybody = true;
    }
    return is_anybody;
}

void waiters_end_polls(Waiters *w, int64_t boot_ms) {
    Work *work;
    while ((work = parking_over(&w->parking, boot_ms)) != NULL)
        end_poll(w, work);
}

void waiters_turn_away(Waiters *w, Slice key_id) {
    Work *work;
    while ((work = parking_by_key(&w->parking, key_id)) != NULL) {
        end_poll(w, work);
        watch_hung_up(w->watch, work->command.project, work->parked.ticket);
    }
}

void waiters_drain(Waiters *w) {
    w->is_draining = true;
    waiters_end_polls(w, CLOCK_FOREVER);
}

Work *waiters_hang_up(Waiters *w, uint64_t operation_id) {
    Work *work = parking_by_id(&w->parking, operation_id);
    if (work == NULL)
        return NULL;
    unpark(w, work);
    watch_hung_up(w->watch, work->command.project, work->parked.ticket);
    return work;
}

Work *waiters_take_ready(Waiters *w) {
    Work *work = w->ready;
    if (work == NULL)
        return NULL;
    w->ready = work_of(work->shown.next);
    if (w->ready == NULL)
        w->ready_last = &w->ready;
    return work;
}
