/*
 * Two hash tables find what is watched: by the row's number, and by the ticket of its lease. One heap says what is next.
 * A renewal does not touch the heap: an entry's time there is never later than it should be, and is looked up again when
 * it comes. So a lease costs nothing while it lives but its renewals.
 */
#include "service/watch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/limits.h"

#define FOREVER INT64_MAX
#define UNKNOWN (-1)
#define RETRY_MS 1000
#define ORPHAN_MS 2000 /* a look or two: a coordinator that has just begun is met by then */

typedef struct Owner { /* a project; stays as long as the watch */
    struct Owner *next, *next_reread;
    struct Entry *entries;
    bool is_reread;
    uint64_t hash;
    size_t len;
    char name[PROJECT_NAME_MAX];
} Owner;

typedef enum Kind { KIND_LEASE, KIND_QUIET, KIND_QUEUED } Kind;

typedef struct Entry {
    HeapItem timer; /* first */
    struct Entry *next_by_number, *next_by_ticket;
    struct Entry *next_of_owner, **of_owner_link;
    Owner *owner;
    uint64_t round; /* it was followed in */
    Kind kind;
    int64_t number; /* of the stack; of a queued request its ticket */
    int64_t ticket, generation;
    /* A lease. */
    bool is_bound;
    int64_t lease_end, hold_end, collect_end;
    int64_t renewals;       /* the row's count when it was seen last, or UNKNOWN: whatever it is now is news */
    int64_t promised_end;   /* as far as another coordinator may have told its holder, whatever maxHold says here */
    bool was_told;          /* it is over, says a row that is not followed yet, and so its holder heard */
    uint64_t changed_in;    /* the commit that collected it, or changed its length */
    int64_t seconds, asked; /* its stored length, and the one it was granted with (FIELD_ABSENT: not known here) */
    /* A quiet stack. */
    int64_t quiet_until_ms; /* its name, so to say */
    int64_t quiet_end, rest_ms;
    bool is_untold;
    struct Entry *next_untold, **untold_link;
    /* A queued request. */
    bool is_heard, must_be_heard;
    int64_t heard_at;
    int64_t since; /* it was heard of, or was not any more */
    int64_t parked;
} Entry;

typedef struct Table {
    Entry **buckets;
    size_t mask, count;
} Table;

/* Another coordinator that speaks, or did until lately. */
typedef struct WatchNeighbour {
    int64_t coordinator;
    bool is_silent;
} WatchNeighbour;

struct Watch {
    int64_t coordinator;
    int64_t now, boot_ms;
    bool has_ticked;
    Heap heap;
    Table by_number, by_ticket;
    Owner *owners[256];
    Entry *free_entries;
    Owner *free_owners;
    size_t free_entry_count, free_owner_count;
    Entry *untold;
    int64_t queued;
    uint64_t round;
    uint64_t change; /* number of the latest commit */
    Owner *reread;
    WatchNeighbour neighbours[NEIGHBOURS_MAX];
    size_t neighbour_count;
};

/* ---- tables ---- */

static uint64_t mix(uint64_t n) {
    n *= 0x9e3779b97f4a7c15u;
    return n ^ (n >> 29);
}

static uint64_t number_hash(const Owner *owner, Kind kind, int64_t number) {
    return mix(owner->hash + (kind == KIND_QUEUED ? 0x51ed2701u : 0) + (uint64_t)number);
}

static uint64_t ticket_hash(const Owner *owner, int64_t ticket) {
    return mix(owner->hash ^ (uint64_t)ticket);
}

static int table_reserve(Table *t, size_t more, bool is_by_ticket) {
    size_t wanted = 1024;
    while (wanted < t->count + more)
        wanted *= 2;
    if (t->buckets != NULL && t->mask + 1 >= wanted)
        return 0;
    Entry **buckets = calloc(wanted, sizeof(Entry *));
    if (buckets == NULL)
        return -ENOMEM;
    for (size_t i = 0; t->buckets != NULL && i <= t->mask; i++) {
        for (Entry *e = t->buckets[i], *next; e != NULL; e = next) {
            Entry **link = is_by_ticket ? &e->next_by_ticket : &e->next_by_number;
            uint64_t hash = is_by_ticket ? ticket_hash(e->owner, e->ticket) : number_hash(e->owner, e->kind, e->number);
            next = *link;
            *link = buckets[hash & (wanted - 1)];
            buckets[hash & (wanted - 1)] = e;
        }
    }
    free(t->buckets);
    t->buckets = buckets;
    t->mask = wanted - 1;
    return 0;
}

static Owner *find_owner(const Watch *w, Slice project) {
    uint64_t hash = slice_hash(project);
    Owner *owner = w->owners[hash & 255];
    while (owner != NULL &&
           (owner->hash != hash || !slice_equal(project, (Slice){.ptr = owner->name, .len = owner->len})))
        owner = owner->next;
    return owner;
}

static Owner *own(Watch *w, Slice project) {
    Owner *known = find_owner(w, project);
    if (known != NULL)
        return known;
    Owner *owner = w->free_owners;
    assert(owner != NULL && project.len <= sizeof owner->name);
    w->free_owners = owner->next;
    w->free_owner_count--;
    *owner = (Owner){.hash = slice_hash(project), .len = project.len};
    memcpy(owner->name, project.ptr, project.len);
    owner->next = w->owners[owner->hash & 255];
    w->owners[owner->hash & 255] = owner;
    return owner;
}

static Entry *find(const Watch *w, Slice project, Kind kind, int64_t number) {
    const Owner *owner = find_owner(w, project);
    if (owner == NULL || w->by_number.buckets == NULL)
        return NULL;
    bool is_request = kind == KIND_QUEUED;
    Entry *e = w->by_number.buckets[number_hash(owner, kind, number) & w->by_number.mask];
    while (e != NULL && (e->owner != owner || e->number != number || (e->kind == KIND_QUEUED) != is_request))
        e = e->next_by_number;
    return e;
}

static Entry *find_lease(const Watch *w, Slice project, int64_t ticket) {
    const Owner *owner = find_owner(w, project);
    if (owner == NULL || w->by_ticket.buckets == NULL)
        return NULL;
    Entry *e = w->by_ticket.buckets[ticket_hash(owner, ticket) & w->by_ticket.mask];
    while (e != NULL && (e->owner != owner || e->ticket != ticket || e->kind != KIND_LEASE))
        e = e->next_by_ticket;
    return e;
}

static void unlink_ticket(Watch *w, Entry *e) {
    Entry **link = &w->by_ticket.buckets[ticket_hash(e->owner, e->ticket) & w->by_ticket.mask];
    while (*link != e)
        link = &(*link)->next_by_ticket;
    *link = e->next_by_ticket;
    w->by_ticket.count--;
}

static void link_ticket(Watch *w, Entry *e, int64_t ticket) {
    e->ticket = ticket;
    Entry **bucket = &w->by_ticket.buckets[ticket_hash(e->owner, ticket) & w->by_ticket.mask];
    e->next_by_ticket = *bucket;
    *bucket = e;
    w->by_ticket.count++;
}

static Entry *add(Watch *w, Slice project, Kind kind, int64_t number, int64_t ticket) {
    Entry *e = w->free_entries;
    assert(e != NULL);
    w->free_entries = e->next_by_number;
    w->free_entry_count--;
    *e = (Entry){.owner = own(w, project), .kind = kind, .number = number};
    Entry **bucket = &w->by_number.buckets[number_hash(e->owner, kind, number) & w->by_number.mask];
    e->next_by_number = *bucket;
    *bucket = e;
    w->by_number.count++;
    link_ticket(w, e, ticket);
    e->next_of_owner = e->owner->entries;
    e->of_owner_link = &e->owner->entries;
    if (e->next_of_owner != NULL)
        e->next_of_owner->of_owner_link = &e->next_of_owner;
    e->owner->entries = e;
    w->queued += kind == KIND_QUEUED;
    return e;
}

static void set_told(Entry *e) {
    if (!e->is_untold)
        return;
    e->is_untold = false;
    *e->untold_link = e->next_untold;
    if (e->next_untold != NULL)
        e->next_untold->untold_link = e->untold_link;
}

static void set_untold(Watch *w, Entry *e) {
    e->is_untold = true;
    e->next_untold = w->untold;
    e->untold_link = &w->untold;
    if (w->untold != NULL)
        w->untold->untold_link = &e->next_untold;
    w->untold = e;
}

static void drop(Watch *w, Entry *e) {
    if (e == NULL)
        return;
    set_told(e);
    heap_remove(&w->heap, &e->timer);
    Entry **link = &w->by_number.buckets[number_hash(e->owner, e->kind, e->number) & w->by_number.mask];
    while (*link != e)
        link = &(*link)->next_by_number;
    *link = e->next_by_number;
    w->by_number.count--;
    unlink_ticket(w, e);
    *e->of_owner_link = e->next_of_owner;
    if (e->next_of_owner != NULL)
        e->next_of_owner->of_owner_link = e->of_owner_link;
    w->queued -= e->kind == KIND_QUEUED;
    e->next_by_number = w->free_entries;
    w->free_entries = e;
    w->free_entry_count++;
}

/* ---- life ---- */

int watch_new(Watch **out, int64_t coordinator) {
    Watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    w->coordinator = coordinator;
    *out = w;
    return 0;
}

static void free_entries(Entry *e) {
    for (Entry *next; e != NULL; e = next) {
        next = e->next_by_number;
        free(e);
    }
}

static void free_owners(Owner *owner) {
    for (Owner *next; owner != NULL; owner = next) {
        next = owner->next;
        free(owner);
    }
}

Watch *watch_free(Watch *w) {
    if (w == NULL)
        return NULL;
    for (size_t i = 0; w->by_number.buckets != NULL && i <= w->by_number.mask; i++)
        free_entries(w->by_number.buckets[i]);
    free_entries(w->free_entries);
    for (size_t i = 0; i < COUNT_OF(w->owners); i++)
        free_owners(w->owners[i]);
    free_owners(w->free_owners);
    free(w->by_number.buckets);
    free(w->by_ticket.buckets);
    heap_deinit(&w->heap);
    free(w);
    return NULL;
}

int watch_reserve(Watch *w, size_t rows, size_t projects) {
    while (w->free_entry_count < rows) {
        Entry *e = malloc(sizeof *e);
        if (e == NULL)
            return -ENOMEM;
        e->next_by_number = w->free_entries;
        w->free_entries = e;
        w->free_entry_count++;
    }
    while (w->free_owner_count < projects) {
        Owner *owner = malloc(sizeof *owner);
        if (owner == NULL)
            return -ENOMEM;
        owner->next = w->free_owners;
        w->free_owners = owner;
        w->free_owner_count++;
    }
    int r = heap_reserve(&w->heap, rows);
    if (r == 0)
        r = table_reserve(&w->by_number, rows, false);
    return r == 0 ? table_reserve(&w->by_ticket, rows, true) : r;
}

/* ---- time ---- */

static int64_t later(int64_t from, int64_t seconds) {
    return from + seconds * 1000;
}

static int64_t lowest(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t highest(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static WatchNeighbour *find_neighbour(const Watch *w, int64_t coordinator) {
    for (size_t i = 0; i < w->neighbour_count; i++)
        if (w->neighbours[i].coordinator == coordinator)
            return (WatchNeighbour *)&w->neighbours[i];
    return NULL;
}

/* Whether it was heard of by a coordinator that is not there: then it counts as just heard of. Where there are more than
 * have room here, it may be one of those. */
static bool is_orphan(const Watch *w, const Entry *e) {
    return e->is_heard && e->heard_at != w->coordinator && w->neighbour_count < NEIGHBOURS_MAX &&
           find_neighbour(w, e->heard_at) == NULL;
}

static bool must_be_heard(const Watch *w, const Entry *e) {
    return e->must_be_heard || is_orphan(w, e);
}

/* When a request that was heard of falls silent. */
static int64_t unheard_at(const Watch *w, const Entry *e) {
    if (e->heard_at == w->coordinator)
        return e->parked > 0 ? FOREVER : e->since + QUEUE_LIVE_MS;
    const WatchNeighbour *there = find_neighbour(w, e->heard_at);
    return there != NULL && there->is_silent ? w->now : FOREVER;
}

/* What its holder was told at the latest, here or elsewhere. */
static int64_t lease_ends_at(const Entry *e) {
    return lowest(e->lease_end, highest(e->hold_end, e->promised_end));
}

/* When the entry is due: the heap's time is never later. */
static int64_t due_at(const Watch *w, const Entry *e) {
    switch (e->kind) {
    case KIND_LEASE:
        return lowest(lease_ends_at(e), e->collect_end);
    case KIND_QUIET:
        return e->quiet_end;
    case KIND_QUEUED:
    default:
        if (e->must_be_heard)
            return w->now;
        if (is_orphan(w, e))
            return e->since + ORPHAN_MS;
        return e->is_heard ? unheard_at(w, e) : e->since + QUEUE_KEPT_MS;
    }
}

static void put(Watch *w, Entry *e) {
    heap_put(&w->heap, &e->timer, due_at(w, e));
}

void watch_tick(Watch *w, int64_t boot_ms, bool is_held) {
    if (w->has_ticked && !is_held && boot_ms > w->boot_ms)
        w->now += lowest(boot_ms - w->boot_ms, WATCH_STEP_MAX_MS);
    w->has_ticked = true;
    w->boot_ms = boot_ms;
}

int64_t watch_now(const Watch *w) {
    return w->now;
}

int64_t watch_next(const Watch *w) {
    const HeapItem *first = heap_first(&w->heap);
    if (first == NULL || first->at_ms == FOREVER)
        return FOREVER;
    return first->at_ms > w->now ? first->at_ms - w->now : 0;
}

static Due due_of(const Watch *w, const Entry *e) {
    Due due = {.ticket = e->ticket};
    switch (e->kind) {
    case KIND_LEASE:
        due.stack_number = e->number;
        due.renewals = e->renewals;
        due.kind = e->collect_end <= w->now ? DUE_UNCOLLECTED : DUE_EXPIRED;
        return due;
    case KIND_QUIET:
        due.stack_number = e->number;
        due.quiet_until_ms = e->quiet_until_ms;
        due.kind = DUE_RESTED;
        return due;
    case KIND_QUEUED:
    default:
        due.heard_at = e->heard_at;
        due.kind = must_be_heard(w, e) ? DUE_HEARD : e->is_heard ? DUE_UNHEARD : DUE_ABANDONED;
        return due;
    }
}

size_t watch_due(Watch *w, WatchDue *out, size_t max) {
    size_t n = 0;
    HeapItem *first;
    while (n < max && (first = heap_first(&w->heap)) != NULL && first->at_ms <= w->now) {
        Entry *e = (Entry *)first;
        int64_t at = due_at(w, e);
        if (at <= w->now) {
            out[n++] = (WatchDue){.project = {.ptr = e->owner->name, .len = e->owner->len}, .due = due_of(w, e)};
            at = w->now + RETRY_MS;
        }
        heap_put(&w->heap, first, at);
    }
    return n;
}

/* ---- following rows ---- */

/* Somebody else renewed it since it was looked at: when, and for how long, is not known. */
static void follow_foreign(const Watch *w, const StackRow *row, Entry *e) {
    e->promised_end = later(w->now, row->lease_seconds);
    e->lease_end = highest(e->lease_end, e->promised_end);
}

static void follow_lease(Watch *w, const ProjectRow *project, const StackRow *row, int64_t loaded_renewals,
                         bool is_granted, Entry *e) {
    bool is_bound = row->lease_seconds > 0;
    if (e == NULL)
        e = add(w, project->name, KIND_LEASE, row->number, row->ticket);
    if (e->kind != KIND_LEASE || e->ticket != row->ticket || e->generation != row->generation) {
        set_told(e);
        unlink_ticket(w, e);
        link_ticket(w, e, row->ticket);
        e->kind = KIND_LEASE;
        e->generation = row->generation;
        e->is_bound = is_bound;
        e->asked = is_granted ? row->lease_seconds : FIELD_ABSENT;
        e->lease_end = is_bound ? later(w->now, row->lease_seconds) : FOREVER;
        e->hold_end = is_bound ? later(w->now, project->max_hold_seconds) : FOREVER;
        e->collect_end = lowest(w->now + COLLECT_MS, e->lease_end);
        e->promised_end = 0;
        e->was_told = false;
        e->renewals = loaded_renewals;
    }
    if (is_bound && e->renewals != loaded_renewals)
        follow_foreign(w, row, e);
    else if (is_bound && row->renewals != loaded_renewals)
        e->lease_end = highest(e->lease_end, later(w->now, row->lease_seconds));
    e->renewals = row->renewals;
    if (e->seconds != row->lease_seconds || (row->is_collected && e->collect_end != FOREVER))
        e->changed_in = w->change;
    e->seconds = row->lease_seconds;
    if (row->is_collected)
        e->collect_end = FOREVER;
    e->round = w->round;
    put(w, e);
}

/* Of a lease that the same transaction granted and ended, or another coordinator, nothing is known of what it had left. */
static bool is_lease_before(const Entry *e, const StackRow *row, bool is_granted) {
    return e != NULL && e->kind == KIND_LEASE && e->renewals == row->renewals && !is_granted;
}

static void follow_quiet(Watch *w, const ProjectRow *project, const StackRow *row, bool is_granted, Entry *e) {
    bool is_known = e != NULL && e->kind == KIND_QUIET && e->quiet_until_ms == row->quiet_until_ms;
    if (is_known && e->ticket == row->quiet_ticket) {
        e->round = w->round;
        return;
    }
    int64_t untold_ms = row->quiet_untold_seconds * 1000;
    if (e != NULL && e->kind == KIND_LEASE && e->was_told && e->ticket == row->quiet_ticket)
        untold_ms = 0;
    else if (is_lease_before(e, row, is_granted))
        untold_ms = lowest(untold_ms, highest(lease_ends_at(e) - w->now, 0));
    if (e == NULL)
        e = add(w, project->name, KIND_QUIET, row->number, row->quiet_ticket);
    set_told(e);
    unlink_ticket(w, e);
    link_ticket(w, e, row->quiet_ticket);
    e->kind = KIND_QUIET;
    e->quiet_until_ms = row->quiet_until_ms;
    e->rest_ms = row->quiet_seconds * 1000;
    e->quiet_end = w->now + untold_ms + e->rest_ms;
    if (row->quiet_ticket != 0 && untold_ms > 0)
        set_untold(w, e);
    e->round = w->round;
    put(w, e);
}

void watch_follow_stack(Watch *w, const ProjectRow *project, const StackRow *row, int64_t loaded_renewals,
                        bool is_granted) {
    Entry *e = find(w, project->name, KIND_LEASE, row->number);
    bool is_gone = row->state == STACK_GONE;
    if (!is_gone && is_leased(row) && (is_bound(row) || !row->is_collected))
        follow_lease(w, project, row, loaded_renewals, is_granted, e);
    else if (!is_gone && !is_leased(row) && is_quiet(row))
        follow_quiet(w, project, row, is_granted, e);
    else
        drop(w, e);
}

static void follow_queued(Watch *w, const ProjectRow *project, const RequestRow *row, bool is_start) {
    Entry *e = find(w, project->name, KIND_QUEUED, row->ticket);
    if (row->state != REQUEST_QUEUED) {
        drop(w, e);
        return;
    }
    if (e == NULL) {
        e = add(w, project->name, KIND_QUEUED, row->ticket, row->ticket);
        e->since = w->now;
        e->must_be_heard = is_start && !row->is_heard;
    } else if (e->is_heard != row->is_heard || e->heard_at != row->heard_at) {
        e->since = w->now;
    }
    if (!is_start)
        e->must_be_heard = !row->is_heard && e->parked > 0; /* another coordinator could not know that */
    e->is_heard = row->is_heard;
    e->heard_at = row->heard_at;
    e->round = w->round;
    put(w, e);
}

void watch_follow_request(Watch *w, const ProjectRow *project, const RequestRow *row) {
    follow_queued(w, project, row, false);
}

void watch_start_request(Watch *w, const ProjectRow *project, const RequestRow *row) {
    follow_queued(w, project, row, true);
}

/* ---- signs of life ---- */

bool watch_may_renew(const Watch *w, Slice project, LeaseRef lease, int64_t seconds, int64_t *number) {
    const Entry *e = find_lease(w, project, lease.ticket);
    if (e == NULL || !e->is_bound || e->generation != lease.generation || e->collect_end != FOREVER)
        return false;
    *number = e->number;
    int64_t wanted = seconds != FIELD_ABSENT ? seconds : e->asked;
    return wanted != FIELD_ABSENT && wanted <= e->seconds;
}

void watch_note_change(Watch *w, uint64_t change) {
    w->change = change;
}

uint64_t watch_changed_in(const Watch *w, Slice project, LeaseRef lease) {
    const Entry *e = find_lease(w, project, lease.ticket);
    return e != NULL ? e->changed_in : 0;
}

void watch_renewed(Watch *w, Slice project, LeaseRef lease, int64_t seconds) {
    Entry *e = find_lease(w, project, lease.ticket);
    if (e == NULL || !e->is_bound || e->generation != lease.generation)
        return;
    int64_t granted = e->asked != FIELD_ABSENT ? e->asked : e->seconds;
    e->lease_end = highest(e->lease_end, later(w->now, seconds != FIELD_ABSENT ? seconds : granted));
}

void watch_asked(Watch *w, Slice project, LeaseRef lease, int64_t seconds) {
    Entry *e = find_lease(w, project, lease.ticket);
    if (e != NULL && e->is_bound && e->generation == lease.generation)
        e->asked = seconds;
}

void watch_counted(Watch *w, Slice project, LeaseRef lease, int64_t renewals) {
    Entry *e = find_lease(w, project, lease.ticket);
    if (e == NULL || e->generation != lease.generation)
        return;
    if (renewals != e->renewals + 1) {
        e->promised_end = later(w->now, e->seconds);
        e->lease_end = highest(e->lease_end, e->promised_end);
    }
    e->renewals = renewals;
}

int64_t watch_left(const Watch *w, Slice project, int64_t ticket, int64_t otherwise) {
    const Entry *e = find_lease(w, project, ticket);
    return e == NULL || !e->is_bound ? otherwise : highest(lowest(e->lease_end, e->hold_end) - w->now, 0);
}

int64_t watch_left_renewed(const Watch *w, Slice project, int64_t ticket, int64_t seconds) {
    const Entry *e = find_lease(w, project, ticket);
    if (e == NULL || !e->is_bound)
        return seconds * 1000;
    return highest(lowest(highest(e->lease_end, later(w->now, seconds)), e->hold_end) - w->now, 0);
}

bool watch_has_lasted(const Watch *w, Slice project, int64_t ticket) {
    const Entry *e = find_lease(w, project, ticket);
    return e != NULL && e->is_bound && e->hold_end <= w->now;
}

void watch_told(Watch *w, Slice project, int64_t ticket) {
    const Owner *owner = find_owner(w, project);
    for (Entry *e = w->untold; e != NULL; e = e->next_untold) {
        if (e->owner == owner && e->ticket == ticket) {
            set_told(e);
            e->quiet_end = lowest(e->quiet_end, w->now + e->rest_ms);
            put(w, e);
            return;
        }
    }
    Entry *lease = find_lease(w, project, ticket);
    if (lease != NULL)
        lease->was_told = true; /* another coordinator ended it, and the next look shows that */
}

void watch_heard(Watch *w, Slice project, int64_t ticket) {
    Entry *e = find(w, project, KIND_QUEUED, ticket);
    if (e == NULL || !e->is_heard)
        return;
    e->since = w->now; /* the heap's time is the earlier one, and is looked up again when it comes */
}

bool watch_parked(Watch *w, Slice project, int64_t ticket, int by) {
    Entry *e = find(w, project, KIND_QUEUED, ticket);
    if (e == NULL)
        return false;
    e->parked += by;
    e->since = w->now;
    put(w, e);
    return true;
}

void watch_hung_up(Watch *w, Slice project, int64_t ticket) {
    Entry *e = find(w, project, KIND_QUEUED, ticket);
    if (e == NULL || e->parked > 0 || !e->is_heard)
        return;
    e->since = w->now - QUEUE_LIVE_MS;
    put(w, e);
}

bool watch_is_queued(const Watch *w, Slice project, int64_t ticket) {
    return find(w, project, KIND_QUEUED, ticket) != NULL;
}

int64_t watch_queued(const Watch *w) {
    return w->queued;
}

/* ---- several coordinators ---- */

/* The server may be another one, or one that has crashed, and know less of renewals than was seen here. */
static void forget_renewals(Owner *owner) {
    for (Entry *e = owner->entries; e != NULL; e = e->next_of_owner)
        if (e->kind == KIND_LEASE)
            e->renewals = UNKNOWN;
}

static void begin_owner(Watch *w, Owner *owner) {
    if (owner->is_reread)
        return;
    owner->is_reread = true;
    owner->next_reread = w->reread;
    w->reread = owner;
}

void watch_reread(Watch *w, Slice project) {
    if (w->reread == NULL || slice_is_absent(project)) /* or else what an earlier one saw, which failed, would count */
        w->round++;
    if (!slice_is_absent(project)) {
        Owner *owner = find_owner(w, project);
        if (owner != NULL)
            begin_owner(w, owner);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(w->owners); i++)
        for (Owner *owner = w->owners[i]; owner != NULL; owner = owner->next) {
            forget_renewals(owner);
            begin_owner(w, owner);
        }
}

static void end_owner(Watch *w, Owner *owner, void (*on_served)(void *arg, Slice project, int64_t ticket), void *arg) {
    Slice name = {.ptr = owner->name, .len = owner->len};
    for (Entry *e = owner->entries, *next; e != NULL; e = next) {
        next = e->next_of_owner;
        if (e->round == w->round)
            continue;
        if (e->kind == KIND_QUEUED && e->parked > 0)
            on_served(arg, name, e->ticket); /* ends its parking, so the entry is looked up again */
        drop(w, e);
    }
}

void watch_reread_end(Watch *w, void (*on_served)(void *arg, Slice project, int64_t ticket), void *arg) {
    for (Owner *owner = w->reread, *next; owner != NULL; owner = next) {
        next = owner->next_reread;
        owner->is_reread = false;
        end_owner(w, owner, on_served, arg);
    }
    w->reread = NULL;
}

/* Those that were heard of there last are due at another time now. */
static void look_at_heard(Watch *w, int64_t coordinator) {
    for (size_t i = 0; i < COUNT_OF(w->owners); i++)
        for (Owner *owner = w->owners[i]; owner != NULL; owner = owner->next)
            for (Entry *e = owner->entries; e != NULL; e = e->next_of_owner)
                if (e->kind == KIND_QUEUED && e->heard_at == coordinator)
                    put(w, e);
}

void watch_speaks(Watch *w, int64_t coordinator) {
    WatchNeighbour *known = find_neighbour(w, coordinator);
    if (known == NULL && w->neighbour_count == NEIGHBOURS_MAX)
        return;
    if (known == NULL)
        known = &w->neighbours[w->neighbour_count++];
    *known = (WatchNeighbour){.coordinator = coordinator};
    look_at_heard(w, coordinator);
}

void watch_silent(Watch *w, int64_t coordinator) {
    WatchNeighbour *known = find_neighbour(w, coordinator);
    if (known == NULL)
        return;
    known->is_silent = true;
    look_at_heard(w, coordinator);
}

void watch_gone(Watch *w, int64_t coordinator) {
    WatchNeighbour *known = find_neighbour(w, coordinator);
    if (known == NULL)
        return;
    *known = w->neighbours[--w->neighbour_count];
    look_at_heard(w, coordinator);
}
