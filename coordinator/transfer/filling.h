/*
 * Rows into an empty store, wherever they come from: in order, each belonging to a project that came, none later than the
 * project's counters say, each lease with its stack and its request. All of them, or none.
 *
 *     filling_begin → filling_add … → filling_end         filling_deinit, whatever happened
 */
#pragma once

#include "transfer/lines.h"

typedef struct FilledProject FilledProject;
typedef struct FilledLease FilledLease;

typedef struct Filling {
    Store *store;
    Buffer *reason;
    bool is_open; /* a transaction */
    TransferCounts counts;
    /* Rows that wait for their turn to be put, and their texts. */
    StoredRow *rows;
    size_t row_count;
    Arena texts;
    /* For the order: the row before. */
    StoredRow last;
    Arena last_texts;
    FilledProject *projects; /* by name */
    size_t project_count, project_capacity, project_at;
    FilledLease *leases; /* by project and ticket from the first request on */
    size_t lease_count, lease_capacity;
    bool are_leases_sorted;
} Filling;

/* 0 | STORE_CONFLICT: the store is not empty | STORE_LOCKED: another coordinator uses it | as store_put; a sentence about any but 0 in `reason`, of all functions here. */
int filling_begin(Filling *filling, Store *store, Buffer *reason) MUST_USE;
/* Takes a copy. In a key's and a project's row the project's name is filled in. 0 | TRANSFER_REFUSED | as store_put. */
int filling_add(Filling *filling, const StoredRow *row) MUST_USE;
/* 0: all of it is there, durable; *counts says how much | TRANSFER_REFUSED | as store_commit and store_sync. */
int filling_end(Filling *filling, TransferCounts *counts) MUST_USE;
void filling_deinit(Filling *filling);
