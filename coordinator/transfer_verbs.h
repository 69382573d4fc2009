/*
 * `export` and `import`: the verbs that need no daemon. They open the store themselves, under the lock that a daemon holds
 * while it runs; so beside one on SQLite an export is made of a copy that the daemon makes. Beside any number of them on
 * PostgreSQL an export reads for itself. An import wants none there.
 */
#pragma once

#include "coordinator/admin.h"
#include "coordinator/coordinator.h"

/* The exit code; what went wrong was told on admin->errors. Of `outside` it takes clock, random and vfs. */
int transfer_run(const Admin *admin, const CoordinatorDeps *outside);
