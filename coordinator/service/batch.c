/*
 * Load, decide, encode, save, commit. Answers are encoded before the COMMIT: after it nothing may fail any more.
 */
#include "service/batch.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"

void batch_init(Batch *b) {
    *b = (Batch){0};
    arena_init(&b->arena);
}

void batch_deinit(Batch *b) {
    arena_deinit(&b->arena);
}

static WorkingSet *find_set(const Batch *b, Slice project) {
    for (size_t i = 0; i < b->set_count; i++)
        if (slice_equal(b->sets[i]->project_name, project))
            return b->sets[i];
    return NULL;
}

static int set_for(Batch *b, Slice project, WorkingSet **out) {
    WorkingSet *set = find_set(b, project);
    if (set == NULL) {
        set = arena_alloc(&b->arena, sizeof *set);
        if (set == NULL)
            return -ENOMEM;
        int r = working_set_init(set, &b->arena, project);
        if (r < 0)
            return r;
        b->sets[b->set_count++] = set;
    }
    *out = set;
    return 0;
}

static int want_pending(Batch *b, Work *const *works, size_t count) {
    for (size_t i = 0; i < count; i++) {
        Work *w = works[i];
        if (w->is_decided)
            continue;
        int r = w->set != NULL ? 0 : set_for(b, w->command.project, &w->set);
        if (r == 0)
            r = lease_want(w->set, &w->command);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The parts of an answer that only the service can make, then its bytes. */
static int finish_answer(Batch *b, Work *w, Answer *answer) {
    if (answer->outcome == OUTCOME_DONE && answer->has_lease) {
        const ProjectRow *project = &w->set->project;
        answer->lease.secret = lease_secret_make(&b->arena, project->name, answer->lease_ref, project->lease_key);
        if (slice_is_absent(answer->lease.secret))
            return -ENOMEM;
    }
    if (answer->outcome == OUTCOME_DONE && w->made_key[0] != '\0') {
        answer->key = slice_of(w->made_key);
        answer->key_id = slice_of(w->made.id);
    }
    return work_answer(w, answer) ? 0 : -ENOMEM;
}

/* Decides what is pending, in order; a project stops at its first wish for more rows. */
static int decide_pending(Batch *b, const Moment *moment, Work *const *works, size_t count, size_t *left) {
    const WorkingSet *stopped[BATCH_MAX];
    size_t stopped_count = 0;
    *left = 0;
    for (size_t i = 0; i < count; i++) {
        Work *w = works[i];
        if (w->is_decided)
            continue;
        bool is_stopped = false;
        for (size_t s = 0; s < stopped_count; s++)
            is_stopped |= stopped[s] == w->set;
        Answer answer;
        answer_init(&answer);
        int decision = is_stopped ? DECISION_NEEDS_ROWS : lease_decide(w->set, &w->command, moment, &answer);
        if (decision < 0)
            return decision;
        if (decision == DECISION_NEEDS_ROWS) {
            if (!is_stopped)
                stopped[stopped_count++] = w->set;
            ++*left;
            continue;
        }
        w->is_decided = true;
        int r = finish_answer(b, w, &answer);
        if (r < 0)
            return r;
    }
    return 0;
}

static int decide_all(Batch *b, Store *store, const Moment *moment, Work *const *works, size_t count) {
    size_t left = count;
    /* Each round decides at least the first that is pending; wishes are for rows of that one. */
    for (size_t round = 0; left > 0 && round < count + DECIDE_ROUNDS_MAX; round++) {
        int r = want_pending(b, works, count);
        if (r == 0)
            r = store_load(store, b->sets, b->set_count);
        if (r == 0)
            r = decide_pending(b, moment, works, count, &left);
        if (r != 0)
            return r;
    }
    return left == 0 ? 0 : -EDEADLK;
}

int batch_run(Batch *b, Store *store, const Moment *moment, Work *const *works, size_t count) {
    arena_reset(&b->arena);
    b->set_count = 0;
    for (size_t i = 0; i < count; i++) {
        works[i]->is_decided = false;
        works[i]->set = NULL;
    }
    int r = store_begin(store);
    if (r != 0)
        return r;
    r = decide_all(b, store, moment, works, count);
    bool is_changed = false;
    for (size_t i = 0; i < b->set_count; i++)
        is_changed |= working_set_is_changed(b->sets[i]);
    if (r != 0 || !is_changed) {
        store_rollback(store);
        return r;
    }
    r = store_save(store, b->sets, b->set_count);
    if (r == 0)
        r = store_commit(store);
    else
        store_rollback(store);
    return r;
}
