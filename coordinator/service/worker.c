/*
 * The worker's thread: see the header for what it owns.
 *
 *     intake ── what other threads bring
 *     thread alone ── store, batch, lease clock, waiters, timers
 *     outbox ── answers, until what they tell of is durable
 */
#include "service/worker.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/limits.h"
#include "service/batch.h"
#include "service/chores.h"
#include "service/intake.h"
#include "service/lists.h"
#include "service/neighbours.h"
#include "service/outbox.h"
#include "service/publish.h"
#include "service/waiters.h"

#define CONFLICT_TRIES 3 /* of one operation that meets a renewal */
#define TICK_MS 1000     /* while anything is watched the lease clock is looked at so often */

struct Worker {
    WorkerOptions o;
    const Clock *clock;
    int64_t coordinator; /* store_coordinator: 0: nobody else uses the store */
    pthread_t thread;
    Intake intake;
    HangUpList hung_up; /* taken out of it */
    bool is_started;
    atomic_bool is_stopping, is_draining;
    atomic_size_t places, strangers;
    atomic_bool is_broken;

    Batch batch;
    Outbox outbox;
    Arena scratch;
    Watch *watch;
    Waiters waiters;
    Neighbours neighbours;
    Renewal renewals[BATCH_MAX]; /* of this cycle, with their operations */
    Work *renewing[BATCH_MAX];
    size_t renewal_count;
    atomic_bool is_store_failing; /* since the lease clock's last tick */
    atomic_bool is_store_away;    /* it did not answer when it was asked last */
    int64_t ticked_at_ms;
    Chores chores;
};

/* By any thread. */
static void note_failure_of(Worker *w, int result, const char *doing, const char *reason) {
    LOG(w->o.log, LOG_ERROR, "the store failed", log_string("doing", doing), log_number("result", result),
        log_string("reason", reason));
    if (result == STORE_BUSY)
        return; /* the others go on */
    atomic_store(&w->is_store_failing, true);
    atomic_store(&w->is_store_away, true);
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

/* The lease clock advances while the store answers: as long as it fails, nobody's lease runs out. One that is shared is away
 * until it has answered again: there are ticks between its failures. */
static void tick(void *arg) {
    Worker *w = arg;
    bool has_failed = atomic_exchange(&w->is_store_failing, false);
    w->ticked_at_ms = clock_boot_ms(w->clock);
    watch_tick(w->watch, w->ticked_at_ms, has_failed || worker_is_store_away(w));
}

/* What was just read of the rows others had done by now, after the last tick perhaps: it is timed from now on. */
static void tick_after_reading(Worker *w) {
    if (w->coordinator != 0)
        tick(w);
}

int worker_new(Worker **out, const WorkerOptions *options) {
    Worker *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    w->o = *options;
    w->clock = &options->clock->base;
    int r = intake_init(&w->intake, w->clock);
    if (r < 0) {
        free(w);
        return r;
    }
    outbox_init(&w->outbox, &(OutboxOptions){.store = options->store,
                                             .metrics = options->metrics,
                                             .log = options->log,
                                             .on_failure = note_failed_sync,
                                             .on_failure_arg = w});
    arena_init(&w->scratch);
    w->coordinator = store_coordinator(options->store);
    r = watch_new(&w->watch, w->coordinator);
    batch_init(&w->batch, w->watch);
    waiters_init(&w->waiters, w->watch);
    neighbours_init(&w->neighbours, &(Neighbours){.store = options->store,
                                                  .watch = w->watch,
                                                  .waiters = &w->waiters,
                                                  .metrics = options->metrics,
                                                  .clock = options->clock,
                                                  .tick = tick,
                                                  .tick_arg = w});
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
    neighbours_deinit(&w->neighbours);
    w->watch = watch_free(w->watch);
    batch_deinit(&w->batch);
    arena_deinit(&w->scratch);
    outbox_deinit(&w->outbox);
    intake_deinit(&w->intake);
    hang_up_list_deinit(&w->hung_up);
    free(w);
    return NULL;
}

static bool count_up_to(atomic_size_t *count, size_t ceiling) {
    if (atomic_fetch_add(count, 1) < ceiling)
        return true;
    atomic_fetch_sub(count, 1);
    return false;
}

bool worker_take_place(Worker *w, Work *work) {
    bool is_ending = (work->row->flags & OPERATION_ENDS_LEASES) != 0, is_stranger = !work->is_resolved;
    if (is_stranger && !count_up_to(&w->strangers, is_ending ? QUEUE_MAX / 16 * 3 : QUEUE_MAX / 8))
        return false;
    if (!count_up_to(&w->places, is_ending ? QUEUE_MAX : QUEUE_MAX / 4 * 3)) {
        atomic_fetch_sub(&w->strangers, is_stranger);
        return false;
    }
    work->worker = w;
    work->has_place = true;
    work->is_stranger = is_stranger;
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
    atomic_fetch_sub(&w->strangers, work->is_stranger);
    work->is_stranger = false;
    if (atomic_fetch_sub(&w->places, 1) > 1 || !atomic_load(&w->is_stopping))
        return;
    intake_wake(&w->intake); /* that was the last one the end waited for */
}

bool worker_is_broken(const Worker *w) {
    return atomic_load(&w->is_broken);
}

/* A store that is shared is asked every second; another one perhaps not before somebody wants something of it. */
bool worker_is_store_away(const Worker *w) {
    return w->coordinator != 0 && atomic_load(&w->is_store_away);
}

void worker_submit(Worker *w, Work *work) {
    intake_put(&w->intake, work);
}

void worker_hang_up(Worker *w, uint64_t operation_id) {
    intake_hang_up(&w->intake, operation_id);
}

/* By the store's thread. */
static void note_called(void *arg, const StoreCall *call) {
    Worker *w = arg;
    intake_call(&w->intake, call);
}

void worker_drain(Worker *w) {
    atomic_store(&w->is_draining, true);
    intake_wake(&w->intake);
}

/* ---- one cycle ---- */

static void hand_back(Worker *w, Work *const *works, size_t count) {
    for (size_t i = 0; i < count; i++)
        outbox_put(&w->outbox, works[i]);
}

/* What certainly did not happen runs again one by one, so that one operation's failure is its own; but where somebody keeps
 * a lock, each would wait for it, and all projects with it. What was due stays due. */
static int run_batch(Worker *w, BatchInput *input) {
    Moment moment = {.wall_ms = clock_wall_ms(w->clock), .coordinator = w->coordinator};
    int r = batch_run(&w->batch, w->o.store, &moment, input);
    bool is_alone = input->count + input->due_count == 1;
    input->more = NULL;
    for (int tries = 1; r == STORE_CONFLICT && is_alone && w->coordinator != 0 && tries < CONFLICT_TRIES; tries++)
        r = batch_run(&w->batch, w->o.store, &moment, input);
    if (r == 0) {
        FAILPOINT("committed");
        atomic_store(&w->is_store_away, false);
        tick_after_reading(w);
        if (w->batch.is_changed)
            watch_note_change(w->watch, outbox_changed(&w->outbox));
        const Publisher p = {.metrics = w->o.metrics,
                             .snapshots = w->o.snapshots,
                             .keys = w->o.gate.keys,
                             .watch = w->watch,
                             .waiters = &w->waiters};
        metrics_batch(w->o.metrics, input->count + input->due_count);
        publish_batch(&p, &w->batch, &moment, input);
        FAILPOINT("published");
        return 0;
    }
    bool is_stores = r != -EMSGSIZE && (r != STORE_CONFLICT || w->coordinator == 0);
    if (is_stores)
        note_failure(w, r, "a batch");
    bool is_worth_repeating = r != STORE_UNKNOWN && r != STORE_BROKEN && r != STORE_BUSY && !is_alone;
    for (size_t i = 0; i < input->count; i++) {
        if (is_worth_repeating)
            (void)run_batch(w, &(BatchInput){.works = &input->works[i], .count = 1});
        else
            outbox_refuse(&w->outbox, input->works[i], r);
    }
    return r;
}

/* The list that was rendered last, for those of the same cycle who asked for it too. */
typedef struct LastList {
    Snapshot *snapshot;
    char project[PROJECT_NAME_MAX + 1];
} LastList;

static Snapshot *find_list(Worker *w, const Work *work, const LastList *last) {
    Slice project = work->command.project;
    if (!work_is_shared_list(work))
        return NULL;
    if (last->snapshot != NULL && slice_equal_text(project, last->project))
        return snapshot_ref(last->snapshot);
    return snapshots_get(w->o.snapshots, project);
}

/* Only what is durable may be kept: who reads it later does not wait for a sync. */
static void keep_list(Worker *w, Work *work, bool is_durable, LastList *last) {
    size_t len;
    Snapshot *snapshot;
    char *bytes = buffer_steal(&work->answer, &len);
    if (snapshot_new(&snapshot, w->o.snapshots, bytes, len) < 0) {
        outbox_refuse(&w->outbox, work, -ENOMEM);
        return;
    }
    if (work_is_shared_list(work)) {
        (void)snapshot_unref(last->snapshot);
        last->snapshot = snapshot_ref(snapshot);
        (void)snprintf(last->project, sizeof last->project, "%.*s", SLICE_PRINT(work->command.project));
        if (is_durable && w->coordinator == 0)
            snapshots_put(w->o.snapshots, work->command.project, snapshot);
    }
    work_answer_snapshot(work, snapshot);
}

static void render_list(Worker *w, Work *work, bool is_durable, LastList *last) {
    static const size_t ceilings[] = {[TRANSPORT_HTTP] = ANSWER_MAX - LIST_ROW_MAX,
                                      [TRANSPORT_RPC] = RPC_ANSWER_MAX - LIST_ROW_MAX,
                                      [TRANSPORT_CONTROL] = ANSWER_MAX - LIST_ROW_MAX};
    Snapshot *shared = find_list(w, work, last);
    if (shared != NULL) {
        work_answer_snapshot(work, shared);
        return;
    }
    bool is_brief =
        work->transport != TRANSPORT_CONTROL && (work->shown.is_brief || !snapshots_have_room(w->o.snapshots));
    bool is_whole;
    buffer_clear(&work->answer);
    int r = list_render(w->o.store, w->watch, clock_wall_ms(w->clock), &work->command,
                        is_brief ? LIST_BRIEF_BYTES : ceilings[work->transport], &work->answer, &is_whole);
    if (r == STORE_NOT_FOUND) {
        work_refuse(work, OUTCOME_UNKNOWN_PROJECT, "project",
                    (Slice)SLICE_LITERAL("there is no such project: `project list` shows them"));
    } else if (r != 0) {
        note_failure(w, r, "a list");
        outbox_refuse(&w->outbox, work, r);
    } else if (is_brief && !is_whole && work->transport == TRANSPORT_HTTP) {
        work_refuse(work, OUTCOME_STORE_UNAVAILABLE, NULL,
                    (Slice)SLICE_LITERAL("lists that were asked for and are not read yet fill the memory for lists: "
                                         "repeat in a moment, or ask for pages by `limit`"));
    } else {
        keep_list(w, work, is_durable, last);
    }
}

/* Those that wait now are handed back later. */
static void settle(Worker *w, Work *const *works, size_t count) {
    int64_t boot_ms = clock_boot_ms(w->clock);
    for (size_t i = 0; i < count; i++)
        if (!waiters_keep(&w->waiters, works[i], boot_ms))
            hand_back(w, &works[i], 1);
}

static bool speaks_for(const Work *work, const WatchDue *due) {
    const Command *c = &work->command;
    return c->lease_ref.ticket == due->due.ticket && slice_equal(c->project, due->project);
}

static Fitting fits_due(const void *due, const Work *work) {
    return work->is_resolved && speaks_for(work, due) ? FITS : FITS_NOT; /* not everybody who says so */
}

/* In this cycle, or in one of the next: more may have arrived than one of them takes. */
static bool is_spoken_for(Worker *w, Work *const *works, size_t count, const WatchDue *due) {
    for (size_t i = 0; i < count; i++)
        if (speaks_for(works[i], due))
            return true;
    return intake_has(&w->intake, fits_due, due);
}

/* Renewals that have arrived come before expiries. */
static size_t drop_spoken_for(Worker *w, Work *const *works, size_t count, WatchDue *dues, size_t due_count) {
    size_t kept = 0;
    for (size_t i = 0; i < due_count; i++)
        if (dues[i].due.kind != DUE_EXPIRED || !is_spoken_for(w, works, count, &dues[i]))
            dues[kept++] = dues[i];
    return kept;
}

/* Who may ask, or how long a lease may last, is decided anew behind these: they run alone, so that what comes after them
 * sees it, and what came before was told what holds for it. */
static bool runs_alone(const Work *work) {
    OperationId operation = work->command.operation;
    return operation == OP_REVOKE_KEY || operation == OP_DELETE_PROJECT || operation == OP_UPDATE_PROJECT;
}

typedef struct Joining {
    const Worker *worker;
    const Batch *batch;
} Joining;

/* Whether it is decided like any other. */
static Fitting fits_batch(const void *arg, const Work *work) {
    const Joining *joining = arg;
    if (runs_alone(work) || !work->is_resolved || access_is_stale(&joining->worker->o.gate, work))
        return FITS_NOBODY; /* whose it is, or what it changes for the others, is not known yet */
    OperationId operation = work->command.operation;
    bool fits = lease_decides(operation) && operation != OP_RENEW_LEASE &&
                batch_set(joining->batch, work->command.project) != NULL;
    return fits ? FITS : FITS_NOT;
}

/* Those that wait when the project is locked, if they are as many as the batch has: loading their rows takes another way to
 * the server and back, but the next batch would have to wait for the lock again, behind other coordinators'. */
static size_t take_more(void *arg, const Batch *batch, size_t least, Work **out, size_t most) {
    Worker *w = arg;
    return intake_take_fitting(&w->intake, fits_batch, &(Joining){w, batch}, least, out, most);
}

static size_t take_works_of(Slice project, Work **works, size_t *count, Work **out) {
    size_t kept = 0, taken = 0;
    for (size_t i = 0; i < *count; i++)
        if (slice_equal(works[i]->command.project, project))
            out[taken++] = works[i];
        else
            works[kept++] = works[i];
    *count = kept;
    return taken;
}

static size_t take_dues_of(Slice project, WatchDue *dues, size_t *count, WatchDue *out) {
    size_t kept = 0, taken = 0;
    for (size_t i = 0; i < *count; i++)
        if (slice_equal(dues[i].project, project))
            out[taken++] = dues[i];
        else
            dues[kept++] = dues[i];
    *count = kept;
    return taken;
}

/* Nobody waits to be decided. */
static bool is_idle(Worker *w) {
    return w->waiters.ready == NULL && intake_is_empty(&w->intake);
}

/* The batch's result. */
static int run(Worker *w, BatchInput *input) {
    input->due_count = drop_spoken_for(w, input->works, input->count, input->dues, input->due_count);
    if (input->count + input->due_count == 0)
        return 0;
    int r = run_batch(w, input);
    settle(w, input->works, input->count);
    return r;
}

/* On a store that is shared each project is a transaction of its own: nobody waits there for a lock that he has nothing to
 * do with. What is due where nobody asks for anything is left, for one that is for all. */
static void run_by_project(Worker *w, BatchInput *all) {
    while (all->count > 0) {
        Work *works[BATCH_MAX];
        WatchDue dues[DUE_MAX];
        Slice project = all->works[0]->command.project;
        BatchInput own = {.works = works, .dues = dues, .more = all->more, .more_arg = w};
        own.count = take_works_of(project, all->works, &all->count, works);
        own.due_count = take_dues_of(project, all->dues, &all->due_count, dues);
        (void)run(w, &own);
        outbox_push(&w->outbox, all->count == 0 && is_idle(w));
    }
    all->more = NULL;
}

/* Of a project that somebody keeps locked it stays due; the others need not wait for that. */
static void run_dues_by_project(Worker *w, WatchDue *all, size_t count) {
    while (count > 0) {
        WatchDue dues[DUE_MAX];
        BatchInput own = {.dues = dues};
        own.due_count = take_dues_of(all[0].project, all, &count, dues);
        (void)run(w, &own);
    }
}

static void run_all(Worker *w, BatchInput *input) {
    if (w->coordinator != 0)
        run_by_project(w, input);
    if (run(w, input) == STORE_BUSY && input->count == 0)
        run_dues_by_project(w, input->dues, input->due_count);
}

/* The end of a cycle: what it has collected, and what time has made due. */
static void run_last(Worker *w, Work **works, size_t count) {
    WatchDue dues[DUE_MAX];
    BatchInput input = {.works = works, .count = count, .dues = dues, .due_count = watch_due(w->watch, dues, DUE_MAX)};
    if (w->coordinator != 0)
        input.more = take_more;
    if (input.due_count > 0)
        FAILPOINT("due");
    run_all(w, &input);
}

static void answer_renewal(Worker *w, Work *work) {
    const Command *c = &work->command;
    watch_renewed(w->watch, c->project, c->lease_ref, c->lease_seconds);
    int64_t left_ms = watch_left(w->watch, c->project, c->lease_ref.ticket, 0);
    Answer answer;
    answer_init(&answer);
    answer.lease.expires_ms = clock_wall_ms(w->clock) + left_ms;
    answer.lease.expires_in_seconds = left_ms / 1000;
    (void)work_answer(work, &answer);
    snapshots_drop(w->o.snapshots, c->project);
    FAILPOINT("renewed");
    if (outbox_has_synced(&w->outbox, watch_changed_in(w->watch, c->project, c->lease_ref)))
        outbox_hand_back(&w->outbox, work);
    else
        outbox_put(&w->outbox, work); /* it rests on what is not durable yet */
}

/* A renewal that changes nothing is memory's alone: no COMMIT, and it works while the disk is full. Where others watch the
 * lease too it raises a count, together with all renewals of the cycle, if it promises anything. */
static bool renew_lightly(Worker *w, Work *work) {
    const Command *c = &work->command;
    int64_t number = 0;
    if (c->operation != OP_RENEW_LEASE ||
        !watch_may_renew(w->watch, c->project, c->lease_ref, c->lease_seconds, &number))
        return false;
    if (w->coordinator == 0 || watch_has_lasted(w->watch, c->project, c->lease_ref.ticket)) {
        answer_renewal(w, work);
        return true;
    }
    w->renewing[w->renewal_count] = work;
    w->renewals[w->renewal_count++] = (Renewal){.project = c->project,
                                                .number = number,
                                                .lease = c->lease_ref,
                                                .seconds = c->lease_seconds != FIELD_ABSENT ? c->lease_seconds : 0};
    return true;
}

/* The renewals of the cycle; those that are not so light after all are put to what is to be decided. */
static void save_renewals(Worker *w, Work **pending, size_t *pending_count) {
    size_t count = w->renewal_count;
    w->renewal_count = 0;
    int r = count > 0 ? store_renew(w->o.store, w->renewals, count) : 0;
    if (r != 0)
        note_failure(w, r, "renewals");
    tick_after_reading(w);
    for (size_t i = 0; i < count; i++) {
        const Renewal *renewal = &w->renewals[i];
        if (r != 0) {
            outbox_refuse(&w->outbox, w->renewing[i], r);
            hand_back(w, &w->renewing[i], 1);
        } else if (renewal->renewals == 0) {
            pending[(*pending_count)++] = w->renewing[i];
        } else {
            watch_counted(w->watch, renewal->project, renewal->lease, renewal->renewals);
            answer_renewal(w, w->renewing[i]);
        }
    }
}

static bool is_refused(Worker *w, Work *work) {
    if (work->is_resolved && !access_is_stale(&w->o.gate, work))
        return false;
    if (access_resolve_from_store(&w->o.gate, work, w->o.store, &w->scratch) != ACCESS_REFUSED)
        return false;
    /* Who asks is not told why, before it is known who asks. */
    bool is_told = atomic_load(&w->is_store_failing) || worker_is_store_away(w);
    if (work->outcome == OUTCOME_STORE_UNAVAILABLE && !is_told)
        note_failure(w, STORE_IO, "finding out whose a key is");
    return true;
}

static void run_alone(Worker *w, Work *work) {
    /* The operation is gone once it is answered. */
    bool is_revoking = work->command.operation == OP_REVOKE_KEY;
    uint64_t before = keys_epoch(w->o.gate.keys);
    char key_id[KEY_ID_SIZE] = "";
    if (is_revoking)
        (void)snprintf(key_id, sizeof key_id, "%.*s", SLICE_PRINT(work->command.key_id));
    run_all(w, &(BatchInput){.works = &work, .count = 1});
    if (is_revoking && keys_epoch(w->o.gate.keys) != before)
        waiters_turn_away(&w->waiters, slice_of(key_id));
}

/* In order of arrival (on a shared store within each project); lists come last, they can wait for what was decided, not the
 * other way round. */
static void run_cycle(Worker *w, Work *const *works, size_t count) {
    Work *pending[BATCH_MAX], *lists[BATCH_MAX];
    size_t pending_count = 0, list_count = 0;
    arena_reset(&w->scratch);
    for (size_t i = 0; i < count; i++) {
        Work *work = works[i];
        work->command.is_peer_gone = (work->granted_us != 0 || work->is_again) && work->owner->is_peer_there != NULL &&
                                     !work->owner->is_peer_there(&work->shown);
        if (is_refused(w, work)) {
            hand_back(w, &work, 1);
        } else if (renew_lightly(w, work)) {
            continue;
        } else if (runs_alone(work)) {
            run_all(w, &(BatchInput){.works = pending, .count = pending_count});
            pending_count = 0;
            run_alone(w, work);
        } else if (work->command.operation == OP_BACKUP) {
            if (!chores_begin_backup(&w->chores, work))
                outbox_put(&w->outbox, work);
        } else if (lease_decides(work->command.operation)) {
            pending[pending_count++] = work;
        } else {
            lists[list_count++] = work;
        }
    }
    save_renewals(w, pending, &pending_count);
    run_last(w, pending, pending_count);
    bool is_durable = list_count > 0 && outbox_settle(&w->outbox);
    LastList last = {.snapshot = NULL};
    for (size_t i = 0; i < list_count; i++) {
        render_list(w, lists[i], is_durable, &last);
        FAILPOINT("listed");
        hand_back(w, &lists[i], 1);
    }
    (void)snapshot_unref(last.snapshot);
}

/* ---- waiting for work ---- */

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t next_timer(const Worker *w) {
    if (w->waiters.ready != NULL)
        return 0;
    int64_t next = earlier(chores_next(&w->chores), neighbours_next(&w->neighbours));
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

static bool is_told(void *arg) {
    return must_drain(arg) || is_over(arg);
}

/* Peers, time and the end: what ends a wait. */
static void end_waits(Worker *w) {
    Called called[CALLED_MAX];
    size_t called_count = intake_take_calls(&w->intake, called);
    for (size_t i = 0; i < called_count; i++)
        if (waiters_wake(&w->waiters, slice_of(called[i].project), called[i].ticket, called[i].stack_number))
            metrics_called(w->o.metrics);
    intake_take_hang_ups(&w->intake, &w->hung_up);
    for (size_t i = 0; i < w->hung_up.count; i++) {
        Work *work = waiters_hang_up(&w->waiters, w->hung_up.ids[i]);
        if (work != NULL)
            hand_back(w, &work, 1);
    }
    if (must_drain(w))
        waiters_drain(&w->waiters);
    waiters_end_polls(&w->waiters, clock_boot_ms(w->clock));
}

/* Blocks until there is something to do. Takes all that waits, those whose wait has ended first. False: the end. */
static bool take(Worker *w, Work **works, size_t *count) {
    size_t n = 0;
    intake_wait(&w->intake, next_timer(w), is_told, w);
    end_waits(w);
    while (n < BATCH_MAX && (works[n] = waiters_take_ready(&w->waiters)) != NULL)
        n++;
    n += intake_take(&w->intake, works + n, BATCH_MAX - n);
    *count = n;
    return n > 0 || !is_over(w);
}

static void look_at_neighbours(Worker *w) {
    int r = neighbours_look(&w->neighbours, clock_boot_ms(w->clock));
    if (r == 0)
        atomic_store(&w->is_store_away, false);
    else
        note_failure(w, r, "looking at what other coordinators changed");
    if (!slice_is_absent(w->neighbours.lost_call))
        LOG(w->o.log, LOG_WARNING, "another coordinator was not called: who waits there hears up to a second later",
            log_text("reason", w->neighbours.lost_call));
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
        if (clock_boot_ms(w->clock) >= neighbours_next(&w->neighbours))
            look_at_neighbours(w);
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

static void stop_listening(Worker *w) {
    if (w->coordinator != 0)
        (void)(store_listen(w->o.store, NULL, NULL) == 0);
}

int worker_start(Worker *w) {
    int r = neighbours_look(&w->neighbours, clock_boot_ms(w->clock));
    if (r != 0) {
        note_failure(w, r, "reading what is watched");
        return r < 0 ? r : -EIO;
    }
    if (w->coordinator != 0)
        r = store_listen(w->o.store, note_called, w);
    if (r < 0)
        return r;
    r = outbox_start(&w->outbox);
    if (r == 0)
        r = -pthread_create(&w->thread, NULL, worker_main, w);
    if (r != 0) {
        outbox_stop(&w->outbox); /* takes one that did not start */
        stop_listening(w);
        return r;
    }
    w->is_started = true;
    return 0;
}

void worker_stop(Worker *w) {
    if (!w->is_started)
        return;
    atomic_store(&w->is_stopping, true);
    intake_wake(&w->intake);
    (void)pthread_join(w->thread, NULL);
    stop_listening(w);
    outbox_stop(&w->outbox);
    w->is_started = false;
}
