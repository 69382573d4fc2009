/* See the header. What the rules count on and no table guards is checked here: a file may have been edited. */
#include "transfer/filling.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

/* What a project's row says, and what came of it. */
struct FilledProject {
    char name[PROJECT_NAME_MAX + 1];
    int64_t stacks, leased, queued, first_unused, last_generation, last_ticket, last_event;
    int64_t stacks_seen, leased_seen, queued_seen, below_unused_seen;
};

/* What a stack's row says of a lease, which a request's has to say too. */
struct FilledLease {
    size_t project;
    int64_t ticket, number, generation;
    bool is_bound, has_request;
};

static int refuse(Filling *f, const char *format, ...) PRINTF_LIKE(2, 3);
static int refuse(Filling *f, const char *format, ...) {
    char sentence[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    buffer_add_text(f->reason, sentence);
    return TRANSFER_REFUSED;
}

/* The store's own words; whatever failed, it has rolled back. */
static int store_failed(Filling *f, int r) {
    f->is_open = false;
    buffer_add_text(f->reason, r < 0 ? strerror(-r) : store_reason(f->store));
    return r;
}

/* ---- copies ---- */

static int copy_texts(Arena *arena, StoredRow *row) {
    const FieldTable *table = &transfer_row_fields[row->kind];
    int r = 0;
    for (size_t i = 0; r == 0 && i < table->count; i++) {
        Slice *text = (Slice *)(void *)((char *)row + table->rows[i].offset);
        if (table->rows[i].kind == FIELD_TEXT)
            r = arena_copy(arena, *text, text);
    }
    if (row->kind == STORED_PROJECT)
        row->as.project.name = row->project;
    if (row->kind == STORED_KEY)
        row->as.key.project = row->project;
    return r;
}

/* ---- what is brought ---- */

/* Room for one more; NULL: memory is short, and `items` is as it was. */
static void *grown(void *items, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity)
        return items;
    size_t wider = *capacity == 0 ? 64 : 2 * *capacity;
    void *all = reallocarray(items, wider, size);
    if (all != NULL)
        *capacity = wider;
    return all;
}

static int add_project(Filling *f, const ProjectRow *row) {
    FilledProject *all = grown(f->projects, f->project_count, &f->project_capacity, sizeof *all);
    if (all == NULL)
        return -ENOMEM;
    f->projects = all;
    FilledProject *p = &f->projects[f->project_count++];
    *p = (FilledProject){.stacks = row->stack_count,
                         .leased = row->leased_count,
                         .queued = row->queued_count,
                         .first_unused = row->first_unused,
                         .last_generation = row->last_generation,
                         .last_ticket = row->last_ticket,
                         .last_event = row->last_event};
    memcpy(p->name, row->name.ptr, row->name.len); /* as long as its rule lets it be */
    return 0;
}

/* The project of the next row: they come in the same order as the projects. */
static FilledProject *find_project(Filling *f, Slice name) {
    while (f->project_at < f->project_count && slice_compare(slice_of(f->projects[f->project_at].name), name) < 0)
        f->project_at++;
    bool is_there = f->project_at < f->project_count && slice_equal_text(name, f->projects[f->project_at].name);
    return is_there ? &f->projects[f->project_at] : NULL;
}

static int check_generation(Filling *f, const FilledProject *p, int64_t generation) {
    return generation <= p->last_generation
               ? 0
               : refuse(f, "generation %" PRId64 " is past the project's lastGeneration, %" PRId64, generation,
                        p->last_generation);
}

static int check_ticket(Filling *f, const FilledProject *p, int64_t ticket) {
    return ticket <= p->last_ticket
               ? 0
               : refuse(f, "ticket %" PRId64 " is past the project's lastTicket, %" PRId64, ticket, p->last_ticket);
}

static int add_lease(Filling *f, const FilledProject *p, const StackRow *row) {
    FilledLease *all = grown(f->leases, f->lease_count, &f->lease_capacity, sizeof *all);
    if (all == NULL)
        return -ENOMEM;
    f->leases = all;
    f->leases[f->lease_count++] = (FilledLease){.project = (size_t)(p - f->projects),
                                                .ticket = row->ticket,
                                                .number = row->number,
                                                .generation = row->generation,
                                                .is_bound = row->lease_seconds > 0};
    return 0;
}

static int compare_leases(const void *a, const void *b) {
    const FilledLease *one = a, *other = b;
    if (one->project != other->project)
        return one->project < other->project ? -1 : 1;
    return (one->ticket > other->ticket) - (one->ticket < other->ticket);
}

/* Requests come behind all stacks. */
static FilledLease *find_lease(Filling *f, const FilledProject *p, int64_t ticket) {
    const FilledLease wanted = {.project = (size_t)(p - f->projects), .ticket = ticket};
    if (f->lease_count == 0)
        return NULL;
    if (!f->are_leases_sorted)
        qsort(f->leases, f->lease_count, sizeof *f->leases, compare_leases);
    f->are_leases_sorted = true;
    return bsearch(&wanted, f->leases, f->lease_count, sizeof *f->leases, compare_leases);
}

static int check_stack(Filling *f, FilledProject *p, const StackRow *row) {
    if (stack_number_of(row->name) != row->number)
        return refuse(f, "stackName %.*s does not end in the stack's number, %" PRId64, SLICE_PRINT(row->name),
                      row->number);
    bool is_leased = row->ticket != 0;
    bool may_be = row->state == STACK_LEASED ? is_leased : !is_leased || row->state == STACK_RETIRING;
    if (!may_be || (is_leased && row->generation == 0))
        return refuse(f, "state %s does not go with ticket %" PRId64 " and generation %" PRId64,
                      stack_state_name(row->state), row->ticket, row->generation);
    p->stacks_seen++;
    p->leased_seen += is_leased;
    p->below_unused_seen += row->number < p->first_unused;
    int r = check_generation(f, p, row->generation);
    if (r == 0)
        r = check_generation(f, p, row->requested);
    if (r == 0)
        r = check_ticket(f, p, row->ticket);
    return r == 0 && is_leased ? add_lease(f, p, row) : r;
}

/* A request is live if and only if a stack has its ticket. */
static int check_request(Filling *f, FilledProject *p, const RequestRow *row) {
    FilledLease *lease = find_lease(f, p, row->ticket);
    bool is_live = row->state == REQUEST_LIVE;
    if (is_live && lease == NULL)
        return refuse(f, "the request is live, and no stack has its ticket, %" PRId64, row->ticket);
    if (!is_live && lease != NULL)
        return refuse(f, "the request is %s, and stack %" PRId64 " has its ticket, %" PRId64,
                      request_state_names[row->state], lease->number, row->ticket);
    if (is_live && (lease->number != row->stack_number || lease->generation != row->generation))
        return refuse(f,
                      "the request's stack is %" PRId64 ", generation %" PRId64 ", and its ticket is that of %" PRId64
                      ", generation %" PRId64,
                      row->stack_number, row->generation, lease->number, lease->generation);
    if (is_live)
        lease->has_request = true;
    p->queued_seen += row->state == REQUEST_QUEUED;
    int r = check_generation(f, p, row->generation);
    return r == 0 ? check_ticket(f, p, row->ticket) : r;
}

static int check_event(Filling *f, const FilledProject *p, const EventRow *row) {
    if (row->id > p->last_event)
        return refuse(f, "event %" PRId64 " is past the project's lastEvent, %" PRId64, row->id, p->last_event);
    return check_generation(f, p, row->generation);
}

static int check_row(Filling *f, const StoredRow *row) {
    if (row->kind == STORED_PROJECT)
        return add_project(f, &row->as.project);
    FilledProject *p = find_project(f, row->project);
    if (p == NULL)
        return refuse(f, "there is no project %.*s", SLICE_PRINT(row->project));
    switch (row->kind) {
    case STORED_STACK:
        return check_stack(f, p, &row->as.stack);
    case STORED_REQUEST:
        return check_request(f, p, &row->as.request);
    case STORED_EVENT:
        return check_event(f, p, &row->as.event);
    case STORED_PROJECT:
    case STORED_KEY:
    case STORED_KINDS:
        break;
    }
    return 0;
}

/* Also finds what is there twice. */
static int check_order(Filling *f, const StoredRow *row) {
    int64_t before = 0;
    for (int kind = 0; kind < STORED_KINDS; kind++)
        before += f->counts.rows[kind];
    if (before > 0 && store_compare_rows(&f->last, row) >= 0)
        return refuse(f, "the row is there twice, or not in its place: rows come by kind, project and number");
    if (before > 0 && f->last.kind != row->kind)
        f->project_at = 0;
    f->last = *row;
    arena_reset(&f->last_texts);
    return copy_texts(&f->last_texts, &f->last);
}

/* ---- into the store ---- */

static int put_waiting(Filling *f) {
    int r = f->row_count > 0 ? store_put(f->store, f->rows, f->row_count) : 0;
    f->row_count = 0;
    arena_reset(&f->texts);
    return r == 0 ? 0 : store_failed(f, r);
}

/* Where several coordinators may serve, none does. And whoever brings requests is the one that heard of them last: it shows
 * that it lives, and then falls silent. So those that start later give each request a minute, as a start does elsewhere. */
static int look_round(Filling *f) {
    OWN(arena_deinit) Arena arena;
    StoreLook look = {.beat_count = 0};
    arena_init(&arena);
    int r = store_coordinator(f->store) != 0 ? store_look(f->store, 0, &arena, &look) : 0;
    if (r != 0)
        return store_failed(f, r);
    for (size_t i = 0; i < look.beat_count; i++)
        if (!look.beats[i].has_ended) {
            buffer_add_text(f->reason, "a stack-coordinator uses this database: stop it");
            return STORE_LOCKED;
        }
    return 0;
}

int filling_begin(Filling *f, Store *store, Buffer *reason) {
    *f = (Filling){.store = store, .reason = reason};
    arena_init(&f->texts);
    arena_init(&f->last_texts);
    f->rows = calloc(TRANSFER_ROWS_MAX, sizeof *f->rows);
    if (f->rows == NULL)
        return store_failed(f, -ENOMEM);
    int r = look_round(f);
    if (r != 0)
        return r;
    r = store_begin(store);
    if (r != 0)
        return store_failed(f, r);
    f->is_open = true;
    r = store_put(store, NULL, 0);
    return r == 0 ? 0 : store_failed(f, r);
}

int filling_add(Filling *f, const StoredRow *row) {
    StoredRow *copy = &f->rows[f->row_count];
    *copy = *row;
    if (copy->kind == STORED_REQUEST)
        copy->as.request.heard_at = store_coordinator(f->store);
    int r = copy_texts(&f->texts, copy);
    if (r == 0)
        r = check_order(f, copy);
    if (r == 0)
        r = check_row(f, copy);
    if (r == -ENOMEM)
        buffer_add_text(f->reason, strerror(ENOMEM));
    if (r != 0)
        return r;
    f->counts.rows[row->kind]++;
    return ++f->row_count == TRANSFER_ROWS_MAX ? put_waiting(f) : 0;
}

static int check_counts(Filling *f, const FilledProject *p) {
    const struct {
        const char *member, *what;
        int64_t said, seen;
    } counts[] = {{"stackCount", "stacks", p->stacks, p->stacks_seen},
                  {"leasedCount", "of them leased", p->leased, p->leased_seen},
                  {"queuedCount", "requests queued", p->queued, p->queued_seen}};
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        if (counts[i].said != counts[i].seen)
            return refuse(f, "project %s: its %s is %" PRId64 ", and there are %" PRId64 " %s", p->name,
                          counts[i].member, counts[i].said, counts[i].seen, counts[i].what);
    if (p->below_unused_seen != p->first_unused - 1)
        return refuse(f, "project %s: its firstUnused is %" PRId64 ", and there are %" PRId64 " stacks below it",
                      p->name, p->first_unused, p->below_unused_seen);
    return 0;
}

static int check_leases(Filling *f) {
    for (size_t i = 0; i < f->lease_count; i++)
        if (f->leases[i].is_bound && !f->leases[i].has_request)
            return refuse(f,
                          "project %s: stack %" PRId64 " has a bound lease, ticket %" PRId64 ", and no request has it",
                          f->projects[f->leases[i].project].name, f->leases[i].number, f->leases[i].ticket);
    return 0;
}

int filling_end(Filling *f, TransferCounts *counts) {
    char reason[STORE_REASON_SIZE];
    int r = 0;
    for (size_t i = 0; r == 0 && i < f->project_count; i++)
        r = check_counts(f, &f->projects[i]);
    if (r == 0)
        r = check_leases(f);
    if (r == 0)
        r = put_waiting(f);
    if (r != 0)
        return r;
    r = store_commit(f->store);
    if (r != 0)
        return store_failed(f, r);
    f->is_open = false;
    r = store_sync(f->store, reason);
    if (r != 0)
        buffer_add_text(f->reason, reason);
    else
        *counts = f->counts;
    return r;
}

void filling_deinit(Filling *f) {
    if (f->is_open)
        store_rollback(f->store);
    arena_deinit(&f->texts);
    arena_deinit(&f->last_texts);
    free(f->projects);
    free(f->leases);
    free(f->rows);
    f->projects = NULL;
    f->leases = NULL;
    f->rows = NULL;
}
