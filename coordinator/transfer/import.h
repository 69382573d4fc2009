/* The lines of an export into an empty store. */
#pragma once

#include <stdio.h>

#include "transfer/lines.h"

/* Reads all of it, writes all of it or nothing. 0: it is there, durable | TRANSFER_REFUSED: what is wrong with which line |
 * -errno of the file | as filling_begin and filling_end; the reason in one sentence. */
int import_read(Store *store, FILE *in, TransferCounts *counts, Buffer *reason) MUST_USE;
