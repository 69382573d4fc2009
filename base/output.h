/* Bytes to a file, a pipe or a terminal, whatever the kernel takes at a time. */
#pragma once

#include "base/slice.h"

/* All of it. 0 | -errno: some of it may have been written. What logs has nobody to tell. */
int output_write(int fd, Slice text);
