/* What the tests of the PostgreSQL engine share: a server, a store on it, and the transaction under way. */
#pragma once

#include <pthread.h>

#include "contract/postgres_server.h"
#include "store/postgres.h"

extern PostgresServer server;
extern PGconn *admin; /* the tests' own session */

/* Starts the server, and ends it. */
void world_begin(void);
void world_end(void);

/* ---- one store, and the set of the transaction under way ---- */

typedef struct World {
    Store *store;
    Arena arena;
    WorkingSet set;
} World;

/* For each test: a schema that is new, and a store on it. */
int set_up(void **state);
int tear_down(void **state);

int open_on(const char *url, Store **out, Buffer *reason);
Store *open_store(void);

/* A transaction on `store` with this project loaded. */
void begin(World *w, Store *store, const char *project);
void add_project(World *w, const char *name);
/* One change of several tables: a stack, and an event that says so. */
void add_stack(World *w, int64_t number);
int save(World *w);
/* … all of it, committed, on the world's own store. */
void make_project(World *w, const char *name);
int stack_count(void);

/* ---- something happens while the store waits ---- */

typedef struct Call {
    pthread_t thread;
    World *world;
    int socket; /* of the store's session, when the call began */
    int result;
} Call;

/* Runs it on a thread, with the call as its argument. */
void start(Call *call, World *w, void *(*run)(void *));
int result_of(Call *call);
void *run_commit(void *call);

/* Asks until the answer is the expected one. */
void wait_until(const char *question, const char *expected);

/* Each in the tests' own session; the last one is NULL. */
void run_all(const char *const statements[]);

/* From now on a COMMIT that has an event waits for a lock that the test has, until it is let go. */
PGconn *hold_commits(void);
void wait_for_waiting(const char *count);
void let_go(PGconn *holder);
