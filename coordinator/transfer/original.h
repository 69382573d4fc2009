/*
 * What theodo/test-stack-orchestrator keeps in its table, into an empty store: projects with their keys (hashed, as importKey
 * does it) and stacks. A stack that is not available becomes a plain lease: it holds until somebody releases the stack by
 * name. "Last requested" is the order of `modified`, which is what the original goes by.
 */
#pragma once

#include <stdio.h>

#include "base/clock.h"
#include "base/options.h"
#include "base/random.h"
#include "transfer/lines.h"

typedef struct OriginalOptions {
    const OptionList *renames; /* "OLD=NEW": projects whose name is none here */
    const Clock *clock;
    Random *random;
} OriginalOptions;

/* All of it, or nothing. *skipped: how many stacks belong to keys that no project has. Results as import_read's. */
int original_read(Store *store, FILE *in, const OriginalOptions *options, TransferCounts *counts, size_t *skipped,
                  Buffer *reason) MUST_USE;
