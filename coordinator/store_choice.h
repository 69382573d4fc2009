/* Which store the options ask for, from whichever place says so. */
#pragma once

#include "base/buffer.h"
#include "coordinator/options.h"

/* --store, else its twin in the environment, else --store-file, else SQLite. *url is malloc'd; NULL: SQLite. 0 |
 * -EINVAL: wrong usage, with one sentence in `reason` | -errno: the file cannot be read, likewise | -ENOMEM. */
int store_choose(const CoordinatorOptions *options, char **url, Buffer *reason) MUST_USE;
