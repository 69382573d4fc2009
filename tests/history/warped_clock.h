/* The machine's clocks, so many times faster; the wall clock steps when somebody writes into a file. */
#pragma once

#include "base/clock.h"

/* `speed` ≥ 1. `steps_path` (or NULL) names a file of one 64-bit number, the wall clock's error in ms, mapped: whoever
 * writes it moves the clock. Life long. NULL: it cannot be mapped. */
const Clock *warped_clock_new(int64_t speed, const char *steps_path);
