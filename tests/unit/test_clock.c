/* Dates and spans as text; waiting that ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"

static void expect_iso(int64_t wall_ms, const char *expected) {
    char text[CLOCK_ISO_SIZE];
    clock_format_iso(wall_ms, text);
    assert_string_equal(text, expected);
}

static void dates_are_utc_with_milliseconds(void **state) {
    (void)state;
    expect_iso(0, "1970-01-01T00:00:00.000Z");
    expect_iso(1, "1970-01-01T00:00:00.001Z");
    expect_iso(INT64_C(951782400000), "2000-02-29T00:00:00.000Z");
    expect_iso(INT64_C(951868799999), "2000-02-29T23:59:59.999Z");
    expect_iso(INT64_C(4107542400000), "2100-03-01T00:00:00.000Z"); /* 2100 is no leap year */
}

static void dates_outside_are_clamped(void **state) {
    (void)state;
    expect_iso(-1, "1970-01-01T00:00:00.000Z");
    expect_iso(INT64_MIN, "1970-01-01T00:00:00.000Z");
    expect_iso(INT64_MAX, "9999-12-31T23:59:59.999Z");
    expect_iso(INT64_C(253402300799999), "9999-12-31T23:59:59.999Z");
}

static void dates_agree_with_the_c_library(void **state) {
    (void)state;
    /* A step prime to days and years, so that all months and leap years are met. */
    for (int64_t seconds = 0; seconds < INT64_C(253402300800); seconds += 7654321) {
        time_t time = (time_t)seconds;
        struct tm broken;
        char expected[64];
        assert_non_null(gmtime_r(&time, &broken));
        assert_int_equal(strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.042Z", &broken), 24);
        expect_iso(seconds * 1000 + 42, expected);
    }
}

static void spans_show_the_two_largest_units(void **state) {
    (void)state;
    static const struct {
        int64_t seconds;
        const char *expected;
    } cases[] = {
        {-5, "0s"},          {0, "0s"},
        {59, "59s"},         {60, "1m"},
        {4 * 60 + 59, "4m"}, {52 * 60, "52m"},
        {3600, "1h"},        {3 * 3600 + 5 * 60 + 59, "3h 5m"},
        {86400, "1d"},       {2 * 86400 + 4 * 3600 + 3599, "2d 4h"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[24];
        clock_format_span(cases[i].seconds, text);
        assert_string_equal(text, cases[i].expected);
    }
    char text[24];
    clock_format_span(INT64_MAX, text); /* fits */
    assert_true(strlen(text) < sizeof text);
}

static void waiting_ends_at_its_deadline_and_not_before(void **state) {
    (void)state;
    const Clock *clock = clock_system();
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition;
    assert_int_equal(clock_condition_init(&condition), 0);
    assert_int_equal(pthread_mutex_lock(&mutex), 0);
    int64_t until_ms = clock_boot_ms(clock) + 20;
    while (clock_boot_ms(clock) < until_ms)
        clock->vtable->wait(clock, &condition, &mutex, until_ms);
    clock->vtable->wait(clock, &condition, &mutex, until_ms);  /* in the past: at once */
    clock->vtable->wait(clock, &condition, &mutex, INT64_MIN); /* as well */
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);
    assert_int_equal(pthread_cond_destroy(&condition), 0);
}

typedef struct Signalled {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    bool is_ready;
} Signalled;

static void *signal_once(void *argument) {
    Signalled *shared = argument;
    (void)pthread_mutex_lock(&shared->mutex);
    shared->is_ready = true;
    (void)pthread_cond_signal(&shared->condition);
    (void)pthread_mutex_unlock(&shared->mutex);
    return NULL;
}

static void waiting_for_ever_ends_by_a_signal(void **state) {
    (void)state;
    const Clock *clock = clock_system();
    Signalled shared = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;
    assert_int_equal(clock_condition_init(&shared.condition), 0);
    (void)pthread_mutex_lock(&shared.mutex);
    assert_int_equal(pthread_create(&thread, NULL, signal_once, &shared), 0);
    while (!shared.is_ready)
        clock->vtable->wait(clock, &shared.condition, &shared.mutex, CLOCK_FOREVER);
    (void)pthread_mutex_unlock(&shared.mutex);
    (void)pthread_join(thread, NULL);
    (void)pthread_cond_destroy(&shared.condition);
}

static void wall_time_is_past_2020(void **state) {
    (void)state;
    assert_true(clock_wall_ms(clock_system()) > INT64_C(1577836800000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_utc_with_milliseconds),
        cmocka_unit_test(dates_outside_are_clamped),
        cmocka_unit_test(dates_agree_with_the_c_library),
        cmocka_unit_test(spans_show_the_two_largest_units),
        cmocka_unit_test(waiting_ends_at_its_deadline_and_not_before),
        cmocka_unit_test(waiting_for_ever_ends_by_a_signal),
        cmocka_unit_test(wall_time_is_past_2020),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
