/*
 * Rendered stack lists, one per project, so that listing costs a copy of a pointer. The worker publishes a list when it
 * rendered one and drops it after the COMMIT that changed its project, before anyone hears of that COMMIT: whoever
 * reads after an acknowledged change never sees the list from before it. Safe from any thread.
 */
#pragma once

#include "base/slice.h"

typedef struct Snapshots Snapshots;
typedef struct Snapshot Snapshot; /* immutable bytes, counted references */

int snapshots_new(Snapshots **out) MUST_USE;
Snapshots *snapshots_free(Snapshots *snapshots);

/* Takes malloc'd `bytes` over in any case; *out holds one reference for the caller. 0 | -ENOMEM. */
int snapshot_new(Snapshot **out, char *bytes, size_t len) MUST_USE;
Slice snapshot_bytes(const Snapshot *snapshot);
Snapshot *snapshot_unref(Snapshot *snapshot); /* takes NULL, returns NULL */

/* The project's list with a reference for the caller; NULL when there is none. */
Snapshot *snapshots_get(Snapshots *snapshots, Slice project);
/* Keeps a reference of its own. */
void snapshots_put(Snapshots *snapshots, Slice project, Snapshot *snapshot);
void snapshots_drop(Snapshots *snapshots, Slice project);
