/*
 * What every engine promises (store/store.h), as tests that see nothing but that header. An engine's own program opens it
 * and runs them:
 *
 *     int main(void) { return store_suite_run("array", open_array, NULL); }
 */
#pragma once

#include "store/store.h"

/* Opens an empty store: 0 or an error. Called before each test. */
typedef int (*StoreOpener)(Store **out, void *arg);

/* The number of failed tests. `close` (may be NULL) runs after each test, when the store is closed. */
int store_suite_run(const char *engine, StoreOpener open, void (*close)(void *arg), void *arg);
