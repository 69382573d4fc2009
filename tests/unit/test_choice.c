/* Which stack a request gets: rows in, choice out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "lease/choice.h"

typedef struct Fixture {
    Arena arena;
    WorkingSet set;
} Fixture;

static int setup(void **state) {
    static Fixture fixture;
    arena_init(&fixture.arena);
    *state = &fixture;
    int r = working_set_init(&fixture.set, &fixture.arena, slice_of("acme"));
    fixture.set.is_project_loaded = true;
    fixture.set.project.first_unused = 1;
    return r;
}

static int teardown(void **state) {
    Fixture *f = *state;
    arena_deinit(&f->arena);
    return 0;
}

static StackSlot *put(WorkingSet *set, StackRow row) {
    row.name = arena_printf(set->arena, "test-%d", (int)row.number);
    assert_int_equal(working_set_put_stack(set, &row), 0);
    set->project.stack_count++;
    return working_set_stack(set, row.number);
}

/* As a store that had no more rows than those put. */
static void mark_loaded(WorkingSet *set) {
    for (size_t i = 0; i < set->want_count; i++)
        set->wants[i].is_loaded = true;
}

static int choose(WorkingSet *set, const char *branch, const char *commit, Choice *out) {
    assert_int_equal(choice_want(set, slice_of(branch), slice_of(commit)), 0);
    mark_loaded(set);
    return choice_make(set, slice_of(branch), slice_of(commit), out);
}

static void assert_chosen(WorkingSet *set, const char *branch, const char *commit, int64_t number, bool is_reused) {
    Choice choice = {.new_number = -1};
    assert_int_equal(choose(set, branch, commit, &choice), 0);
    assert_non_null(choice.slot);
    assert_int_equal(choice.slot->row.number, number);
    assert_int_equal(choice.is_reused, is_reused);
}

static void its_branch_comes_before_the_oldest(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    put(set, (StackRow){.number = 1, .branch = slice_of("old"), .requested = 10});
    put(set, (StackRow){.number = 2, .branch = slice_of("feat"), .requested = 30});
    put(set, (StackRow){.number = 3, .branch = slice_of("feat"), .requested = 20});
    put(set, (StackRow){.number = 4, .branch = slice_of("feat"), .requested = 40, .state = STACK_LEASED});
    put(set, (StackRow){.number = 5, .branch = slice_of("feat"), .requested = 50, .quiet_until_ms = 1});
    assert_chosen(set, "feat", NULL, 2, true);
    assert_chosen(set, "else", NULL, 1, false);
}

static void of_its_branch_the_one_at_its_commit(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    put(set, (StackRow){.number = 1, .branch = slice_of("feat"), .requested = 10, .last_commit = slice_of("c1")});
    put(set, (StackRow){.number = 2, .branch = slice_of("feat"), .requested = 20, .last_commit = slice_of("c1")});
    put(set, (StackRow){.number = 3, .branch = slice_of("feat"), .requested = 30, .last_commit = slice_of("c2")});
    put(set, (StackRow){.number = 4, .branch = slice_of("else"), .requested = 5, .last_commit = slice_of("c3")});
    assert_chosen(set, "feat", "c1", 2, true);
    assert_chosen(set, "feat", "c3", 3, true);
    assert_chosen(set, "feat", NULL, 3, true);
}

static void unknown_content_is_at_no_commit(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    StackRow rubble = {.number = 1,
                       .branch = slice_of("feat"),
                       .requested = 10,
                       .last_commit = slice_of("c1"),
                       .is_content_unknown = true};
    put(set, rubble);
    put(set, (StackRow){.number = 2, .branch = slice_of("feat"), .requested = 20});
    assert_chosen(set, "feat", "c1", 2, true);
}

/* The project's row says so: what is free was freed by the batch. */
static void when_all_are_leased_nobody_has_to_look_for_a_free_one(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    ProjectRow project = {.stack_count = 2, .leased_count = 1, .max_stacks = 2, .first_unused = 3};
    Choice choice;
    working_set_put_project(set, &project);
    assert_int_equal(choice_make(set, slice_of("feat"), SLICE_ABSENT, &choice), CHOICE_NEEDS_ROWS);
    project.leased_count = 2;
    working_set_put_project(set, &project);
    set->want_count = 0;
    assert_int_equal(choice_make(set, slice_of("feat"), SLICE_ABSENT, &choice), CHOICE_NONE);
    put(set, (StackRow){.number = 2, .branch = slice_of("else")}); /* freed */
    assert_int_equal(choice_make(set, slice_of("feat"), SLICE_ABSENT, &choice), 0);
    assert_int_equal(choice.slot->row.number, 2);
    assert_int_equal(set->want_count, 0);
}

static void a_new_one_only_under_the_ceiling(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    Choice choice;
    put(set, (StackRow){.number = 1, .state = STACK_RETIRING});
    put(set, (StackRow){.number = 2, .state = STACK_DIRTY});
    put(set, (StackRow){.number = 4, .state = STACK_QUARANTINED});
    assert_int_equal(working_set_put_unused(set, 3), 0);
    set->project.max_stacks = 3;
    assert_int_equal(choose(set, "feat", NULL, &choice), CHOICE_NONE);
    set->project.max_stacks = 4;
    assert_int_equal(choose(set, "feat", NULL, &choice), 0);
    assert_null(choice.slot);
    assert_int_equal(choice.new_number, 3);
    assert_false(choice.is_reused);
    set->project.max_stacks = 0;
    assert_int_equal(choose(set, "feat", NULL, &choice), 0);
    set->project.stack_count = STACK_COUNT_MAX;
    assert_int_equal(choose(set, "feat", NULL, &choice), CHOICE_NONE);
}

static RowWant *want_for(WorkingSet *set, RowQuery query) {
    for (size_t i = 0; i < set->want_count; i++) {
        if (set->wants[i].query == query)
            return &set->wants[i];
    }
    fail();
    return NULL;
}

/* The store showed test-2 as the first of the branch and said that there are more; the batch took test-2 away. */
static void what_lies_past_the_edge_is_asked_for(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    Choice choice;
    StackSlot *first = put(set, (StackRow){.number = 2, .branch = slice_of("feat"), .requested = 20});
    put(set, (StackRow){.number = 9, .branch = slice_of("old"), .requested = 1});
    assert_int_equal(choice_want(set, slice_of("feat"), SLICE_ABSENT), 0);
    mark_loaded(set);
    want_for(set, ROWS_FREE_ON_BRANCH)->edge = 20;
    assert_int_equal(choice_make(set, slice_of("feat"), SLICE_ABSENT, &choice), 0);
    assert_ptr_equal(choice.slot, first);

    first->row.state = STACK_QUARANTINED;
    assert_int_equal(choice_make(set, slice_of("feat"), SLICE_ABSENT, &choice), CHOICE_NEEDS_ROWS);
    assert_true(working_set_needs_load(set));
    StackSlot *second = put(set, (StackRow){.number = 3, .branch = slice_of("feat"), .requested = 10});
    mark_loaded(set);
    assert_int_equal(choice_make(set, slice_of("feat"), SLICE_ABSENT, &choice), 0);
    assert_ptr_equal(choice.slot, second);
}

/* A stack freed by the batch itself is the answer, if it comes before what the store has beyond. */
static void a_freed_stack_counts_when_it_is_before_the_edge(void **state) {
    WorkingSet *set = &((Fixture *)*state)->set;
    Choice choice;
    StackSlot *freed = put(set, (StackRow){.number = 1, .branch = slice_of("x"), .requested = 5});
    assert_int_equal(choice_want(set, slice_of("feat"), SLICE_ABSENT), 0);
    mark_loaded(set);
    want_for(set, ROWS_FREE_OLDEST)->edge = 7;
    assert_int_equal(choice_make(set, slice_of("feat"), SLICE_ABSENT, &choice), 0);
    assert_ptr_equal(choice.slot, freed);
    freed->row.requested = 8;
    assert_int_equal(choice_make(set, slice_of("feat"), SLICE_ABSENT, &choice), CHOICE_NEEDS_ROWS);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(its_branch_comes_before_the_oldest),
        TEST(of_its_branch_the_one_at_its_commit),
        TEST(unknown_content_is_at_no_commit),
        TEST(when_all_are_leased_nobody_has_to_look_for_a_free_one),
        TEST(a_new_one_only_under_the_ceiling),
        TEST(what_lies_past_the_edge_is_asked_for),
        TEST(a_freed_stack_counts_when_it_is_before_the_edge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
