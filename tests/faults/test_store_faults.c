/*
 * The SQLite engine on a disk that fails, fills up, loses its power, and in memory that runs out.
 *
 * One scripted workload; each of its transactions has a number n, and what it does follows from n alone. So the state after
 * any list of transactions is known, and whatever happened, the store must hold the state after
 *
 *   all that were acknowledged (a sync answered 0), in order
 *   and perhaps those decided after them (commit answered 0), in order
 *   and perhaps one of those of unknown outcome (STORE_UNKNOWN, or under way when the power went) that came after them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contract/temporary_dir.h"
#include "faults/vfs.h"
#include "store/sqlite.h"

#define VFS_NAME "faulty"
#define STACKS 7
#define TRANSACTIONS 24
/* A sanitizer slows all this tenfold, and is after the paths, not after every single place to fail. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define APART 9
#else
#define APART 1
#endif
#define CUTS_MIN (300 / APART)
#define UNKNOWN_MAX (2 * TRANSACTIONS) /* between two acknowledged ones */

/* ---- memory that runs out ---- */

static sqlite3_mem_methods real_memory;
static struct {
    int64_t count, fail_at;
    bool for_ever;
} memory;

static bool is_refused(void) {
    memory.count++;
    return memory.fail_at != 0 && (memory.for_ever ? memory.count >= memory.fail_at : memory.count == memory.fail_at);
}
static void *short_malloc(int size) {
    return is_refused() ? NULL : real_memory.xMalloc(size);
}
static void *short_realloc(void *old, int size) {
    return is_refused() ? NULL : real_memory.xRealloc(old, size);
}

static void memory_plan(int64_t nth, bool for_ever) {
    memory.fail_at = nth != 0 ? memory.count + nth : 0;
    memory.for_ever = for_ever;
}

/* ---- the workload and its model ---- */

#define REQUESTS 256 /* more than one world makes */

typedef struct Model {
    int64_t stack_generation[STACKS + 1]; /* 0: no such stack */
    int64_t events, requests, keys, last;
    unsigned char request_state[REQUESTS]; /* by ticket; 0: none, else RequestState + 1 */
} Model;

typedef struct World {
    TemporaryDir dir;
    FaultVfs *vfs;
    Store *store;
    int64_t next;               /* number of the next transaction */
    Model acked;                /* is durable */
    Model decided;              /* what the store shows */
    Model unknown[UNKNOWN_MAX]; /* decided states that may be durable, and some with one transaction more */
    size_t unknown_count;
    int acks, refusals;
    const char *pragma; /* run after each open: turns durability off, to show that the harness sees it */
    bool skips_sync;    /* likewise: what is committed counts as acknowledged */
} World;

static int first_stack(int64_t n) {
    return (int)(n % STACKS) + 1;
}
static int second_stack(int64_t n) {
    return (int)((n * 3 + 1) % STACKS) + 1;
}

/* Each fifth transaction deletes its first stack, if it is there. */
static void model_apply(Model *m, int64_t n) {
    int a = first_stack(n), b = second_stack(n);
    if (n % 5 == 0 && m->stack_generation[a] != 0)
        m->stack_generation[a] = 0;
    else
        m->stack_generation[a] = n;
    if (a != b)
        m->stack_generation[b] = n;
    m->events += 2;
    m->requests++;
    m->keys += n % 4 == 0;
    m->last = n;
    m->request_state[n] = REQUEST_QUEUED + 1;
    if (n > 1 && m->request_state[n - 1] != 0)
        m->request_state[n - 1] = REQUEST_LIVE + 1;
    if (n > 2 && m->request_state[n - 2] != 0)
        m->request_state[n - 2] = REQUEST_OVER + 1;
}

static Slice number_text(Arena *arena, const char *prefix, int64_t n) {
    return arena_printf(arena, "%s%lld", prefix, (long long)n);
}

static int touch_stack(WorkingSet *set, int number, int64_t n, bool is_deleting) {
    StackSlot *slot = working_set_stack(set, number);
    if (slot != NULL && is_deleting)
        return stack_slot_deleted(set, slot);
    if (slot == NULL) {
        StackRow row = {.number = number, .name = number_text(set->arena, "test-", number), .state = STACK_LEASED};
        int r = working_set_add_stack(set, &row, &slot);
        if (r != 0)
            return r;
    }
    slot->row.state = n % 2 == 0 ? STACK_AVAILABLE : STACK_LEASED;
    slot->row.generation = slot->row.requested = n;
    slot->row.branch = number_text(set->arena, "branch-", n % 4);
    slot->row.last_commit = number_text(set->arena, "commit-", n);
    slot->row.quiet_until_ms = n % 3 == 0 ? n : 0;
    slot->row.quiet_seconds = slot->row.quiet_ticket = slot->row.before.requested = n;
    stack_slot_changed(slot);
    return 0;
}

/* Each transaction queues a request, grants the one of the transaction before, and ends the one before that. */
static int add_request(WorkingSet *set, int64_t n) {
    RequestSlot *request = working_set_request(set, n - 1);
    if (request != NULL) {
        request->row.state = REQUEST_LIVE;
        request->row.is_heard = false;
        request->row.stack_number = first_stack(n);
        request->row.generation = n;
        request_slot_changed(request);
    }
    request = working_set_request(set, n - 2);
    if (request != NULL) {
        request->row.state = REQUEST_OVER;
        request->row.is_heard = false;
        request->row.ended_ms = n;
        request_slot_changed(request);
    }
    RequestRow row = {.ticket = n,
                      .request_id = number_text(set->arena, "request-000000000-", n),
                      .is_heard = true,
                      .from_queue = true,
                      .lease_seconds = 300};
    return working_set_add_request(set, &row, &request);
}

/* Each fourth transaction makes a key: that is one for the tables. */
static int add_key(WorkingSet *set, int64_t n) {
    KeySlot *slot;
    KeyRow row = {.id = number_text(set->arena, "key-", n), .project = set->project_name, .created_ms = n};
    return n % 4 == 0 ? working_set_add_key(set, &row, &slot) : 0;
}

static int change_rows(WorkingSet *set, int64_t n) {
    int a = first_stack(n), b = second_stack(n);
    int r = touch_stack(set, a, n, n % 5 == 0);
    if (r == 0 && a != b)
        r = touch_stack(set, b, n, false);
    EventRow event = {.at_ms = n, .stack_number = a, .stack_name = number_text(set->arena, "test-", a)};
    for (int i = 0; i < 2 && r == 0; i++)
        r = working_set_add_event(set, &event);
    if (r == 0)
        r = add_request(set, n);
    if (r == 0)
        r = add_key(set, n);
    if (set->is_project_missing) {
        set->project = (ProjectRow){.name = set->project_name,
                                    .prefix = slice_of("test-"),
                                    .first_unused = 1,
                                    .last_event = set->project.last_event};
        set->project_change = ROW_NEW;
    }
    set->project.last_generation = n;
    working_set_project_changed(set);
    return r;
}

typedef enum Reached { REACHED_NOTHING, REACHED_COMMIT, REACHED_SYNC } Reached;

/* One transaction: what store_sync, or what failed before it, answered. */
static int transact(World *w, int64_t n, Reached *reached) {
    char reason[STORE_REASON_SIZE];
    Arena arena;
    WorkingSet set, *sets[] = {&set};
    arena_init(&arena);
    /* Now and then all goes into the tables, and comes back from there. If that fails, it is done later. */
    if (n % 6 == 0)
        (void)(sqlite_forget(w->store) == 0);
    int r = store_begin(w->store);
    if (r == 0)
        r = working_set_init(&set, &arena, slice_of("shop"));
    if (r == 0)
        r = working_set_want(&set, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = first_stack(n), .limit = 1});
    if (r == 0)
        r = working_set_want(&set, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = second_stack(n), .limit = 1});
    for (int64_t ticket = n - 2; r == 0 && ticket < n; ticket++)
        if (ticket > 0)
            r = working_set_want(&set, (RowWant){.query = ROWS_REQUEST_BY_TICKET, .number = ticket, .limit = 1});
    if (r == 0)
        r = store_load(w->store, sets, 1);
    if (r == 0)
        r = change_rows(&set, n);
    if (r == 0)
        r = store_save(w->store, sets, 1);
    *reached = r == 0 ? REACHED_COMMIT : REACHED_NOTHING;
    if (r == 0)
        r = store_commit(w->store);
    else
        store_rollback(w->store);
    if (*reached == REACHED_COMMIT && r == 0) {
        *reached = REACHED_SYNC;
        r = w->skips_sync ? 0 : store_sync(w->store, reason);
    }
    arena_deinit(&arena);
    return r;
}

/* A state that a crash may leave. */
static Model *add_unknown(World *w) {
    assert_in_range(w->unknown_count, 0, UNKNOWN_MAX - 1);
    w->unknown[w->unknown_count] = w->decided;
    return &w->unknown[w->unknown_count++];
}

/* The next transaction, and what the model makes of its result. */
static int step(World *w) {
    int64_t n = w->next++;
    Reached reached;
    int r = transact(w, n, &reached);
    assert_int_not_equal(r, STORE_CONFLICT);
    assert_int_equal(sqlite3_get_autocommit(sqlite_store_connection(w->store)), 1);
    if (reached == REACHED_SYNC)
        model_apply(&w->decided, n);
    if (r == 0) {
        w->acked = w->decided;
        w->unknown_count = 0;
        w->acks++;
        /* No word before the sync. A write that failed leaves bytes that nothing depends on. */
        if (w->pragma == NULL && !w->skips_sync && !fault_vfs_has_failed(w->vfs)) {
            assert_int_equal(fault_vfs_unsynced(w->vfs, "-wal"), 0);
            assert_int_equal(fault_vfs_unsynced(w->vfs, "-log"), 0);
        }
        return 0;
    }
    w->refusals++;
    assert_true(reached != REACHED_NOTHING || r != STORE_UNKNOWN);
    assert_true(reached != REACHED_SYNC || r == STORE_UNKNOWN || r == STORE_BROKEN);
    if (reached == REACHED_SYNC)
        (void)add_unknown(w);
    else if (reached == REACHED_COMMIT && (r == STORE_UNKNOWN || r == STORE_BROKEN))
        model_apply(add_unknown(w), n);
    return r;
}

static int open_store(World *w, const char *vfs, Store **out) {
    StoreOptions options = {.data_dir = w->dir.path, .vfs = vfs, .clock = clock_system()};
    int r = store_open_sqlite(out, &options, NULL);
    if (r == 0 && w->pragma != NULL)
        (void)sqlite3_exec(sqlite_store_connection(*out), w->pragma, NULL, NULL, NULL);
    return r;
}

static void world_init(World *w) {
    *w = (World){.next = 1};
    temporary_dir_make(&w->dir);
    w->vfs = fault_vfs_new(VFS_NAME);
}

static void world_deinit(World *w) {
    w->store = store_close(w->store);
    w->vfs = fault_vfs_free(w->vfs);
    temporary_dir_remove(&w->dir);
}

static void close_store(World *w) {
    w->store = store_close(w->store);
}

/* ---- what is there ---- */

typedef struct Seen {
    Model model;
    bool is_torn; /* a row is missing, or of another time */
} Seen;

static int see_stack(void *arg, const StackRow *row) {
    Seen *seen = arg;
    if (row->number < 1 || row->number > STACKS) {
        seen->is_torn = true;
        return 0;
    }
    int64_t n = row->generation;
    seen->model.stack_generation[row->number] = n;
    seen->is_torn |= row->quiet_until_ms != (n % 3 == 0 ? n : 0) || row->quiet_seconds != n || row->quiet_ticket != n ||
                     row->before.requested != n;
    return 0;
}
static int see_event(void *arg, const EventRow *row) {
    Seen *seen = arg;
    seen->model.events++;
    seen->is_torn |= row->id != seen->model.events; /* a gap */
    return 0;
}

static int see_key(void *arg, const KeyRow *row) {
    Seen *seen = arg;
    seen->model.keys++;
    seen->is_torn |= row->created_ms % 4 != 0;
    return 0;
}

/* The requests that transactions up to `last` made, by their tickets. */
static void see_requests(Store *store, Arena *arena, Seen *seen) {
    WorkingSet set, *sets[] = {&set};
    assert_int_equal(store_begin(store), 0);
    assert_int_equal(working_set_init(&set, arena, slice_of("shop")), 0);
    for (int64_t ticket = 1; ticket <= seen->model.last; ticket++)
        assert_int_equal(
            working_set_want(&set, (RowWant){.query = ROWS_REQUEST_BY_TICKET, .number = ticket, .limit = 1}), 0);
    assert_int_equal(store_load(store, sets, 1), 0);
    store_rollback(store);
    for (size_t i = 0; i < set.request_count; i++) {
        const RequestRow *row = &set.requests[i]->row;
        assert_in_range(row->ticket, 1, REQUESTS - 1);
        seen->model.requests++;
        seen->model.request_state[row->ticket] = (unsigned char)(row->state + 1);
        seen->is_torn |= (row->state == REQUEST_QUEUED) != row->is_heard ||
                         (row->state == REQUEST_LIVE && row->generation != row->ticket + 1) ||
                         (row->state == REQUEST_OVER) != (row->ended_ms == row->ticket + 2);
    }
}

static Model see(Store *store) {
    Seen seen = {0};
    Arena arena;
    ProjectRow project;
    StoreRows rows = {.stack = see_stack, .event = see_event, .key = see_key, .arg = &seen};
    arena_init(&arena);
    if (store_find_project(store, slice_of("shop"), &arena, &project) == 0) {
        seen.model.last = project.last_generation;
        assert_int_equal(
            store_read(store, &(ReadQuery){.list = LIST_STACKS, .project = slice_of("shop"), .after = FIELD_ABSENT},
                       &rows),
            0);
        assert_int_equal(
            store_read(store, &(ReadQuery){.list = LIST_EVENTS, .project = slice_of("shop"), .after = FIELD_ABSENT},
                       &rows),
            0);
        assert_int_equal(store_read(store, &(ReadQuery){.list = LIST_KEYS, .project = slice_of("shop")}, &rows), 0);
        seen.is_torn |= project.last_event != seen.model.events;
    }
    see_requests(store, &arena, &seen);
    arena_deinit(&arena);
    if (seen.is_torn)
        seen.model.last = -1; /* is no state there may be */
    return seen.model;
}

static bool is_same(const Model *a, const Model *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

/* Opens on a disk that has nothing to it: whole, and one of the states there may be. False: something acknowledged is missing. */
static bool reopened_is_right(World *w) {
    Store *store = NULL;
    const char *pragma = w->pragma;
    w->pragma = NULL;
    FaultVfs *calm = fault_vfs_new("calm"); /* and whose syncs cost nothing */
    int r = open_store(w, "calm", &store);
    w->pragma = pragma;
    if (r != 0) {
        assert_true(pragma != NULL || w->skips_sync); /* without syncs it may even be damaged */
        calm = fault_vfs_free(calm);
        return false;
    }
    sqlite3_stmt *check = NULL;
    assert_int_equal(sqlite3_prepare_v2(sqlite_store_connection(store), "PRAGMA integrity_check", -1, &check, NULL),
                     SQLITE_OK);
    bool is_whole = sqlite3_step(check) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(check, 0), "ok") == 0;
    (void)sqlite3_finalize(check);
    bool is_right = is_whole;
    if (is_whole) {
        Model seen = see(store);
        is_right = is_same(&seen, &w->acked);
        for (size_t i = 0; i < w->unknown_count; i++)
            is_right |= is_same(&seen, &w->unknown[i]);
    }
    store = store_close(store);
    calm = fault_vfs_free(calm);
    return is_right;
}

/* The workload with its checkpoints and its pruning; stops when the store is broken or the power is gone. */
static void run_workload(World *w, int transactions) {
    for (int i = 0; i < transactions; i++) {
        if (step(w) == STORE_BROKEN || fault_vfs_is_cut(w->vfs))
            return;
        if (i % 6 == 5)
            (void)(store_idle(w->store) == 0);
        if (i % 9 == 8)
            (void)(store_prune(w->store, 0, 0, 100) == 0);
    }
}

/* ---- failing calls ---- */

/* Opens on the failing disk; a failure to open heals with the disk. */
static void open_on_failing_disk(World *w) {
    int r = open_store(w, VFS_NAME, &w->store);
    if (r != 0) {
        assert_null(w->store);
        fault_vfs_heal(w->vfs);
        assert_int_equal(open_store(w, VFS_NAME, &w->store), 0);
    }
}

/* The nth call fails, once or from then on. True while there is an nth call. */
static bool fail_one(FaultCall call, int64_t nth, bool for_ever, int code) {
    World w;
    world_init(&w);
    fault_vfs_fail(w.vfs, call, nth, for_ever, code);
    open_on_failing_disk(&w);
    run_workload(&w, TRANSACTIONS);
    bool has_failed = fault_vfs_has_failed(w.vfs);
    fault_vfs_heal(w.vfs);
    int r = step(&w);
    bool is_broken = r == STORE_BROKEN;
    if (is_broken) { /* only for syncs, and only several of them */
        assert_int_equal(call, FAULT_SYNC);
        assert_true(for_ever);
    } else {
        assert_int_equal(r, 0); /* healed without a restart */
        Model seen = see(w.store);
        assert_true(is_same(&seen, &w.decided));
    }
    if (!for_ever && call != FAULT_READ)
        assert_in_range(w.refusals, 0, 1);
    close_store(&w);
    assert_true(reopened_is_right(&w));
    world_deinit(&w);
    return has_failed;
}

static void fail_each(FaultCall call, int code) {
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        int64_t nth = 1;
        while (fail_one(call, nth, for_ever != 0, code))
            nth += APART;
        assert_in_range(nth, call == FAULT_SYNC || call == FAULT_WRITE ? TRANSACTIONS : 1, 10000);
    }
}

static void each_write_may_fail(void **state) {
    (void)state;
    fail_each(FAULT_WRITE, SQLITE_IOERR_WRITE);
}
static void each_write_may_meet_a_full_disk(void **state) {
    (void)state;
    fail_each(FAULT_WRITE, SQLITE_FULL);
}
static void each_sync_may_fail(void **state) {
    (void)state;
    fail_each(FAULT_SYNC, SQLITE_IOERR_FSYNC);
}
static void each_truncation_may_fail(void **state) {
    (void)state;
    fail_each(FAULT_TRUNCATE, SQLITE_IOERR_TRUNCATE);
}
static void each_open_may_fail(void **state) {
    (void)state;
    fail_each(FAULT_OPEN, SQLITE_CANTOPEN);
}

static void syncs_that_fail_in_a_row_break_the_store(void **state) {
    (void)state;
    World w;
    world_init(&w);
    open_on_failing_disk(&w);
    run_workload(&w, 3);
    fault_vfs_fail(w.vfs, FAULT_SYNC, 1, true, SQLITE_IOERR_FSYNC);
    assert_int_equal(step(&w), STORE_UNKNOWN);
    for (int i = 2; i < FAILED_SYNCS_MAX; i++)
        assert_int_equal(step(&w), STORE_IO); /* nothing new before that is durable */
    assert_int_equal(step(&w), STORE_BROKEN);
    fault_vfs_heal(w.vfs);
    assert_int_equal(store_begin(w.store), STORE_BROKEN); /* for good */
    char reason[STORE_REASON_SIZE];
    memset(reason, 'x', sizeof reason);
    assert_int_equal(store_sync(w.store, reason), STORE_BROKEN);
    assert_non_null(memchr(reason, '\0', sizeof reason)); /* a sentence, not what was there */
    close_store(&w);
    assert_true(reopened_is_right(&w));
    world_deinit(&w);
}

/* Each transaction's append may have got there all the same; each fourth commits into the tables behind it. What was refused
 * stays away, or is under what came later, also over a restart in good order. */
static void a_write_that_was_refused_and_landed_undoes_nothing_later(void **state) {
    (void)state;
    for (int64_t before = 1; before <= 12; before++) {
        World w;
        world_init(&w);
        assert_int_equal(open_store(&w, VFS_NAME, &w.store), 0);
        while (w.next <= before)
            assert_int_equal(step(&w), 0);
        fault_vfs_fail(w.vfs, FAULT_WRITE, 1, false, SQLITE_IOERR);
        (void)step(&w);
        fault_vfs_heal(w.vfs);
        assert_int_equal(step(&w), 0);
        close_store(&w);
        assert_true(reopened_is_right(&w));
        world_deinit(&w);
    }
}

static void full_disk_refuses_and_heals(void **state) {
    (void)state;
    for (int64_t room = 0; room < 300000; room += 7001) {
        World w;
        world_init(&w);
        open_on_failing_disk(&w);
        run_workload(&w, 3);
        fault_vfs_room(w.vfs, room);
        int r = 0;
        for (int i = 0; i < 100 && r == 0; i++)
            r = step(&w);
        /* It may go on without end: a checkpoint makes the log's room usable again. */
        assert_true(r == 0 || r == STORE_FULL);
        if (r == STORE_FULL)
            for (int i = 0; i < 5; i++) {
                r = step(&w);
                assert_true(r == 0 || r == STORE_FULL);
                Model seen = see(w.store); /* reading goes on */
                assert_true(is_same(&seen, &w.decided));
                r = store_idle(w.store);
                assert_true(r == 0 || r == STORE_FULL);
            }
        fault_vfs_heal(w.vfs);
        assert_int_equal(step(&w), 0);
        close_store(&w);
        assert_true(reopened_is_right(&w));
        world_deinit(&w);
    }
}

static void full_disk_leaves_no_partial_copy(void **state) {
    (void)state;
    for (int64_t room = 0; room < 90000; room += 5003) {
        World w;
        char copy[300], partial[340];
        world_init(&w);
        open_on_failing_disk(&w);
        run_workload(&w, TRANSACTIONS);
        (void)snprintf(copy, sizeof copy, "%s/copy.db", w.dir.path);
        (void)snprintf(partial, sizeof partial, "%s.partial", copy);
        fault_vfs_room(w.vfs, room);
        int r = 0;
        while (r == 0)
            r = store_backup_step(w.store, copy);
        assert_true(r == STORE_FULL || r == STORE_DONE);
        assert_int_equal(access(partial, F_OK), -1);
        assert_int_equal(access(copy, F_OK), r == STORE_DONE ? 0 : -1);
        fault_vfs_heal(w.vfs);
        assert_int_equal(step(&w), 0);
        world_deinit(&w);
    }
}

/* ---- power loss ---- */

typedef struct Losses {
    int cuts, lost;
} Losses;

static int cuts_in_all; /* with everything synced as it is */

/* What fails before the power goes; nth 0: nothing. */
typedef struct Before {
    FaultCall call;
    int64_t nth;
    int code;
} Before;

/* What makes it forget, as in World. */
typedef struct Lax {
    const char *pragma;
    bool skips_sync;
} Lax;

/* The power goes at change `cut`. False: there is no such change. */
static bool cut_once(int64_t cut, uint64_t seed, Before before, Lax lax, Losses *losses) {
    World w;
    world_init(&w);
    w.pragma = lax.pragma;
    w.skips_sync = lax.skips_sync;
    if (before.nth != 0)
        fault_vfs_fail(w.vfs, before.call, before.nth, false, before.code);
    fault_vfs_cut(w.vfs, cut, seed);
    int r = open_store(&w, VFS_NAME, &w.store);
    if (r != 0 && !fault_vfs_is_cut(w.vfs))
        r = open_store(&w, VFS_NAME, &w.store);
    if (r == 0)
        run_workload(&w, TRANSACTIONS);
    close_store(&w);
    bool is_cut = fault_vfs_is_cut(w.vfs);
    if (is_cut) {
        fault_vfs_restore(w.vfs);
        losses->cuts++;
        cuts_in_all += lax.pragma == NULL && !lax.skips_sync;
        if (!reopened_is_right(&w))
            losses->lost++;
    }
    world_deinit(&w);
    return is_cut;
}

static Losses cut_everywhere(uint64_t seeds, Lax lax) {
    Losses losses = {0};
    for (uint64_t seed = 1; seed <= seeds; seed++)
        for (int64_t cut = 1; cut_once(cut, seed * 1000003 + (uint64_t)cut, (Before){0}, lax, &losses); cut += APART) {
        }
    return losses;
}

static void power_loss_loses_nothing_acknowledged(void **state) {
    (void)state;
    Losses losses = cut_everywhere(2, (Lax){0});
    print_message("%d power losses\n", losses.cuts);
    assert_in_range(losses.cuts, CUTS_MIN, 1000000);
    assert_int_equal(losses.lost, 0);
}

static void assert_nothing_is_lost_after(FaultCall call, int code, int64_t calls, int64_t apart) {
    Losses losses = {0};
    for (int64_t nth = 1; nth <= calls; nth += apart * APART)
        for (int64_t cut = 1 + nth % 11;
             cut_once(cut, (uint64_t)(nth * 7919 + cut), (Before){call, nth, code}, (Lax){0}, &losses); cut += 11) {
        }
    print_message("%d power losses\n", losses.cuts);
    assert_in_range(losses.cuts, CUTS_MIN, 1000000);
    assert_int_equal(losses.lost, 0);
}

static void power_loss_after_a_failed_sync_loses_nothing_acknowledged(void **state) {
    (void)state;
    assert_nothing_is_lost_after(FAULT_SYNC, SQLITE_IOERR_FSYNC, TRANSACTIONS + 12, 1);
}

/* And brings back nothing that was certainly refused: a full disk leaves no unknown outcome. */
static void power_loss_after_a_full_disk_loses_nothing_acknowledged(void **state) {
    (void)state;
    assert_nothing_is_lost_after(FAULT_WRITE, SQLITE_FULL, 300, 17);
}

static void harness_sees_what_fewer_syncs_lose(void **state) {
    (void)state;
    static const Lax ways[] = {
        {.pragma = "PRAGMA synchronous = NORMAL"}, {.pragma = "PRAGMA synchronous = OFF"}, {.skips_sync = true}};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        Losses losses = cut_everywhere(1, ways[i]);
        print_message("lost with %s %d of %d\n", ways[i].skips_sync ? "no syncs of the log" : ways[i].pragma,
                      losses.lost, losses.cuts);
        assert_in_range(losses.lost, 1, 1000000);
    }
}

static void the_power_went_often_enough(void **state) {
    (void)state;
    assert_in_range(cuts_in_all, 2000 / APART, 1000000);
}

/* ---- memory ---- */

static void each_allocation_may_fail(void **state) {
    (void)state;
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        bool is_past_the_end = false;
        for (int64_t nth = 1; !is_past_the_end; nth += APART) {
            World w;
            world_init(&w);
            open_on_failing_disk(&w);
            run_workload(&w, 8);
            int64_t before = memory.count;
            memory_plan(nth, for_ever != 0);
            int r = step(&w);
            is_past_the_end = memory.count - before < nth;
            memory_plan(0, false);
            assert_true(r == 0 || r == -ENOMEM || r == STORE_UNKNOWN);
            assert_int_equal(step(&w), 0);
            Model seen = see(w.store);
            assert_true(is_same(&seen, &w.decided));
            close_store(&w);
            assert_true(reopened_is_right(&w));
            world_deinit(&w);
        }
    }
}

static void each_allocation_may_fail_while_opening(void **state) {
    (void)state;
    bool is_past_the_end = false;
    for (int64_t nth = 1; !is_past_the_end; nth += 7 * APART) {
        World w;
        world_init(&w);
        int64_t before = memory.count;
        memory_plan(nth, false);
        int r = open_store(&w, VFS_NAME, &w.store);
        is_past_the_end = memory.count - before < nth;
        memory_plan(0, false);
        if (r != 0) {
            assert_null(w.store);
            assert_int_equal(open_store(&w, VFS_NAME, &w.store), 0);
        }
        assert_int_equal(step(&w), 0);
        world_deinit(&w);
    }
}

int main(void) {
    (void)sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
    sqlite3_mem_methods shim = real_memory;
    shim.xMalloc = short_malloc;
    shim.xRealloc = short_realloc;
    (void)sqlite3_config(SQLITE_CONFIG_MALLOC, &shim);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_write_may_fail),
        cmocka_unit_test(each_write_may_meet_a_full_disk),
        cmocka_unit_test(each_sync_may_fail),
        cmocka_unit_test(each_truncation_may_fail),
        cmocka_unit_test(each_open_may_fail),
        cmocka_unit_test(syncs_that_fail_in_a_row_break_the_store),
        cmocka_unit_test(a_write_that_was_refused_and_landed_undoes_nothing_later),
        cmocka_unit_test(full_disk_refuses_and_heals),
        cmocka_unit_test(full_disk_leaves_no_partial_copy),
        cmocka_unit_test(power_loss_loses_nothing_acknowledged),
        cmocka_unit_test(power_loss_after_a_failed_sync_loses_nothing_acknowledged),
        cmocka_unit_test(power_loss_after_a_full_disk_loses_nothing_acknowledged),
        cmocka_unit_test(the_power_went_often_enough),
        cmocka_unit_test(harness_sees_what_fewer_syncs_lose),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(each_allocation_may_fail_while_opening),
    };
    return cmocka_run_group_tests_name("store: sqlite, faults", tests, NULL, NULL);
}
