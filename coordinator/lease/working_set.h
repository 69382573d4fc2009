/*
 * The part of one project that one batch works on. The store fills it and saves what changed; lease/ alone changes it
 * and sees its own writes: what one operation frees the next may get. Neither side knows the other's job.
 *
 * Sufficiency: k requests of a batch take at most k free rows, and a stack is only ever taken from the top of one of the
 * store's orders; so the first k of each order, together with the rows the batch itself changed, always hold the right
 * answer. (A row of branch B taken as "oldest" by another branch means every older free row is gone too, so what is
 * left of B lies within B's own first b.) Deletes and quarantines take rows from anywhere: each want remembers how far
 * down its order was seen (`edge`), and what would lie past it is asked for, never guessed.
 */
#pragma once

#include "base/arena.h"
#include "lease/rows.h"

/* Closed; each is one index seek, O(log n + limit). */
typedef enum RowQuery {
    ROWS_PROJECT,           /* the project's own row; implied by every set */
    ROWS_STACK_BY_NUMBER,   /* number; of a name: stack_number_of */
    ROWS_STACK_HIGHEST,     /* not retiring, highest number first */
    ROWS_FREE_ON_BRANCH,    /* text: branch. Available, not quiet; last requested first */
    ROWS_FREE_AT_COMMIT,    /* text: branch, text2: commit. Likewise, with that last_commit and known content */
    ROWS_FREE_OLDEST,       /* available, not quiet; oldest requested first */
    ROWS_DIRTY_OLDEST,      /* dirty, not quiet; dirty longest (lowest dirty_since) first */
    ROWS_QUEUE,             /* purpose. Queued and heard of; lowest ticket first */
    ROWS_QUEUED_BEFORE,     /* purpose, number: ticket. No rows: `count` of those of ROWS_QUEUE with a lower ticket */
    ROWS_NUMBERS_UNUSED,    /* the lowest unused numbers ≥ project.first_unused: set->unused_numbers */
    ROWS_REQUEST_BY_ID,     /* text: requestId */
    ROWS_REQUEST_BY_TICKET, /* number */
    ROWS_KEY_BY_ID,         /* text: key id; over all projects */
    ROWS_KEYS,              /* all of the project's keys; limit is UINT32_MAX */
} RowQuery;

typedef struct RowWant {
    RowQuery query;
    Slice text, text2;
    int64_t number;
    int purpose;
    uint32_t limit; /* rows to load, in the query's order */
    /* Set by the store. */
    bool is_loaded; /* of every want, also when the project is missing */
    int64_t
        edge; /* orders that found `limit` rows: what the order goes by of the last one (requested, number, dirty_since,
                     * ticket; the last unused number); 0: the order has no further row */
    int64_t count; /* of ROWS_QUEUED_BEFORE, as the store has it: what the batch changed is not in it */
} RowWant;

typedef enum RowChange {
    ROW_CLEAN,
    ROW_NEW,
    ROW_CHANGED,
    ROW_DELETED,
    ROW_VOID, /* made and deleted by this batch */
} RowChange;

/* A row and its state: `loaded` is the image the store's guard compares with (state, generation). A number deleted and
 * made again by one batch is ROW_CHANGED: every column may differ from the image loaded. */
typedef struct StackSlot {
    StackRow row;
    StackState loaded_state;
    int64_t loaded_generation, loaded_renewals;
    bool is_granted; /* a lease began in this batch, whether it still lives or not */
    bool is_guarded; /* saved only if nobody renewed the lease since it was loaded */
    RowChange change;
} StackSlot;
typedef struct RequestSlot {
    RequestRow row;
    bool was_waiting; /* as loaded: queued and heard of */
    RowChange change;
} RequestSlot;
typedef struct KeySlot {
    KeyRow row;
    RowChange change;
} KeySlot;

/* Finds slots by the hash of a key: open addressing, at most half full. The caller compares the key itself. */
typedef struct RowIndex {
    struct RowIndexEntry *entries;
    size_t count, capacity;
} RowIndex;

typedef struct WorkingSet {
    Arena *arena; /* borrowed: all texts of the set live there */
    Slice project_name;
    bool is_project_loaded, is_project_missing;
    bool are_all_leased; /* when it was loaded: whatever else may be free is a row the batch itself changed */
    RowChange project_change;
    ProjectRow project;

    RowWant *wants; /* the store loads those with !is_loaded */
    size_t want_count, want_capacity;
    /* Slots are arena-allocated one by one, so pointers to them stay valid while the arrays of pointers grow. */
    StackSlot **stacks;
    size_t stack_count, stack_capacity;
    RequestSlot **requests;
    size_t request_count, request_capacity;
    KeySlot **keys;
    size_t key_count, key_capacity;
    int64_t *unused_numbers; /* ascending, those the batch took or freed taken off or put in */
    size_t unused_count, unused_capacity;
    EventRow *events; /* appended by the batch, ids given */
    size_t event_count, event_capacity;

    bool is_queue_due[2]; /* by Purpose: capacity may have come; lease_serve has to look before anything else happens */
    int64_t *granted;     /* tickets that lease_serve served in this batch */
    size_t granted_count, granted_capacity;

    RowIndex wants_by_key, stacks_by_number, requests_by_ticket, requests_by_id, keys_by_id;
} WorkingSet;

/* The set is all arena memory: nothing to free. */
int working_set_init(WorkingSet *set, Arena *arena, Slice project_name) MUST_USE;

/* Adds a want; an equal one that is not loaded yet grows by its limit (k commands wanting the first row of one order want
 * its first k), a loaded one stands. 0 | -ENOMEM. */
int working_set_want(WorkingSet *set, RowWant want) MUST_USE;
/* Reopens every loaded order that has an edge, by as many rows as the commands of one batch can take from it at most, and as it
 * has loaded already: a queue may be served with more. */
void working_set_want_past_edges(WorkingSet *set);
/* Reopens them as they are: those who wanted them want them again, and others with them. */
void working_set_want_again(WorkingSet *set);
/* The loaded want of the same query and key; NULL: never asked for, or still to be loaded. */
const RowWant *working_set_loaded(const WorkingSet *set, RowWant key);
/* Whether store_load would load anything. */
bool working_set_needs_load(const WorkingSet *set);

/* For the store: hands over a loaded row (texts already in the arena). The project's comes once, with the first load. Of the
 * others one that is in the set already, even deleted, is ignored: the set's image is newer. 0 | -ENOMEM. */
void working_set_put_project(WorkingSet *set, const ProjectRow *row);
int working_set_put_stack(WorkingSet *set, const StackRow *row) MUST_USE;
int working_set_put_request(WorkingSet *set, const RequestRow *row) MUST_USE;
int working_set_put_key(WorkingSet *set, const KeyRow *row) MUST_USE;
int working_set_put_unused(WorkingSet *set, int64_t number) MUST_USE;

/* For lease/: find; NULL when the set does not hold it (or it was deleted by the batch). */
StackSlot *working_set_stack(WorkingSet *set, int64_t number);
StackSlot *working_set_stack_named(WorkingSet *set, Slice name);
RequestSlot *working_set_request(WorkingSet *set, int64_t ticket);
RequestSlot *working_set_request_by_id(WorkingSet *set, Slice request_id);
KeySlot *working_set_key(WorkingSet *set, Slice id);
/* The lowest unused number; 0: none is loaded. */
int64_t working_set_unused(const WorkingSet *set);

/* For lease/: change. Each marks what the store has to save; a row's texts must live as long as the arena. */
/* Takes the row's number off the unused ones. */
int working_set_add_stack(WorkingSet *set, const StackRow *row, StackSlot **out) MUST_USE;
int working_set_add_request(WorkingSet *set, const RequestRow *row, RequestSlot **out) MUST_USE;
int working_set_add_key(WorkingSet *set, const KeyRow *row, KeySlot **out) MUST_USE;
int working_set_add_event(WorkingSet *set, const EventRow *row) MUST_USE; /* gives the id from the project's counter */
void stack_slot_changed(StackSlot *slot);
/* The number is unused again. 0 | -ENOMEM. */
int stack_slot_deleted(WorkingSet *set, StackSlot *slot) MUST_USE;
void request_slot_changed(RequestSlot *slot);
void key_slot_changed(KeySlot *slot);
void working_set_project_changed(WorkingSet *set);
/* Notes that the queue served this ticket. */
int working_set_add_granted(WorkingSet *set, int64_t ticket) MUST_USE;
/* Whether anything at all is to be saved. */
bool working_set_is_changed(const WorkingSet *set);
