/* The table of states, and the names it is stored and shown under. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lease/rows.h"
#include "lease/state.h"

#define STATES (STACK_GONE + 1)
#define NO STATES

/* DESIGN's table drawn the other way round, as a matrix: rows are states, columns are events, NO is no way. */
static void every_state_knows_exactly_its_own_events(void **state) {
    (void)state;
    enum {
        AV = STACK_AVAILABLE,
        LE = STACK_LEASED,
        DI = STACK_DIRTY,
        QU = STACK_QUARANTINED,
        RE = STACK_RETIRING,
        GO = STACK_GONE
    };
    /* clang-format off */
    static const int expected[STATES][STACK_EVENT_COUNT] = {
        /*                      create grant ok  dirty broken clean: start ok failed given-up quarantine restore delete retire rest */
        [STACK_AVAILABLE]   = { NO,    LE,   NO, NO,   NO,           NO,   NO, NO,    NO,      QU,        NO,     GO,     RE,    NO },
        [STACK_LEASED]      = { NO,    NO,   AV, DI,   QU,           NO,   AV, DI,    QU,      QU,        NO,     NO,     RE,    NO },
        [STACK_DIRTY]       = { NO,    NO,   NO, NO,   NO,           LE,   NO, NO,    NO,      QU,        AV,     GO,     RE,    NO },
        [STACK_QUARANTINED] = { NO,    NO,   NO, NO,   NO,           NO,   NO, NO,    NO,      NO,        AV,     GO,     RE,    NO },
        [STACK_RETIRING]    = { NO,    NO,   GO, GO,   GO,           NO,   GO, GO,    GO,      NO,        NO,     NO,     NO,    GO },
        [STACK_GONE]        = { LE,    NO,   NO, NO,   NO,           NO,   NO, NO,    NO,      NO,        NO,     NO,     NO,    NO },
    };
    /* clang-format on */
    for (int from = 0; from < STATES; from++) {
        for (int event = 0; event < STACK_EVENT_COUNT; event++) {
            StackState to = (StackState)from;
            bool is_allowed = stack_state_next((StackState)from, (StackEvent)event, &to);
            assert_int_equal(is_allowed, expected[from][event] != NO);
            assert_int_equal(to, is_allowed ? expected[from][event] : from);
        }
    }
}

/* The names PROTOCOL.md gives them. */
static void each_state_has_the_name_of_the_protocol(void **state) {
    (void)state;
    static const char *const names[STACK_GONE] = {
        [STACK_AVAILABLE] = "available",     [STACK_LEASED] = "leased",     [STACK_DIRTY] = "dirty",
        [STACK_QUARANTINED] = "quarantined", [STACK_RETIRING] = "retiring",
    };
    for (int i = 0; i < STACK_GONE; i++)
        assert_string_equal(stack_state_name((StackState)i), names[i]);
}

static void every_kind_of_event_and_every_why_has_a_name(void **state) {
    (void)state;
    for (int i = 0; i < EVENT_KIND_COUNT; i++)
        assert_non_null(event_kind_names[i]);
    assert_null(event_kind_names[EVENT_KIND_COUNT]);
    for (int i = 0; i <= WHY_UNCOLLECTED; i++)
        assert_non_null(request_why_names[i]);
    assert_null(request_why_names[WHY_UNCOLLECTED + 1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_knows_exactly_its_own_events),
        cmocka_unit_test(each_state_has_the_name_of_the_protocol),
        cmocka_unit_test(every_kind_of_event_and_every_why_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
