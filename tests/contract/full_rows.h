/* Rows in which every member says something, so that one that is forgotten on some way is missed at its end. */
#pragma once

#include "store/store.h"

extern const StackRow full_stack;

/* Everything a store may have, in the order of store_compare_rows, counters and all as the rules leave them: one of each kind
 * with everything in it, and of project "zoo" what is absent, and a history of several hundred events with a hole in it.
 * Fills `rows`; how many. */
#define FULL_ROWS_MAX 512
size_t full_rows(StoredRow *rows);

/* Fails the test where they differ. */
void assert_stack_row(const StackRow *a, const StackRow *b);
void assert_stored_row(const StoredRow *a, const StoredRow *b);
