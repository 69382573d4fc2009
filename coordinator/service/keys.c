/*
 * The caches behind authentication. A slot is addressed by the hash of its name and holds one entry; whoever comes last
 * stays. The mutex is held for a copy of a few hundred bytes.
 */
#include "service/keys.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct Keys {
    const Clock *clock;
    int64_t max_age_ms;
    pthread_mutex_t mutex;
    KnownKey *keys;
    KnownProject *projects;
    atomic_uint_fast64_t epoch;
    size_t sweep;                   /* where keys_take_used goes on */
    KnownKey aside[KEYS_ASIDE_MAX]; /* gave their places to others before it was saved when they were used */
    size_t aside_count;
};

static size_t slot_of(Slice name) {
    return (size_t)(slice_hash(name) % KEY_CACHE_MAX);
}

int keys_new(Keys **out, const Clock *clock, int64_t max_age_ms) {
    OWN(freep) Keys *k = calloc(1, sizeof *k);
    /* calloc'd pages cost nothing until an entry lands in them. */
    OWN(freep) KnownKey *keys = calloc(KEY_CACHE_MAX, sizeof *keys);
    OWN(freep) KnownProject *projects = calloc(KEY_CACHE_MAX, sizeof *projects);
    if (k == NULL || keys == NULL || projects == NULL || pthread_mutex_init(&k->mutex, NULL) != 0)
        return -ENOMEM;
    k->keys = steal(&keys);
    k->projects = steal(&projects);
    k->clock = clock;
    k->max_age_ms = max_age_ms;
    *out = steal(&k);
    return 0;
}

Keys *keys_free(Keys *k) {
    if (k == NULL)
        return NULL;
    (void)pthread_mutex_destroy(&k->mutex);
    free(k->keys);
    free(k->projects);
    free(k);
    return NULL;
}

bool keys_believe(const Keys *k, int64_t learned_ms) {
    return k->max_age_ms == 0 || clock_boot_ms(k->clock) - learned_ms < k->max_age_ms;
}

bool keys_find(Keys *k, const char *id, KnownKey *out) {
    size_t slot = slot_of(slice_of(id));
    (void)pthread_mutex_lock(&k->mutex);
    bool is_known = strcmp(k->keys[slot].id, id) == 0 && keys_believe(k, k->keys[slot].learned_ms);
    if (is_known)
        *out = k->keys[slot];
    (void)pthread_mutex_unlock(&k->mutex);
    return is_known;
}

bool keys_find_project(Keys *k, Slice name, KnownProject *out) {
    size_t slot = slot_of(name);
    (void)pthread_mutex_lock(&k->mutex);
    bool is_known =
        name.len > 0 && slice_equal_text(name, k->projects[slot].name) && keys_believe(k, k->projects[slot].learned_ms);
    if (is_known)
        *out = k->projects[slot];
    (void)pthread_mutex_unlock(&k->mutex);
    return is_known;
}

/* A name longer than its room cannot be a stored one; it is cut, and so never found. */
static void copy_name(char *out, size_t size, Slice name) {
    size_t len = name.len < size ? name.len : size - 1;
    memcpy(out, name.ptr, len);
    out[len] = '\0';
}

/* More than there is room for are saved when they are used again. */
static void put_aside(Keys *k, const KnownKey *entry) {
    if (k->aside_count < KEYS_ASIDE_MAX)
        k->aside[k->aside_count++] = *entry;
}

/* When it was used, if that waits to be saved; 0. */
static int64_t take_from_aside(Keys *k, const char *id) {
    for (size_t i = 0; i < k->aside_count; i++)
        if (strcmp(k->aside[i].id, id) == 0) {
            int64_t used_ms = k->aside[i].last_used_ms;
            k->aside[i] = k->aside[--k->aside_count];
            return used_ms;
        }
    return 0;
}

void keys_learn(Keys *k, const KeyRow *key, const ProjectRow *project) {
    KnownKey entry = {.scope = (Scope)key->scope,
                      .is_revoked = key->revoked_ms != 0 || project->is_deleted,
                      .learned_ms = clock_boot_ms(k->clock),
                      .last_used_ms = key->last_used_ms,
                      .saved_used_ms = key->last_used_ms};
    copy_name(entry.id, sizeof entry.id, key->id);
    copy_name(entry.project, sizeof entry.project, key->project);
    memcpy(entry.hash, key->hash, HASH_SIZE);
    (void)pthread_mutex_lock(&k->mutex);
    KnownKey *former = &k->keys[slot_of(key->id)];
    bool is_same = strcmp(former->id, entry.id) == 0, is_unsaved = former->last_used_ms > former->saved_used_ms;
    int64_t used_ms = is_same ? former->last_used_ms : take_from_aside(k, entry.id);
    if (used_ms > entry.last_used_ms)
        entry.last_used_ms = used_ms;
    if (is_unsaved && !is_same)
        put_aside(k, former);
    *former = entry;
    (void)pthread_mutex_unlock(&k->mutex);
    keys_learn_project(k, project);
}

void keys_learn_project(Keys *k, const ProjectRow *project) {
    KnownProject entry = {.learned_ms = clock_boot_ms(k->clock)};
    if (project->is_deleted)
        return;
    copy_name(entry.name, sizeof entry.name, project->name);
    memcpy(entry.lease_key, project->lease_key, HASH_SIZE);
    (void)pthread_mutex_lock(&k->mutex);
    k->projects[slot_of(project->name)] = entry;
    (void)pthread_mutex_unlock(&k->mutex);
}

uint64_t keys_epoch(const Keys *k) {
    return atomic_load(&k->epoch);
}

static void forget(Keys *k, KnownKey *entry) {
    if (entry->last_used_ms > entry->saved_used_ms)
        put_aside(k, entry);
    *entry = (KnownKey){0};
}

void keys_forget(Keys *k, Slice id) {
    (void)pthread_mutex_lock(&k->mutex);
    atomic_fetch_add(&k->epoch, 1);
    KnownKey *entry = &k->keys[slot_of(id)];
    if (slice_equal_text(id, entry->id))
        forget(k, entry);
    (void)pthread_mutex_unlock(&k->mutex);
}

void keys_forget_project(Keys *k, Slice name) {
    (void)pthread_mutex_lock(&k->mutex);
    atomic_fetch_add(&k->epoch, 1);
    for (size_t i = 0; i < KEY_CACHE_MAX; i++)
        if (k->keys[i].id[0] != '\0' && slice_equal_text(name, k->keys[i].project))
            forget(k, &k->keys[i]);
    KnownProject *entry = &k->projects[slot_of(name)];
    if (slice_equal_text(name, entry->name))
        *entry = (KnownProject){0};
    (void)pthread_mutex_unlock(&k->mutex);
}

void keys_used(Keys *k, const char *id, int64_t wall_ms) {
    (void)pthread_mutex_lock(&k->mutex);
    KnownKey *entry = &k->keys[slot_of(slice_of(id))];
    if (strcmp(entry->id, id) == 0)
        entry->last_used_ms = wall_ms;
    (void)pthread_mutex_unlock(&k->mutex);
}

size_t keys_take_used(Keys *k, KnownKey *out, size_t max) {
    size_t n = 0;
    (void)pthread_mutex_lock(&k->mutex);
    while (k->aside_count > 0 && n < max)
        out[n++] = k->aside[--k->aside_count];
    for (size_t step = 0; step < KEY_CACHE_MAX && n < max; step++) {
        KnownKey *entry = &k->keys[k->sweep];
        k->sweep = (k->sweep + 1) % KEY_CACHE_MAX;
        if (entry->id[0] == '\0' || entry->last_used_ms <= entry->saved_used_ms)
            continue;
        entry->saved_used_ms = entry->last_used_ms;
        out[n++] = *entry;
    }
    (void)pthread_mutex_unlock(&k->mutex);
    return n;
}
