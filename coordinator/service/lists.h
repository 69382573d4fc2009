/* Lists, rendered from the store by the worker between its batches. */
#pragma once

#include "protocol/messages.h"
#include "service/watch.h"
#include "store/store.h"

/*
 * The body of listStacks, listQueue, listEvents, listProjects or listKeys. The watch says when leases end, by `wall_ms`. At most `ceiling` bytes of rows (0: no ceiling); a
 * list that was cut, by the ceiling or by its `limit`, carries `next`; of the latest events fewer are told. *is_whole: it was not, or was asked for in pages.
 * 0 | STORE_NOT_FOUND (no such project) | STORE_IO | -ENOMEM.
 */
int list_render(Store *store, const Watch *watch, int64_t wall_ms, const Command *command, size_t ceiling, Buffer *out,
                bool *is_whole) MUST_USE;
