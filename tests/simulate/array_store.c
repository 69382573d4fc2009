/*
 * Invariant: a transaction changes nothing until its commit. save() checks the guards and notes what is to be written;
 * commit() does it; rollback() drops the notes.
 */
#undef NDEBUG /* its assertions check the rules: they are needed in every build */
#include "simulate/array_store.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

typedef struct Table {
    char *rows;
    size_t row_size, count, capacity;
} Table;

typedef struct StackEntry {
    Slice project;
    StackRow row;
} StackEntry;
typedef struct RequestEntry {
    Slice project;
    RequestRow row;
} RequestEntry;
typedef struct EventEntry {
    Slice project;
    EventRow row;
} EventEntry;

typedef struct Write {
    enum { WRITE_PROJECT, WRITE_STACK, WRITE_REQUEST, WRITE_KEY, WRITE_EVENT } into;
    RowChange change;
    union {
        ProjectRow project;
        StackEntry stack;
        RequestEntry request;
        KeyRow key;
        EventEntry event;
    } row;
} Write;

typedef struct ArrayStore {
    Store store;
    Arena texts; /* of all rows, until the store is closed */
    Table projects, stacks, requests, keys, events;
    Table writes; /* of the open transaction */
    bool is_open;
} ArrayStore;

/* ---- Tables ---- */

static void *table_at(const Table *table, size_t place) {
    return table->rows + place * table->row_size;
}

static void *table_add(Table *table) {
    if (table->count == table->capacity) {
        size_t capacity = table->capacity != 0 ? table->capacity * 2 : 64;
        char *rows = realloc(table->rows, capacity * table->row_size);
        if (rows == NULL)
            return NULL;
        table->rows = rows;
        table->capacity = capacity;
    }
    return table_at(table, table->count++);
}

static void table_remove(Table *table, void *row) {
    void *last = table_at(table, --table->count);
    if (row != last)
        memcpy(row, last, table->row_size);
}

static ProjectRow *find_project(const ArrayStore *s, Slice name) {
    for (size_t i = 0; i < s->projects.count; i++) {
        ProjectRow *row = table_at(&s->projects, i);
        if (slice_equal(row->name, name))
            return row;
    }
    return NULL;
}

static StackEntry *find_stack(const ArrayStore *s, Slice project, int64_t number) {
    for (size_t i = 0; i < s->stacks.count; i++) {
        StackEntry *entry = table_at(&s->stacks, i);
        if (entry->row.number == number && slice_equal(entry->project, project))
            return entry;
    }
    return NULL;
}

static StackEntry *find_stack_named(const ArrayStore *s, Slice project, Slice name) {
    for (size_t i = 0; i < s->stacks.count; i++) {
        StackEntry *entry = table_at(&s->stacks, i);
        if (slice_equal(entry->row.name, name) && slice_equal(entry->project, project))
            return entry;
    }
    return NULL;
}

static RequestEntry *find_request(const ArrayStore *s, Slice project, int64_t ticket) {
    for (size_t i = 0; i < s->requests.count; i++) {
        RequestEntry *entry = table_at(&s->requests, i);
        if (entry->row.ticket == ticket && slice_equal(entry->project, project))
            return entry;
    }
    return NULL;
}

static RequestEntry *find_request_by_id(const ArrayStore *s, Slice project, Slice request_id) {
    for (size_t i = 0; i < s->requests.count; i++) {
        RequestEntry *entry = table_at(&s->requests, i);
        if (!slice_is_absent(request_id) && slice_equal(entry->row.request_id, request_id) &&
            slice_equal(entry->project, project))
            return entry;
    }
    return NULL;
}

static KeyRow *find_key(const ArrayStore *s, Slice id) {
    for (size_t i = 0; i < s->keys.count; i++) {
        KeyRow *row = table_at(&s->keys, i);
        if (slice_equal(row->id, id))
            return row;
    }
    return NULL;
}

/* ---- Transactions ---- */

static ArrayStore *array_of(const Store *store) {
    return (ArrayStore *)(uintptr_t)store; /* the store is its first member */
}

static int array_begin(Store *store) {
    ArrayStore *s = array_of(store);
    assert(!s->is_open);
    s->is_open = true;
    s->writes.count = 0;
    return 0;
}

static void array_rollback(Store *store) {
    ArrayStore *s = array_of(store);
    s->is_open = false;
    s->writes.count = 0;
}

static int overwrite(Table *table, void *present, RowChange change, const void *row) {
    if (change == ROW_DELETED) {
        assert(present != NULL); /* save() saw it */
        table_remove(table, present);
        return 0;
    }
    void *place = present != NULL ? present : table_add(table);
    if (place == NULL)
        return -ENOMEM;
    memcpy(place, row, table->row_size);
    return 0;
}

static int apply(ArrayStore *s, const Write *w) {
    switch (w->into) {
    case WRITE_PROJECT:
        return overwrite(&s->projects, find_project(s, w->row.project.name), w->change, &w->row.project);
    case WRITE_STACK:
        return overwrite(&s->stacks, find_stack(s, w->row.stack.project, w->row.stack.row.number), w->change,
                         &w->row.stack);
    case WRITE_REQUEST:
        return overwrite(&s->requests, find_request(s, w->row.request.project, w->row.request.row.ticket), w->change,
                         &w->row.request);
    case WRITE_KEY:
        return overwrite(&s->keys, find_key(s, w->row.key.id), w->change, &w->row.key);
    case WRITE_EVENT:
    default:
        return overwrite(&s->events, NULL, w->change, &w->row.event);
    }
}

static int array_commit(Store *store) {
    ArrayStore *s = array_of(store);
    assert(s->is_open);
    int r = 0;
    for (size_t i = 0; i < s->writes.count && r == 0; i++)
        r = apply(s, table_at(&s->writes, i));
    array_rollback(store);
    return r;
}

/* Nothing outlives the process. */
static int array_sync(Store *store, char *reason) {
    (void)store;
    (void)reason;
    return 0;
}

/* ---- Saving ---- */

static int keep_texts(ArrayStore *s, Slice *const *texts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int r = arena_copy(&s->texts, *texts[i], texts[i]);
        if (r < 0)
            return r;
    }
    return 0;
}
#define KEEP(s, ...)                                                                                                   \
    keep_texts((s), (Slice *const[]){__VA_ARGS__}, sizeof((Slice *const[]){__VA_ARGS__}) / sizeof(Slice *))

static int add_write(ArrayStore *s, const Write *w) {
    Write *place = table_add(&s->writes);
    if (place == NULL)
        return -ENOMEM;
    *place = *w;
    return 0;
}

static int save_stack(ArrayStore *s, Slice project, const StackSlot *slot) {
    const StackEntry *present = find_stack(s, project, slot->row.number);
    if (slot->change == ROW_NEW) {
        if (present != NULL || find_stack_named(s, project, slot->row.name) != NULL)
            return STORE_CONFLICT;
    } else if (present == NULL || present->row.state != slot->loaded_state ||
               present->row.generation != slot->loaded_generation) {
        return STORE_CONFLICT;
    }
    Write w = {.into = WRITE_STACK, .change = slot->change, .row.stack = {.project = project, .row = slot->row}};
    StackRow *row = &w.row.stack.row;
    int r = KEEP(s, &w.row.stack.project, &row->name, &row->branch, &row->last_commit, &row->url, &row->note,
                 &row->holder_json, &row->before.branch);
    return r < 0 ? r : add_write(s, &w);
}

static int save_request(ArrayStore *s, Slice project, const RequestSlot *slot) {
    bool is_present = find_request(s, project, slot->row.ticket) != NULL;
    bool is_known = is_present || find_request_by_id(s, project, slot->row.request_id) != NULL;
    if (slot->change == ROW_NEW ? is_known : !is_present)
        return STORE_CONFLICT;
    Write w = {.into = WRITE_REQUEST, .change = slot->change, .row.request = {.project = project, .row = slot->row}};
    RequestRow *row = &w.row.request.row;
    int r = KEEP(s, &w.row.request.project, &row->request_id, &row->branch, &row->commit, &row->holder_json,
                 &row->stack_name, &row->ended_by, &row->ended_reason);
    return r < 0 ? r : add_write(s, &w);
}

/* Key ids are unique over all projects, those of the same transaction included. */
static bool is_key_taken(const ArrayStore *s, Slice id) {
    bool is_taken = find_key(s, id) != NULL;
    for (size_t i = 0; i < s->writes.count && !is_taken; i++) {
        const Write *w = table_at(&s->writes, i);
        is_taken = w->into == WRITE_KEY && slice_equal(w->row.key.id, id);
    }
    return is_taken;
}

static int save_key(ArrayStore *s, const KeySlot *slot) {
    if (slot->change == ROW_NEW ? is_key_taken(s, slot->row.id) : find_key(s, slot->row.id) == NULL)
        return STORE_CONFLICT;
    Write w = {.into = WRITE_KEY, .change = slot->change, .row.key = slot->row};
    int r = KEEP(s, &w.row.key.id, &w.row.key.project, &w.row.key.label);
    return r < 0 ? r : add_write(s, &w);
}

static int save_event(ArrayStore *s, Slice project, const EventRow *event) {
    Write w = {.into = WRITE_EVENT, .change = ROW_NEW, .row.event = {.project = project, .row = *event}};
    EventRow *row = &w.row.event.row;
    int r = KEEP(s, &w.row.event.project, &row->stack_name, &row->branch, &row->commit, &row->by, &row->outcome,
                 &row->note, &row->holder_json);
    return r < 0 ? r : add_write(s, &w);
}

static int save_project(ArrayStore *s, const WorkingSet *set) {
    if ((find_project(s, set->project.name) != NULL) == (set->project_change == ROW_NEW))
        return STORE_CONFLICT;
    Write w = {.into = WRITE_PROJECT, .change = set->project_change, .row.project = set->project};
    int r = KEEP(s, &w.row.project.name, &w.row.project.prefix, &w.row.project.initial_commit);
    return r < 0 ? r : add_write(s, &w);
}

static bool is_saved(RowChange change) {
    return change != ROW_CLEAN && change != ROW_VOID;
}

static int save_set(ArrayStore *s, const WorkingSet *set) {
    int r = 0;
    for (size_t i = 0; i < set->stack_count && r == 0; i++)
        if (is_saved(set->stacks[i]->change))
            r = save_stack(s, set->project_name, set->stacks[i]);
    for (size_t i = 0; i < set->request_count && r == 0; i++)
        if (is_saved(set->requests[i]->change))
            r = save_request(s, set->project_name, set->requests[i]);
    for (size_t i = 0; i < set->key_count && r == 0; i++)
        if (is_saved(set->keys[i]->change))
            r = save_key(s, set->keys[i]);
    for (size_t i = 0; i < set->event_count && r == 0; i++)
        r = save_event(s, set->project_name, &set->events[i]);
    if (r == 0 && is_saved(set->project_change))
        r = save_project(s, set);
    return r;
}

static int array_save(Store *store, WorkingSet **sets, size_t count) {
    ArrayStore *s = array_of(store);
    assert(s->is_open);
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++)
        r = save_set(s, sets[i]);
    if (r != 0)
        array_rollback(store);
    return r;
}

/* ---- Loading: each order is a filter and a sort ---- */

static bool is_wanted(const StackRow *row, const RowWant *want) {
    bool is_free = row->state == STACK_AVAILABLE && row->quiet_until_ms == 0;
    switch (want->query) {
    case ROWS_STACK_BY_NUMBER:
        return row->number == want->number;
    case ROWS_STACK_HIGHEST:
        return row->state != STACK_RETIRING;
    case ROWS_FREE_ON_BRANCH:
        return is_free && slice_equal(row->branch, want->text);
    case ROWS_FREE_AT_COMMIT:
        return is_free && slice_equal(row->branch, want->text) && !row->is_content_unknown &&
               slice_equal(row->last_commit, want->text2);
    case ROWS_FREE_OLDEST:
        return is_free;
    case ROWS_DIRTY_OLDEST:
        return row->state == STACK_DIRTY && row->quiet_until_ms == 0;
    case ROWS_QUEUE:
    case ROWS_QUEUED_BEFORE:
    case ROWS_PROJECT:
    case ROWS_NUMBERS_UNUSED:
    case ROWS_REQUEST_BY_ID:
    case ROWS_REQUEST_BY_TICKET:
    case ROWS_KEY_BY_ID:
    case ROWS_KEYS:
    default:
        return false;
    }
}

static int by_value(int64_t a, int64_t b) {
    return a < b ? -1 : a > b;
}
static int lowest_number(const void *a, const void *b) {
    return by_value((*(StackEntry *const *)a)->row.number, (*(StackEntry *const *)b)->row.number);
}
static int highest_number(const void *a, const void *b) {
    return lowest_number(b, a);
}
static int oldest_requested(const void *a, const void *b) {
    return by_value((*(StackEntry *const *)a)->row.requested, (*(StackEntry *const *)b)->row.requested);
}
static int last_requested(const void *a, const void *b) {
    return oldest_requested(b, a);
}

static int dirty_longest(const void *a, const void *b) {
    return by_value((*(StackEntry *const *)a)->row.dirty_since, (*(StackEntry *const *)b)->row.dirty_since);
}

/* Each order of stacks: how it is sorted, and what its edge goes by. */
static int64_t edge_of(RowQuery query, const StackRow *row) {
    return query == ROWS_STACK_HIGHEST ? row->number : query == ROWS_DIRTY_OLDEST ? row->dirty_since : row->requested;
}

static int load_stacks(ArrayStore *s, WorkingSet *set, RowWant *want) {
    OWN(freep) StackEntry **found = calloc(s->stacks.count + 1, sizeof(StackEntry *));
    size_t count = 0;
    if (found == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < s->stacks.count; i++) {
        StackEntry *entry = table_at(&s->stacks, i);
        if (slice_equal(entry->project, set->project_name) && is_wanted(&entry->row, want))
            found[count++] = entry;
    }
    bool is_order = want->query == ROWS_STACK_HIGHEST || want->query == ROWS_DIRTY_OLDEST ||
                    want->query == ROWS_FREE_ON_BRANCH || want->query == ROWS_FREE_AT_COMMIT ||
                    want->query == ROWS_FREE_OLDEST;
    qsort(found, count, sizeof(StackEntry *),
          want->query == ROWS_STACK_HIGHEST  ? highest_number
          : want->query == ROWS_DIRTY_OLDEST ? dirty_longest
          : want->query == ROWS_FREE_OLDEST  ? oldest_requested
                                             : last_requested);
    int r = 0;
    for (size_t i = 0; i < count && i < want->limit && r == 0; i++)
        r = working_set_put_stack(set, &found[i]->row);
    if (is_order && count >= want->limit && want->limit != 0)
        want->edge = edge_of(want->query, &found[want->limit - 1]->row);
    return r;
}

static int lowest_ticket(const void *a, const void *b) {
    return by_value((*(RequestEntry *const *)a)->row.ticket, (*(RequestEntry *const *)b)->row.ticket);
}

/* The live requests of a queue: the first of them, or how many come before a ticket. */
static int load_queue(ArrayStore *s, WorkingSet *set, RowWant *want) {
    OWN(freep) RequestEntry **found = calloc(s->requests.count + 1, sizeof(RequestEntry *));
    size_t count = 0;
    if (found == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < s->requests.count; i++) {
        RequestEntry *entry = table_at(&s->requests, i);
        const RequestRow *row = &entry->row;
        bool is_live = row->state == REQUEST_QUEUED && row->is_heard && row->purpose == want->purpose;
        bool is_before = want->query == ROWS_QUEUE || row->ticket < want->number;
        if (is_live && is_before && slice_equal(entry->project, set->project_name))
            found[count++] = entry;
    }
    if (want->query == ROWS_QUEUED_BEFORE) {
        want->count = (int64_t)count;
        return 0;
    }
    qsort(found, count, sizeof(RequestEntry *), lowest_ticket);
    int r = 0;
    for (size_t i = 0; i < count && i < want->limit && r == 0; i++)
        r = working_set_put_request(set, &found[i]->row);
    want->edge = count >= want->limit && want->limit != 0 ? found[want->limit - 1]->row.ticket : 0;
    return r;
}

/* Counts up from 1, though the rules promise that nothing is unused below first_unused: that is checked by it. */
static int load_unused(ArrayStore *s, WorkingSet *set, RowWant *want) {
    const ProjectRow *project = find_project(s, set->project_name);
    int r = 0;
    uint32_t found = 0;
    for (int64_t number = 1; found < want->limit && r == 0; number++) {
        if (find_stack(s, set->project_name, number) != NULL)
            continue;
        assert(number >= project->first_unused);
        r = working_set_put_unused(set, number);
        want->edge = number;
        found++;
    }
    return r;
}

static int load_keys(ArrayStore *s, WorkingSet *set) {
    int r = 0;
    for (size_t i = 0; i < s->keys.count && r == 0; i++) {
        const KeyRow *row = table_at(&s->keys, i);
        if (slice_equal(row->project, set->project_name))
            r = working_set_put_key(set, row);
    }
    return r;
}

static int load_want(ArrayStore *s, WorkingSet *set, RowWant *want) {
    const RequestEntry *request = NULL;
    const KeyRow *key = NULL;
    switch (want->query) {
    case ROWS_STACK_BY_NUMBER:
    case ROWS_STACK_HIGHEST:
    case ROWS_FREE_ON_BRANCH:
    case ROWS_FREE_AT_COMMIT:
    case ROWS_FREE_OLDEST:
    case ROWS_DIRTY_OLDEST:
        return load_stacks(s, set, want);
    case ROWS_QUEUE:
    case ROWS_QUEUED_BEFORE:
        return load_queue(s, set, want);
    case ROWS_NUMBERS_UNUSED:
        return set->is_project_missing || find_project(s, set->project_name) == NULL ? 0 : load_unused(s, set, want);
    case ROWS_REQUEST_BY_ID:
        request = find_request_by_id(s, set->project_name, want->text);
        break;
    case ROWS_REQUEST_BY_TICKET:
        request = find_request(s, set->project_name, want->number);
        break;
    case ROWS_KEY_BY_ID:
        key = find_key(s, want->text);
        break;
    case ROWS_KEYS:
        return load_keys(s, set);
    case ROWS_PROJECT:
    default:
        break;
    }
    if (request != NULL)
        return working_set_put_request(set, &request->row);
    return key != NULL ? working_set_put_key(set, key) : 0;
}

static int load_set(ArrayStore *s, WorkingSet *set) {
    if (!set->is_project_loaded && !set->is_project_missing) {
        const ProjectRow *project = find_project(s, set->project_name);
        set->is_project_missing = project == NULL;
        if (project != NULL)
            working_set_put_project(set, project);
    }
    int r = 0;
    for (size_t i = 0; i < set->want_count && r == 0; i++) {
        RowWant *want = &set->wants[i];
        if (!want->is_loaded)
            r = load_want(s, set, want);
        want->is_loaded = true;
    }
    return r;
}

static int array_load(Store *store, WorkingSet **sets, size_t count) {
    ArrayStore *s = array_of(store);
    assert(s->is_open);
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++)
        r = load_set(s, sets[i]);
    if (r != 0)
        array_rollback(store);
    return r;
}

/* ---- Lists and the rest ---- */

static int lowest_event(const void *a, const void *b) {
    return by_value((*(EventEntry *const *)a)->row.id, (*(EventEntry *const *)b)->row.id);
}
static int highest_event(const void *a, const void *b) {
    return lowest_event(b, a);
}
static int project_order(const void *a, const void *b) {
    return slice_compare((*(ProjectRow *const *)a)->name, (*(ProjectRow *const *)b)->name);
}
static int key_order(const void *a, const void *b) {
    const KeyRow *left = *(KeyRow *const *)a, *right = *(KeyRow *const *)b;
    int order = slice_compare(left->project, right->project);
    if (order == 0)
        order = by_value(left->created_ms, right->created_ms);
    return order != 0 ? order : slice_compare(left->id, right->id);
}

static bool is_listed(const ReadQuery *q, const void *row) {
    const StackEntry *stack = row;
    const RequestEntry *request = row;
    const EventEntry *event = row;
    const ProjectRow *project = row;
    const KeyRow *key = row;
    switch (q->list) {
    case LIST_STACKS:
        return slice_equal(stack->project, q->project) && (q->after == FIELD_ABSENT || stack->row.number > q->after);
    case LIST_EVENTS:
        return slice_equal(event->project, q->project) && (q->after == FIELD_ABSENT || event->row.id > q->after) &&
               (slice_is_absent(q->stack_name) || slice_equal(event->row.stack_name, q->stack_name));
    case LIST_PROJECTS:
        return !project->is_deleted &&
               (slice_is_absent(q->after_text) || slice_compare(project->name, q->after_text) > 0);
    case LIST_QUEUE:
        return slice_equal(request->project, q->project) && request->row.state == REQUEST_QUEUED &&
               (q->after == FIELD_ABSENT || request->row.ticket > q->after);
    case LIST_WATCHED:
    case LIST_KEYS:
    default:
        return slice_is_absent(q->project) || slice_equal(key->project, q->project);
    }
}

static int hand_over(const ReadQuery *q, const StoreRows *rows, const void *row) {
    switch (q->list) {
    case LIST_STACKS:
        return rows->stack(rows->arg, &((const StackEntry *)row)->row);
    case LIST_EVENTS:
        return rows->event(rows->arg, &((const EventEntry *)row)->row);
    case LIST_PROJECTS:
        return rows->project(rows->arg, row);
    case LIST_QUEUE:
        return rows->request(rows->arg, &((const RequestEntry *)row)->row);
    case LIST_WATCHED:
    case LIST_KEYS:
    default:
        return rows->key(rows->arg, row);
    }
}

static int read_watched(const ArrayStore *s, const StoreRows *rows) {
    int r = 0;
    for (size_t i = 0; i < s->stacks.count && r == 0; i++) {
        const StackEntry *entry = table_at(&s->stacks, i);
        const StackRow *row = &entry->row;
        bool is_watched =
            row->quiet_until_ms != 0 || (row->ticket != 0 && (row->lease_seconds > 0 || !row->is_collected));
        if (is_watched)
            r = rows->watched_stack(rows->arg, find_project(s, entry->project), row);
    }
    for (size_t i = 0; i < s->requests.count && r == 0; i++) {
        const RequestEntry *entry = table_at(&s->requests, i);
        if (entry->row.state == REQUEST_QUEUED)
            r = rows->watched_request(rows->arg, find_project(s, entry->project), &entry->row);
    }
    return r;
}

/* A deleted project has nothing left but its history. */
static bool is_list_of_nobody(const ArrayStore *s, const ReadQuery *q) {
    const ProjectRow *project = find_project(s, q->project);
    bool is_of_all = q->list == LIST_PROJECTS || (q->list == LIST_KEYS && slice_is_absent(q->project));
    return !is_of_all && (project == NULL || (project->is_deleted && q->list != LIST_EVENTS));
}

static int array_read(Store *store, const ReadQuery *q, const StoreRows *rows) {
    const ArrayStore *s = array_of(store);
    if (q->list == LIST_WATCHED)
        return read_watched(s, rows);
    if (is_list_of_nobody(s, q))
        return STORE_NOT_FOUND;
    const struct {
        const Table *table;
        int (*order)(const void *, const void *);
    } lists[] = {
        [LIST_STACKS] = {&s->stacks, lowest_number},
        [LIST_QUEUE] = {&s->requests, lowest_ticket},
        [LIST_EVENTS] = {&s->events, q->newest_first ? highest_event : lowest_event},
        [LIST_PROJECTS] = {&s->projects, project_order},
        [LIST_KEYS] = {&s->keys, key_order},
    };
    const Table *table = lists[q->list].table;
    OWN(freep) void **found = calloc(table->count + 1, sizeof(void *));
    size_t count = 0;
    if (found == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < table->count; i++) {
        void *row = table_at(table, i);
        if (is_listed(q, row))
            found[count++] = row;
    }
    qsort(found, count, sizeof(void *), lists[q->list].order);
    int r = 0;
    for (size_t i = 0; i < count && (q->limit == 0 || (int64_t)i < q->limit) && r == 0; i++)
        r = hand_over(q, rows, found[i]);
    return r;
}

static int copy_project(Arena *arena, const ProjectRow *row, ProjectRow *out) {
    ProjectRow copy = *row;
    int r = arena_copy(arena, row->name, &copy.name);
    if (r == 0)
        r = arena_copy(arena, row->prefix, &copy.prefix);
    if (r == 0)
        r = arena_copy(arena, row->initial_commit, &copy.initial_commit);
    if (r == 0)
        *out = copy;
    return r;
}

static int array_find_project(Store *store, Slice name, Arena *arena, ProjectRow *project) {
    const ProjectRow *row = find_project(array_of(store), name);
    return row != NULL ? copy_project(arena, row, project) : STORE_NOT_FOUND;
}

static int array_find_key(Store *store, Slice id, Arena *arena, KeyRow *key, ProjectRow *project) {
    const ArrayStore *s = array_of(store);
    const KeyRow *row = find_key(s, id);
    const ProjectRow *owner = row != NULL ? find_project(s, row->project) : NULL;
    if (owner == NULL)
        return STORE_NOT_FOUND;
    KeyRow copy = *row;
    int r = arena_copy(arena, row->id, &copy.id);
    if (r == 0)
        r = arena_copy(arena, row->project, &copy.project);
    if (r == 0)
        r = arena_copy(arena, row->label, &copy.label);
    if (r == 0)
        r = copy_project(arena, owner, project);
    if (r == 0)
        *key = copy;
    return r;
}

static int array_save_key_used(Store *store, Slice id, int64_t wall_ms) {
    ArrayStore *s = array_of(store);
    assert(s->is_open);
    const KeyRow *row = find_key(s, id);
    if (row == NULL)
        return 0;
    Write w = {.into = WRITE_KEY, .change = ROW_CHANGED, .row.key = *row};
    w.row.key.last_used_ms = wall_ms;
    return add_write(s, &w);
}

static int array_counts(Store *store, StoreCounts *out) {
    const ArrayStore *s = array_of(store);
    *out = (StoreCounts){0};
    for (size_t i = 0; i < s->stacks.count; i++)
        out->stacks[((const StackEntry *)table_at(&s->stacks, i))->row.state]++;
    return 0;
}

static int array_prune(Store *store, int64_t events_before_ms, int64_t requests_before_ms, size_t budget) {
    ArrayStore *s = array_of(store);
    assert(!s->is_open);
    /* From the end: removing moves the last row, which was looked at already. */
    for (size_t i = s->events.count; i-- > 0 && budget > 0;) {
        EventEntry *entry = table_at(&s->events, i);
        if (entry->row.at_ms < events_before_ms) {
            table_remove(&s->events, entry);
            budget--;
        }
    }
    for (size_t i = s->requests.count; i-- > 0 && budget > 0;) {
        RequestEntry *entry = table_at(&s->requests, i);
        if (entry->row.state == REQUEST_OVER && entry->row.ended_ms < requests_before_ms) {
            table_remove(&s->requests, entry);
            budget--;
        }
    }
    return budget > 0 ? STORE_DONE : 0;
}

static int array_backup_step(Store *store, const char *path) {
    (void)store;
    return path == NULL ? 0 : -ENOTSUP;
}

/* Rows of the tables as stored ones; each table with what comes before its row. */
static void add_stored(StoredRow *out, size_t *count, const Table *table, StoredKind kind) {
    for (size_t i = 0; i < table->count; i++) {
        StoredRow *row = &out[(*count)++];
        const void *entry = table_at(table, i);
        row->kind = kind;
        switch (kind) {
        case STORED_PROJECT:
            row->as.project = *(const ProjectRow *)entry;
            row->project = row->as.project.name;
            break;
        case STORED_KEY:
            row->as.key = *(const KeyRow *)entry;
            row->project = row->as.key.project;
            break;
        case STORED_STACK:
            row->project = ((const StackEntry *)entry)->project;
            row->as.stack = ((const StackEntry *)entry)->row;
            break;
        case STORED_REQUEST:
            row->project = ((const RequestEntry *)entry)->project;
            row->as.request = ((const RequestEntry *)entry)->row;
            break;
        case STORED_EVENT:
            row->project = ((const EventEntry *)entry)->project;
            row->as.event = ((const EventEntry *)entry)->row;
            break;
        case STORED_KINDS:
            break;
        }
    }
}

static int stored_order(const void *a, const void *b) {
    return store_compare_rows(a, b);
}

static int array_dump(Store *store, StoredRowReader *each, void *arg) {
    const ArrayStore *s = array_of(store);
    const Table *const tables[STORED_KINDS] = {
        [STORED_PROJECT] = &s->projects, [STORED_KEY] = &s->keys,     [STORED_STACK] = &s->stacks,
        [STORED_REQUEST] = &s->requests, [STORED_EVENT] = &s->events,
    };
    size_t total = 0, count = 0;
    for (int kind = 0; kind < STORED_KINDS; kind++)
        total += tables[kind]->count;
    OWN(freep) StoredRow *rows = calloc(total + 1, sizeof *rows);
    if (rows == NULL)
        return -ENOMEM;
    for (int kind = 0; kind < STORED_KINDS; kind++)
        add_stored(rows, &count, tables[kind], (StoredKind)kind);
    qsort(rows, count, sizeof *rows, stored_order);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = each(arg, &rows[i]);
    return r;
}

/* As if it had been decided: a new row of a set. */
static int put_row(ArrayStore *s, const StoredRow *row) {
    StackSlot stack = {.change = ROW_NEW};
    RequestSlot request = {.change = ROW_NEW};
    KeySlot key = {.change = ROW_NEW};
    WorkingSet set = {.project_change = ROW_NEW};
    switch (row->kind) {
    case STORED_PROJECT:
        set.project = row->as.project;
        return save_project(s, &set);
    case STORED_KEY:
        key.row = row->as.key;
        return save_key(s, &key);
    case STORED_STACK:
        stack.row = row->as.stack;
        return save_stack(s, row->project, &stack);
    case STORED_REQUEST:
        request.row = row->as.request;
        return save_request(s, row->project, &request);
    case STORED_EVENT:
        return save_event(s, row->project, &row->as.event);
    case STORED_KINDS:
        break;
    }
    return -EINVAL;
}

static int array_put(Store *store, const StoredRow *rows, size_t count) {
    ArrayStore *s = array_of(store);
    assert(s->is_open);
    int r = s->projects.count > 0 ? STORE_CONFLICT : 0;
    for (size_t i = 0; i < count && r == 0; i++)
        r = put_row(s, &rows[i]);
    if (r != 0)
        array_rollback(store);
    return r;
}
static int array_idle(Store *store) {
    (void)store;
    return 0;
}

static const char *array_reason(const Store *store) {
    (void)store;
    return "an array does not fail";
}

static void array_close(Store *store) {
    ArrayStore *s = array_of(store);
    Table *tables[] = {&s->projects, &s->stacks, &s->requests, &s->keys, &s->events, &s->writes};
    for (size_t i = 0; i < COUNT_OF(tables); i++)
        free(tables[i]->rows);
    arena_deinit(&s->texts);
    free(s);
}

static const StoreVtable array_vtable = {
    .close = array_close,
    .begin = array_begin,
    .load = array_load,
    .save = array_save,
    .commit = array_commit,
    .sync = array_sync,
    .rollback = array_rollback,
    .read = array_read,
    .find_key = array_find_key,
    .find_project = array_find_project,
    .save_key_used = array_save_key_used,
    .counts = array_counts,
    .prune = array_prune,
    .backup_step = array_backup_step,
    .dump = array_dump,
    .put = array_put,
    .idle = array_idle,
    .reason = array_reason,
};

int array_store_open(Store **out) {
    ArrayStore *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->store.vtable = &array_vtable;
    arena_init(&s->texts);
    s->projects.row_size = sizeof(ProjectRow);
    s->stacks.row_size = sizeof(StackEntry);
    s->requests.row_size = sizeof(RequestEntry);
    s->keys.row_size = sizeof(KeyRow);
    s->events.row_size = sizeof(EventEntry);
    s->writes.row_size = sizeof(Write);
    *out = &s->store;
    return 0;
}
