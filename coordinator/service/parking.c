#include "service/parking.h"

#include <assert.h>
#include <stddef.h>

#include "base/clock.h"

static size_t id_bucket(uint64_t id) {
    return id % PARKING_BUCKETS;
}

static size_t ticket_bucket(Slice project, int64_t ticket) {
    return (slice_hash(project) + (uint64_t)ticket) % PARKING_BUCKETS;
}

static Work *work_of_timer(HeapItem *timer) {
    return (Work *)(void *)((char *)timer - offsetof(Work, parked.timer));
}

int parking_add(Parking *p, Work *w, int64_t ticket, int64_t until_ms) {
    assert(w->parked.timer.place == 0);
    int r = heap_reserve(&p->heap, 1);
    if (r < 0)
        return r;
    heap_put(&p->heap, &w->parked.timer, until_ms);
    w->parked.ticket = ticket;
    Work **by_id = &p->by_id[id_bucket(w->shown.id)];
    w->parked.next_by_id = *by_id;
    *by_id = w;
    Work **by_ticket = &p->by_ticket[ticket_bucket(w->command.project, ticket)];
    w->parked.next_by_ticket = *by_ticket;
    *by_ticket = w;
    return 0;
}

void parking_remove(Parking *p, Work *w) {
    heap_remove(&p->heap, &w->parked.timer);
    Work **link = &p->by_id[id_bucket(w->shown.id)];
    while (*link != w)
        link = &(*link)->parked.next_by_id;
    *link = w->parked.next_by_id;
    link = &p->by_ticket[ticket_bucket(w->command.project, w->parked.ticket)];
    while (*link != w)
        link = &(*link)->parked.next_by_ticket;
    *link = w->parked.next_by_ticket;
}

Work *parking_by_id(const Parking *p, uint64_t id) {
    Work *w = p->by_id[id_bucket(id)];
    while (w != NULL && w->shown.id != id)
        w = w->parked.next_by_id;
    return w;
}

Work *parking_by_ticket(const Parking *p, Slice project, int64_t ticket) {
    Work *w = p->by_ticket[ticket_bucket(project, ticket)];
    while (w != NULL && (w->parked.ticket != ticket || !slice_equal(w->command.project, project)))
        w = w->parked.next_by_ticket;
    return w;
}

Work *parking_by_key(const Parking *p, Slice key_id) {
    for (size_t i = 0; i < p->heap.count; i++) {
        Work *w = work_of_timer(p->heap.items[i]);
        if (slice_equal_text(key_id, w->key_id))
            return w;
    }
    return NULL;
}

Work *parking_over(const Parking *p, int64_t boot_ms) {
    HeapItem *first = heap_first(&p->heap);
    return first != NULL && first->at_ms <= boot_ms ? work_of_timer(first) : NULL;
}

int64_t parking_next(const Parking *p) {
    const HeapItem *first = heap_first(&p->heap);
    return first != NULL ? first->at_ms : CLOCK_FOREVER;
}

void parking_deinit(Parking *p) {
    assert(p->heap.count == 0);
    heap_deinit(&p->heap);
}
