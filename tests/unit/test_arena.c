/* Memory of one piece of work: zeroed, aligned, freed together. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

static void memory_is_zeroed_even_when_used_before(void **state) {
    (void)state;
    static const char zeros[1000];
    OWN(arena_deinit) Arena a;
    arena_init(&a);
    char *first = arena_alloc(&a, sizeof zeros);
    assert_non_null(first);
    memset(first, 'x', sizeof zeros);
    arena_reset(&a);
    assert_int_equal(a.used, 0);
    char *again = arena_alloc(&a, sizeof zeros);
    assert_non_null(again);
    assert_memory_equal(again, zeros, sizeof zeros);
}

static void every_allocation_is_aligned_and_apart(void **state) {
    (void)state;
    OWN(arena_deinit) Arena a;
    arena_init(&a);
    char *previous = NULL;
    for (size_t size = 0; size < 200; size++) {
        char *memory = arena_alloc(&a, size);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
        assert_ptr_not_equal(memory, previous);
        memset(memory, 'x', size);
        previous = memory;
    }
}

static void large_and_many_allocations_get_blocks_of_their_own(void **state) {
    (void)state;
    OWN(arena_deinit) Arena a;
    arena_init(&a);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++) {
            char *memory = arena_alloc(&a, 100);
            assert_non_null(memory);
            memset(memory, 'x', 100);
        }
        char *large = arena_alloc(&a, 3 * 1024 * 1024);
        assert_non_null(large);
        memset(large, 'x', 3 * 1024 * 1024);
        arena_reset(&a);
    }
}

static void an_impossible_size_is_refused(void **state) {
    (void)state;
    OWN(arena_deinit) Arena a;
    arena_init(&a);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 64));
    Slice out = slice_of("before");
    assert_int_equal(arena_copy(&a, (Slice){.ptr = "x", .len = SIZE_MAX}, &out), -ENOMEM);
    assert_true(slice_equal_text(out, "before"));
}

static void copies_keep_absence_and_emptiness_apart(void **state) {
    (void)state;
    OWN(arena_deinit) Arena a;
    arena_init(&a);
    Slice out = slice_of("before");
    assert_int_equal(arena_copy(&a, SLICE_ABSENT, &out), 0);
    assert_true(slice_is_absent(out));
    assert_int_equal(arena_copy(&a, slice_of(""), &out), 0);
    assert_true(slice_equal_text(out, ""));
    char text[] = "feat/x";
    assert_int_equal(arena_copy(&a, slice_of(text), &out), 0);
    text[0] = 'X';
    assert_string_equal(out.ptr, "feat/x"); /* a copy, and a NUL behind it */
}

static void printf_makes_terminated_text(void **state) {
    (void)state;
    OWN(arena_deinit) Arena a;
    arena_init(&a);
    Slice text = arena_printf(&a, "%s-%d", "test", 12);
    assert_string_equal(text.ptr, "test-12");
    assert_int_equal(text.len, 7);
}

static void deinit_takes_null_and_unused_arenas(void **state) {
    (void)state;
    Arena a;
    arena_init(&a);
    arena_reset(&a);
    arena_deinit(&a);
    arena_deinit(&a);
    arena_deinit(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_even_when_used_before),
        cmocka_unit_test(every_allocation_is_aligned_and_apart),
        cmocka_unit_test(large_and_many_allocations_get_blocks_of_their_own),
        cmocka_unit_test(an_impossible_size_is_refused),
        cmocka_unit_test(copies_keep_absence_and_emptiness_apart),
        cmocka_unit_test(printf_makes_terminated_text),
        cmocka_unit_test(deinit_takes_null_and_unused_arenas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
