/*
 * The worker's thread: see the header for what it owns.
 *
 *     mutex ── queue of submitted operations, hang-ups told
 *     thread alone ── store, batch, lease clock, waiters, timers
 *     outbox ── answers, until what they tell of is durable
 */
#include "service/worker.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/limits.h"
#include "service/batch.h"
#include "service/chores.h"
#include "service/lists.h"
#include "service/outbox.h"
#include "service/publish.h"
#include "service/waiters.h"

#define HANG_UPS_MAX 1024 /* told at once; more are found out by their requests' silence */
#define TICK_MS 1000      /* while anything is watched the lease clock is looked at so often */

struct Worker {
    WorkerOptions o;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    Work *first, **last; /* linked by shown.next */
    uint64_t hung_up[HANG_UPS_MAX];
    size_t hung_up_count;
    bool is_started;
    atomic_bool is_stopping, is_draining;
    atomic_size_t places;
    atomic_bool is_broken;

    Batch batch;
    Outbox outbox;
    Arena scratch;
    Watch *watch;
    Waiters waiters;
    atomic_bool is_store_failing; /* since the lease clock's last tick */
    int64_t ticked_at_ms;
    Chores chores;
};

/* By any thread. */
static void note_failure_of(Worker *w, int result, const char *doing, const char *reason) {
    LOG(w->o.log, LOG_ERROR, "the store failed", log_string("doing", doing), log_number("result", result),
        log_string("reason", reason));
    atomic_store(&w->is_store_failing, true);
    if (result == STORE_BROKEN && !atomic_exchange(&w->is_broken, true) && w->o.on_broken != NULL)
        w->o.on_broken(w->o.on_broken_arg);
}

static void note_failure(Worker *w, int result, const char *doing) {
    note_failure_of(w, result, doing, store_reason(w->o.store));
}

static void note_failed_chore(void *arg, int result, const char *doing) {
    note_failure(arg, result, doing);
}

static void note_failed_sync(void *arg, int result, const char *reason) {
    note_failure_of(arg, result, "making it durable", reason);
}

int worker_new(Worker **out, const WorkerOptions *options) {
    Worker *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    w->o = *options;
    w->last = &w->first;
    if (pthread_mutex_init(&w->mutex, NULL) != 0) {
        free(w);
        return -ENOMEM;
    }
    if (clock_condition_init(&w->wake) < 0) {
        (void)pthread_mutex_destroy(&w->mutex);
        free(w);
        return -ENOMEM;
    }
    outbox_init(&w->outbox, &(OutboxOptions){.store = options->store,
                                             .metrics = options->metrics,
                                             .log = options->log,
                                             .on_failure = note_failed_sync,
                                             .on_failure_arg = w});
    arena_init(&w->scratch);
    int r = watch_new(&w->watch);
    batch_init(&w->batch, w->watch);
    waiters_init(&w->waiters, w->watch);
    if (r < 0) {
        (void)worker_free(w);
        return r;
    }
    *out = w;
    return 0;
}

Worker *worker_free(Worker *w) {
    if (w == NULL)
        return NULL;
    worker_stop(w);
    waiters_deinit(&w->waiters);
    w->watch = watch_free(w->watch);
    batch_deinit(&w->batch);
    arena_deinit(&w->scratch);
    outbox_deinit(&w->outbox);
    (void)pthread_cond_destroy(&w->wake);
    (void)pthread_mutex_destroy(&w->mutex);
    free(w);
    return NULL;
}

bool worker_take_place(Worker *w, Work *work, Place place) {
    static const size_t ceilings[] = {
        [PLACE_STRANGER] = QUEUE_MAX / 8, [PLACE_REQUEST] = QUEUE_MAX / 4 * 3, [PLACE_ENDING] = QUEUE_MAX};
    if (atomic_fetch_add(&w->places, 1) >= ceilings[place]) {
        atomic_fetch_sub(&w->places, 1);
        return false;
    }
    work->worker = w;
    work->has_place = true;
    return true;
}

void worker_take_place_again(Work *work) {
    atomic_fetch_add(&work->worker->places, 1);
    work->has_place = true;
}

void worker_give_place_back(Work *work) {
    Worker *w = work->worker;
    if (!work->has_place)
        return;
    work->has_place = false;
    if (atomic_fetch_sub(&w->places, 1) > 1 || !atomic_load(&w->is_stopping))
        return;
    (void)pthread_mutex_lock(&w->mutex);
    (void)pthread_cond_signal(&w->wake); /* that was the last one the end waited for */
    (void)pthread_mutex_unlock(&w->mutex);
}

bool worker_is_broken(const Worker *w) {
    return atomic_load(&w->is_broken);
}

void worker_submit(Worker *w, Work *work) {
    work->shown.next = NULL;
    (void)pthread_mutex_lock(&w->mutex);
    bool was_empty = w->first == NULL;
    *w->last = work;
    w->last = (Work **)&work->shown.next;
    if (was_empty)
        (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->mutex);
}

void worker_hang_up(Worker *w, uint64_t operation_id) {
    (void)pthread_mutex_lock(&w->mutex);
    if (w->hung_up_count < HANG_UPS_MAX)
        w->hung_up[w->hung_up_count++] = operation_id;
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->mutex);
}

void worker_drain(Worker *w) {
    (void)pthread_mutex_lock(&w->mutex);
    atomic_store(&w->is_draining, true);
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->mutex);
}

/* ---- one cycle ---- */

static void hand_back(Worker *w, Work *const *works, size_t count) {
    for (size_t i = 0; i < count; i++)
        outbox_put(&w->outbox, works[i]);
}

/* What certainly did not happen runs again one by one, so that one operation's failure is its own. What was due stays due. */
static void run_batch(Worker *w, const BatchInput *input) {
    Moment moment = {.wall_ms = clock_wall_ms(w->o.clock)};
    int r = batch_run(&w->batch, w->o.store, &moment, input);
    if (r == 0) {
        FAILPOINT("committed");
        if (w->batch.is_changed)
            outbox_changed(&w->outbox);
        const Publisher p = {.metrics = w->o.metrics,
                             .snapshots = w->o.snapshots,
                             .keys = w->o.gate.keys,
                             .watch = w->watch,
                             .waiters = &w->waiters};
        metrics_batch(w->o.metrics, input->count + input->due_count);
        publish_batch(&p, &w->batch, &moment, input->works, input->count);
        FAILPOINT("published");
        return;
    }
    note_failure(w, r, "a batch");
    bool is_certain = r != STORE_UNKNOWN && r != STORE_BROKEN;
    bool is_alone = input->count + input->due_count == 1;
    for (size_t i = 0; i < input->count; i++) {
        if (is_certain && !is_alone)
            run_batch(w, &(BatchInput){.works = &input->works[i], .count = 1});
        else
            outbox_refuse(&w->outbox, input->works[i], r);
    }
}

static void share_list(Worker *w, Work *work) {
    size_t len;
    Snapshot *snapshot;
    char *bytes = buffer_steal(&work->answer, &len);
    if (snapshot_new(&snapshot, bytes, len) < 0) {
        outbox_refuse(&w->outbox, work, -ENOMEM);
        return;
    }
    snapshots_put(w->o.snapshots, work->command.project, snapshot);
    work_answer_snapshot(work, snapshot);
}

/* Only what is durable may be shared: who reads it later does not wait for a sync. */
static void render_list(Worker *w, Work *work, bool is_durable) {
    static const size_t ceilings[] = {[TRANSPORT_HTTP] = ANSWER_MAX - LIST_ROW_MAX,
                                      [TRANSPORT_RPC] = RPC_ANSWER_MAX - LIST_ROW_MAX,
                                      [TRANSPORT_CONTROL] = ANSWER_MAX - LIST_ROW_MAX};
    Snapshot *shared = work_is_shared_list(work) ? snapshots_get(w->o.snapshots, work->command.project) : NULL;
    if (shared != NULL) {
        work_answer_snapshot(work, shared);
        return;
    }
    buffer_clear(&work->answer);
    int r = list_render(w->o.store, w->watch, clock_wall_ms(w->o.clock), &work->command, ceilings[work->transport],
                        &work->answer);
    if (r == STORE_NOT_FOUND) {
        work_refuse(work, OUTCOME_UNKNOWN_PROJECT, "project",
                    (Slice)SLICE_LITERAL("there is no such project: `project list` shows them"));
    } else if (r != 0) {
        note_failure(w, r, "a list");
        outbox_refuse(&w->outbox, work, r);
    } else if (is_durable && work_is_shared_list(work) && work->answer.len <= SNAPSHOT_BYTES_MAX) {
        share_list(w, work);
    } else {
        work_answer_bytes(work);
    }
}

/* Those that wait now are handed back later. */
static void settle(Worker *w, Work *const *works, size_t count) {
    int64_t boot_ms = clock_boot_ms(w->o.clock);
    for (size_t i = 0; i < count; i++)
        if (!waiters_keep(&w->waiters, works[i], boot_ms))
            hand_back(w, &works[i], 1);
}

static void run_and_hand_back(Worker *w, Work *const *works, size_t count) {
    if (count == 0)
        return;
    run_batch(w, &(BatchInput){.works = works, .count = count});
    settle(w, works, count);
}

static bool speaks_for(const Work *work, const WatchDue *due) {
    const Command *c = &work->command;
    return c->lease_ref.ticket == due->due.ticket && slice_equal(c->project, due->project);
}

/* In this cycle, or in one of the next: more may have arrived than one of them takes. */
static bool is_spoken_for(Worker *w, Work *const *works, size_t count, const WatchDue *due) {
    bool is_found = false;
    for (size_t i = 0; i < count && !is_found; i++)
        is_found = speaks_for(works[i], due);
    (void)pthread_mutex_lock(&w->mutex);
    for (const Work *work = w->first; work != NULL && !is_found; work = work_of(work->shown.next))
        is_found = work->is_resolved && speaks_for(work, due); /* not everybody who says so */
    (void)pthread_mutex_unlock(&w->mutex);
    return is_found;
}

/* Renewals that have arrived come before expiries. */
static size_t take_due(Worker *w, Work *const *works, size_t count, WatchDue *out) {
    size_t found = watch_due(w->watch, out, DUE_MAX), kept = 0;
    for (size_t i = 0; i < found; i++)
        if (out[i].due.kind != DUE_EXPIRED || !is_spoken_for(w, works, count, &out[i]))
            out[kept++] = out[i];
    return kept;
}

/* The end of a cycle: what it has collected, and what time has made due. */
static void run_last(Worker *w, Work *const *works, size_t count) {
    WatchDue due[DUE_MAX];
    size_t due_count = take_due(w, works, count, due);
    if (count + due_count == 0)
        return;
    if (due_count > 0)
        FAILPOINT("due");
    run_batch(w, &(BatchInput){.works = works, .count = count, .dues = due, .due_count = due_count});
    settle(w, works, count);
}

/* A renewal that changes no row is memory's alone: no COMMIT, and it works while the disk is full. */
static bool renew_from_memory(Worker *w, Work *work) {
    const Command *c = &work->command;
    if (c->operation != OP_RENEW_LEASE || !watch_renew(w->watch, c->project, c->lease_ref, c->lease_seconds))
        return false;
    int64_t left_ms = watch_left(w->watch, c->project, c->lease_ref.ticket, 0);
    Answer answer;
    answer_init(&answer);
    answer.lease.expires_ms = clock_wall_ms(w->o.clock) + left_ms;
    answer.lease.expires_in_seconds = left_ms / 1000;
    (void)work_answer(work, &answer);
    snapshots_drop(w->o.snapshots, c->project);
    FAILPOINT("renewed");
    return true;
}

/* Who may ask, or how long a lease may last, is decided anew behind these: they run alone, so that what comes after them
 * sees it, and what came before was told what holds for it. */
static bool runs_alone(const Work *work) {
    OperationId operation = work->command.operation;
    return operation == OP_REVOKE_KEY || operation == OP_DELETE_PROJECT || operation == OP_UPDATE_PROJECT;
}

static bool is_refused(Worker *w, Work *work) {
    return (!work->is_resolved || access_is_stale(&w->o.gate, work)) &&
           access_resolve_from_store(&w->o.gate, work, w->o.store, &w->scratch) == ACCESS_REFUSED;
}

/* In order of arrival; lists come last, they can wait for what was decided, not the other way round. */
static void run_cycle(Worker *w, Work *const *works, size_t count) {
    Work *pending[BATCH_MAX], *lists[BATCH_MAX];
    size_t pending_count = 0, list_count = 0;
    arena_reset(&w->scratch);
    for (size_t i = 0; i < count; i++) {
        Work *work = works[i];
        work->command.is_peer_gone =
            work->granted_us != 0 && work->owner->is_peer_there != NULL && !work->owner->is_peer_there(&work->shown);
        if (is_refused(w, work)) {
            hand_back(w, &work, 1);
        } else if (renew_from_memory(w, work)) {
            outbox_hand_back(&w->outbox, work);
        } else if (runs_alone(work)) {
            run_and_hand_back(w, pending, pending_count);
            pending_count = 0;
            run_and_hand_back(w, &work, 1);
        } else if (work->command.operation == OP_BACKUP) {
            if (!chores_begin_backup(&w->chores, work))
                outbox_put(&w->outbox, work);
        } else if (lease_decides(work->command.operation)) {
            pending[pending_count++] = work;
        } else {
            lists[list_count++] = work;
        }
    }
    run_last(w, pending, pending_count);
    bool is_durable = list_count > 0 && outbox_settle(&w->outbox);
    for (size_t i = 0; i < list_count; i++) {
        render_list(w, lists[i], is_durable);
        FAILPOINT("listed");
        hand_back(w, &lists[i], 1);
    }
}

/* ---- waiting for work ---- */

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t next_timer(const Worker *w) {
    if (w->waiters.ready != NULL)
        return 0;
    int64_t next = chores_next(&w->chores);
    int64_t due_in = watch_next(w->watch);
    if (due_in != INT64_MAX) /* from the last tick on */
        next = earlier(next, w->ticked_at_ms + earlier(due_in, TICK_MS));
    return earlier(next, parking_next(&w->waiters.parking));
}

static bool must_drain(const Worker *w) {
    return !w->waiters.is_draining && (atomic_load(&w->is_draining) || atomic_load(&w->is_stopping));
}

/* Told to stop, and nobody holds a place any more: what has one may still be on its way from a transport. */
static bool is_over(Worker *w) {
    return atomic_load(&w->is_stopping) && atomic_load(&w->places) == 0;
}

/* Blocks until there is something to do, or the end. Takes the hang-ups that were told. */
static size_t wait_for_work(Worker *w, uint64_t *hung_up) {
    (void)pthread_mutex_lock(&w->mutex);
    while (w->first == NULL && w->hung_up_count == 0 && !must_drain(w) && !is_over(w) &&
           clock_boot_ms(w->o.clock) < next_timer(w))
        w->o.clock->vtable->wait(w->o.clock, &w->wake, &w->mutex, next_timer(w));
    size_t n = w->hung_up_count;
    memcpy(hung_up, w->hung_up, n * sizeof(*hung_up));
    w->hung_up_count = 0;
    (void)pthread_mutex_unlock(&w->mutex);
    return n;
}

/* Peers, time and the end: what ends a wait. */
static void end_waits(Worker *w, const uint64_t *hung_up, size_t count) {
    for (size_t i = 0; i < count; i++) {
        Work *work = waiters_hang_up(&w->waiters, hung_up[i]);
        if (work != NULL)
            hand_back(w, &work, 1);
    }
    if (must_drain(w))
        waiters_drain(&w->waiters);
    waiters_end_polls(&w->waiters, clock_boot_ms(w->o.clock));
}

/* Takes all that waits, those whose wait has ended first. False: the end. */
static bool take(Worker *w, Work **works, size_t *count) {
    uint64_t hung_up[HANG_UPS_MAX];
    size_t hung_up_count = wait_for_work(w, hung_up), n = 0;
    end_waits(w, hung_up, hung_up_count);
    while (n < BATCH_MAX && (works[n] = waiters_take_ready(&w->waiters)) != NULL)
        n++;
    (void)pthread_mutex_lock(&w->mutex);
    while (w->first != NULL && n < BATCH_MAX) {
        works[n] = w->first;
        w->first = work_of(works[n]->shown.next);
        n++;
    }
    if (w->first == NULL)
        w->last = &w->first;
    bool is_end = n == 0 && is_over(w);
    (void)pthread_mutex_unlock(&w->mutex);
    *count = n;
    return !is_end;
}

/* The lease clock advances while the store answers: as long as it fails, nobody's lease runs out. */
static void tick(Worker *w) {
    w->ticked_at_ms = clock_boot_ms(w->o.clock);
    watch_tick(w->watch, w->ticked_at_ms, atomic_exchange(&w->is_store_failing, false));
}

/* Nobody waits to be decided. */
static bool is_idle(Worker *w) {
    (void)pthread_mutex_lock(&w->mutex);
    bool is_empty = w->first == NULL && w->waiters.ready == NULL;
    (void)pthread_mutex_unlock(&w->mutex);
    return is_empty;
}

static void *worker_main(void *arg) {
    Worker *w = arg;
    Work *works[BATCH_MAX];
    size_t count;
    chores_start(&w->chores, &(ChoresOptions){.store = w->o.store,
                                              .keys = w->o.gate.keys,
                                              .clock = w->o.clock,
                                              .on_failure = note_failed_chore,
                                              .on_failure_arg = w});
    tick(w);
    while (watch_next(w->watch) == 0) /* before anybody new: every queued request counts as just heard of */
        run_last(w, NULL, 0);
    while (take(w, works, &count)) {
        FAILPOINT("taken");
        tick(w);
        if (count > 0 || watch_next(w->watch) == 0)
            run_cycle(w, works, count);
        metrics_waiting(w->o.metrics, watch_queued(w->watch), (int64_t)parking_count(&w->waiters.parking));
        outbox_push(&w->outbox, is_idle(w));
        Work *ended = chores_step(&w->chores, count > 0, atomic_load(&w->is_stopping));
        if (ended != NULL) {
            outbox_put(&w->outbox, ended);
            outbox_push(&w->outbox, true);
        }
    }
    chores_finish(&w->chores);
    return NULL;
}

/* Whoever renewed before the start was told up to his lease's length: a maxHold that was lowered since takes none of it. */
static int watch_stack(void *arg, const ProjectRow *project, const StackRow *row) {
    Worker *w = arg;
    ProjectRow holding = *project;
    if (holding.max_hold_seconds < row->lease_seconds)
        holding.max_hold_seconds = row->lease_seconds;
    int r = watch_reserve(w->watch, 1, 1);
    if (r == 0)
        watch_follow_stack(w->watch, &holding, row);
    return r;
}

static int watch_request(void *arg, const ProjectRow *project, const RequestRow *row) {
    Worker *w = arg;
    int r = watch_reserve(w->watch, 1, 1);
    if (r == 0)
        watch_start_request(w->watch, project, row);
    return r;
}

int worker_start(Worker *w) {
    StoreCounts counts;
    int r = store_counts(w->o.store, &counts);
    if (r == 0)
        r = store_read(w->o.store, &(ReadQuery){.list = LIST_WATCHED, .after = FIELD_ABSENT},
                       &(StoreRows){.watched_stack = watch_stack, .watched_request = watch_request, .arg = w});
    if (r != 0)
        return r < 0 ? r : -EIO;
    metrics_start_counts(w->o.metrics, &counts);
    r = outbox_start(&w->outbox);
    if (r < 0)
        return r;
    r = pthread_create(&w->thread, NULL, worker_main, w);
    if (r != 0) {
        outbox_stop(&w->outbox);
        return -r;
    }
    w->is_started = true;
    return 0;
}

void worker_stop(Worker *w) {
    if (!w->is_started)
        return;
    (void)pthread_mutex_lock(&w->mutex);
    atomic_store(&w->is_stopping, true);
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->mutex);
    (void)pthread_join(w->thread, NULL);
    outbox_stop(&w->outbox);
    w->is_started = false;
}
