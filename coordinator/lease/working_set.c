#include "lease/working_set.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"

/* ---- Growing arrays and the indexes over them ---- */

/* Room for one more item behind `count`: the array, perhaps moved; NULL when memory is short. What it leaves behind is the
 * arena's. */
static void *grown(Arena *arena, void *items, size_t count, size_t *capacity, size_t item_size) {
    if (count < *capacity)
        return items;
    size_t wider = *capacity != 0 ? *capacity * 2 : 32;
    void *moved = arena_alloc(arena, wider * item_size);
    if (moved == NULL)
        return NULL;
    if (count != 0)
        memcpy(moved, items, count * item_size);
    *capacity = wider;
    return moved;
}

struct RowIndexEntry {
    uint64_t hash;
    size_t place; /* in the indexed array, plus one; 0: empty */
};

#define PLACE_NONE SIZE_MAX

static uint64_t mix(uint64_t number) {
    number *= 0x9e3779b97f4a7c15u;
    return number ^ (number >> 32);
}

static void index_insert(RowIndex *index, uint64_t hash, size_t place) {
    size_t at = hash & (index->capacity - 1);
    while (index->entries[at].place != 0)
        at = (at + 1) & (index->capacity - 1);
    index->entries[at] = (struct RowIndexEntry){.hash = hash, .place = place + 1};
    index->count++;
}

static int index_add(RowIndex *index, Arena *arena, uint64_t hash, size_t place) {
    if ((index->count + 1) * 2 > index->capacity) {
        RowIndex wider = {.capacity = index->capacity != 0 ? index->capacity * 2 : 64};
        wider.entries = arena_alloc(arena, wider.capacity * sizeof(*wider.entries));
        if (wider.entries == NULL)
            return -ENOMEM;
        for (size_t i = 0; i < index->capacity; i++) {
            if (index->entries[i].place != 0)
                index_insert(&wider, index->entries[i].hash, index->entries[i].place - 1);
        }
        *index = wider;
    }
    index_insert(index, hash, place);
    return 0;
}

/* The places filed under `hash`, one a call, PLACE_NONE at the end. *at starts as PLACE_NONE. */
static size_t index_next(const RowIndex *index, uint64_t hash, size_t *at) {
    if (index->capacity == 0)
        return PLACE_NONE;
    *at = *at == PLACE_NONE ? hash & (index->capacity - 1) : (*at + 1) & (index->capacity - 1);
    for (; index->entries[*at].place != 0; *at = (*at + 1) & (index->capacity - 1)) {
        if (index->entries[*at].hash == hash)
            return index->entries[*at].place - 1;
    }
    return PLACE_NONE;
}

/* ---- Wants ---- */

int working_set_init(WorkingSet *set, Arena *arena, Slice project_name) {
    *set = (WorkingSet){.arena = arena};
    return arena_copy(arena, project_name, &set->project_name);
}

static uint64_t want_hash(RowWant want) {
    uint64_t hash = mix((uint64_t)want.number + (uint64_t)want.query + ((uint64_t)want.purpose << 32));
    if (!slice_is_absent(want.text))
        hash ^= slice_hash(want.text);
    if (!slice_is_absent(want.text2))
        hash ^= mix(slice_hash(want.text2));
    return hash;
}

static RowWant *find_want(const WorkingSet *set, RowWant key) {
    uint64_t hash = want_hash(key);
    size_t at = PLACE_NONE, place;
    while ((place = index_next(&set->wants_by_key, hash, &at)) != PLACE_NONE) {
        RowWant *want = &set->wants[place];
        if (want->query == key.query && want->number == key.number && want->purpose == key.purpose &&
            slice_equal(want->text, key.text) && slice_equal(want->text2, key.text2))
            return want;
    }
    return NULL;
}

int working_set_want(WorkingSet *set, RowWant want) {
    RowWant *equal = find_want(set, want);
    if (equal != NULL) {
        if (!equal->is_loaded)
            equal->limit += want.limit < UINT32_MAX - equal->limit ? want.limit : UINT32_MAX - equal->limit;
        return 0;
    }
    RowWant *wants = grown(set->arena, set->wants, set->want_count, &set->want_capacity, sizeof(*wants));
    if (wants == NULL)
        return -ENOMEM;
    set->wants = wants;
    /* The caller's texts may go before the set does. */
    int r = arena_copy(set->arena, want.text, &want.text);
    if (r == 0)
        r = arena_copy(set->arena, want.text2, &want.text2);
    if (r == 0)
        r = index_add(&set->wants_by_key, set->arena, want_hash(want), set->want_count);
    if (r < 0)
        return r;
    want.is_loaded = false;
    want.edge = 0;
    set->wants[set->want_count++] = want;
    return 0;
}

static void reopen(WorkingSet *set, bool is_for_more) {
    for (size_t i = 0; i < set->want_count; i++) {
        RowWant *want = &set->wants[i];
        if (want->is_loaded && want->edge != 0) {
            if (is_for_more)
                want->limit += want->limit > BATCH_MAX ? want->limit : BATCH_MAX;
            want->is_loaded = false;
            want->edge = 0;
        }
    }
}

void working_set_want_past_edges(WorkingSet *set) {
    reopen(set, true);
}

void working_set_want_again(WorkingSet *set) {
    reopen(set, false);
}

const RowWant *working_set_loaded(const WorkingSet *set, RowWant key) {
    const RowWant *want = find_want(set, key);
    return want != NULL && want->is_loaded ? want : NULL;
}

bool working_set_needs_load(const WorkingSet *set) {
    bool is_needed = !set->is_project_loaded && !set->is_project_missing;
    for (size_t i = 0; i < set->want_count && !is_needed; i++)
        is_needed = !set->wants[i].is_loaded;
    return is_needed;
}

/* ---- Stacks ---- */

static bool is_gone(const StackSlot *slot) {
    return slot->change == ROW_DELETED || slot->change == ROW_VOID;
}

static StackSlot *find_stack(const WorkingSet *set, int64_t number) {
    size_t at = PLACE_NONE, place;
    while ((place = index_next(&set->stacks_by_number, mix((uint64_t)number), &at)) != PLACE_NONE) {
        if (set->stacks[place]->row.number == number)
            return set->stacks[place];
    }
    return NULL;
}

StackSlot *working_set_stack(WorkingSet *set, int64_t number) {
    StackSlot *slot = find_stack(set, number);
    return slot != NULL && !is_gone(slot) ? slot : NULL;
}

StackSlot *working_set_stack_named(WorkingSet *set, Slice name) {
    StackSlot *slot = working_set_stack(set, stack_number_of(name));
    return slot != NULL && slice_equal(slot->row.name, name) ? slot : NULL;
}

static int append_stack(WorkingSet *set, const StackSlot *image, StackSlot **out) {
    StackSlot **stacks = grown(set->arena, set->stacks, set->stack_count, &set->stack_capacity, sizeof(StackSlot *));
    if (stacks == NULL)
        return -ENOMEM;
    set->stacks = stacks;
    StackSlot *slot = arena_alloc(set->arena, sizeof(*slot));
    if (slot == NULL)
        return -ENOMEM;
    *slot = *image;
    int r = index_add(&set->stacks_by_number, set->arena, mix((uint64_t)slot->row.number), set->stack_count);
    if (r < 0)
        return r;
    set->stacks[set->stack_count++] = slot;
    *out = slot;
    return 0;
}

void working_set_put_project(WorkingSet *set, const ProjectRow *row) {
    set->project = *row;
    set->is_project_loaded = true;
    set->are_all_leased = row->leased_count == row->stack_count;
}

int working_set_put_stack(WorkingSet *set, const StackRow *row) {
    if (find_stack(set, row->number) != NULL)
        return 0;
    StackSlot *slot;
    return append_stack(set,
                        &(StackSlot){
                            .row = *row,
                            .loaded_state = row->state,
                            .loaded_generation = row->generation,
                            .loaded_renewals = row->renewals,
                            .change = ROW_CLEAN,
                        },
                        &slot);
}

/* A number deleted by the batch comes back: its slot, and with it the image its row in the store still has. */
static void revive_stack(StackSlot *slot, const StackRow *row) {
    slot->row = *row;
    slot->change = slot->change == ROW_VOID ? ROW_NEW : ROW_CHANGED;
}

int working_set_add_stack(WorkingSet *set, const StackRow *row, StackSlot **out) {
    StackSlot *slot = find_stack(set, row->number);
    int r = 0;
    if (slot != NULL)
        revive_stack(slot, row);
    else
        r = append_stack(set, &(StackSlot){.row = *row, .loaded_state = STACK_GONE, .change = ROW_NEW}, &slot);
    if (r < 0)
        return r;
    for (size_t i = 0; i < set->unused_count; i++) {
        if (set->unused_numbers[i] == row->number) {
            set->unused_count--;
            memmove(&set->unused_numbers[i], &set->unused_numbers[i + 1],
                    (set->unused_count - i) * sizeof(set->unused_numbers[0]));
            break;
        }
    }
    *out = slot;
    return 0;
}

void stack_slot_changed(StackSlot *slot) {
    if (slot->change == ROW_CLEAN)
        slot->change = ROW_CHANGED;
}

int stack_slot_deleted(WorkingSet *set, StackSlot *slot) {
    slot->change = slot->change == ROW_NEW ? ROW_VOID : ROW_DELETED;
    return working_set_put_unused(set, slot->row.number);
}

int working_set_put_unused(WorkingSet *set, int64_t number) {
    if (working_set_stack(set, number) != NULL)
        return 0; /* taken by the batch since the store was asked */
    int64_t *numbers =
        grown(set->arena, set->unused_numbers, set->unused_count, &set->unused_capacity, sizeof(*numbers));
    if (numbers == NULL)
        return -ENOMEM;
    set->unused_numbers = numbers;
    size_t at = 0;
    for (size_t end = set->unused_count; at < end;) {
        size_t middle = at + (end - at) / 2;
        if (numbers[middle] < number)
            at = middle + 1;
        else
            end = middle;
    }
    if (at < set->unused_count && numbers[at] == number)
        return 0;
    memmove(&numbers[at + 1], &numbers[at], (set->unused_count - at) * sizeof(*numbers));
    numbers[at] = number;
    set->unused_count++;
    return 0;
}

int64_t working_set_unused(const WorkingSet *set) {
    return set->unused_count != 0 ? set->unused_numbers[0] : 0;
}

/* ---- Requests ---- */

RequestSlot *working_set_request(WorkingSet *set, int64_t ticket) {
    size_t at = PLACE_NONE, place;
    while ((place = index_next(&set->requests_by_ticket, mix((uint64_t)ticket), &at)) != PLACE_NONE) {
        if (set->requests[place]->row.ticket == ticket)
            return set->requests[place];
    }
    return NULL;
}

RequestSlot *working_set_request_by_id(WorkingSet *set, Slice request_id) {
    size_t at = PLACE_NONE, place;
    uint64_t hash = slice_hash(request_id);
    while ((place = index_next(&set->requests_by_id, hash, &at)) != PLACE_NONE) {
        if (slice_equal(set->requests[place]->row.request_id, request_id))
            return set->requests[place];
    }
    return NULL;
}

static int append_request(WorkingSet *set, const RequestSlot *image, RequestSlot **out) {
    RequestSlot **requests =
        grown(set->arena, set->requests, set->request_count, &set->request_capacity, sizeof(RequestSlot *));
    if (requests == NULL)
        return -ENOMEM;
    set->requests = requests;
    RequestSlot *slot = arena_alloc(set->arena, sizeof(*slot));
    if (slot == NULL)
        return -ENOMEM;
    *slot = *image;
    int r = index_add(&set->requests_by_ticket, set->arena, mix((uint64_t)slot->row.ticket), set->request_count);
    if (r == 0 && !slice_is_absent(slot->row.request_id))
        r = index_add(&set->requests_by_id, set->arena, slice_hash(slot->row.request_id), set->request_count);
    if (r < 0)
        return r;
    set->requests[set->request_count++] = slot;
    *out = slot;
    return 0;
}

int working_set_put_request(WorkingSet *set, const RequestRow *row) {
    if (working_set_request(set, row->ticket) != NULL)
        return 0;
    RequestSlot *slot;
    return append_request(set, &(RequestSlot){.row = *row, .was_waiting = is_waiting(row), .change = ROW_CLEAN}, &slot);
}

int working_set_add_request(WorkingSet *set, const RequestRow *row, RequestSlot **out) {
    return append_request(set, &(RequestSlot){.row = *row, .change = ROW_NEW}, out);
}

void request_slot_changed(RequestSlot *slot) {
    if (slot->change == ROW_CLEAN)
        slot->change = ROW_CHANGED;
}

int working_set_add_granted(WorkingSet *set, int64_t ticket) {
    int64_t *granted = grown(set->arena, set->granted, set->granted_count, &set->granted_capacity, sizeof(*granted));
    if (granted == NULL)
        return -ENOMEM;
    set->granted = granted;
    granted[set->granted_count++] = ticket;
    return 0;
}

/* ---- Keys ---- */

KeySlot *working_set_key(WorkingSet *set, Slice id) {
    size_t at = PLACE_NONE, place;
    uint64_t hash = slice_hash(id);
    while ((place = index_next(&set->keys_by_id, hash, &at)) != PLACE_NONE) {
        if (slice_equal(set->keys[place]->row.id, id))
            return set->keys[place];
    }
    return NULL;
}

static int append_key(WorkingSet *set, const KeySlot *image, KeySlot **out) {
    KeySlot **keys = grown(set->arena, set->keys, set->key_count, &set->key_capacity, sizeof(KeySlot *));
    if (keys == NULL)
        return -ENOMEM;
    set->keys = keys;
    KeySlot *slot = arena_alloc(set->arena, sizeof(*slot));
    if (slot == NULL)
        return -ENOMEM;
    *slot = *image;
    int r = index_add(&set->keys_by_id, set->arena, slice_hash(slot->row.id), set->key_count);
    if (r < 0)
        return r;
    set->keys[set->key_count++] = slot;
    *out = slot;
    return 0;
}

int working_set_put_key(WorkingSet *set, const KeyRow *row) {
    if (working_set_key(set, row->id) != NULL)
        return 0;
    KeySlot *slot;
    return append_key(set, &(KeySlot){.row = *row, .change = ROW_CLEAN}, &slot);
}

int working_set_add_key(WorkingSet *set, const KeyRow *row, KeySlot **out) {
    return append_key(set, &(KeySlot){.row = *row, .change = ROW_NEW}, out);
}

void key_slot_changed(KeySlot *slot) {
    if (slot->change == ROW_CLEAN)
        slot->change = ROW_CHANGED;
}

/* ---- History and the project's own row ---- */

int working_set_add_event(WorkingSet *set, const EventRow *row) {
    EventRow *events = grown(set->arena, set->events, set->event_count, &set->event_capacity, sizeof(*events));
    if (events == NULL)
        return -ENOMEM;
    set->events = events;
    EventRow *event = &set->events[set->event_count++];
    *event = *row;
    event->id = ++set->project.last_event;
    working_set_project_changed(set);
    return 0;
}

void working_set_project_changed(WorkingSet *set) {
    if (set->project_change == ROW_CLEAN)
        set->project_change = ROW_CHANGED;
}

bool working_set_is_changed(const WorkingSet *set) {
    bool is_changed = set->project_change != ROW_CLEAN || set->event_count != 0;
    for (size_t i = 0; i < set->stack_count && !is_changed; i++)
        is_changed = set->stacks[i]->change != ROW_CLEAN && set->stacks[i]->change != ROW_VOID;
    for (size_t i = 0; i < set->request_count && !is_changed; i++)
        is_changed = set->requests[i]->change != ROW_CLEAN;
    for (size_t i = 0; i < set->key_count && !is_changed; i++)
        is_changed = set->keys[i]->change != ROW_CLEAN;
    return is_changed;
}
