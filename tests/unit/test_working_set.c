/* The working set: what is put in is found, what is changed is marked, what is wanted is asked for once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "lease/working_set.h"

typedef struct Fixture {
    Arena arena;
    WorkingSet set;
} Fixture;

static int setup(void **state) {
    static Fixture fixture;
    arena_init(&fixture.arena);
    *state = &fixture;
    return working_set_init(&fixture.set, &fixture.arena, slice_of("acme"));
}

static int teardown(void **state) {
    Fixture *f = *state;
    arena_deinit(&f->arena);
    return 0;
}

static StackRow stack(WorkingSet *set, int64_t number) {
    return (StackRow){.number = number,
                      .name = arena_printf(set->arena, "test-%d", (int)number),
                      .state = STACK_LEASED,
                      .generation = number * 10};
}

static void rows_are_found_by_all_their_keys(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    for (int64_t i = 1; i <= 500; i++) {
        StackRow row = stack(set, i);
        RequestRow request = {.ticket = i, .request_id = arena_printf(set->arena, "request-%d", (int)i)};
        KeyRow key = {.id = arena_printf(set->arena, "key-%d", (int)i)};
        assert_int_equal(working_set_put_stack(set, &row), 0);
        assert_int_equal(working_set_put_request(set, &request), 0);
        assert_int_equal(working_set_put_key(set, &key), 0);
    }
    assert_int_equal(set->stack_count, 500);
    assert_int_equal(working_set_stack(set, 321)->row.number, 321);
    assert_int_equal(working_set_stack_named(set, slice_of("test-123"))->row.number, 123);
    assert_int_equal(working_set_request(set, 77)->row.ticket, 77);
    assert_int_equal(working_set_request_by_id(set, slice_of("request-78"))->row.ticket, 78);
    assert_true(slice_equal_text(working_set_key(set, slice_of("key-500"))->row.id, "key-500"));
    assert_null(working_set_stack(set, 501));
    assert_null(working_set_stack_named(set, slice_of("test-501")));
    assert_null(working_set_stack_named(set, slice_of("other-123")));
    assert_null(working_set_stack_named(set, slice_of("test-0123")));
    assert_null(working_set_request(set, 0));
    assert_null(working_set_request_by_id(set, slice_of("request")));
    assert_null(working_set_key(set, slice_of("")));
    assert_false(working_set_is_changed(set));
}

static void requests_without_an_id_are_found_by_ticket_alone(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    assert_int_equal(working_set_put_request(set, &(RequestRow){.ticket = 1}), 0);
    assert_non_null(working_set_request(set, 1));
    assert_null(working_set_request_by_id(set, SLICE_ABSENT));
}

static void a_row_loaded_again_does_not_undo_a_change(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    StackRow row = stack(set, 1);
    assert_int_equal(working_set_put_stack(set, &row), 0);
    StackSlot *slot = working_set_stack(set, 1);
    slot->row.state = STACK_AVAILABLE;
    stack_slot_changed(slot);
    assert_int_equal(working_set_put_stack(set, &row), 0);
    assert_int_equal(set->stack_count, 1);
    assert_int_equal(working_set_stack(set, 1)->row.state, STACK_AVAILABLE);
    assert_int_equal(slot->loaded_state, STACK_LEASED);
    assert_int_equal(slot->loaded_generation, 10);
    assert_true(working_set_is_changed(set));

    assert_int_equal(stack_slot_deleted(set, slot), 0);
    assert_int_equal(working_set_put_stack(set, &row), 0);
    assert_null(working_set_stack(set, 1));
    assert_null(working_set_stack_named(set, slice_of("test-1")));
}

static void a_number_deleted_and_made_again_keeps_its_guard(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    StackRow row = stack(set, 1);
    StackSlot *slot;
    assert_int_equal(working_set_put_stack(set, &row), 0);
    assert_int_equal(stack_slot_deleted(set, working_set_stack(set, 1)), 0);
    assert_int_equal(working_set_unused(set), 1);
    row.name = slice_of("pr-1");
    row.generation = 99;
    assert_int_equal(working_set_add_stack(set, &row, &slot), 0);
    assert_int_equal(slot->change, ROW_CHANGED);
    assert_int_equal(slot->loaded_generation, 10);
    assert_int_equal(set->stack_count, 1);
    assert_ptr_equal(working_set_stack_named(set, slice_of("pr-1")), slot);
    assert_null(working_set_stack_named(set, slice_of("test-1")));
    assert_int_equal(working_set_unused(set), 0);
}

static void a_row_made_and_deleted_by_one_batch_is_never_saved(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    StackRow row = stack(set, 1);
    StackSlot *slot;
    assert_int_equal(working_set_add_stack(set, &row, &slot), 0);
    assert_int_equal(slot->change, ROW_NEW);
    stack_slot_changed(slot);
    assert_int_equal(slot->change, ROW_NEW);
    assert_int_equal(stack_slot_deleted(set, slot), 0);
    assert_int_equal(slot->change, ROW_VOID);
    assert_false(working_set_is_changed(set));
    assert_int_equal(working_set_add_stack(set, &row, &slot), 0);
    assert_int_equal(slot->change, ROW_NEW);
}

static void unused_numbers_come_lowest_first(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    StackRow third = stack(set, 3);
    StackSlot *slot;
    assert_int_equal(working_set_unused(set), 0);
    const int64_t numbers[] = {5, 3, 9, 5, 3};
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        assert_int_equal(working_set_put_unused(set, numbers[i]), 0);
    assert_int_equal(set->unused_count, 3);
    assert_int_equal(working_set_unused(set), 3);
    assert_int_equal(working_set_add_stack(set, &third, &slot), 0);
    assert_int_equal(working_set_unused(set), 5);
    assert_int_equal(working_set_put_unused(set, 3), 0); /* the store does not know yet */
    assert_int_equal(working_set_unused(set), 5);
    assert_int_equal(stack_slot_deleted(set, slot), 0);
    assert_int_equal(working_set_unused(set), 3);
}

static void equal_wants_add_up_until_they_are_loaded(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    const RowWant want = {.query = ROWS_FREE_ON_BRANCH, .text = slice_of("feat/a"), .limit = 1};
    const RowWant other = {.query = ROWS_FREE_ON_BRANCH, .text = slice_of("feat/b"), .limit = 1};
    for (int i = 0; i < 3; i++)
        assert_int_equal(working_set_want(set, want), 0);
    assert_int_equal(working_set_want(set, other), 0);
    assert_int_equal(set->want_count, 2);
    assert_int_equal(set->wants[0].limit, 3);
    assert_null(working_set_loaded(set, want));
    assert_true(working_set_needs_load(set));

    set->is_project_loaded = true;
    set->wants[0].is_loaded = set->wants[1].is_loaded = true;
    assert_false(working_set_needs_load(set));
    assert_int_equal(working_set_want(set, want), 0);
    assert_int_equal(working_set_loaded(set, want)->limit, 3);
    assert_null(working_set_loaded(set, (RowWant){.query = ROWS_FREE_OLDEST, .text = want.text}));

    set->wants[1].edge = 17;
    working_set_want_past_edges(set);
    assert_non_null(working_set_loaded(set, want));
    assert_null(working_set_loaded(set, other));
    assert_int_equal(set->wants[1].limit, 1 + BATCH_MAX);
    assert_int_equal(set->wants[1].edge, 0);
}

static void events_are_numbered_by_the_project(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    set->project.last_event = 41;
    for (int i = 0; i < 100; i++)
        assert_int_equal(working_set_add_event(set, &(EventRow){.kind = EVENT_JOINED}), 0);
    assert_int_equal(set->events[0].id, 42);
    assert_int_equal(set->events[99].id, 141);
    assert_int_equal(set->project.last_event, 141);
    assert_int_equal(set->project_change, ROW_CHANGED);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(rows_are_found_by_all_their_keys),
        TEST(requests_without_an_id_are_found_by_ticket_alone),
        TEST(a_row_loaded_again_does_not_undo_a_change),
        TEST(a_number_deleted_and_made_again_keeps_its_guard),
        TEST(a_row_made_and_deleted_by_one_batch_is_never_saved),
        TEST(unused_numbers_come_lowest_first),
        TEST(equal_wants_add_up_until_they_are_loaded),
        TEST(events_are_numbered_by_the_project),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
