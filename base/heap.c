#include "base/heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int heap_reserve(Heap *heap, size_t more) {
    size_t wanted = heap->count + more;
    if (wanted <= heap->capacity)
        return 0;
    size_t wider = heap->capacity != 0 ? heap->capacity * 2 : 64;
    if (wider < wanted)
        wider = wanted;
    HeapItem **moved = realloc(heap->items, wider * sizeof(HeapItem *));
    if (moved == NULL)
        return -ENOMEM;
    heap->items = moved;
    heap->capacity = wider;
    return 0;
}

static void set(Heap *heap, size_t at, HeapItem *item) {
    heap->items[at] = item;
    item->place = at + 1;
}

static void sift_up(Heap *heap, size_t at, HeapItem *item) {
    while (at > 0 && heap->items[(at - 1) / 2]->at_ms > item->at_ms) {
        set(heap, at, heap->items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    set(heap, at, item);
}

static void sift_down(Heap *heap, size_t at, HeapItem *item) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap->items[child + 1]->at_ms < heap->items[child]->at_ms)
            child++;
        if (heap->items[child]->at_ms >= item->at_ms)
            break;
        set(heap, at, heap->items[child]);
        at = child;
    }
    set(heap, at, item);
}

/* The item at `at` belongs somewhere else perhaps. */
static void settle(Heap *heap, size_t at, HeapItem *item) {
    if (at > 0 && heap->items[(at - 1) / 2]->at_ms > item->at_ms)
        sift_up(heap, at, item);
    else
        sift_down(heap, at, item);
}

void heap_put(Heap *heap, HeapItem *item, int64_t at_ms) {
    item->at_ms = at_ms;
    if (item->place != 0) {
        settle(heap, item->place - 1, item);
        return;
    }
    assert(heap->count < heap->capacity);
    sift_up(heap, heap->count++, item);
}

void heap_remove(Heap *heap, HeapItem *item) {
    if (item->place == 0)
        return;
    size_t at = item->place - 1;
    HeapItem *last = heap->items[--heap->count];
    item->place = 0;
    if (last != item)
        settle(heap, at, last);
}

void heap_deinit(Heap *heap) {
    free(heap->items);
    *heap = (Heap){0};
}
