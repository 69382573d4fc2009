#include "faults/virtual_clock.h"

static VirtualClock *of(const Clock *clock) {
    return (VirtualClock *)clock;
}

static int64_t read_locked(VirtualClock *c, const int64_t *member) {
    (void)pthread_mutex_lock(&c->mutex);
    int64_t value = *member;
    (void)pthread_mutex_unlock(&c->mutex);
    return value;
}

static int64_t boot_ms(const Clock *clock) {
    return read_locked(of(clock), &of(clock)->boot_ms);
}

static int64_t wall_ms(const Clock *clock) {
    return read_locked(of(clock), &of(clock)->wall_ms);
}

static void wait(const Clock *clock, pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t until_ms) {
    VirtualClock *c = of(clock);
    (void)pthread_mutex_lock(&c->mutex);
    c->waits_on = condition;
    c->waits_with = mutex;
    bool is_over = c->boot_ms >= until_ms;
    (void)pthread_mutex_unlock(&c->mutex);
    if (!is_over)
        (void)pthread_cond_wait(condition, mutex);
}

void virtual_clock_init(VirtualClock *c) {
    static const ClockVtable vtable = {.boot_ms = boot_ms, .wall_ms = wall_ms, .wait = wait};
    *c = (VirtualClock){.base = {.vtable = &vtable}, .boot_ms = 1000000, .wall_ms = 1767225600000};
    (void)pthread_mutex_init(&c->mutex, NULL);
}

/* Whoever is about to wait holds its mutex from its last look at the time on, so it cannot miss the broadcast. */
void virtual_clock_move(VirtualClock *c, int64_t boot, int64_t wall) {
    (void)pthread_mutex_lock(&c->mutex);
    c->boot_ms += boot;
    c->wall_ms += wall;
    pthread_cond_t *condition = c->waits_on;
    pthread_mutex_t *mutex = c->waits_with;
    (void)pthread_mutex_unlock(&c->mutex);
    if (condition == NULL)
        return;
    (void)pthread_mutex_lock(mutex);
    (void)pthread_cond_broadcast(condition);
    (void)pthread_mutex_unlock(mutex);
}

void virtual_clock_forget(VirtualClock *c) {
    (void)pthread_mutex_lock(&c->mutex);
    c->waits_on = NULL;
    c->waits_with = NULL;
    (void)pthread_mutex_unlock(&c->mutex);
}
