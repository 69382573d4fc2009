#include "contract/postgres_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATIENCE_MS 60000

PostgresServer server;
PGconn *admin;

void world_begin(void) {
    postgres_server_start(&server);
    admin = postgres_server_connect(&server, "postgres");
    (void)postgres_run(admin, "SET client_min_messages = warning");
}

void world_end(void) {
    PQfinish(admin);
    postgres_server_stop(&server);
}

/* ---- one store, and the set of the transaction under way ---- */

int open_on(const char *url, Store **out, Buffer *reason) {
    StoreOptions options = {.url = url, .clock = clock_system(), .program = "stack-coordinator 0.1.0"};
    return store_open_postgres(out, &options, reason);
}

Store *open_store(void) {
    Store *store = NULL;
    Buffer reason;
    buffer_init(&reason, 4096);
    int r = open_on(postgres_server_url(&server, "postgres"), &store, &reason);
    if (r != 0)
        print_error("%s\n", buffer_text(&reason));
    buffer_deinit(&reason);
    assert_int_equal(r, 0);
    return store;
}

int set_up(void **state) {
    World *w = calloc(1, sizeof *w);
    assert_non_null(w);
    arena_init(&w->arena);
    (void)postgres_run(admin, "DROP SCHEMA IF EXISTS stack_coordinator CASCADE");
    w->store = open_store();
    *state = w;
    return 0;
}

int tear_down(void **state) {
    World *w = *state;
    w->store = store_close(w->store);
    arena_deinit(&w->arena);
    free(w);
    return 0;
}

void begin(World *w, Store *store, const char *project) {
    WorkingSet *sets[] = {&w->set};
    assert_int_equal(store_begin(store), 0);
    assert_int_equal(working_set_init(&w->set, &w->arena, slice_of(project)), 0);
    assert_int_equal(store_load(store, sets, 1), 0);
}

void add_project(World *w, const char *name) {
    w->set.project = (ProjectRow){.name = slice_of(name), .prefix = slice_of("test-"), .first_unused = 1};
    w->set.project_change = ROW_NEW;
}

void add_stack(World *w, int64_t number) {
    StackSlot *slot;
    StackRow row = {.number = number, .name = arena_printf(&w->arena, "test-%lld", (long long)number)};
    row.state = STACK_LEASED;
    assert_int_equal(working_set_add_stack(&w->set, &row, &slot), 0);
    EventRow event = {.at_ms = number, .kind = EVENT_GRANTED, .stack_number = number, .stack_name = row.name};
    assert_int_equal(working_set_add_event(&w->set, &event), 0);
}

int save(World *w) {
    WorkingSet *sets[] = {&w->set};
    return store_save(w->store, sets, 1);
}

void make_project(World *w, const char *name) {
    begin(w, w->store, name);
    add_project(w, name);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
}

int stack_count(void) {
    return atoi(postgres_run(admin, "SELECT count(*) FROM stack_coordinator.stack"));
}

/* ---- something happens while the store waits ---- */

void *run_commit(void *arg) {
    Call *call = arg;
    call->result = store_commit(call->world->store);
    return NULL;
}

void start(Call *call, World *w, void *(*run)(void *)) {
    call->world = w;
    call->socket = w->store != NULL ? PQsocket(postgres_store(w->store)->connection) : -1;
    call->result = -1;
    assert_int_equal(pthread_create(&call->thread, NULL, run, call), 0);
}

int result_of(Call *call) {
    assert_int_equal(pthread_join(call->thread, NULL), 0);
    return call->result;
}

void wait_until(const char *question, const char *expected) {
    int64_t until_ms = clock_boot_ms(clock_system()) + PATIENCE_MS;
    while (strcmp(postgres_run(admin, question), expected) != 0)
        if (clock_boot_ms(clock_system()) > until_ms)
            fail_msg("never %s: %s", expected, question);
}

void run_all(const char *const statements[]) {
    for (size_t i = 0; statements[i] != NULL; i++)
        (void)postgres_run(admin, statements[i]);
}

PGconn *hold_commits(void) {
    PGconn *holder = postgres_server_connect(&server, "postgres");
    (void)postgres_run(holder, "SELECT pg_advisory_lock(42)");
    (void)postgres_run(holder,
                       "CREATE FUNCTION stack_coordinator.hold() RETURNS trigger LANGUAGE plpgsql "
                       "SET lock_timeout = '60s' AS $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$");
    (void)postgres_run(holder, "CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON stack_coordinator.event DEFERRABLE "
                               "INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stack_coordinator.hold()");
    return holder;
}

void wait_for_waiting(const char *count) {
    wait_until("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", count);
}

void let_go(PGconn *holder) {
    PQfinish(holder); /* and its lock */
}
