/*
 * Projects in memory: what the rules ask for, found without the engine, and what has changed since the engine's tables
 * were last brought up to date. A project is here as a whole, but for its keys, its history and the requests that are
 * over; those the engine has.
 *
 *     load, add ──► clean ──── staged, published ────► dirty ──── flushed ────► clean ──► evicted
 *
 * A change is staged while its transaction runs (that may fail) and published after the COMMIT (that may not), or
 * discarded. What a published change replaces lives on until resident_sweep, since working sets borrow its texts.
 */
#pragma once

#include "base/treap.h"
#include "lease/working_set.h"

typedef struct ResidentProject ResidentProject;

/* The head of everything that is staged, dirty, or replaced: one doubly linked list of each kind. */
typedef struct ResidentLink {
    struct ResidentLink *next, *previous;
} ResidentLink;

typedef struct ResidentStack {
    ResidentLink link; /* first */
    ResidentProject *project;
    TreapNode by_number, free_on_branch, free_at_commit, by_age;
    bool is_gone; /* it was deleted: in no order, dirty until the engine knows */
    StackRow row;
} ResidentStack;

typedef struct ResidentRequest {
    ResidentLink link; /* first */
    ResidentProject *project;
    TreapNode by_ticket, by_id, in_queue;
    bool is_stored; /* the engine's table has a row of it */
    RequestRow row;
} ResidentRequest;

/* What finds an event again. */
typedef struct EventMark {
    int64_t id, at_ms;
    uint64_t stack; /* slice_hash of its stack's name; 0: it is about none */
} EventMark;
EventMark event_mark(const EventRow *row);

typedef struct ResidentEvent {
    ResidentLink link; /* first */
    ResidentProject *project;
    EventMark mark;
    Slice bytes; /* as the engine keeps it */
    char memory[];
} ResidentEvent;

/* A project's own row, replaced as a whole. */
typedef struct ResidentImage {
    ResidentLink link; /* first */
    ResidentProject *project;
    ProjectRow row;
} ResidentImage;

struct ResidentProject {
    ResidentLink link; /* first; by last use, or staged */
    TreapNode by_name;
    int64_t id;       /* the engine's number for it */
    size_t row_count; /* its stacks and requests */
    ResidentImage *image;
    ResidentLink with_events, dirty_events; /* the project in the list of those that have any, and they */
    Treap by_number, free_on_branch, free_at_commit, free_oldest, dirty_oldest;
    Treap by_ticket, by_request_id, queues[2];
};

typedef struct Resident {
    Treap projects;
    ResidentLink used; /* projects, the longest unused first */
    ResidentLink staged_projects, staged_images, staged_stacks, staged_requests, staged_events;
    ResidentLink dirty_images, dirty_stacks, gone_stacks, dirty_requests, with_events;
    ResidentLink replaced;    /* of any kind: each is one piece of memory, and freed as such */
    size_t rows_max;          /* stacks and requests that may stay in memory, those of `largest` apart */
    size_t row_count;         /* that are */
    ResidentProject *largest; /* that has more than half of what may stay; NULL: none was seen to */
    size_t dirty_count;       /* rows the engine does not know yet, history included */
} Resident;

void resident_init(Resident *resident, size_t rows_max);
void resident_deinit(Resident *resident);

/* The project of that name, now the last used; NULL: it is not here. */
ResidentProject *resident_project(Resident *resident, Slice name);

/* ---- filling: rows the engine has ---- */

/* A project under construction; resident_project_add makes it visible, resident_project_free gives it up. Rows and
 * texts are copied. NULL, -ENOMEM: memory is short. */
ResidentProject *resident_project_new(int64_t id, const ProjectRow *row) MUST_USE;
int resident_fill_stack(Resident *resident, ResidentProject *project, const StackRow *row) MUST_USE;
int resident_fill_request(Resident *resident, ResidentProject *project, const RequestRow *row) MUST_USE;
void resident_project_add(Resident *resident, ResidentProject *project);
ResidentProject *resident_project_free(Resident *resident, ResidentProject *project);

/* ---- looking: one function for every query of a working set that is answered here ---- */

/* Puts the rows of the want into the set, and its edge or count; the texts stay the resident's. 0 | -ENOMEM. */
int resident_load(const ResidentProject *project, WorkingSet *set, RowWant *want) MUST_USE;
const ResidentRequest *resident_request(const ResidentProject *project, int64_t ticket);
const ResidentRequest *resident_request_by_id(const ResidentProject *project, Slice request_id);

/* For lists: hands over each row in order, from behind `after`, at most `limit` (0: all); a non-zero answer stops and is
 * returned. */
int resident_each_stack(const ResidentProject *project, int64_t after, int64_t limit,
                        int (*each)(void *arg, const StackRow *row), void *arg) MUST_USE;
/* Queued requests, by ticket. */
int resident_each_queued(const ResidentProject *project, int64_t after, int64_t limit,
                         int (*each)(void *arg, const RequestRow *row), void *arg) MUST_USE;

/* ---- changing ---- */

/* Stages what the set changed, keys and history apart. 0 | -ENOMEM | RESIDENT_CONFLICT: a row is not as it was loaded. */
#define RESIDENT_CONFLICT 1
int resident_stage(Resident *resident, ResidentProject *project, const WorkingSet *set) MUST_USE;
int resident_stage_event(Resident *resident, ResidentProject *project, EventMark mark, Slice bytes) MUST_USE;
/* The projects that have events the engine does not know; each has them in `dirty_events`, in order. NULL: the last. */
ResidentProject *resident_next_with_events(const Resident *resident, const ResidentProject *after);
/* A project that is new, its row inserted already: it becomes visible when it is published. */
void resident_stage_project(Resident *resident, ResidentProject *project);
void resident_publish(Resident *resident);
void resident_discard(Resident *resident);
/* Frees what was replaced: nobody borrows it any more. */
void resident_sweep(Resident *resident);
/* The engine's tables have everything. */
void resident_flushed(Resident *resident);
/* Whether more rows are in memory than may stay. */
bool resident_is_full(const Resident *resident);
/* Lets go of the projects longest unused until a quarter of that is free; call it when nothing is dirty. */
void resident_evict(Resident *resident);
/* … of all. */
void resident_forget(Resident *resident);
