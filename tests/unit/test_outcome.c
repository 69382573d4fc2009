/* The table of outcomes: complete, unambiguous, and readable backwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/outcome.h"

static void every_outcome_has_a_whole_row(void **state) {
    (void)state;
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        const OutcomeRow *row = outcome_row((Outcome)i);
        assert_non_null(row->code);
        assert_non_null(row->title);
        assert_true(row->http_status == 0 || (row->http_status >= 200 && row->http_status < 600));
        assert_true(row->exit_code == 0 || (row->exit_code >= 64 && row->exit_code <= 78));
        assert_int_equal(row->exit_code == 0, i == OUTCOME_DONE);
    }
}

static void codes_lead_back_to_their_outcome(void **state) {
    (void)state;
    for (int i = 0; i < OUTCOME_COUNT; i++)
        assert_int_equal(outcome_by_code(slice_of(outcome_row((Outcome)i)->code)), i);
    assert_int_equal(outcome_by_code(slice_of("none-availabl")), OUTCOME_COUNT);
    assert_int_equal(outcome_by_code(slice_of("")), OUTCOME_COUNT);
    assert_int_equal(outcome_by_code(SLICE_ABSENT), OUTCOME_COUNT);
}

static void statuses_and_exit_codes_are_the_protocol_s(void **state) {
    (void)state;
    static const struct {
        Outcome outcome;
        int http_status, exit_code;
    } expected[] = {
        {OUTCOME_DONE, 200, 0},
        {OUTCOME_QUEUED, 202, 75},
        {OUTCOME_VALIDATION, 400, 64},
        {OUTCOME_UNAUTHENTICATED, 401, 77},
        {OUTCOME_FORBIDDEN, 403, 77},
        {OUTCOME_UNKNOWN_STACK, 404, 66},
        {OUTCOME_UNKNOWN_REQUEST, 404, 66},
        {OUTCOME_UNKNOWN_PROJECT, 404, 66},
        {OUTCOME_UNKNOWN_KEY, 404, 66},
        {OUTCOME_UNKNOWN_OPERATION, 404, 64},
        {OUTCOME_METHOD_NOT_ALLOWED, 405, 64},
        {OUTCOME_NONE_AVAILABLE, 409, 75},
        {OUTCOME_LEASE_REQUIRED, 409, 66},
        {OUTCOME_WRONG_STATE, 409, 66},
        {OUTCOME_EXISTS, 409, 66},
        {OUTCOME_IN_USE, 409, 66},
        {OUTCOME_LEASE_LOST, 410, 76},
        {OUTCOME_REQUEST_OVER, 410, 76},
        {OUTCOME_TOO_LARGE, 413, 64},
        {OUTCOME_BAD_JSON, 422, 64},
        {OUTCOME_REQUEST_MISMATCH, 422, 64},
        {OUTCOME_RATE_LIMITED, 429, 69},
        {OUTCOME_INTERNAL, 500, 70},
        {OUTCOME_STORE_UNAVAILABLE, 503, 69},
        {OUTCOME_DRAINING, 503, 69},
        {OUTCOME_UNREACHABLE, 0, 69},
    };
    assert_int_equal(COUNT_OF(expected), OUTCOME_COUNT);
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        assert_int_equal(outcome_row(expected[i].outcome)->http_status, expected[i].http_status);
        assert_int_equal(outcome_row(expected[i].outcome)->exit_code, expected[i].exit_code);
    }
}

static void a_bare_status_still_means_something(void **state) {
    (void)state;
    static const struct {
        int http_status;
        Outcome outcome;
    } expected[] = {
        {200, OUTCOME_DONE},
        {204, OUTCOME_DONE},
        {202, OUTCOME_QUEUED},
        {301, OUTCOME_UNKNOWN_OPERATION},
        {400, OUTCOME_VALIDATION},
        {401, OUTCOME_UNAUTHENTICATED},
        {403, OUTCOME_FORBIDDEN},
        {404, OUTCOME_UNKNOWN_OPERATION},
        {408, OUTCOME_STORE_UNAVAILABLE},
        {409, OUTCOME_NONE_AVAILABLE},
        {410, OUTCOME_LEASE_LOST},
        {418, OUTCOME_VALIDATION},
        {429, OUTCOME_RATE_LIMITED},
        {500, OUTCOME_INTERNAL},
        {502, OUTCOME_STORE_UNAVAILABLE},
        {503, OUTCOME_STORE_UNAVAILABLE},
        {504, OUTCOME_STORE_UNAVAILABLE},
        {599, OUTCOME_INTERNAL},
        {0, OUTCOME_INTERNAL},
        {-1, OUTCOME_INTERNAL},
    };
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        assert_int_equal(outcome_by_status(expected[i].http_status), expected[i].outcome);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_outcome_has_a_whole_row),
        cmocka_unit_test(codes_lead_back_to_their_outcome),
        cmocka_unit_test(statuses_and_exit_codes_are_the_protocol_s),
        cmocka_unit_test(a_bare_status_still_means_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
