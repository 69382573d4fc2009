/*
 * Each row is one piece of memory, texts behind it, and never changes: a new image replaces it in every order. So an
 * image is what a working set may borrow from, and replacing one cannot fail.
 */
#include "store/resident.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/resident_orders.h"

#define CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* ---- lists ---- */

static void list_init(ResidentLink *list) {
    list->next = list->previous = list;
}

static bool list_is_empty(const ResidentLink *list) {
    return list->next == list;
}

static void list_append(ResidentLink *list, ResidentLink *link) {
    link->previous = list->previous;
    link->next = list;
    list->previous->next = link;
    list->previous = link;
}

/* A link of zeroes is in no list. */
static void list_take(ResidentLink *link) {
    if (link->next == NULL)
        return;
    link->previous->next = link->next;
    link->next->previous = link->previous;
    *link = (ResidentLink){0};
}

static ResidentLink *list_pop(ResidentLink *list) {
    if (list_is_empty(list))
        return NULL;
    ResidentLink *first = list->next;
    list_take(first);
    return first;
}

static void list_free(ResidentLink *list) {
    ResidentLink *link;
    while ((link = list_pop(list)) != NULL)
        free(link); /* the first member */
}

/* ---- projects by name ---- */

static int order_of_projects(const TreapNode *a, const TreapNode *b) {
    return slice_compare(((const ResidentProject *)CONTAINER(a, ResidentProject, by_name))->image->row.name,
                         ((const ResidentProject *)CONTAINER(b, ResidentProject, by_name))->image->row.name);
}

/* ---- images ---- */

/* Zeroed memory for a row's struct with copies of its texts behind it, which the texts then borrow from. */
static void *image_new(size_t struct_size, Slice *const *texts, size_t count) {
    size_t size = struct_size;
    for (size_t i = 0; i < count; i++)
        size += texts[i]->len + 1; /* an empty text has a place of its own too */
    char *image = calloc(1, size), *to = image != NULL ? image + struct_size : NULL;
    for (size_t i = 0; image != NULL && i < count; i++) {
        if (slice_is_absent(*texts[i]))
            continue;
        memcpy(to, texts[i]->ptr, texts[i]->len);
        texts[i]->ptr = to;
        to += texts[i]->len + 1;
    }
    return image;
}

static ResidentStack *stack_image(ResidentProject *project, const StackRow *row) {
    StackRow r = *row;
    Slice *const texts[] = {&r.name, &r.branch, &r.last_commit, &r.url, &r.note, &r.before.branch, &r.holder_json};
    ResidentStack *image = image_new(sizeof *image, texts, COUNT_OF(texts));
    if (image != NULL)
        *image = (ResidentStack){.project = project, .row = r};
    return image;
}

static ResidentRequest *request_image(ResidentProject *project, const RequestRow *row) {
    RequestRow r = *row;
    Slice *const texts[] = {&r.request_id, &r.branch,   &r.commit,      &r.holder_json,
                            &r.stack_name, &r.ended_by, &r.ended_reason};
    ResidentRequest *image = image_new(sizeof *image, texts, COUNT_OF(texts));
    if (image != NULL)
        *image = (ResidentRequest){.project = project, .row = r};
    return image;
}

static ResidentImage *project_image(ResidentProject *project, const ProjectRow *row) {
    ProjectRow r = *row;
    Slice *const texts[] = {&r.name, &r.prefix, &r.initial_commit};
    ResidentImage *image = image_new(sizeof *image, texts, COUNT_OF(texts));
    if (image != NULL)
        *image = (ResidentImage){.project = project, .row = r};
    return image;
}

/* ---- life ---- */

void resident_init(Resident *r, size_t rows_max) {
    *r = (Resident){.projects = treap_of(order_of_projects), .rows_max = rows_max};
    ResidentLink *const lists[] = {&r->used,           &r->staged_projects, &r->staged_images,
                                   &r->staged_stacks,  &r->staged_requests, &r->staged_events,
                                   &r->dirty_images,   &r->dirty_stacks,    &r->gone_stacks,
                                   &r->dirty_requests, &r->with_events,     &r->replaced};
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        list_init(lists[i]);
}

void resident_deinit(Resident *r) {
    ResidentLink *link;
    resident_discard(r);
    list_free(&r->replaced);
    list_free(&r->gone_stacks);
    while ((link = list_pop(&r->used)) != NULL)
        (void)resident_project_free(r, (ResidentProject *)link);
}

static ResidentProject *use(Resident *r, ResidentProject *p) {
    list_take(&p->link);
    list_append(&r->used, &p->link);
    return p;
}

ResidentProject *resident_project(Resident *r, Slice name) {
    ResidentImage image = {.row = {.name = name}};
    ResidentProject probe = {.image = &image};
    TreapNode *node = treap_find(&r->projects, &probe.by_name);
    return node != NULL ? use(r, CONTAINER(node, ResidentProject, by_name)) : NULL;
}

ResidentProject *resident_project_new(int64_t id, const ProjectRow *row) {
    ResidentProject *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->id = id;
    list_init(&p->dirty_events);
    resident_init_orders(p);
    p->image = project_image(p, row);
    if (p->image == NULL) {
        free(p);
        return NULL;
    }
    return p;
}

static void count_rows(Resident *r, ResidentProject *p, int change) {
    r->row_count += (size_t)change;
    p->row_count += (size_t)change;
    bool is_large = change > 0 && p->row_count > r->rows_max / 2;
    if (is_large && (r->largest == NULL || p->row_count > r->largest->row_count))
        r->largest = p;
}

int resident_fill_stack(Resident *r, ResidentProject *p, const StackRow *row) {
    ResidentStack *image = stack_image(p, row);
    if (image == NULL)
        return -ENOMEM;
    resident_enter_stack(p, image);
    count_rows(r, p, 1);
    return 0;
}

int resident_fill_request(Resident *r, ResidentProject *p, const RequestRow *row) {
    ResidentRequest *image = request_image(p, row);
    if (image == NULL)
        return -ENOMEM;
    image->is_stored = true;
    resident_enter_request(p, image);
    count_rows(r, p, 1);
    return 0;
}

void resident_project_add(Resident *r, ResidentProject *p) {
    treap_insert(&r->projects, &p->by_name);
    (void)use(r, p);
}

ResidentProject *resident_project_free(Resident *r, ResidentProject *p) {
    TreapNode *node;
    if (p == NULL)
        return NULL;
    while ((node = p->by_number.root) != NULL) {
        ResidentStack *stack = CONTAINER(node, ResidentStack, by_number);
        resident_leave_stack(p, stack);
        list_take(&stack->link);
        free(stack);
        count_rows(r, p, -1);
    }
    while ((node = p->by_ticket.root) != NULL) {
        ResidentRequest *request = CONTAINER(node, ResidentRequest, by_ticket);
        resident_leave_request(p, request);
        list_take(&request->link);
        free(request);
        count_rows(r, p, -1);
    }
    if (r->largest == p)
        r->largest = NULL;
    treap_remove(&r->projects, &p->by_name);
    list_free(&p->dirty_events);
    list_take(&p->with_events);
    list_take(&p->link);
    free(p->image);
    free(p);
    return NULL;
}

/* ---- staging ---- */

static int stage_stack(Resident *r, ResidentProject *p, const StackSlot *slot) {
    const ResidentStack *now = resident_stack(p, slot->row.number);
    bool is_as_loaded = slot->change == ROW_NEW ? now == NULL
                                                : now != NULL && now->row.state == slot->loaded_state &&
                                                      now->row.generation == slot->loaded_generation;
    if (!is_as_loaded)
        return RESIDENT_CONFLICT;
    ResidentStack *image = stack_image(p, &slot->row);
    if (image == NULL)
        return -ENOMEM;
    image->is_gone = slot->change == ROW_DELETED;
    list_append(&r->staged_stacks, &image->link);
    return 0;
}

static int stage_stacks(Resident *r, ResidentProject *p, const WorkingSet *set) {
    int result = 0;
    for (size_t i = 0; result == 0 && i < set->stack_count; i++) {
        RowChange change = set->stacks[i]->change;
        if (change != ROW_CLEAN && change != ROW_VOID)
            result = stage_stack(r, p, set->stacks[i]);
    }
    return result;
}

static int stage_requests(Resident *r, ResidentProject *p, const WorkingSet *set) {
    for (size_t i = 0; i < set->request_count; i++) {
        const RequestSlot *slot = set->requests[i];
        if (slot->change == ROW_CLEAN)
            continue;
        const ResidentRequest *now = resident_request(p, slot->row.ticket);
        if (slot->change == ROW_NEW && (now != NULL || resident_request_by_id(p, slot->row.request_id) != NULL))
            return RESIDENT_CONFLICT;
        ResidentRequest *image = request_image(p, &slot->row);
        if (image == NULL)
            return -ENOMEM;
        image->is_stored = slot->change == ROW_CHANGED && (now == NULL || now->is_stored);
        list_append(&r->staged_requests, &image->link);
    }
    return 0;
}

EventMark event_mark(const EventRow *row) {
    return (EventMark){.id = row->id,
                       .at_ms = row->at_ms,
                       .stack = slice_is_absent(row->stack_name) ? 0 : slice_hash(row->stack_name)};
}

int resident_stage_event(Resident *r, ResidentProject *p, EventMark mark, Slice bytes) {
    ResidentEvent *event = malloc(sizeof *event + bytes.len);
    if (event == NULL)
        return -ENOMEM;
    *event = (ResidentEvent){.project = p, .mark = mark, .bytes = {.ptr = event->memory, .len = bytes.len}};
    memcpy(event->memory, bytes.ptr, bytes.len);
    list_append(&r->staged_events, &event->link);
    return 0;
}

int resident_stage(Resident *r, ResidentProject *p, const WorkingSet *set) {
    int result = stage_stacks(r, p, set);
    if (result == 0)
        result = stage_requests(r, p, set);
    if (result == 0 && set->project_change != ROW_CLEAN) {
        ResidentImage *image = project_image(p, &set->project);
        if (image == NULL)
            return -ENOMEM;
        list_append(&r->staged_images, &image->link);
    }
    return result;
}

void resident_stage_project(Resident *r, ResidentProject *p) {
    list_append(&r->staged_projects, &p->link);
}

/* ---- publishing ---- */

static void replace(Resident *r, ResidentLink *link) {
    list_take(link);
    list_append(&r->replaced, link);
}

/* `link` has an image that takes its place; what has not reached the engine of it need not any more. */
static void leave_dirty(Resident *r, ResidentLink *link) {
    r->dirty_count -= link->next != NULL;
    replace(r, link);
}

static void enter_dirty(Resident *r, ResidentLink *list, ResidentLink *link) {
    list_append(list, link);
    r->dirty_count++;
}

static void publish_image(Resident *r, ResidentImage *image) {
    ResidentProject *p = image->project;
    leave_dirty(r, &p->image->link);
    p->image = image;
    enter_dirty(r, &r->dirty_images, &image->link);
}

static void publish_stack(Resident *r, ResidentStack *image) {
    ResidentProject *p = image->project;
    ResidentStack *now = (ResidentStack *)resident_stack(p, image->row.number);
    if (now != NULL) {
        resident_leave_stack(p, now);
        leave_dirty(r, &now->link);
        count_rows(r, p, -1);
    }
    enter_dirty(r, image->is_gone ? &r->gone_stacks : &r->dirty_stacks, &image->link);
    if (!image->is_gone) {
        resident_enter_stack(p, image);
        count_rows(r, p, 1);
    }
}

static void publish_request(Resident *r, ResidentRequest *image) {
    ResidentProject *p = image->project;
    ResidentRequest *now = (ResidentRequest *)resident_request(p, image->row.ticket);
    if (now != NULL) {
        resident_leave_request(p, now);
        leave_dirty(r, &now->link);
        count_rows(r, p, -1);
    }
    resident_enter_request(p, image);
    enter_dirty(r, &r->dirty_requests, &image->link);
    count_rows(r, p, 1);
}

/* What was deleted first: its name may be another's now. */
static void publish_stacks(Resident *r) {
    ResidentLink *link, others;
    list_init(&others);
    while ((link = list_pop(&r->staged_stacks)) != NULL) {
        if (((ResidentStack *)link)->is_gone)
            publish_stack(r, (ResidentStack *)link);
        else
            list_append(&others, link);
    }
    while ((link = list_pop(&others)) != NULL)
        publish_stack(r, (ResidentStack *)link);
}

static void publish_event(Resident *r, ResidentEvent *event) {
    ResidentProject *p = event->project;
    if (list_is_empty(&p->dirty_events))
        list_append(&r->with_events, &p->with_events);
    enter_dirty(r, &p->dirty_events, &event->link);
}

void resident_publish(Resident *r) {
    ResidentLink *link;
    while ((link = list_pop(&r->staged_projects)) != NULL)
        resident_project_add(r, (ResidentProject *)link);
    while ((link = list_pop(&r->staged_images)) != NULL)
        publish_image(r, (ResidentImage *)link);
    publish_stacks(r);
    while ((link = list_pop(&r->staged_requests)) != NULL)
        publish_request(r, (ResidentRequest *)link);
    while ((link = list_pop(&r->staged_events)) != NULL)
        publish_event(r, (ResidentEvent *)link);
}

void resident_discard(Resident *r) {
    ResidentLink *link;
    list_free(&r->staged_images);
    list_free(&r->staged_stacks);
    list_free(&r->staged_requests);
    list_free(&r->staged_events);
    while ((link = list_pop(&r->staged_projects)) != NULL)
        (void)resident_project_free(r, (ResidentProject *)link);
}

void resident_sweep(Resident *r) {
    list_free(&r->replaced);
}

/* ---- what the engine knows ---- */

ResidentProject *resident_next_with_events(const Resident *r, const ResidentProject *after) {
    const ResidentLink *next = after != NULL ? after->with_events.next : r->with_events.next;
    return next != &r->with_events ? CONTAINER(next, ResidentProject, with_events) : NULL;
}

static void forget_events(Resident *r, ResidentProject *p) {
    ResidentLink *link;
    while ((link = list_pop(&p->dirty_events)) != NULL)
        list_append(&r->replaced, link);
    list_take(&p->with_events);
}

void resident_flushed(Resident *r) {
    ResidentLink *link;
    while ((link = list_pop(&r->dirty_images)) != NULL || (link = list_pop(&r->dirty_stacks)) != NULL)
        continue; /* stays, clean */
    while ((link = list_pop(&r->gone_stacks)) != NULL)
        list_append(&r->replaced, link);
    for (ResidentProject *p; (p = resident_next_with_events(r, NULL)) != NULL;)
        forget_events(r, p);
    while ((link = list_pop(&r->dirty_requests)) != NULL) {
        ResidentRequest *request = (ResidentRequest *)link;
        request->is_stored = true;
        if (request->row.state != REQUEST_OVER)
            continue;
        resident_leave_request(request->project, request);
        list_append(&r->replaced, link);
        count_rows(r, request->project, -1);
    }
    r->dirty_count = 0;
}

/* Without those of the largest project: loading it anew for each transaction would stop all others. */
static size_t evictable(const Resident *r) {
    return r->row_count - (r->largest != NULL ? r->largest->row_count : 0);
}

bool resident_is_full(const Resident *r) {
    return evictable(r) > r->rows_max;
}

void resident_evict(Resident *r) {
    assert(r->dirty_count == 0);
    ResidentLink *link = r->used.next;
    while (evictable(r) > r->rows_max / 4 * 3 && link != &r->used) {
        ResidentProject *p = (ResidentProject *)link;
        link = link->next;
        if (p != r->largest)
            (void)resident_project_free(r, p);
    }
}

void resident_forget(Resident *r) {
    assert(r->dirty_count == 0);
    while (!list_is_empty(&r->used))
        (void)resident_project_free(r, (ResidentProject *)r->used.next);
}
