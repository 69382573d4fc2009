/* The folder of one daemon: made, and locked as long as a descriptor is open. */
#pragma once

#include "base/buffer.h"

/* Makes it if need be; *lock_fd is the caller's to close, last. 0 | STORE_LOCKED | -errno, with one sentence in `reason`. */
int data_dir_lock(const char *data_dir, int *lock_fd, Buffer *reason) MUST_USE;
