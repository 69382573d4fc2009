/*
 * stack-coordinator on a disk that forgets what was not synced when it is killed, and with time that runs and jumps as a
 * test wants. Whole otherwise: the same command line, the same answers.
 *
 *     CLOCK_SPEED   how many times faster than the machine's clocks (1)
 *     CLOCK_STEPS   the file of warped_clock.h
 *     FAILPOINT     base/failpoint.h
 */
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/daemon.h"
#include "history/volatile_disk.h"
#include "history/warped_clock.h"

int main(int argc, char *argv[]) {
    const char *speed = getenv("CLOCK_SPEED");
    const Clock *clock = warped_clock_new(speed != NULL ? strtoll(speed, NULL, 10) : 1, getenv("CLOCK_STEPS"));
    if (clock == NULL || volatile_disk_register() != 0) {
        (void)fprintf(stderr, "faulty-coordinator: no clock or no disk to work with\n");
        return EXIT_FAILURE;
    }
    const CoordinatorDeps outside = {.clock = clock, .random = random_system(), .vfs = "volatile"};
    return daemon_main(argc, argv, &outside);
}
