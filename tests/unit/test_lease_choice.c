/* Which of a folder's leases is meant: whatever became of them, one is, or people are asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/lease_choice.h"
#include "base/clock.h"

typedef enum Fate { LIVES, LOST, LEFT, FATES } Fate;

static Agent agent = {.log = {.fd = -1, .name = "test", .level = LOG_ERROR}};

/* One that was lost was so a moment after it was got. */
static LeaseState lease_of(const char *stack, int64_t generation, Fate fate) {
    static char lost_at[2][CLOCK_ISO_SIZE];
    char *when = lost_at[generation % 2];
    clock_format_iso(generation + 1, when);
    return (LeaseState){.request_id = slice_of("0123456789abcdef"),
                        .stack = slice_of(stack),
                        .generation = generation,
                        .lost_why = fate == LOST ? slice_of("expired") : SLICE_ABSENT,
                        .lost_at = fate == LOST ? slice_of(when) : SLICE_ABSENT,
                        .is_left = fate == LEFT};
}

/* The generation of the chosen one; 0: people are asked. */
static int64_t choose(const LeaseState *a, const LeaseState *b, const char *name) {
    LeaseStates leases = {.items = {*a, *b}, .count = 2};
    const LeaseState *chosen = NULL;
    int r = lease_choice_find(&agent, &leases, slice_of(name), &chosen);
    assert_int_equal(r, chosen == NULL ? EX_USAGE : 0);
    return chosen != NULL ? chosen->generation : 0;
}

static void of_one_stack_the_latest_is_meant_whatever_became_of_them(void **state) {
    (void)state;
    for (Fate early = LIVES; early < FATES; early++) {
        for (Fate late = LIVES; late < FATES; late++) {
            LeaseState a = lease_of("test-1", 10, early), b = lease_of("test-1", 11, late);
            assert_int_equal(choose(&a, &b, NULL), 11);
            assert_int_equal(choose(&b, &a, NULL), 11);
            assert_int_equal(choose(&b, &a, "test-1"), 11);
        }
    }
}

/* What an earlier shell left does not stand beside what lives, nor what was lost beside what was got after it; else who has
 * several stacks says which. */
static void of_several_stacks_what_is_over_yields_to_one_that_lives(void **state) {
    (void)state;
    static const int64_t meant[FATES][FATES] = {
        [LIVES] = {[LIVES] = 0, [LOST] = 0, [LEFT] = 10},
        [LOST] = {[LIVES] = 13, [LOST] = 0, [LEFT] = 0},
        [LEFT] = {[LIVES] = 13, [LOST] = 0, [LEFT] = 0},
    };
    for (Fate one = LIVES; one < FATES; one++) {
        for (Fate other = LIVES; other < FATES; other++) {
            LeaseState a = lease_of("test-1", 10, one), b = lease_of("test-2", 13, other);
            assert_int_equal(choose(&a, &b, NULL), meant[one][other]);
            assert_int_equal(choose(&b, &a, NULL), meant[one][other]);
            assert_int_equal(choose(&a, &b, "test-1"), 10);
            assert_int_equal(choose(&a, &b, "test-2"), 13);
        }
    }
}

static void what_has_no_stack_is_never_meant(void **state) {
    (void)state;
    LeaseState waiting = lease_of("test-1", FIELD_ABSENT, LIVES), lives = lease_of("test-1", 10, LIVES);
    waiting.stack = SLICE_ABSENT;
    assert_int_equal(choose(&waiting, &lives, NULL), 10);
    LeaseStates leases = {.items = {waiting}, .count = 1};
    const LeaseState *chosen = &lives;
    assert_int_equal(lease_choice_find(&agent, &leases, SLICE_ABSENT, &chosen), 0);
    assert_null(chosen);
}

/* Whoever had two stacks, and lost one, is not told of the other alone. */
static void one_that_was_lost_later_does_not_yield(void **state) {
    (void)state;
    LeaseState a = lease_of("test-1", 10, LOST), b = lease_of("test-2", 11, LIVES);
    assert_int_equal(choose(&a, &b, NULL), 0);
    a.lost_at = SLICE_ABSENT;
    b.generation = 99;
    assert_int_equal(choose(&a, &b, NULL), 0);
}

int main(void) {
    agent.log.clock = clock_system();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_one_stack_the_latest_is_meant_whatever_became_of_them),
        cmocka_unit_test(of_several_stacks_what_is_over_yields_to_one_that_lives),
        cmocka_unit_test(one_that_was_lost_later_does_not_yield),
        cmocka_unit_test(what_has_no_stack_is_never_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
