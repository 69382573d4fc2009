/*
 * A project "acme" over the array engine with a clock of its own, and one command at a time: what the tests of the rules
 * stand on. Time goes on by one second a command. A failure of the machinery fails the running test.
 */
#pragma once

#include "simulate/batch.h"

typedef struct World {
    Store *store;
    Arena arena; /* answers and rows borrow from it until the world is freed */
    Moment moment;
} World;

#define WORLD_START_MS INT64_C(1790000000000)

/* cmocka's setup and teardown; *state is the World. */
int world_setup(void **state);
int world_teardown(void **state);

/* A command of project acme by key "k1", the lease (if any) by hand. */
Command world_command(OperationId operation);
Answer world_do(World *w, Command command);
/* One transaction. */
void world_do_all(World *w, const Command *commands, size_t count, Answer *answers);

/* Short forms of common commands. */
Answer world_request(World *w, const char *branch);                               /* plain, without requestId */
Answer world_request_bound(World *w, const char *branch, const char *request_id); /* leaseSeconds 60; id may be NULL */
Answer world_release(World *w, const char *stack_name);
Answer world_release_lease(World *w, const char *stack_name, LeaseRef lease, ReleaseOutcome outcome);
Answer world_deploy(World *w, const char *stack_name, const char *commit);

/* What is stored now. */
ProjectRow world_project(World *w);
bool world_has_stack(World *w, const char *name);
StackRow world_stack(World *w, const char *name); /* must be there */
EventRow world_last_event(World *w);
int64_t world_count_events(World *w);

void assert_slice_is(Slice actual, const char *expected); /* NULL: absent */
void assert_outcome(const Answer *answer, Outcome expected);
