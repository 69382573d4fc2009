/* See the header. The test's thread sets faults only while the worker has nothing to do, or under the same mutex. */
#include "faults/wrap_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct Fault {
    int left, result; /* left 0: no fault */
    bool for_ever;
} Fault;

struct WrapStore {
    Store base;
    StoreVtable shared; /* wrap_vtable, for several coordinators */
    Store *inner;
    pthread_mutex_t mutex;
    Fault faults[WRAP_CALLS];
    bool has_failed[WRAP_CALLS]; /* since the fault was set */
    bool has_saved;              /* the transaction under way */
    int commits;
    void (*on_load)(void *arg, size_t projects);
    void *on_load_arg;
    atomic_bool must_look;
    _Atomic(const char *) locked; /* the project */
};

static WrapStore *wrap_of(const Store *store) {
    return (WrapStore *)store;
}

/* The result this call is to fail with; 0: it may go on. */
static int due(Store *store, WrapCall call) {
    WrapStore *w = wrap_of(store);
    int result = 0;
    (void)pthread_mutex_lock(&w->mutex);
    Fault *f = &w->faults[call];
    if (f->left > 0 && --f->left == 0) {
        result = f->result;
        w->has_failed[call] = true;
        f->left = f->for_ever ? 1 : 0;
    }
    (void)pthread_mutex_unlock(&w->mutex);
    return result;
}

static void wrap_close(Store *store) {
    WrapStore *w = wrap_of(store);
    (void)store_close(w->inner);
    (void)pthread_mutex_destroy(&w->mutex);
    free(w);
}

static int wrap_begin(Store *store) {
    int r = due(store, WRAP_BEGIN);
    wrap_of(store)->has_saved = false;
    return r != 0 ? r : store_begin(wrap_of(store)->inner);
}

static bool is_locked(const WrapStore *w, WorkingSet *const *sets, size_t count) {
    const char *locked = atomic_load(&w->locked);
    for (size_t i = 0; locked != NULL && i < count; i++)
        if (slice_equal(sets[i]->project_name, slice_of(locked)))
            return true;
    return false;
}

static int wrap_load(Store *store, WorkingSet **sets, size_t count) {
    const WrapStore *w = wrap_of(store);
    if (w->on_load != NULL)
        w->on_load(w->on_load_arg, count);
    int r = due(store, WRAP_LOAD);
    if (r == 0 && is_locked(w, sets, count))
        r = STORE_BUSY;
    return r != 0 ? r : store_load(wrap_of(store)->inner, sets, count);
}

static int wrap_save(Store *store, WorkingSet **sets, size_t count) {
    int r = due(store, WRAP_SAVE);
    wrap_of(store)->has_saved = true;
    return r != 0 ? r : store_save(wrap_of(store)->inner, sets, count);
}

static int wrap_commit(Store *store) {
    WrapStore *w = wrap_of(store);
    int r = due(store, WRAP_COMMIT);
    if (r != 0) {
        store_rollback(w->inner);
        return r;
    }
    r = store_commit(w->inner);
    w->commits += r == 0 && w->has_saved;
    return r;
}

static int wrap_sync(Store *store, char *reason) {
    int r = due(store, WRAP_SYNC);
    (void)snprintf(reason, STORE_REASON_SIZE, "a test says so");
    return r != 0 ? r : store_sync(wrap_of(store)->inner, reason);
}

static void wrap_rollback(Store *store) {
    store_rollback(wrap_of(store)->inner);
}

static int wrap_read(Store *store, const ReadQuery *query, const StoreRows *rows) {
    int r = due(store, WRAP_READ);
    return r != 0 ? r : store_read(wrap_of(store)->inner, query, rows);
}

static int wrap_find_key(Store *store, Slice id, Arena *arena, KeyRow *key, ProjectRow *project) {
    return store_find_key(wrap_of(store)->inner, id, arena, key, project);
}

static int wrap_find_project(Store *store, Slice name, Arena *arena, ProjectRow *project) {
    return store_find_project(wrap_of(store)->inner, name, arena, project);
}

static int wrap_save_key_used(Store *store, Slice id, int64_t wall_ms) {
    return store_save_key_used(wrap_of(store)->inner, id, wall_ms);
}

static int wrap_counts(Store *store, StoreCounts *out) {
    return store_counts(wrap_of(store)->inner, out);
}

static int wrap_prune(Store *store, int64_t events_before_ms, int64_t requests_before_ms, size_t budget) {
    return store_prune(wrap_of(store)->inner, events_before_ms, requests_before_ms, budget);
}

static int wrap_backup_step(Store *store, const char *path) {
    return store_backup_step(wrap_of(store)->inner, path);
}

static int wrap_dump(Store *store, StoredRowReader *each, void *arg) {
    return store_dump(wrap_of(store)->inner, each, arg);
}

static int wrap_put(Store *store, const StoredRow *rows, size_t count) {
    return store_put(wrap_of(store)->inner, rows, count);
}

static int wrap_idle(Store *store) {
    return store_idle(wrap_of(store)->inner);
}

static const char *wrap_reason(const Store *store) {
    return store_reason(wrap_of(store)->inner);
}

/* ---- one of several ---- */

static int64_t shared_coordinator(const Store *store) {
    (void)store;
    return 7;
}

/* None of them is so light. */
static int shared_renew(Store *store, Renewal *renewals, size_t count) {
    (void)store;
    for (size_t i = 0; i < count; i++)
        renewals[i].renewals = 0;
    return 0;
}

static int shared_look(Store *store, int64_t horizon, Arena *arena, StoreLook *out) {
    (void)store;
    (void)arena;
    *out = (StoreLook){.horizon = horizon + 1, .wall_ms = clock_wall_ms(clock_system()), .is_all = horizon == 0};
    return 0;
}

static bool shared_must_look(const Store *store) {
    return atomic_load(&((const WrapStore *)store)->must_look);
}

static int shared_listen(Store *store, void (*on_call)(void *arg, const StoreCall *call), void *arg) {
    (void)store;
    (void)on_call;
    (void)arg;
    return 0;
}

static const StoreVtable wrap_vtable = {
    .close = wrap_close,
    .begin = wrap_begin,
    .load = wrap_load,
    .save = wrap_save,
    .commit = wrap_commit,
    .sync = wrap_sync,
    .rollback = wrap_rollback,
    .read = wrap_read,
    .find_key = wrap_find_key,
    .find_project = wrap_find_project,
    .save_key_used = wrap_save_key_used,
    .counts = wrap_counts,
    .prune = wrap_prune,
    .backup_step = wrap_backup_step,
    .dump = wrap_dump,
    .put = wrap_put,
    .idle = wrap_idle,
    .reason = wrap_reason,
};

Store *wrap_store_new(Store *inner) {
    WrapStore *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->base.vtable = &wrap_vtable;
    w->inner = inner;
    (void)pthread_mutex_init(&w->mutex, NULL);
    return &w->base;
}

void wrap_store_fail(Store *store, WrapCall call, int nth, int result, bool for_ever) {
    WrapStore *w = wrap_of(store);
    (void)pthread_mutex_lock(&w->mutex);
    w->faults[call] = (Fault){.left = nth, .result = result, .for_ever = for_ever};
    w->has_failed[call] = false;
    (void)pthread_mutex_unlock(&w->mutex);
}

void wrap_store_share(Store *store) {
    WrapStore *w = wrap_of(store);
    w->shared = wrap_vtable;
    w->shared.coordinator = shared_coordinator;
    w->shared.renew = shared_renew;
    w->shared.look = shared_look;
    w->shared.must_look = shared_must_look;
    w->shared.listen = shared_listen;
    w->base.vtable = &w->shared;
}

void wrap_store_lock(Store *store, const char *project) {
    atomic_store(&wrap_of(store)->locked, project);
}

void wrap_store_must_look(Store *store, bool must_look) {
    atomic_store(&wrap_of(store)->must_look, must_look);
}

void wrap_store_on_load(Store *store, void (*fn)(void *arg, size_t projects), void *arg) {
    wrap_of(store)->on_load = fn;
    wrap_of(store)->on_load_arg = arg;
}

void wrap_store_heal(Store *store) {
    for (int call = 0; call < WRAP_CALLS; call++)
        wrap_store_fail(store, (WrapCall)call, 0, 0, false);
}

bool wrap_store_is_waiting(Store *store, WrapCall call) {
    WrapStore *w = wrap_of(store);
    (void)pthread_mutex_lock(&w->mutex);
    bool is_waiting = !w->has_failed[call];
    (void)pthread_mutex_unlock(&w->mutex);
    return is_waiting;
}

int wrap_store_commits(const Store *store) {
    return wrap_of(store)->commits;
}
