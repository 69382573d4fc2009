#include "service/neighbours.h"

#include "base/limits.h"

#define LOOK_MS 1000
#define COUNT_MS 60000  /* between two counts of the whole database */
#define SILENT_MS 5000  /* beats that stand still for so long are those of a coordinator that is gone, or cannot serve */

void neighbours_init(Neighbours *n, Store *store, Watch *watch, Waiters *waiters, Metrics *metrics) {
    *n = (Neighbours){.store = store,
                      .watch = watch,
                      .waiters = waiters,
                      .metrics = metrics,
                      .is_alone = store_coordinator(store) == 0};
    arena_init(&n->arena);
}

void neighbours_deinit(Neighbours *n) {
    arena_deinit(&n->arena);
}

int64_t neighbours_next(const Neighbours *n) {
    return n->is_alone ? CLOCK_FOREVER : n->look_at_ms;
}

/* ---- what is watched ---- */

/* Whoever renewed before the start was told up to his lease's length: a maxHold that was lowered since takes none of it. */
static int watch_stack(void *arg, const ProjectRow *project, const StackRow *row) {
    Neighbours *n = arg;
    ProjectRow holding = *project;
    if (holding.max_hold_seconds < row->lease_seconds)
        holding.max_hold_seconds = row->lease_seconds;
    int r = watch_reserve(n->watch, 1, 1);
    if (r == 0)
        watch_follow_stack(n->watch, &holding, row, row->renewals);
    return r;
}

static int watch_request(void *arg, const ProjectRow *project, const RequestRow *row) {
    Neighbours *n = arg;
    int r = watch_reserve(n->watch, 1, 1);
    if (r == 0 && n->is_alone)
        watch_start_request(n->watch, project, row);
    else if (r == 0)
        watch_follow_request(n->watch, project, row);
    return r;
}

static void wake(void *arg, Slice project, int64_t ticket) {
    Neighbours *n = arg;
    waiters_wake(n->waiters, project, ticket);
}

static int read_again(Neighbours *n, const StoreLook *look) {
    ReadQuery query = {.list = LIST_WATCHED, .after = FIELD_ABSENT};
    if (look->is_all) {
        watch_reread(n->watch, (Slice)SLICE_ABSENT);
    } else {
        query.projects = look->projects;
        query.project_count = look->project_count;
        for (size_t i = 0; i < look->project_count; i++)
            watch_reread(n->watch, look->projects[i]);
    }
    int r = store_read(n->store, &query,
                       &(StoreRows){.watched_stack = watch_stack, .watched_request = watch_request, .arg = n});
    if (r == 0)
        watch_reread_end(n->watch, wake, n);
    return r;
}

/* ---- who lives ---- */

static Neighbour *find(Neighbours *n, int64_t coordinator) {
    for (size_t i = 0; i < n->known_count; i++)
        if (n->known[i].coordinator == coordinator)
            return &n->known[i];
    return NULL;
}

static void meet(Neighbours *n, const StoreBeat *beat, int64_t now) {
    if (n->known_count < NEIGHBOURS_MAX)
        n->known[n->known_count++] =
            (Neighbour){.coordinator = beat->coordinator, .beats = beat->beats, .since_ms = now, .is_there = true};
}

static void hear(Neighbours *n, Neighbour *known, int64_t beats, int64_t now) {
    known->is_there = true;
    if (known->beats != beats) {
        known->beats = beats;
        known->since_ms = now;
        known->was_heard = true;
        if (known->is_silent)
            watch_speaks(n->watch, known->coordinator);
        known->is_silent = false;
    } else if (!known->is_silent && now - known->since_ms >= SILENT_MS) {
        known->is_silent = true;
        watch_silent(n->watch, known->coordinator, known->was_heard);
    }
}

/* Those whose rows are gone were silent for a day. */
static void forget_the_gone(Neighbours *n) {
    size_t kept = 0;
    for (size_t i = 0; i < n->known_count; i++)
        if (n->known[i].is_there)
            n->known[kept++] = n->known[i];
    n->known_count = kept;
}

static void hear_all(Neighbours *n, const StoreLook *look) {
    int64_t now = watch_now(n->watch);
    for (size_t i = 0; i < n->known_count; i++)
        n->known[i].is_there = false;
    for (size_t i = 0; i < look->beat_count; i++) {
        Neighbour *known = find(n, look->beats[i].coordinator);
        if (known != NULL)
            hear(n, known, look->beats[i].beats, now);
        else
            meet(n, &look->beats[i], now);
    }
    forget_the_gone(n);
}

/* ---- */

static int count(Neighbours *n, int64_t boot_ms) {
    StoreCounts counts;
    int r = store_counts(n->store, &counts);
    if (r != 0)
        return r;
    metrics_start_counts(n->metrics, &counts);
    n->count_at_ms = boot_ms + COUNT_MS;
    return 0;
}

int neighbours_look(Neighbours *n, int64_t boot_ms) {
    StoreLook look = {.is_all = true};
    if (boot_ms < neighbours_next(n) && n->count_at_ms != 0)
        return 0;
    n->look_at_ms = boot_ms + LOOK_MS;
    arena_reset(&n->arena);
    int r = n->is_alone ? 0 : store_look(n->store, n->horizon, &n->arena, &look);
    if (r != 0)
        return r;
    n->horizon = 0;
    if (look.is_all || look.project_count > 0)
        r = read_again(n, &look);
    if (r == 0) {
        n->horizon = look.horizon;
        hear_all(n, &look);
    }
    return r == 0 && boot_ms >= n->count_at_ms ? count(n, boot_ms) : r;
}
