/*
 * Each row is one piece of memory, texts behind it, and never changes: a new image replaces it in every order. So an
 * image is what a working set may borrow from, and replacing one cannot fail.
 *
 * The sort orders of the rules' queries are the TreapOrders below; the comparator in lease/choice.c goes by the same.
 */
#include "store/resident.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define CONST_CONTAINER(pointer, type, member)                                                                         \
    ((const type *)(const void *)((const char *)(pointer)-offsetof(type, member)))

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

/* ---- orders ---- */

#define ROW_OF(node, type, member) (&CONST_CONTAINER(node, type, member)->row)

static int compare_numbers(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

static int order_by_number(const TreapNode *a, const TreapNode *b) {
    return compare_numbers(ROW_OF(a, ResidentStack, by_number)->number, ROW_OF(b, ResidentStack, by_number)->number);
}

static int order_by_name(const TreapNode *a, const TreapNode *b) {
    return slice_compare(ROW_OF(a, ResidentStack, by_name)->name, ROW_OF(b, ResidentStack, by_name)->name);
}

static int compare_requested(const StackRow *a, const StackRow *b) {
    int compared = compare_numbers(a->requested, b->requested);
    return compared != 0 ? compared : compare_numbers(a->number, b->number);
}

static int order_on_branch(const TreapNode *a, const TreapNode *b) {
    const StackRow *x = ROW_OF(a, ResidentStack, free_on_branch), *y = ROW_OF(b, ResidentStack, free_on_branch);
    int compared = slice_compare(x->branch, y->branch);
    return compared != 0 ? compared : compare_requested(x, y);
}

static int order_at_commit(const TreapNode *a, const TreapNode *b) {
    const StackRow *x = ROW_OF(a, ResidentStack, free_at_commit), *y = ROW_OF(b, ResidentStack, free_at_commit);
    int compared = slice_compare(x->branch, y->branch);
    if (compared == 0)
        compared = slice_compare(x->last_commit, y->last_commit);
    return compared != 0 ? compared : compare_requested(x, y);
}

static int order_by_requested(const TreapNode *a, const TreapNode *b) {
    return compare_requested(ROW_OF(a, ResidentStack, by_age), ROW_OF(b, ResidentStack, by_age));
}

static int order_by_dirty_since(const TreapNode *a, const TreapNode *b) {
    const StackRow *x = ROW_OF(a, ResidentStack, by_age), *y = ROW_OF(b, ResidentStack, by_age);
    int compared = compare_numbers(x->dirty_since, y->dirty_since);
    return compared != 0 ? compared : compare_numbers(x->number, y->number);
}

static int order_by_ticket(const TreapNode *a, const TreapNode *b) {
    return compare_numbers(ROW_OF(a, ResidentRequest, by_ticket)->ticket,
                           ROW_OF(b, ResidentRequest, by_ticket)->ticket);
}

static int order_by_id(const TreapNode *a, const TreapNode *b) {
    return slice_compare(ROW_OF(a, ResidentRequest, by_id)->request_id, ROW_OF(b, ResidentRequest, by_id)->request_id);
}

static int order_in_queue(const TreapNode *a, const TreapNode *b) {
    return compare_numbers(ROW_OF(a, ResidentRequest, in_queue)->ticket, ROW_OF(b, ResidentRequest, in_queue)->ticket);
}

static int order_of_projects(const TreapNode *a, const TreapNode *b) {
    return slice_compare(CONST_CONTAINER(a, ResidentProject, by_name)->image->row.name,
                         CONST_CONTAINER(b, ResidentProject, by_name)->image->row.name);
}

static bool is_free(const StackRow *row) {
    return row->state == STACK_AVAILABLE && row->quiet_until_ms == 0;
}

static void enter_stack(ResidentProject *p, ResidentStack *s) {
    const StackRow *row = &s->row;
    treap_insert(&p->by_number, &s->by_number);
    treap_insert(&p->by_name_of_stack, &s->by_name);
    if (is_free(row)) {
        treap_insert(&p->free_on_branch, &s->free_on_branch);
        treap_insert(&p->free_oldest, &s->by_age);
        if (!row->is_content_unknown && !slice_is_absent(row->last_commit))
            treap_insert(&p->free_at_commit, &s->free_at_commit);
    } else if (row->state == STACK_DIRTY && row->quiet_until_ms == 0) {
        treap_insert(&p->dirty_oldest, &s->by_age);
    }
}

static void leave_stack(ResidentProject *p, ResidentStack *s) {
    treap_remove(&p->by_number, &s->by_number);
    treap_remove(&p->by_name_of_stack, &s->by_name);
    treap_remove(&p->free_on_branch, &s->free_on_branch);
    treap_remove(&p->free_at_commit, &s->free_at_commit);
    treap_remove(is_free(&s->row) ? &p->free_oldest : &p->dirty_oldest, &s->by_age);
}

static void enter_request(ResidentProject *p, ResidentRequest *r) {
    treap_insert(&p->by_ticket, &r->by_ticket);
    if (!slice_is_absent(r->row.request_id))
        treap_insert(&p->by_request_id, &r->by_id);
    if (r->row.state == REQUEST_QUEUED && r->row.is_heard)
        treap_insert(&p->queues[r->row.purpose], &r->in_queue);
}

static void leave_request(ResidentProject *p, ResidentRequest *r) {
    treap_remove(&p->by_ticket, &r->by_ticket);
    treap_remove(&p->by_request_id, &r->by_id);
    treap_remove(&p->queues[r->row.purpose], &r->in_queue);
}

/* ---- images ---- */

static void move_text(char **to, Slice *text) {
    if (slice_is_absent(*text))
        return;
    if (text->len != 0)
        memcpy(*to, text->ptr, text->len);
    *text = (Slice){.ptr = *to, .len = text->len};
    *to += text->len + 1; /* an empty text has a place of its own too */
}

/* `count` texts of one row: memory for the row's struct and all of them. */
static void *image_new(size_t size, Slice *const *texts, size_t count) {
    for (size_t i = 0; i < count; i++)
        size += texts[i]->len + 1;
    return calloc(1, size);
}

static void move_texts(char *to, Slice *const *texts, size_t count) {
    for (size_t i = 0; i < count; i++)
        move_text(&to, texts[i]);
}

static ResidentStack *stack_image(ResidentProject *project, const StackRow *row) {
    StackRow r = *row;
    Slice *const texts[] = {&r.name, &r.branch, &r.last_commit, &r.url, &r.note, &r.before.branch, &r.holder_json};
    ResidentStack *image = image_new(sizeof *image, texts, COUNT_OF(texts));
    if (image == NULL)
        return NULL;
    move_texts(image->texts, texts, COUNT_OF(texts));
    image->project = project;
    image->row = r;
    return image;
}

static ResidentRequest *request_image(ResidentProject *project, const RequestRow *row) {
    RequestRow r = *row;
    Slice *const texts[] = {&r.request_id, &r.branch, &r.commit, &r.holder_json, &r.stack_name, &r.ended_by};
    ResidentRequest *image = image_new(sizeof *image, texts, COUNT_OF(texts));
    if (image == NULL)
        return NULL;
    move_texts(image->texts, texts, COUNT_OF(texts));
    image->project = project;
    image->row = r;
    return image;
}

static ResidentImage *project_image(ResidentProject *project, const ProjectRow *row) {
    ProjectRow r = *row;
    Slice *const texts[] = {&r.name, &r.prefix, &r.initial_commit};
    ResidentImage *image = image_new(sizeof *image, texts, COUNT_OF(texts));
    if (image == NULL)
        return NULL;
    move_texts(image->texts, texts, COUNT_OF(texts));
    image->project = project;
    image->row = r;
    return image;
}

/* ---- life ---- */

void resident_init(Resident *r) {
    *r = (Resident){.projects = treap_of(order_of_projects)};
    ResidentLink *const lists[] = {&r->used,           &r->staged_projects, &r->staged_images,
                                   &r->staged_stacks,  &r->staged_requests, &r->staged_events,
                                   &r->dirty_images,   &r->dirty_stacks,    &r->gone_stacks,
                                   &r->dirty_requests, &r->dirty_events,    &r->replaced};
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        list_init(lists[i]);
}

void resident_deinit(Resident *r) {
    ResidentLink *link;
    resident_discard(r);
    list_free(&r->replaced);
    list_free(&r->gone_stacks);
    list_free(&r->dirty_events);
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
    *p = (ResidentProject){.id = id,
                           .by_number = treap_of(order_by_number),
                           .by_name_of_stack = treap_of(order_by_name),
                           .free_on_branch = treap_of(order_on_branch),
                           .free_at_commit = treap_of(order_at_commit),
                           .free_oldest = treap_of(order_by_requested),
                           .dirty_oldest = treap_of(order_by_dirty_since),
                           .by_ticket = treap_of(order_by_ticket),
                           .by_request_id = treap_of(order_by_id),
                           .queues = {treap_of(order_in_queue), treap_of(order_in_queue)}};
    p->image = project_image(p, row);
    if (p->image == NULL) {
        free(p);
        return NULL;
    }
    return p;
}

int resident_fill_stack(Resident *r, ResidentProject *p, const StackRow *row) {
    ResidentStack *image = stack_image(p, row);
    if (image == NULL)
        return -ENOMEM;
    enter_stack(p, image);
    r->row_count++;
    return 0;
}

int resident_fill_request(Resident *r, ResidentProject *p, const RequestRow *row) {
    ResidentRequest *image = request_image(p, row);
    if (image == NULL)
        return -ENOMEM;
    image->is_stored = true;
    enter_request(p, image);
    r->row_count++;
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
        leave_stack(p, stack);
        list_take(&stack->link);
        free(stack);
        r->row_count--;
    }
    while ((node = p->by_ticket.root) != NULL) {
        ResidentRequest *request = CONTAINER(node, ResidentRequest, by_ticket);
        leave_request(p, request);
        list_take(&request->link);
        free(request);
        r->row_count--;
    }
    treap_remove(&r->projects, &p->by_name);
    list_take(&p->link);
    free(p->image);
    free(p);
    return NULL;
}

/* ---- looking ---- */

static const ResidentStack *stack_by_number(const ResidentProject *p, int64_t number) {
    ResidentStack probe = {.row = {.number = number}};
    const TreapNode *node = treap_find(&p->by_number, &probe.by_number);
    return node != NULL ? CONST_CONTAINER(node, ResidentStack, by_number) : NULL;
}

static const ResidentStack *stack_by_name(const ResidentProject *p, Slice name) {
    ResidentStack probe = {.row = {.name = name}};
    const TreapNode *node = treap_find(&p->by_name_of_stack, &probe.by_name);
    return node != NULL ? CONST_CONTAINER(node, ResidentStack, by_name) : NULL;
}

const ResidentRequest *resident_request(const ResidentProject *p, int64_t ticket) {
    ResidentRequest probe = {.row = {.ticket = ticket}};
    const TreapNode *node = treap_find(&p->by_ticket, &probe.by_ticket);
    return node != NULL ? CONST_CONTAINER(node, ResidentRequest, by_ticket) : NULL;
}

const ResidentRequest *resident_request_by_id(const ResidentProject *p, Slice request_id) {
    ResidentRequest probe = {.row = {.request_id = request_id}};
    const TreapNode *node = treap_find(&p->by_request_id, &probe.by_id);
    return node != NULL ? CONST_CONTAINER(node, ResidentRequest, by_id) : NULL;
}

static int put_one(WorkingSet *set, const ResidentStack *stack) {
    return stack != NULL ? working_set_put_stack(set, &stack->row) : 0;
}

static int put_highest(const ResidentProject *p, WorkingSet *set, RowWant *want) {
    uint32_t found = 0;
    int r = 0;
    for (const TreapNode *node = treap_last(&p->by_number); r == 0 && node != NULL && found < want->limit;
         node = treap_previous(node)) {
        const StackRow *row = ROW_OF(node, ResidentStack, by_number);
        if (row->state == STACK_RETIRING)
            continue;
        r = working_set_put_stack(set, row);
        found++;
        want->edge = found == want->limit ? row->number : 0;
    }
    return r;
}

static int put_on_branch(const ResidentProject *p, WorkingSet *set, RowWant *want) {
    ResidentStack probe = {.row = {.branch = want->text, .requested = INT64_MAX, .number = INT64_MAX}};
    uint32_t found = 0;
    int r = 0;
    for (const TreapNode *node = treap_up_to(&p->free_on_branch, &probe.free_on_branch);
         r == 0 && node != NULL && found < want->limit; node = treap_previous(node)) {
        const StackRow *row = ROW_OF(node, ResidentStack, free_on_branch);
        if (!slice_equal(row->branch, want->text))
            break;
        r = working_set_put_stack(set, row);
        found++;
        want->edge = found == want->limit ? row->requested : 0;
    }
    return r;
}

static int put_at_commit(const ResidentProject *p, WorkingSet *set, RowWant *want) {
    ResidentStack probe = {
        .row = {.branch = want->text, .last_commit = want->text2, .requested = INT64_MAX, .number = INT64_MAX}};
    uint32_t found = 0;
    int r = 0;
    for (const TreapNode *node = treap_up_to(&p->free_at_commit, &probe.free_at_commit);
         r == 0 && node != NULL && found < want->limit; node = treap_previous(node)) {
        const StackRow *row = ROW_OF(node, ResidentStack, free_at_commit);
        if (!slice_equal(row->branch, want->text) || !slice_equal(row->last_commit, want->text2))
            break;
        r = working_set_put_stack(set, row);
        found++;
        want->edge = found == want->limit ? row->requested : 0;
    }
    return r;
}

static int put_oldest(const Treap *order, WorkingSet *set, RowWant *want) {
    bool is_by_dirty = want->query == ROWS_DIRTY_OLDEST;
    uint32_t found = 0;
    int r = 0;
    for (const TreapNode *node = treap_first(order); r == 0 && node != NULL && found < want->limit;
         node = treap_next(node)) {
        const StackRow *row = ROW_OF(node, ResidentStack, by_age);
        r = working_set_put_stack(set, row);
        found++;
        want->edge = found < want->limit ? 0 : is_by_dirty ? row->dirty_since : row->requested;
    }
    return r;
}

static int put_queue(const Treap *queue, WorkingSet *set, RowWant *want) {
    uint32_t found = 0;
    int r = 0;
    for (const TreapNode *node = treap_first(queue); r == 0 && node != NULL && found < want->limit;
         node = treap_next(node)) {
        const RequestRow *row = ROW_OF(node, ResidentRequest, in_queue);
        r = working_set_put_request(set, row);
        found++;
        want->edge = found == want->limit ? row->ticket : 0;
    }
    return r;
}

/* Puts the numbers from *next on that are below `end`, as many as are still wanted. */
static int put_gap(WorkingSet *set, RowWant *want, int64_t *next, int64_t end, uint32_t *found) {
    int r = 0;
    for (; r == 0 && *next < end && *found < want->limit; (*next)++, (*found)++) {
        r = working_set_put_unused(set, *next);
        want->edge = *next;
    }
    return r;
}

/* The gaps between the numbers in use, from the first that may be one; then what comes behind the last. */
static int put_unused(const ResidentProject *p, WorkingSet *set, RowWant *want) {
    int64_t next = p->image->row.first_unused > 1 ? p->image->row.first_unused : 1;
    ResidentStack probe = {.row = {.number = next}};
    uint32_t found = 0;
    int r = 0;
    for (const TreapNode *node = treap_from(&p->by_number, &probe.by_number);
         r == 0 && node != NULL && found < want->limit; node = treap_next(node)) {
        int64_t used = ROW_OF(node, ResidentStack, by_number)->number;
        r = put_gap(set, want, &next, used, &found);
        next = used + 1;
    }
    return r != 0 ? r : put_gap(set, want, &next, INT64_MAX, &found);
}

int resident_load(const ResidentProject *p, WorkingSet *set, RowWant *want) {
    ResidentRequest before = {.row = {.ticket = want->number}};
    want->edge = 0;
    switch (want->query) {
    case ROWS_STACK_BY_NAME:
        return put_one(set, stack_by_name(p, want->text));
    case ROWS_STACK_BY_NUMBER:
        return put_one(set, stack_by_number(p, want->number));
    case ROWS_STACK_HIGHEST:
        return put_highest(p, set, want);
    case ROWS_FREE_ON_BRANCH:
        return put_on_branch(p, set, want);
    case ROWS_FREE_AT_COMMIT:
        return put_at_commit(p, set, want);
    case ROWS_FREE_OLDEST:
        return put_oldest(&p->free_oldest, set, want);
    case ROWS_DIRTY_OLDEST:
        return put_oldest(&p->dirty_oldest, set, want);
    case ROWS_QUEUE:
        return put_queue(&p->queues[want->purpose], set, want);
    case ROWS_QUEUED_BEFORE:
        want->count = (int64_t)treap_rank(&p->queues[want->purpose], &before.in_queue);
        return 0;
    case ROWS_NUMBERS_UNUSED:
        return put_unused(p, set, want);
    case ROWS_PROJECT:
    case ROWS_REQUEST_BY_ID:
    case ROWS_REQUEST_BY_TICKET:
    case ROWS_KEY_BY_ID:
    case ROWS_KEYS:
        break;
    }
    return 0;
}

int resident_each_stack(const ResidentProject *p, int64_t after, int64_t limit,
                        int (*each)(void *arg, const StackRow *row), void *arg) {
    ResidentStack probe = {.row = {.number = after < INT64_MAX ? after + 1 : after}};
    int64_t left = limit > 0 ? limit : INT64_MAX;
    int r = 0;
    for (const TreapNode *node = treap_from(&p->by_number, &probe.by_number); r == 0 && node != NULL && left > 0;
         node = treap_next(node), left--)
        r = each(arg, ROW_OF(node, ResidentStack, by_number));
    return r;
}

int resident_each_queued(const ResidentProject *p, int64_t after, int64_t limit,
                         int (*each)(void *arg, const RequestRow *row), void *arg) {
    ResidentRequest probe = {.row = {.ticket = after < INT64_MAX ? after + 1 : after}};
    int64_t left = limit > 0 ? limit : INT64_MAX;
    int r = 0;
    for (const TreapNode *node = treap_from(&p->by_ticket, &probe.by_ticket); r == 0 && node != NULL && left > 0;
         node = treap_next(node)) {
        const RequestRow *row = ROW_OF(node, ResidentRequest, by_ticket);
        if (row->state != REQUEST_QUEUED)
            continue;
        r = each(arg, row);
        left--;
    }
    return r;
}

/* ---- staging ---- */

static int stage_stack(Resident *r, ResidentProject *p, const StackSlot *slot) {
    const ResidentStack *now = stack_by_number(p, slot->row.number);
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

int resident_stage_event(Resident *r, ResidentProject *p, Slice bytes) {
    ResidentEvent *event = malloc(sizeof *event + bytes.len);
    if (event == NULL)
        return -ENOMEM;
    *event = (ResidentEvent){.project = p, .bytes = {.ptr = event->memory, .len = bytes.len}};
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
    ResidentStack *now = (ResidentStack *)stack_by_number(p, image->row.number);
    if (now != NULL) {
        leave_stack(p, now);
        leave_dirty(r, &now->link);
        r->row_count--;
    }
    enter_dirty(r, image->is_gone ? &r->gone_stacks : &r->dirty_stacks, &image->link);
    if (!image->is_gone) {
        enter_stack(p, image);
        r->row_count++;
    }
}

static void publish_request(Resident *r, ResidentRequest *image) {
    ResidentProject *p = image->project;
    ResidentRequest *now = (ResidentRequest *)resident_request(p, image->row.ticket);
    if (now != NULL) {
        leave_request(p, now);
        leave_dirty(r, &now->link);
        r->row_count--;
    }
    enter_request(p, image);
    enter_dirty(r, &r->dirty_requests, &image->link);
    r->row_count++;
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
        enter_dirty(r, &r->dirty_events, link);
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

void resident_flushed(Resident *r) {
    ResidentLink *link;
    while ((link = list_pop(&r->dirty_images)) != NULL || (link = list_pop(&r->dirty_stacks)) != NULL)
        continue; /* stays, clean */
    while ((link = list_pop(&r->gone_stacks)) != NULL || (link = list_pop(&r->dirty_events)) != NULL)
        list_append(&r->replaced, link);
    while ((link = list_pop(&r->dirty_requests)) != NULL) {
        ResidentRequest *request = (ResidentRequest *)link;
        request->is_stored = true;
        if (request->row.state != REQUEST_OVER)
            continue;
        leave_request(request->project, request);
        list_append(&r->replaced, link);
        r->row_count--;
    }
    r->dirty_count = 0;
}

void resident_evict(Resident *r, size_t rows) {
    assert(r->dirty_count == 0);
    while (r->row_count > rows && !list_is_empty(&r->used))
        (void)resident_project_free(r, (ResidentProject *)r->used.next);
}
