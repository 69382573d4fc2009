/*
 * A binary heap of deadlines. Intrusive: an item lies in the struct it is the deadline of, and knows its place, so that it
 * can be moved and taken out again. Times are milliseconds of whatever clock the owner counts by.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct HeapItem {
    int64_t at_ms;
    size_t place; /* the heap's, 1-based; 0: in no heap. Zeroed memory is an item in no heap */
} HeapItem;

typedef struct Heap {
    HeapItem **items;
    size_t count, capacity;
} Heap; /* zeroed memory is an empty heap */

/* Makes room for `more` items beyond those in it: heap_put never fails. 0 | -ENOMEM. */
int heap_reserve(Heap *heap, size_t more) MUST_USE;
/* Adds the item, or moves it when it is in this heap already. */
void heap_put(Heap *heap, HeapItem *item, int64_t at_ms);
/* Does nothing for an item in no heap. */
void heap_remove(Heap *heap, HeapItem *item);
/* The earliest; NULL: empty. */
static inline HeapItem *heap_first(const Heap *heap) {
    return heap->count != 0 ? heap->items[0] : NULL;
}
/* Frees the heap's array, not the items. */
void heap_deinit(Heap *heap);
