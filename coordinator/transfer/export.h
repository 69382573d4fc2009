/* Everything a store has, as lines. */
#pragma once

#include <stdio.h>

#include "transfer/lines.h"

/* Writes all of it, as it was at one moment, flushed but not synced. `program`: who writes. 0 | as store_dump | -errno of the
 * file; the reason in one sentence. The same state gives the same bytes. */
int export_write(Store *store, FILE *out, const char *program, TransferCounts *counts, Buffer *reason) MUST_USE;
