/*
 * The thread that decides: queue → batch → transaction → answers. It takes all that waits (at most
 * BATCH_MAX), decides it in order of arrival on working sets, then what time made due, saves, commits once (on a shared
 * store once a project), and only then hands the answers back. Those that wait for a stack, the lease clock, lists, backups,
 * pruning and checkpoints are its own too. Private to service/.
 */
#pragma once

#include "service/access.h"
#include "service/metrics.h"
#include "service/store_clock.h"

typedef struct Worker Worker;

typedef struct WorkerOptions {
    Store *store;
    Gate gate;
    Snapshots *snapshots;
    Metrics *metrics;
    StoreClock *clock;
    const Logger *log;
    void (*on_broken)(void *arg);
    void *on_broken_arg;
} WorkerOptions;

int worker_new(Worker **out, const WorkerOptions *options) MUST_USE;
int worker_start(Worker *worker) MUST_USE;
/* Takes a place in the queue for the operation. False: there is none for its kind: what ends leases, and so makes room, may
 * fill all of it, the rest three quarters; and those of whom nobody knows yet who asks are an eighth. */
bool worker_take_place(Worker *worker, Work *work);
/* Gives it back, if it has one. */
void worker_give_place_back(Work *work);
/* For an operation that waited without one, and is to be decided again: never refused. */
void worker_take_place_again(Work *work);
void worker_submit(Worker *worker, Work *work);
/* By any thread: the peer of an operation that waits hung up. Unknown ids are ignored. */
void worker_hang_up(Worker *worker, uint64_t operation_id);
/* Nobody waits any longer: those who do are answered now. Returns at once. */
void worker_drain(Worker *worker);
/* Runs the queue empty, then joins the thread. */
void worker_stop(Worker *worker);
bool worker_is_broken(const Worker *worker);
/* A store that others use too did not answer when it was asked last. */
bool worker_is_store_away(const Worker *worker);
Worker *worker_free(Worker *worker);
