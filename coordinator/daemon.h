/* stack-coordinator but for what comes in from outside, so that a test's program is the whole one with time of its own. */
#pragma once

#include "coordinator/coordinator.h"

/* Command line → serve, or an admin verb → exit code. Of `outside` it takes clock, random and vfs. */
int daemon_main(int argc, char *argv[], const CoordinatorDeps *outside);
