/*
 * The batch loop for tests: begin, load, decide in order, save, commit; as the service's, without its threads. It checks on
 * the way what every decision promises: refusals and wishes for rows change nothing, and the loads stay few.
 */
#pragma once

#include "lease/decide.h"
#include "store/store.h"

/* A command as a client sends it with nothing but the operation: every field absent or at its default. */
Command simulate_command(OperationId operation, const char *project);

/* Decides `count` commands as one transaction; answers[i] borrows from the arena, which must outlive it, and from the
 * store. 0, or what failed; an unkept promise fails the running cmocka test. */
int simulate_batch(Store *store, Arena *arena, const Moment *moment, const Command *commands, size_t count,
                   Answer *answers) MUST_USE;

/* The same with what time made due, as the service does it: who is not heard of any more comes before the commands, all
 * else behind them. `committed` (may be NULL) is shown each set after the COMMIT. */
typedef struct SimulatedBatch {
    Store *store;
    Arena *arena;
    const Moment *moment;
    const Command *commands;
    size_t count; /* at most BATCH_MAX */
    Answer *answers;
    const Due *dues;
    size_t due_count; /* at most DUE_MAX */
    Slice due_project;
    void (*committed)(void *arg, const WorkingSet *set);
    void *arg;
} SimulatedBatch;
int simulate_batch_with(const SimulatedBatch *batch) MUST_USE;
