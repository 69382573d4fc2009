#include "base/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define ITEMS 200

static void an_empty_heap_has_no_first(void **state) {
    (void)state;
    Heap heap = {0};
    assert_null(heap_first(&heap));
    heap_deinit(&heap);
}

static void the_earliest_is_first_whatever_the_order_of_arrival(void **state) {
    (void)state;
    Heap heap = {0};
    HeapItem items[ITEMS] = {{0}};
    assert_int_equal(heap_reserve(&heap, ITEMS), 0);
    for (int64_t i = 0; i < ITEMS; i++)
        heap_put(&heap, &items[i], i * 7919 % ITEMS); /* 7919 is prime: each time once */
    for (int64_t expected = 0; expected < ITEMS; expected++) {
        assert_int_equal(heap_first(&heap)->at_ms, expected);
        heap_remove(&heap, heap_first(&heap));
    }
    assert_null(heap_first(&heap));
    heap_deinit(&heap);
}

static void an_item_moves_both_ways_and_leaves_once(void **state) {
    (void)state;
    Heap heap = {0};
    HeapItem items[3] = {{0}};
    assert_int_equal(heap_reserve(&heap, 3), 0);
    for (int64_t i = 0; i < 3; i++)
        heap_put(&heap, &items[i], 10 + i);
    heap_put(&heap, &items[2], 1);
    assert_ptr_equal(heap_first(&heap), &items[2]);
    heap_put(&heap, &items[2], 100);
    assert_ptr_equal(heap_first(&heap), &items[0]);
    heap_remove(&heap, &items[0]);
    heap_remove(&heap, &items[0]);
    assert_ptr_equal(heap_first(&heap), &items[1]);
    assert_int_equal(heap.count, 2);
    heap_deinit(&heap);
}

static void a_random_schedule_agrees_with_a_search(void **state) {
    (void)state;
    Heap heap = {0};
    HeapItem items[ITEMS] = {{0}};
    uint32_t seed = 1;
    assert_int_equal(heap_reserve(&heap, ITEMS), 0);
    for (int step = 0; step < 20000; step++) {
        seed = seed * 1664525u + 1013904223u;
        HeapItem *item = &items[(seed >> 8) % ITEMS];
        if ((seed >> 30) == 0)
            heap_remove(&heap, item);
        else
            heap_put(&heap, item, (seed >> 4) % 1000);
        int64_t earliest = INT64_MAX;
        for (size_t i = 0; i < ITEMS; i++)
            if (items[i].place != 0 && items[i].at_ms < earliest)
                earliest = items[i].at_ms;
        assert_int_equal(heap_first(&heap) != NULL ? heap_first(&heap)->at_ms : INT64_MAX, earliest);
    }
    heap_deinit(&heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_heap_has_no_first),
        cmocka_unit_test(the_earliest_is_first_whatever_the_order_of_arrival),
        cmocka_unit_test(an_item_moves_both_ways_and_leaves_once),
        cmocka_unit_test(a_random_schedule_agrees_with_a_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
