#include "coordinator/daemon.h"

int main(int argc, char *argv[]) {
    const CoordinatorDeps outside = {.clock = clock_system(), .random = random_system()};
    return daemon_main(argc, argv, &outside);
}
