#include "service/neighbours.h"

#include "base/limits.h"

#define LOOK_MS 1000
#define COUNT_MS 60000 /* between two counts of the whole database */
/* Beats that stand still are those of a coordinator that is gone, when its session is too; else of one that is slow, or
 * stopped: those who wait there may be answered yet. */
#define ENDED_MS 2000
#define SILENT_MS 30000

void neighbours_init(Neighbours *n, const Neighbours *with) {
    *n = *with;
    n->is_alone = store_coordinator(n->store) == 0;
    arena_init(&n->arena);
}

void neighbours_deinit(Neighbours *n) {
    arena_deinit(&n->arena);
}

int64_t neighbours_next(const Neighbours *n) {
    return n->is_alone ? CLOCK_FOREVER : n->look_at_ms;
}

/* ---- what is watched ---- */

/* What a row tells of happened before it was read, and is timed from now on, not from the last tick.
 *
 * Whoever renewed before the start was told up to his lease's length: a maxHold that was lowered since takes none of it. */
static int watch_stack(void *arg, const ProjectRow *project, const StackRow *row) {
    Neighbours *n = arg;
    ProjectRow holding = *project;
    if (holding.max_hold_seconds < row->lease_seconds)
        holding.max_hold_seconds = row->lease_seconds;
    n->tick(n->tick_arg);
    int r = watch_reserve(n->watch, 1, 1);
    if (r == 0)
        watch_follow_stack(n->watch, &holding, row, row->renewals, false);
    return r;
}

static int watch_request(void *arg, const ProjectRow *project, const RequestRow *row) {
    Neighbours *n = arg;
    n->tick(n->tick_arg);
    int r = watch_reserve(n->watch, 1, 1);
    if (r == 0 && n->is_alone)
        watch_start_request(n->watch, project, row);
    else if (r == 0)
        watch_follow_request(n->watch, project, row);
    return r;
}

static void wake(void *arg, Slice project, int64_t ticket) {
    Neighbours *n = arg;
    (void)waiters_wake(n->waiters, project, ticket, 0);
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
    if (n->known_count == NEIGHBOURS_MAX)
        return;
    n->known[n->known_count++] = (Neighbour){.coordinator = beat->coordinator,
                                             .beats = beat->beats,
                                             .since_ms = now,
                                             .was_heard = n->has_looked,
                                             .is_there = true};
    watch_speaks(n->watch, beat->coordinator);
}

static void hear(Neighbours *n, Neighbour *known, const StoreBeat *beat, int64_t now) {
    known->is_there = true;
    if (known->beats != beat->beats) {
        known->beats = beat->beats;
        known->since_ms = now;
        known->was_heard = true;
        if (known->is_silent)
            watch_speaks(n->watch, known->coordinator);
        known->is_silent = false;
    } else if (!known->is_silent && now - known->since_ms >= (beat->has_ended ? ENDED_MS : SILENT_MS)) {
        known->is_silent = true;
        if (known->was_heard)
            watch_silent(n->watch, known->coordinator);
        else
            watch_gone(n->watch, known->coordinator);
    }
}

/* Those whose rows are gone were silent for long. */
static void forget_the_gone(Neighbours *n) {
    size_t kept = 0;
    for (size_t i = 0; i < n->known_count; i++)
        if (n->known[i].is_there)
            n->known[kept++] = n->known[i];
        else
            watch_gone(n->watch, n->known[i].coordinator);
    n->known_count = kept;
}

static void hear_all(Neighbours *n, const StoreLook *look) {
    int64_t now = watch_now(n->watch);
    for (size_t i = 0; i < n->known_count; i++)
        n->known[i].is_there = false;
    for (size_t i = 0; i < look->beat_count; i++) {
        Neighbour *known = find(n, look->beats[i].coordinator);
        if (known != NULL)
            hear(n, known, &look->beats[i], now);
    }
    forget_the_gone(n); /* and so makes room */
    for (size_t i = 0; i < look->beat_count; i++)
        if (find(n, look->beats[i].coordinator) == NULL)
            meet(n, &look->beats[i], now);
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
    if (boot_ms < neighbours_next(n) && n->has_looked)
        return 0;
    n->look_at_ms = boot_ms + LOOK_MS;
    n->lost_call = SLICE_ABSENT;
    arena_reset(&n->arena);
    int r = n->is_alone ? 0 : store_look(n->store, n->horizon, &n->arena, &look);
    if (r != 0)
        return r;
    if (!n->is_alone)
        store_clock_set(n->clock, look.wall_ms);
    n->lost_call = look.lost_call;
    n->horizon = 0;
    hear_all(n, &look); /* first: who they are that heard of what is read */
    if (look.is_all || look.project_count > 0)
        r = read_again(n, &look);
    if (r == 0) {
        n->horizon = look.horizon;
        n->has_looked = true;
    }
    return r == 0 && boot_ms >= n->count_at_ms ? count(n, boot_ms) : r;
}
