/* Between two looks it goes by boot_ms: a step of the machine's clock is never seen. */
#include "service/store_clock.h"

static const StoreClock *of(const Clock *clock) {
    return (const StoreClock *)(const void *)clock;
}

static int64_t boot_ms(const Clock *clock) {
    return clock_boot_ms(of(clock)->machine);
}

static int64_t wall_ms(const Clock *clock) {
    const StoreClock *c = of(clock);
    return atomic_load(&c->is_set) ? clock_boot_ms(c->machine) + atomic_load(&c->ahead_ms) : clock_wall_ms(c->machine);
}

static void wait_until(const Clock *clock, pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t until_ms) {
    const Clock *machine = of(clock)->machine;
    machine->vtable->wait(machine, condition, mutex, until_ms);
}

void store_clock_init(StoreClock *clock, const Clock *machine) {
    static const ClockVtable vtable = {.boot_ms = boot_ms, .wall_ms = wall_ms, .wait = wait_until};
    *clock = (StoreClock){.base = {.vtable = &vtable}, .machine = machine};
}

void store_clock_set(StoreClock *clock, int64_t wall) {
    atomic_store(&clock->ahead_ms, wall - clock_boot_ms(clock->machine));
    atomic_store(&clock->is_set, true);
}

int64_t store_clock_earliest(const StoreClock *clock) {
    int64_t here = clock_wall_ms(clock->machine), there = clock_wall_ms(&clock->base);
    return here < there ? here : there;
}
