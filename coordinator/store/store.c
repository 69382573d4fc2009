/* The door to every engine: nothing but dispatch. A hole in an engine's vtable is a bug and stops the program at once. */
#include "store/store.h"

#include <assert.h>

/* An engine's function of the same name. */
#define CALL(store, ...) ((store)->vtable->__VA_ARGS__)

bool store_is_complete(const StoreVtable *v) {
    return v != NULL && v->close != NULL && v->begin != NULL && v->load != NULL && v->save != NULL &&
           v->commit != NULL && v->sync != NULL && v->rollback != NULL && v->read != NULL && v->find_key != NULL &&
           v->find_project != NULL && v->save_key_used != NULL && v->counts != NULL && v->prune != NULL &&
           v->backup_step != NULL && v->dump != NULL && v->put != NULL && v->idle != NULL && v->reason != NULL &&
           (v->coordinator == NULL ||
            (v->renew != NULL && v->look != NULL && v->must_look != NULL && v->listen != NULL));
}

Store *store_close(Store *store) {
    if (store != NULL)
        CALL(store, close(store));
    return NULL;
}

int store_begin(Store *store) {
    assert(store_is_complete(store->vtable));
    return CALL(store, begin(store));
}

int store_load(Store *store, WorkingSet **sets, size_t count) {
    return CALL(store, load(store, sets, count));
}

int store_save(Store *store, WorkingSet **sets, size_t count) {
    return CALL(store, save(store, sets, count));
}

int store_commit(Store *store) {
    return CALL(store, commit(store));
}

int store_sync(Store *store, char *reason) {
    return CALL(store, sync(store, reason));
}

void store_rollback(Store *store) {
    CALL(store, rollback(store));
}

int store_read(Store *store, const ReadQuery *query, const StoreRows *rows) {
    return CALL(store, read(store, query, rows));
}

int store_find_key(Store *store, Slice id, Arena *arena, KeyRow *key, ProjectRow *project) {
    return CALL(store, find_key(store, id, arena, key, project));
}

int store_find_project(Store *store, Slice name, Arena *arena, ProjectRow *project) {
    return CALL(store, find_project(store, name, arena, project));
}

int store_save_key_used(Store *store, Slice id, int64_t wall_ms) {
    return CALL(store, save_key_used(store, id, wall_ms));
}

int store_counts(Store *store, StoreCounts *out) {
    return CALL(store, counts(store, out));
}

int store_prune(Store *store, int64_t events_before_ms, int64_t requests_before_ms, size_t budget) {
    return CALL(store, prune(store, events_before_ms, requests_before_ms, budget));
}

int store_backup_step(Store *store, const char *path) {
    return CALL(store, backup_step(store, path));
}

int store_dump(Store *store, StoredRowReader *each, void *arg) {
    return CALL(store, dump(store, each, arg));
}

int store_put(Store *store, const StoredRow *rows, size_t count) {
    return CALL(store, put(store, rows, count));
}

static int64_t number_in_project(const StoredRow *row) {
    switch (row->kind) {
    case STORED_KEY:
        return row->as.key.created_ms;
    case STORED_STACK:
        return row->as.stack.number;
    case STORED_REQUEST:
        return row->as.request.ticket;
    case STORED_EVENT:
        return row->as.event.id;
    case STORED_PROJECT:
    case STORED_KINDS:
        break;
    }
    return 0;
}

int store_compare_rows(const StoredRow *a, const StoredRow *b) {
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    int order = slice_compare(a->project, b->project);
    if (order != 0)
        return order;
    int64_t left = number_in_project(a), right = number_in_project(b);
    if (left != right)
        return left < right ? -1 : 1;
    return a->kind == STORED_KEY ? slice_compare(a->as.key.id, b->as.key.id) : 0;
}

int store_idle(Store *store) {
    return CALL(store, idle(store));
}

int64_t store_coordinator(const Store *store) {
    return store->vtable->coordinator != NULL ? CALL(store, coordinator(store)) : 0;
}

int store_renew(Store *store, Renewal *renewals, size_t count) {
    return CALL(store, renew(store, renewals, count));
}

int store_look(Store *store, int64_t horizon, Arena *arena, StoreLook *out) {
    return CALL(store, look(store, horizon, arena, out));
}

bool store_must_look(const Store *store) {
    return store->vtable->must_look != NULL && CALL(store, must_look(store));
}

int store_listen(Store *store, void (*on_call)(void *arg, const StoreCall *call), void *arg) {
    return CALL(store, listen(store, on_call, arg));
}

const char *store_reason(const Store *store) {
    return CALL(store, reason(store));
}
