/*
 * An engine around another one that fails when a test says so: the nth call of one kind, once or from then on. A call that
 * fails this way never reaches the engine inside (a failing commit rolls it back first), as store.h promises for all
 * results but STORE_UNKNOWN.
 */
#pragma once

#include "store/store.h"

typedef enum WrapCall { WRAP_BEGIN, WRAP_LOAD, WRAP_SAVE, WRAP_COMMIT, WRAP_SYNC, WRAP_READ, WRAP_CALLS } WrapCall;

typedef struct WrapStore WrapStore;

/* Takes the inner store over. NULL: out of memory. Close with store_close(). */
Store *wrap_store_new(Store *inner);
/* From now on the `nth` (1: the next) call of this kind gives `result`; `for_ever`: all after it too. */
void wrap_store_fail(Store *store, WrapCall call, int nth, int result, bool for_ever);
void wrap_store_heal(Store *store);
/* Whether the call that is to fail has not come yet. */
bool wrap_store_is_waiting(Store *store, WrapCall call);
/* Before the service: from now on it is one of several coordinators, the others of which do nothing. */
void wrap_store_share(Store *store);
/* Whether it says that its session is newer than the last look. */
void wrap_store_must_look(Store *store, bool must_look);
/* From now on no load of this project comes by, as if another session kept its row locked; NULL: none is. */
void wrap_store_lock(Store *store, const char *project);
/* Called by each load with the number of projects, before it reaches the engine inside. */
void wrap_store_on_load(Store *store, void (*fn)(void *arg, size_t projects), void *arg);
/* Commits that succeeded, of what was saved. */
int wrap_store_commits(const Store *store);
