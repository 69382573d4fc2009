/* What the worker takes out of the operations that wait, and what it leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/intake.h"

enum { WORKS = 6 };

typedef struct Fixture {
    Intake intake;
    Work works[WORKS];
} Fixture;

static int set_up(void **state) {
    static Fixture fixture;
    Fixture *f = &fixture;
    *f = (Fixture){.works = {{.worker = NULL}}};
    assert_int_equal(intake_init(&f->intake, clock_system()), 0);
    for (int i = 0; i < WORKS; i++) {
        f->works[i].command.limit = i;
        intake_put(&f->intake, &f->works[i]);
    }
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    Fixture *f = *state;
    intake_deinit(&f->intake);
    return 0;
}

/* By number: those whose bit is set in arg[0]; nobody from number arg[1] on. */
static Fitting fits_bits(const void *arg, const Work *work) {
    const unsigned *bits = arg;
    if (work->command.limit >= bits[1])
        return FITS_NOBODY;
    return (bits[0] >> work->command.limit & 1) != 0 ? FITS : FITS_NOT;
}

static void assert_left(Fixture *f, size_t count, const int *numbers) {
    Work *left[WORKS + 1];
    assert_int_equal(intake_take(&f->intake, left, WORKS + 1), count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(left[i]->command.limit, numbers[i]);
    assert_true(intake_is_empty(&f->intake));
    intake_put(&f->intake, &f->works[0]); /* the end is where it was left */
    assert_int_equal(intake_take(&f->intake, left, 1), 1);
    assert_true(intake_is_empty(&f->intake));
}

static void those_that_fit_are_taken_in_their_order(void **state) {
    Fixture *f = *state;
    Work *out[WORKS];
    assert_int_equal(intake_take_fitting(&f->intake, fits_bits, (unsigned[]){0x2a, WORKS}, 3, out, WORKS), 3);
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(out[i], &f->works[2 * i + 1]);
    assert_left(f, 3, (int[]){0, 2, 4});
}

static void fewer_than_the_least_are_left(void **state) {
    Fixture *f = *state;
    Work *out[WORKS];
    assert_int_equal(intake_take_fitting(&f->intake, fits_bits, (unsigned[]){0x2a, WORKS}, 4, out, WORKS), 0);
    assert_left(f, WORKS, (int[]){0, 1, 2, 3, 4, 5});
}

/* As many as there is room for, though that is less than there have to be. */
static void what_counts_is_who_waits_and_not_the_room(void **state) {
    Fixture *f = *state;
    Work *out[2];
    assert_int_equal(intake_take_fitting(&f->intake, fits_bits, (unsigned[]){0x3f, WORKS}, 5, out, 2), 2);
    assert_ptr_equal(out[1], &f->works[1]);
    assert_left(f, 4, (int[]){2, 3, 4, 5});
}

static void nobody_behind_a_barrier_is_taken(void **state) {
    Fixture *f = *state;
    Work *out[WORKS];
    assert_int_equal(intake_take_fitting(&f->intake, fits_bits, (unsigned[]){0x3f, 2}, 1, out, WORKS), 2);
    assert_false(intake_has(&f->intake, fits_bits, (unsigned[]){0x3f, 2}));
    assert_true(intake_has(&f->intake, fits_bits, (unsigned[]){0x20, WORKS}));
    assert_left(f, 4, (int[]){2, 3, 4, 5});
}

/* However many hang up at once: one that was not heard of would keep his place in the queue. */
static void every_hang_up_is_heard_of(void **state) {
    Fixture *f = *state;
    enum { MANY = 10000 };
    HangUpList seen = {.ids = NULL};
    for (int round = 0; round < 2; round++) {
        for (uint64_t id = 0; id < MANY; id++)
            intake_hang_up(&f->intake, id);
        intake_take_hang_ups(&f->intake, &seen);
        assert_int_equal(seen.count, MANY);
        for (uint64_t id = 0; id < MANY; id++)
            assert_int_equal(seen.ids[id], id);
    }
    intake_take_hang_ups(&f->intake, &seen);
    assert_int_equal(seen.count, 0);
    hang_up_list_deinit(&seen);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(those_that_fit_are_taken_in_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_hang_up_is_heard_of, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fewer_than_the_least_are_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_counts_is_who_waits_and_not_the_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_behind_a_barrier_is_taken, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
