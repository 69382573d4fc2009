/* When a lease is renewed, and when whoever works under it stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/lease_times.h"
#include "agent/limits.h"
#include "seeded_random.h"

#define SENT_MS 1000000

static void work_stops_before_the_lease_does(void **state) {
    (void)state;
    const struct {
        int64_t seconds, term_ms, kill_ms; /* before its end */
    } leases[] = {{2, 500, 166}, {12, 3000, 1000}, {60, 15000, 5000}, {300, 15000, 5000}, {86400, 15000, 5000}};
    for (size_t i = 0; i < sizeof leases / sizeof *leases; i++) {
        LeaseTimes t;
        lease_times_init(&t, leases[i].seconds, SENT_MS);
        int64_t end_ms = SENT_MS + leases[i].seconds * 1000;
        assert_int_equal(lease_times_end(&t), end_ms);
        assert_int_equal(lease_times_term(&t), end_ms - leases[i].term_ms);
        assert_int_equal(lease_times_kill(&t), end_ms - leases[i].kill_ms);
        int64_t third_ms = leases[i].seconds * 1000 / 3;
        assert_int_equal(t.next_ms, SENT_MS + (third_ms > RENEWAL_LEAST_MS ? third_ms : RENEWAL_LEAST_MS));
    }
}

static void less_time_left_than_asked_for_counts(void **state) {
    (void)state;
    LeaseTimes t;
    lease_times_init(&t, 300, SENT_MS);
    lease_times_renewed(&t, SENT_MS + 100000, 299); /* rounded down */
    assert_int_equal(lease_times_end(&t), SENT_MS + 100000 + 300000);
    lease_times_renewed(&t, SENT_MS + 200000, 60); /* its longest hold is near */
    assert_int_equal(lease_times_end(&t), SENT_MS + 200000 + 60000);
    assert_int_equal(t.next_ms, SENT_MS + 200000 + 20000);
}

/* A network that swallows every try of an outage, which begins at any moment: whether a try that begins after it, and
 * takes `answer_ms`, is answered before the command is told to stop. */
static bool outlives(int64_t seconds, int64_t begins_ms, int64_t lasts_ms, int64_t answer_ms, SeededRandom *random) {
    LeaseTimes t;
    lease_times_init(&t, seconds, 0);
    for (;;) {
        int64_t at_ms = t.next_ms;
        if (at_ms >= lease_times_term(&t))
            return false;
        if (at_ms < begins_ms) { /* still answered */
            lease_times_renewed(&t, at_ms, seconds);
            continue;
        }
        if (at_ms >= begins_ms + lasts_ms)
            return at_ms + answer_ms <= lease_times_term(&t);
        int64_t until_ms = at_ms + lease_times_try_ms(&t, at_ms);
        lease_times_failed(&t, until_ms, seeded_random_below(random, UINT32_MAX));
    }
}

static void an_outage_shorter_than_two_thirds_less_twenty_seconds_kills_nothing(void **state) {
    (void)state;
    SeededRandom random;
    seeded_random_init(&random, 7);
    const int64_t lengths[] = {45, 60, 90, 300, 600, 3600};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (int n = 0; n < 2000; n++) {
            int64_t begins_ms = (int64_t)seeded_random_below(&random, (uint64_t)lengths[i] * 1000);
            int64_t lasts_ms = lengths[i] * 2000 / 3 - 20000;
            assert_true(outlives(lengths[i], begins_ms, lasts_ms, 500, &random));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_stops_before_the_lease_does),
        cmocka_unit_test(less_time_left_than_asked_for_counts),
        cmocka_unit_test(an_outage_shorter_than_two_thirds_less_twenty_seconds_kills_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
