/*
 * Rendered lists, from the worker to the last who reads them; of each project the list of all stacks is kept, so that listing
 * costs a copy of a pointer. The worker publishes that one when it rendered it and drops it after the COMMIT that changed
 * its project, before anyone hears of that COMMIT: whoever reads after an acknowledged change never sees the list from
 * before it. All of them are counted: who asks for lists and does not read them takes no more than LISTS_BYTES_MAX. Safe
 * from any thread.
 */
#pragma once

#include "base/slice.h"

typedef struct Snapshots Snapshots;
typedef struct Snapshot Snapshot; /* immutable bytes, counted references */

int snapshots_new(Snapshots **out) MUST_USE;
Snapshots *snapshots_free(Snapshots *snapshots);

/* Whether one more may be rendered. */
bool snapshots_have_room(const Snapshots *snapshots);
/* Takes malloc'd `bytes` over in any case; *out holds one reference for the caller. All go before the Snapshots do. 0 |
 * -ENOMEM. */
int snapshot_new(Snapshot **out, Snapshots *snapshots, char *bytes, size_t len) MUST_USE;
Snapshot *snapshot_ref(Snapshot *snapshot); /* returns it */
Slice snapshot_bytes(const Snapshot *snapshot);
Snapshot *snapshot_unref(Snapshot *snapshot); /* takes NULL, returns NULL */

/* The project's list with a reference for the caller; NULL when there is none. */
Snapshot *snapshots_get(Snapshots *snapshots, Slice project);
/* Keeps a reference of its own, unless it is long or many are kept. */
void snapshots_put(Snapshots *snapshots, Slice project, Snapshot *snapshot);
void snapshots_drop(Snapshots *snapshots, Slice project);
