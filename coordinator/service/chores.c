#include "service/chores.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

#define IDLE_CHECKPOINT_MS 1000
#define DAY_MS (24LL * 3600 * 1000)
#define USED_KEYS_MAX 256
#define CLOCK_DRIFT_MS 1000 /* between two looks, of a clock that is put right little by little */

static void note_failure(const Chores *c, int result, const char *doing) {
    c->o.on_failure(c->o.on_failure_arg, result, doing);
}

void chores_start(Chores *c, const ChoresOptions *options) {
    int64_t now = clock_boot_ms(&options->clock->base);
    *c = (Chores){.o = *options,
                  .wall_ahead_ms = store_clock_earliest(options->clock) - now,
                  .ahead_since_ms = now,
                  .used_at_ms = now + KEY_USED_SAVE_MS,
                  .prune_at_ms = now + PRUNE_INTERVAL_MS,
                  .idle_at_ms = CLOCK_FOREVER};
}

/* ---- backups ---- */

bool chores_begin_backup(Chores *c, Work *work) {
    if (c->backup == NULL) {
        c->backup = work;
        return true;
    }
    work_refuse(work, OUTCOME_IN_USE, NULL, (Slice)SLICE_LITERAL("a backup is under way: wait for it"));
    return false;
}

static Work *give_up_backup(Chores *c) {
    Work *work = steal(&c->backup);
    (void)(store_backup_step(c->o.store, NULL) == 0);
    work_refuse(work, OUTCOME_DRAINING, NULL,
                (Slice)SLICE_LITERAL("the coordinator is going down: no backup was written"));
    return work;
}

/* The caller's mistake, and nothing that is wrong with the coordinator. */
static bool is_bad_path(int result) {
    static const int errors[] = {ENOENT, ENOTDIR, EISDIR, EACCES, EPERM, EROFS, ENAMETOOLONG, ELOOP, EINVAL};
    for (size_t i = 0; i < COUNT_OF(errors); i++)
        if (result == -errors[i])
            return true;
    return false;
}

static Work *step_backup(Chores *c) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%.*s", SLICE_PRINT(c->backup->command.path));
    int r = store_backup_step(c->o.store, path);
    if (r == 0)
        return NULL;
    Work *work = steal(&c->backup);
    if (r == STORE_DONE) {
        Answer answer;
        answer_init(&answer);
        answer.message = (Slice)SLICE_LITERAL("backup written");
        (void)work_answer(work, &answer);
    } else if (r == -EEXIST) {
        work_refuse(work, OUTCOME_EXISTS, "path", (Slice)SLICE_LITERAL("there is a file already: name another"));
    } else if (is_bad_path(r)) {
        work_refuse(work, OUTCOME_VALIDATION, "path", slice_of(store_reason(c->o.store)));
    } else if (r == -ENOTSUP) {
        work_refuse(work, OUTCOME_WRONG_STATE, NULL, slice_of(store_reason(c->o.store)));
    } else {
        note_failure(c, r, "a backup");
        work_refuse(work, OUTCOME_STORE_UNAVAILABLE, "path", slice_of(store_reason(c->o.store)));
    }
    return work;
}

/* ---- the others ---- */

static int compare_ids(const void *a, const void *b) {
    return strcmp(((const KnownKey *)a)->id, ((const KnownKey *)b)->id);
}

/* Whether there may be more. */
static bool save_some_used_keys(Chores *c) {
    KnownKey used[USED_KEYS_MAX];
    size_t n = keys_take_used(c->o.keys, used, COUNT_OF(used));
    if (n == 0)
        return false;
    qsort(used, n, sizeof *used, compare_ids); /* one order everywhere: nobody waits in a circle */
    int r = store_begin(c->o.store);
    for (size_t i = 0; i < n && r == 0; i++)
        r = store_save_key_used(c->o.store, slice_of(used[i].id), used[i].last_used_ms);
    if (r == 0)
        r = store_commit(c->o.store);
    else
        store_rollback(c->o.store);
    if (r != 0)
        note_failure(c, r, "noting when keys were used");
    return r == 0 && n == COUNT_OF(used);
}

static void save_used_keys(Chores *c) {
    while (save_some_used_keys(c))
        ;
}

/* A step of wall time makes nothing old: until what ended before it is as old as it has to be, it does not count. One that
 * came while no coordinator ran cannot be told. */
static int64_t steady_wall(Chores *c, int64_t now) {
    int64_t ahead_ms = store_clock_earliest(c->o.clock) - now;
    if (ahead_ms <= c->wall_ahead_ms + CLOCK_DRIFT_MS || now - c->ahead_since_ms >= REQUEST_KEPT_MS) {
        c->wall_ahead_ms = ahead_ms;
        c->ahead_since_ms = now;
    }
    return now + c->wall_ahead_ms;
}

static void prune(Chores *c, int64_t now) {
    int64_t wall = steady_wall(c, now);
    int r = store_prune(c->o.store, wall - HISTORY_DAYS * DAY_MS, wall - REQUEST_KEPT_MS, PRUNE_ROWS_MAX);
    if (r != 0 && r != STORE_DONE)
        note_failure(c, r, "pruning");
    c->prune_at_ms = r == 0 ? now : now + PRUNE_INTERVAL_MS;
}

Work *chores_step(Chores *c, bool was_busy, bool is_stopping) {
    int64_t now = clock_boot_ms(&c->o.clock->base);
    if (was_busy)
        c->idle_at_ms = now + IDLE_CHECKPOINT_MS;
    if (c->backup != NULL)
        return is_stopping ? give_up_backup(c) : step_backup(c);
    if (now >= c->used_at_ms) {
        c->used_at_ms = now + KEY_USED_SAVE_MS;
        save_used_keys(c);
    } else if (now >= c->prune_at_ms && (!was_busy || now >= c->prune_at_ms + PRUNE_PATIENCE_MS)) {
        prune(c, now);
    } else if (now >= c->idle_at_ms) {
        c->idle_at_ms = CLOCK_FOREVER;
        int r = store_idle(c->o.store);
        if (r != 0)
            note_failure(c, r, "a checkpoint");
    }
    return NULL;
}

int64_t chores_next(const Chores *c) {
    if (c->backup != NULL)
        return 0;
    int64_t next = c->used_at_ms < c->prune_at_ms ? c->used_at_ms : c->prune_at_ms;
    return next < c->idle_at_ms ? next : c->idle_at_ms;
}

void chores_finish(Chores *c) {
    save_used_keys(c);
}
