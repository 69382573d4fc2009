#include "history/warped_clock.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#include "base/cleanup.h"

#define WAIT_STEP_NS INT64_C(5000000) /* of real time; then the caller sees a spurious wake-up */
#define NS_PER_S INT64_C(1000000000)

typedef struct WarpedClock {
    Clock base;
    int64_t speed;
    int64_t wall_start_ms; /* the wall clock when boot time was zero */
    const _Atomic int64_t *step_ms;
} WarpedClock;

static const WarpedClock *of(const Clock *clock) {
    return (const WarpedClock *)clock;
}

static int64_t read_ns(clockid_t id) {
    struct timespec now = {0};
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t boot_ms(const Clock *clock) {
    return read_ns(CLOCK_BOOTTIME) / 1000 * of(clock)->speed / 1000;
}

static int64_t wall_ms(const Clock *clock) {
    return of(clock)->wall_start_ms + boot_ms(clock) + atomic_load(of(clock)->step_ms);
}

static void wait(const Clock *clock, pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t until_ms) {
    int64_t wait_ns = WAIT_STEP_NS;
    if (until_ms != CLOCK_FOREVER) {
        int64_t left_ms = until_ms - boot_ms(clock);
        if (left_ms <= 0)
            return;
        int64_t left_ns = left_ms * 1000000 / of(clock)->speed;
        wait_ns = left_ns < wait_ns ? left_ns : wait_ns;
    }
    int64_t until_ns = read_ns(CLOCK_MONOTONIC) + wait_ns;
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = (long)(until_ns % NS_PER_S)};
    (void)pthread_cond_timedwait(condition, mutex, &until);
}

const Clock *warped_clock_new(int64_t speed, const char *steps_path) {
    static const ClockVtable vtable = {.boot_ms = boot_ms, .wall_ms = wall_ms, .wait = wait};
    static const _Atomic int64_t no_step;
    static WarpedClock clock;
    clock = (WarpedClock){.base.vtable = &vtable, .speed = speed, .step_ms = &no_step};
    /* The same at every start on this machine, but for what the real clocks do. */
    clock.wall_start_ms = (read_ns(CLOCK_REALTIME) - read_ns(CLOCK_BOOTTIME)) / NS_PER_S * 1000;
    if (steps_path == NULL)
        return &clock.base;
    OWN(closep) int fd = open(steps_path, O_RDONLY | O_CLOEXEC);
    void *page = fd >= 0 ? mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (page == MAP_FAILED)
        return NULL;
    clock.step_ms = page;
    return &clock.base;
}
