/*
 * What authentication knows without asking the store: keys by id, and projects' lease keys by name. Two direct-mapped
 * caches of fixed size: a collision only costs one store read. Safe from any thread.
 *
 * Of a store that nobody shares it is exact: only the worker changes rows, and it forgets an entry after the COMMIT that
 * changed it and before anyone hears of it. Else an entry is believed for max_age_ms.
 */
#pragma once

#include "base/clock.h"
#include "lease/rows.h"
#include "service/secrets.h"

typedef struct Keys Keys;

typedef struct KnownKey {
    char id[KEY_ID_SIZE];
    char project[PROJECT_NAME_MAX + 1];
    uint8_t hash[HASH_SIZE];
    Scope scope;
    bool is_revoked;
    int64_t last_used_ms, saved_used_ms; /* wall ms */
    int64_t learned_ms;                  /* CLOCK_BOOTTIME */
} KnownKey;

typedef struct KnownProject {
    char name[PROJECT_NAME_MAX + 1];
    uint8_t lease_key[HASH_SIZE];
    int64_t learned_ms;
} KnownProject;

/* max_age_ms 0: for good; the clock must outlive it. */
int keys_new(Keys **out, const Clock *clock, int64_t max_age_ms) MUST_USE;
Keys *keys_free(Keys *keys);

/* Whether what was learned then holds without asking again. */
bool keys_believe(const Keys *keys, int64_t learned_ms);
bool keys_find(Keys *keys, const char *id, KnownKey *out);
bool keys_find_project(Keys *keys, Slice name, KnownProject *out);
/* `project` deleted counts as a revoked key. */
void keys_learn(Keys *keys, const KeyRow *key, const ProjectRow *project);
void keys_learn_project(Keys *keys, const ProjectRow *project);
void keys_forget(Keys *keys, Slice id);
void keys_forget_project(Keys *keys, Slice name); /* and all its keys */
void keys_used(Keys *keys, const char *id, int64_t wall_ms);
/* Changes whenever something was forgotten: who was let in under an earlier epoch has to be asked again. */
uint64_t keys_epoch(const Keys *keys);
/* Copies up to `max` ids and times that were used since they were last saved, and marks them saved. */
size_t keys_take_used(Keys *keys, KnownKey *out, size_t max);
