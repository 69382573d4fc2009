/* Which projects stay in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/resident.h"

enum { ROWS_MAX = 100 };

static void add_project(Resident *r, const char *name, int64_t rows) {
    const ProjectRow row = {.name = slice_of(name), .prefix = slice_of("test-")};
    ResidentProject *p = resident_project_new(1, &row);
    assert_non_null(p);
    for (int64_t number = 1; number <= rows; number++)
        assert_int_equal(resident_fill_stack(r, p, &(StackRow){.number = number, .name = slice_of("test-1")}), 0);
    resident_project_add(r, p);
}

static bool has(Resident *r, const char *name) {
    return resident_project(r, slice_of(name)) != NULL;
}

static void the_longest_unused_go_first(void **state) {
    (void)state;
    Resident r;
    resident_init(&r, ROWS_MAX);
    add_project(&r, "a", 40);
    add_project(&r, "b", 40);
    assert_true(has(&r, "a"));
    add_project(&r, "c", 20);
    assert_false(resident_is_full(&r));
    add_project(&r, "d", 1);
    assert_true(resident_is_full(&r));
    resident_evict(&r);
    assert_false(has(&r, "b"));
    assert_true(has(&r, "a") && has(&r, "c") && has(&r, "d"));
    resident_forget(&r);
    assert_int_equal(r.row_count, 0);
    assert_false(has(&r, "a"));
    resident_deinit(&r);
}

/* Were it let go of, each transaction of its would load it whole, and everybody wait for that. */
static void a_large_one_stays_and_takes_nobodys_place(void **state) {
    (void)state;
    Resident r;
    resident_init(&r, ROWS_MAX);
    add_project(&r, "large", 5 * ROWS_MAX);
    assert_false(resident_is_full(&r));
    add_project(&r, "a", 50);
    add_project(&r, "b", 50);
    assert_false(resident_is_full(&r));
    add_project(&r, "c", 50);
    assert_true(resident_is_full(&r));
    resident_evict(&r);
    assert_true(has(&r, "large") && has(&r, "c"));
    assert_false(has(&r, "a") || has(&r, "b"));
    resident_forget(&r);
    add_project(&r, "a", 50);
    assert_false(resident_is_full(&r));
    resident_forget(&r);
    resident_deinit(&r);
}

/* Of two large ones the largest stays, whichever was written to last. */
static void the_largest_stays(void **state) {
    (void)state;
    Resident r;
    resident_init(&r, ROWS_MAX);
    add_project(&r, "largest", 2 * ROWS_MAX);
    add_project(&r, "large", ROWS_MAX + 1);
    assert_true(resident_is_full(&r));
    resident_evict(&r);
    assert_true(has(&r, "largest"));
    assert_false(has(&r, "large"));
    assert_ptr_equal(r.largest, resident_project(&r, slice_of("largest")));
    resident_forget(&r);
    assert_null(r.largest);
    resident_deinit(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_unused_go_first),
        cmocka_unit_test(a_large_one_stays_and_takes_nobodys_place),
        cmocka_unit_test(the_largest_stays),
    };
    return cmocka_run_group_tests_name("resident", tests, NULL, NULL);
}
