/*
 * The machine's clocks, and dates as text. Dates are computed here rather than by gmtime_r, which takes the time zone's
 * lock, since every answer with a date passes through.
 */
#include "base/clock.h"

#include <errno.h>
#include <time.h>

#define MS_PER_DAY INT64_C(86400000)
#define LAST_WALL_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

/* CLOCK_MONOTONIC stands still while the machine is suspended. Waiting in steps bounds how late a deadline, which is in
 * boot time, may be noticed after that; the caller sees a spurious wake-up. */
#define WAIT_STEP_MS 5000

static int64_t read_ms(clockid_t id) {
    struct timespec now = {0};
    (void)clock_gettime(id, &now); /* cannot fail for these ids on Linux */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_boot_ms(const Clock *clock) {
    (void)clock;
    return read_ms(CLOCK_BOOTTIME);
}

static int64_t system_wall_ms(const Clock *clock) {
    (void)clock;
    return read_ms(CLOCK_REALTIME);
}

static void system_wait(const Clock *clock, pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t until_ms) {
    if (until_ms == CLOCK_FOREVER) {
        (void)pthread_cond_wait(condition, mutex);
        return;
    }
    int64_t now_ms = system_boot_ms(clock);
    if (until_ms <= now_ms)
        return;
    int64_t wait_ms = until_ms < now_ms + WAIT_STEP_MS ? until_ms - now_ms : WAIT_STEP_MS;
    struct timespec until = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t until_ns = until.tv_nsec + wait_ms % 1000 * 1000000;
    until.tv_sec += (time_t)(wait_ms / 1000 + until_ns / 1000000000);
    until.tv_nsec = (long)(until_ns % 1000000000);
    (void)pthread_cond_timedwait(condition, mutex, &until);
}

const Clock *clock_system(void) {
    static const ClockVtable vtable = {.boot_ms = system_boot_ms, .wall_ms = system_wall_ms, .wait = system_wait};
    static const Clock clock = {.vtable = &vtable};
    return &clock;
}

int clock_condition_init(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    if (error != 0)
        return -error;
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (error == 0)
        error = pthread_cond_init(condition, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return -error;
}

/* Writes `count` decimal digits at `out`, leading zeros included. */
static void put_digits(char *out, int64_t value, int count) {
    for (int i = count - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

void clock_format_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE]) {
    if (wall_ms < 0)
        wall_ms = 0;
    if (wall_ms > LAST_WALL_MS)
        wall_ms = LAST_WALL_MS;
    int64_t ms = wall_ms % MS_PER_DAY;

    /* Days since 1970 to a date, with years that begin in March, so that the leap day comes last (Howard Hinnant,
     * "chrono-compatible low-level date algorithms", civil_from_days). */
    int64_t days = wall_ms / MS_PER_DAY + 719468;
    int64_t era = days / 146097, day_of_era = days % 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    int64_t year = year_of_era + era * 400 + (month <= 2);

    static const char pattern[CLOCK_ISO_SIZE] = "0000-00-00T00:00:00.000Z";
    for (int i = 0; i < CLOCK_ISO_SIZE; i++)
        out[i] = pattern[i];
    put_digits(out, year, 4);
    put_digits(out + 5, month, 2);
    put_digits(out + 8, day, 2);
    put_digits(out + 11, ms / 3600000, 2);
    put_digits(out + 14, ms / 60000 % 60, 2);
    put_digits(out + 17, ms / 1000 % 60, 2);
    put_digits(out + 20, ms % 1000, 3);
}

/* Writes "52m" and returns what is behind it. */
static char *put_quantity(char *out, int64_t value, char letter) {
    int count = 1;
    for (int64_t rest = value; rest >= 10; rest /= 10)
        count++;
    put_digits(out, value, count);
    out[count] = letter;
    return out + count + 1;
}

void clock_format_span(int64_t seconds, char out[24]) {
    static const struct {
        int64_t seconds;
        char letter;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    enum { SMALLEST_PAIR = 1 }; /* hours are followed by minutes; minutes stand alone */
    size_t at = 0;

    if (seconds < 0)
        seconds = 0;
    while (units[at].seconds > 1 && seconds < units[at].seconds)
        at++;
    out = put_quantity(out, seconds / units[at].seconds, units[at].letter);
    int64_t rest = at <= SMALLEST_PAIR ? seconds % units[at].seconds / units[at + 1].seconds : 0;
    if (rest > 0) {
        *out++ = ' ';
        out = put_quantity(out, rest, units[at + 1].letter);
    }
    *out = '\0';
}
