/*
 * Rendered lists by project, in a direct-mapped table: of two projects in one slot the last rendered stays.
 */
#include "service/snapshots.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/limits.h"

struct Snapshot {
    atomic_uint references;
    Snapshots *all;
    char *bytes;
    size_t len;
};

typedef struct Slot {
    char project[PROJECT_NAME_MAX + 1];
    Snapshot *snapshot;
} Slot;

struct Snapshots {
    atomic_size_t size; /* bytes of all snapshots */
    pthread_mutex_t mutex;
    Slot slots[SNAPSHOT_MAX];
};

int snapshots_new(Snapshots **out) {
    OWN(freep) Snapshots *s = calloc(1, sizeof *s);
    if (s == NULL || pthread_mutex_init(&s->mutex, NULL) != 0)
        return -ENOMEM;
    *out = steal(&s);
    return 0;
}

Snapshots *snapshots_free(Snapshots *s) {
    if (s == NULL)
        return NULL;
    for (size_t i = 0; i < SNAPSHOT_MAX; i++)
        (void)snapshot_unref(s->slots[i].snapshot);
    (void)pthread_mutex_destroy(&s->mutex);
    free(s);
    return NULL;
}

bool snapshots_have_room(const Snapshots *s) {
    return atomic_load_explicit(&s->size, memory_order_relaxed) < LISTS_BYTES_MAX;
}

int snapshot_new(Snapshot **out, Snapshots *snapshots, char *bytes, size_t len) {
    Snapshot *snapshot = malloc(sizeof *snapshot);
    if (snapshot == NULL) {
        free(bytes);
        return -ENOMEM;
    }
    atomic_init(&snapshot->references, 1);
    atomic_fetch_add_explicit(&snapshots->size, len, memory_order_relaxed);
    snapshot->all = snapshots;
    snapshot->bytes = bytes;
    snapshot->len = len;
    *out = snapshot;
    return 0;
}

Snapshot *snapshot_ref(Snapshot *snapshot) {
    atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
    return snapshot;
}

Slice snapshot_bytes(const Snapshot *snapshot) {
    return (Slice){.ptr = snapshot->bytes, .len = snapshot->len};
}

Snapshot *snapshot_unref(Snapshot *snapshot) {
    if (snapshot != NULL && atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) == 1) {
        atomic_fetch_sub_explicit(&snapshot->all->size, snapshot->len, memory_order_relaxed);
        free(snapshot->bytes);
        free(snapshot);
    }
    return NULL;
}

static Slot *slot_of(Snapshots *s, Slice project) {
    return &s->slots[slice_hash(project) % SNAPSHOT_MAX];
}

Snapshot *snapshots_get(Snapshots *s, Slice project) {
    Snapshot *found = NULL;
    (void)pthread_mutex_lock(&s->mutex);
    Slot *slot = slot_of(s, project);
    if (slot->snapshot != NULL && slice_equal_text(project, slot->project))
        found = snapshot_ref(slot->snapshot);
    (void)pthread_mutex_unlock(&s->mutex);
    return found;
}

void snapshots_put(Snapshots *s, Slice project, Snapshot *snapshot) {
    bool is_long = snapshot->len > SNAPSHOT_BYTES_MAX;
    bool is_much = atomic_load_explicit(&s->size, memory_order_relaxed) > LISTS_BYTES_MAX / 2;
    if (project.len > PROJECT_NAME_MAX || is_long || is_much)
        return;
    (void)snapshot_ref(snapshot);
    (void)pthread_mutex_lock(&s->mutex);
    Slot *slot = slot_of(s, project);
    Snapshot *former = slot->snapshot;
    slot->snapshot = snapshot;
    memcpy(slot->project, project.ptr, project.len);
    slot->project[project.len] = '\0';
    (void)pthread_mutex_unlock(&s->mutex);
    (void)snapshot_unref(former);
}

void snapshots_drop(Snapshots *s, Slice project) {
    Snapshot *former = NULL;
    (void)pthread_mutex_lock(&s->mutex);
    Slot *slot = slot_of(s, project);
    if (slot->snapshot != NULL && slice_equal_text(project, slot->project))
        former = steal(&slot->snapshot);
    (void)pthread_mutex_unlock(&s->mutex);
    (void)snapshot_unref(former);
}
