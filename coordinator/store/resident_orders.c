/*
 * The sort orders of the rules' queries, and what is found in them. The comparator in lease/choice.c goes by the same.
 */
#include "store/resident_orders.h"

#define CONST_CONTAINER(pointer, type, member)                                                                         \
    ((const type *)(const void *)((const char *)(pointer)-offsetof(type, member)))

/* ---- orders ---- */

#define ROW_OF(node, type, member) (&CONST_CONTAINER(node, type, member)->row)

static int compare_numbers(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

static int order_by_number(const TreapNode *a, const TreapNode *b) {
    return compare_numbers(ROW_OF(a, ResidentStack, by_number)->number, ROW_OF(b, ResidentStack, by_number)->number);
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

void resident_enter_stack(ResidentProject *p, ResidentStack *s) {
    const StackRow *row = &s->row;
    treap_insert(&p->by_number, &s->by_number);
    if (is_free(row)) {
        treap_insert(&p->free_on_branch, &s->free_on_branch);
        treap_insert(&p->free_oldest, &s->by_age);
        if (!row->is_content_unknown && !slice_is_absent(row->last_commit))
            treap_insert(&p->free_at_commit, &s->free_at_commit);
    } else if (row->state == STACK_DIRTY && !is_quiet(row)) {
        treap_insert(&p->dirty_oldest, &s->by_age);
    }
}

void resident_leave_stack(ResidentProject *p, ResidentStack *s) {
    treap_remove(&p->by_number, &s->by_number);
    treap_remove(&p->free_on_branch, &s->free_on_branch);
    treap_remove(&p->free_at_commit, &s->free_at_commit);
    treap_remove(is_free(&s->row) ? &p->free_oldest : &p->dirty_oldest, &s->by_age);
}

void resident_enter_request(ResidentProject *p, ResidentRequest *r) {
    treap_insert(&p->by_ticket, &r->by_ticket);
    if (!slice_is_absent(r->row.request_id))
        treap_insert(&p->by_request_id, &r->by_id);
    if (is_waiting(&r->row))
        treap_insert(&p->queues[r->row.purpose], &r->in_queue);
}

void resident_leave_request(ResidentProject *p, ResidentRequest *r) {
    treap_remove(&p->by_ticket, &r->by_ticket);
    treap_remove(&p->by_request_id, &r->by_id);
    treap_remove(&p->queues[r->row.purpose], &r->in_queue);
}

void resident_init_orders(ResidentProject *p) {
    p->by_number = treap_of(order_by_number);
    p->free_on_branch = treap_of(order_on_branch);
    p->free_at_commit = treap_of(order_at_commit);
    p->free_oldest = treap_of(order_by_requested);
    p->dirty_oldest = treap_of(order_by_dirty_since);
    p->by_ticket = treap_of(order_by_ticket);
    p->by_request_id = treap_of(order_by_id);
    p->queues[0] = treap_of(order_in_queue);
    p->queues[1] = treap_of(order_in_queue);
}

/* ---- looking ---- */

const ResidentStack *resident_stack(const ResidentProject *p, int64_t number) {
    ResidentStack probe = {.row = {.number = number}};
    const TreapNode *node = treap_find(&p->by_number, &probe.by_number);
    return node != NULL ? CONST_CONTAINER(node, ResidentStack, by_number) : NULL;
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

/* How the stacks of a want lie in one of the orders: from a place on, one way, as long as they belong to it. */
typedef struct StackOrder {
    size_t node; /* the order's node in ResidentStack */
    bool is_backwards;
    bool (*belongs)(const StackRow *row, const RowWant *want); /* false: nor does any behind it. NULL: all do */
    bool (*is_passed_over)(const StackRow *row);               /* NULL: none is */
    int64_t (*edge)(const StackRow *row);
} StackOrder;

static bool is_on_branch(const StackRow *row, const RowWant *want) {
    return slice_equal(row->branch, want->text);
}

static bool is_at_commit(const StackRow *row, const RowWant *want) {
    return is_on_branch(row, want) && slice_equal(row->last_commit, want->text2);
}

static bool is_retiring(const StackRow *row) {
    return row->state == STACK_RETIRING;
}

static int64_t number_of(const StackRow *row) {
    return row->number;
}

static int64_t requested_of(const StackRow *row) {
    return row->requested;
}

static int64_t dirty_since_of(const StackRow *row) {
    return row->dirty_since;
}

static const StackOrder orders[] = {
    [ROWS_STACK_HIGHEST] = {.node = offsetof(ResidentStack, by_number),
                            .is_backwards = true,
                            .is_passed_over = is_retiring,
                            .edge = number_of},
    [ROWS_FREE_ON_BRANCH] = {.node = offsetof(ResidentStack, free_on_branch),
                             .is_backwards = true,
                             .belongs = is_on_branch,
                             .edge = requested_of},
    [ROWS_FREE_AT_COMMIT] = {.node = offsetof(ResidentStack, free_at_commit),
                             .is_backwards = true,
                             .belongs = is_at_commit,
                             .edge = requested_of},
    [ROWS_FREE_OLDEST] = {.node = offsetof(ResidentStack, by_age), .edge = requested_of},
    [ROWS_DIRTY_OLDEST] = {.node = offsetof(ResidentStack, by_age), .edge = dirty_since_of},
};

/* Puts the stacks from `node` on that are wanted, and the edge of the last one if there may be more. */
static int put_stacks(WorkingSet *set, RowWant *want, const TreapNode *node) {
    const StackOrder *order = &orders[want->query];
    uint32_t found = 0;
    int r = 0;
    for (; r == 0 && node != NULL && found < want->limit;
         node = order->is_backwards ? treap_previous(node) : treap_next(node)) {
        const StackRow *row = &((const ResidentStack *)(const void *)((const char *)node - order->node))->row;
        if (order->belongs != NULL && !order->belongs(row, want))
            break;
        if (order->is_passed_over != NULL && order->is_passed_over(row))
            continue;
        r = working_set_put_stack(set, row);
        want->edge = ++found == want->limit ? order->edge(row) : 0;
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
    const ResidentRequest before = {.row = {.ticket = want->number}};
    const ResidentStack last = {
        .row = {.branch = want->text, .last_commit = want->text2, .requested = INT64_MAX, .number = INT64_MAX}};
    want->edge = 0;
    switch (want->query) {
    case ROWS_STACK_BY_NUMBER:
        return put_one(set, resident_stack(p, want->number));
    case ROWS_STACK_HIGHEST:
        return put_stacks(set, want, treap_last(&p->by_number));
    case ROWS_FREE_ON_BRANCH:
        return put_stacks(set, want, treap_up_to(&p->free_on_branch, &last.free_on_branch));
    case ROWS_FREE_AT_COMMIT:
        return put_stacks(set, want, treap_up_to(&p->free_at_commit, &last.free_at_commit));
    case ROWS_FREE_OLDEST:
        return put_stacks(set, want, treap_first(&p->free_oldest));
    case ROWS_DIRTY_OLDEST:
        return put_stacks(set, want, treap_first(&p->dirty_oldest));
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
