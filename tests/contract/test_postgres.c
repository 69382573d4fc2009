/* What the PostgreSQL engine promises of transactions, beyond the contract: round trips, locks, a COMMIT that was not answered,
 * a standby that has to have it, plans. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "contract/postgres_world.h"

/* ---- round trips ---- */

static void batch_is_two_round_trips(void **state) {
    World *w = *state;
    make_project(w, "shop");
    make_project(w, "blog");
    WorkingSet shop, blog, *sets[] = {&shop, &blog};
    int64_t before = postgres_store(w->store)->round_trips;
    assert_int_equal(store_begin(w->store), 0);
    assert_int_equal(working_set_init(&shop, &w->arena, slice_of("shop")), 0);
    assert_int_equal(working_set_init(&blog, &w->arena, slice_of("blog")), 0);
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        RowWant wants[] = {{.query = ROWS_FREE_OLDEST, .limit = 3},
                           {.query = ROWS_STACK_BY_NUMBER, .number = 1, .limit = 1},
                           {.query = ROWS_STACK_BY_NUMBER, .number = 2, .limit = 1},
                           {.query = ROWS_QUEUE, .limit = 1},
                           {.query = ROWS_NUMBERS_UNUSED, .limit = 2}};
        for (size_t j = 0; j < COUNT_OF(wants); j++)
            assert_int_equal(working_set_want(sets[i], wants[j]), 0);
    }
    assert_int_equal(store_load(w->store, sets, 2), 0);
    assert_int_equal(postgres_store(w->store)->round_trips, before + 1);
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        w->set = *sets[i];
        add_stack(w, 1);
        add_stack(w, 2);
        *sets[i] = w->set;
    }
    assert_int_equal(store_save(w->store, sets, 2), 0);
    assert_int_equal(store_commit(w->store), 0);
    assert_int_equal(postgres_store(w->store)->round_trips, before + 2);
    assert_int_equal(stack_count(), 4);
}

static void transaction_that_only_looked_is_one_round_trip(void **state) {
    World *w = *state;
    make_project(w, "shop");
    int64_t before = postgres_store(w->store)->round_trips;
    for (int i = 1; i <= 3; i++) { /* the answer to a ROLLBACK is read with the next one */
        begin(w, w->store, "shop");
        store_rollback(w->store);
        assert_int_equal(postgres_store(w->store)->round_trips, before + i);
    }
}

/* ---- locks ---- */

static void *run_load(void *arg) {
    Call *call = arg;
    WorkingSet *sets[] = {&call->world->set};
    call->result = store_load(call->world->store, sets, 1);
    return NULL;
}

static void project_is_decided_by_one_at_a_time(void **state) {
    World *w = *state, other = {.store = open_store()};
    arena_init(&other.arena);
    make_project(w, "shop");
    begin(w, w->store, "shop");
    Call call;
    assert_int_equal(store_begin(other.store), 0);
    assert_int_equal(working_set_init(&other.set, &other.arena, slice_of("shop")), 0);
    assert_int_equal(working_set_want(&other.set, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 1, .limit = 1}),
                     0);
    start(&call, &other, run_load);
    wait_for_waiting("1");
    add_stack(w, 1);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
    assert_int_equal(result_of(&call), 0);
    assert_int_equal(other.set.stack_count, 1); /* it sees what was committed while it waited */
    assert_int_equal(other.set.project.last_event, 1);
    store_rollback(other.store);
    other.store = store_close(other.store);
    arena_deinit(&other.arena);
}

static void project_that_stays_locked_is_busy(void **state) {
    World *w = *state, other = {.store = open_store()};
    arena_init(&other.arena);
    make_project(w, "shop");
    begin(w, w->store, "shop");
    PGconn *session = postgres_store(other.store)->connection;
    assert_int_equal(PQexitPipelineMode(session), 1);
    (void)postgres_run(session, "SET lock_timeout = '10ms'"); /* less patience */
    assert_int_equal(PQenterPipelineMode(session), 1);
    assert_int_equal(store_begin(other.store), 0);
    assert_int_equal(working_set_init(&other.set, &other.arena, slice_of("shop")), 0);
    WorkingSet *sets[] = {&other.set};
    assert_int_equal(store_load(other.store, sets, 1), STORE_BUSY);
    store_rollback(other.store);
    store_rollback(w->store); /* the server comes to it when it comes to it */
    wait_until("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'", "0");
    begin(&other, other.store, "shop"); /* the session goes on */
    assert_true(other.set.is_project_loaded);
    store_rollback(other.store);
    other.store = store_close(other.store);
    arena_deinit(&other.arena);
}

static void another_project_does_not_wait(void **state) {
    World *w = *state, other = {.store = open_store()};
    arena_init(&other.arena);
    make_project(w, "shop");
    make_project(w, "blog");
    begin(w, w->store, "shop");
    begin(&other, other.store, "blog");
    store_rollback(other.store);
    store_rollback(w->store);
    other.store = store_close(other.store);
    arena_deinit(&other.arena);
}

static void project_made_by_two_at_once_is_made_by_one(void **state) {
    World *w = *state, other = {.store = open_store()};
    arena_init(&other.arena);
    begin(w, w->store, "shop");
    assert_true(w->set.is_project_missing);
    Call call;
    assert_int_equal(store_begin(other.store), 0);
    assert_int_equal(working_set_init(&other.set, &other.arena, slice_of("shop")), 0);
    start(&call, &other, run_load);
    wait_for_waiting("1");
    add_project(w, "shop");
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
    assert_int_equal(result_of(&call), STORE_CONFLICT);
    begin(&other, other.store, "shop");
    assert_true(other.set.is_project_loaded);
    store_rollback(other.store);
    other.store = store_close(other.store);
    arena_deinit(&other.arena);
}

/* ---- a COMMIT that is not answered ---- */

typedef enum What { CHANGES_PROJECT, MAKES_PROJECT, FILLS_STORE } What;

static void fill(World *w) {
    const StoredRow rows[] = {
        {.kind = STORED_PROJECT,
         .project = slice_of("shop"),
         .as.project = {.name = slice_of("shop"), .prefix = slice_of("test-"), .first_unused = 2, .last_event = 1}},
        {.kind = STORED_STACK, .project = slice_of("shop"), .as.stack = {.number = 1, .name = slice_of("test-1")}},
        {.kind = STORED_EVENT, .project = slice_of("shop"), .as.event = {.id = 1}},
    };
    assert_int_equal(store_begin(w->store), 0);
    assert_int_equal(store_put(w->store, rows, COUNT_OF(rows)), 0);
}

static void change(World *w, What what) {
    if (what == CHANGES_PROJECT)
        make_project(w, "shop");
    begin(w, w->store, "shop");
    if (what == MAKES_PROJECT)
        add_project(w, "shop");
    add_stack(w, 1);
    assert_int_equal(save(w), 0);
}

/* A transaction whose COMMIT is under way and does not end. */
static PGconn *commit_slowly(World *w, Call *call, What what) {
    PGconn *holder = hold_commits();
    if (what == FILLS_STORE)
        fill(w);
    else
        change(w, what);
    start(call, w, run_commit);
    wait_for_waiting("1");
    return holder;
}

static void commit_that_happened_unheard_is_found(World *w, What what) {
    Call call;
    PGconn *holder = commit_slowly(w, &call, what);
    assert_int_equal(shutdown(call.socket, SHUT_RDWR), 0);
    wait_for_waiting("2"); /* it asks, and waits for the project until the first transaction is over */
    assert_int_equal(stack_count(), 0);
    let_go(holder);
    assert_int_equal(result_of(&call), 0);
    assert_int_equal(stack_count(), 1);
    begin(w, w->store, "shop");
    store_rollback(w->store);
}

static void unanswered_commit_that_happened_is_acknowledged(void **state) {
    commit_that_happened_unheard_is_found(*state, CHANGES_PROJECT);
}

static void so_is_one_that_made_its_project(void **state) {
    commit_that_happened_unheard_is_found(*state, MAKES_PROJECT);
}

static void and_one_that_filled_the_store(void **state) {
    commit_that_happened_unheard_is_found(*state, FILLS_STORE);
}

static void commit_that_was_ended_did_not_happen(World *w, What what) {
    Call call;
    PGconn *holder = commit_slowly(w, &call, what);
    (void)postgres_run(admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
    assert_int_equal(result_of(&call), STORE_IO);
    let_go(holder);
    assert_int_equal(stack_count(), 0);
    begin(w, w->store, "shop");
    assert_int_equal(w->set.is_project_missing, what != CHANGES_PROJECT);
    store_rollback(w->store);
}

static void unanswered_commit_that_did_not_happen_is_no_success(void **state) {
    commit_that_was_ended_did_not_happen(*state, CHANGES_PROJECT);
}

static void nor_is_one_that_was_to_make_its_project(void **state) {
    commit_that_was_ended_did_not_happen(*state, MAKES_PROJECT);
}

static void nor_one_that_was_to_fill_the_store(void **state) {
    commit_that_was_ended_did_not_happen(*state, FILLS_STORE);
}

/* The number of an earlier transaction is no answer for a later one. */
static void transactions_are_told_apart(void **state) {
    World *w = *state;
    make_project(w, "shop");
    for (int i = 1; i <= 3; i++) {
        begin(w, w->store, "shop");
        add_stack(w, i);
        assert_int_equal(save(w), 0);
        assert_int_equal(store_commit(w->store), 0);
    }
    PGconn *holder = hold_commits();
    begin(w, w->store, "shop");
    add_stack(w, 4);
    assert_int_equal(save(w), 0);
    Call call;
    start(&call, w, run_commit);
    wait_for_waiting("1");
    (void)postgres_run(admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
    assert_int_equal(result_of(&call), STORE_IO);
    let_go(holder);
    assert_int_equal(stack_count(), 3);
}

/* ---- a standby that has to have it ---- */

static void wait_for_standby_waits(const char *count) {
    wait_until("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", count);
}

static void cancel_wait(void) {
    (void)postgres_run(admin, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
}

/* The setting alone does not say so: another process of the server makes it come true, when it gets to it. */
static void wait_until_commits_wait(void) {
    PGconn *session = postgres_server_connect(&server, "postgres");
    (void)postgres_run(session, "SET client_min_messages = error");
    bool has_waited = false;
    while (!has_waited) {
        assert_int_equal(PQsendQuery(session, "SELECT pg_logical_emit_message(true, 'test', '')"), 1);
        while (postgres_await(session, 10) == -ETIMEDOUT && !has_waited) {
            has_waited =
                strcmp(postgres_run(admin, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"),
                       "1") == 0;
            if (has_waited)
                cancel_wait();
        }
        for (PGresult *result; (result = PQgetResult(session)) != NULL;)
            PQclear(result);
    }
    PQfinish(session);
}

static void want_standby(const char *name) {
    char sql[128];
    (void)snprintf(sql, sizeof sql, "ALTER SYSTEM SET synchronous_standby_names = '%s'", name);
    (void)postgres_run(admin, sql);
    (void)postgres_run(admin, "SELECT pg_reload_conf()");
    wait_until("SHOW synchronous_standby_names", name);
    if (name[0] != '\0')
        wait_until_commits_wait();
}

static void start_commit_without_standby(World *w, Call *call) {
    make_project(w, "shop");
    want_standby("nobody");
    begin(w, w->store, "shop");
    add_stack(w, 1);
    assert_int_equal(save(w), 0);
    start(call, w, run_commit);
    wait_for_standby_waits("1");
}

static void commit_cancelled_in_its_wait_waits_again(void **state) {
    World *w = *state;
    Call call;
    start_commit_without_standby(w, &call);
    cancel_wait();
    wait_until("SELECT count(*) FROM stack_coordinator.stack", "1"); /* visible, and on no standby */
    wait_for_standby_waits("1");                                     /* that of the transaction that asks */
    want_standby("");
    assert_int_equal(result_of(&call), 0);
}

static void commit_that_no_standby_has_is_never_acknowledged(void **state) {
    World *w = *state;
    Call call;
    PostgresStore *s = postgres_store(w->store);
    make_project(w, "shop");
    want_standby("nobody");
    begin(w, w->store, "shop");
    add_stack(w, 1);
    assert_int_equal(save(w), 0);
    s->answer_ms = s->doubt_ms = 300;
    start(&call, w, run_commit);
    assert_int_equal(result_of(&call), STORE_UNKNOWN);
    assert_int_equal(store_begin(w->store), STORE_IO); /* nobody decides anything on top of it */
    s->answer_ms = STORE_ANSWER_MS;
    s->doubt_ms = STORE_DOUBT_MS;
    want_standby("");
    wait_for_standby_waits("0");
    /* It did happen, and what this process remembers does not know. */
    StoreLook look;
    assert_int_equal(store_look(w->store, 0, &w->arena, &look), 0);
    assert_int_equal(store_begin(w->store), 0);
    store_rollback(w->store);
    assert_int_equal(store_look(w->store, look.horizon, &w->arena, &look), 0);
    assert_true(look.is_all);
}

/* Another coordinator's COMMIT may have been cancelled in its wait: it is visible, and on no standby. Who repeats it
 * acknowledges it. */
static void what_is_only_read_waits_for_the_standby_too(void **state) {
    World *w = *state;
    Call call;
    StoreLook look;
    make_project(w, "shop");
    assert_int_equal(store_look(w->store, 0, &w->arena, &look), 0);
    begin(w, w->store, "shop");
    int64_t before = postgres_store(w->store)->round_trips;
    assert_int_equal(store_commit(w->store), 0);
    assert_int_equal(postgres_store(w->store)->round_trips, before); /* nobody has to have it */
    want_standby("nobody");
    assert_int_equal(store_look(w->store, look.horizon, &w->arena, &look), 0);
    begin(w, w->store, "shop");
    start(&call, w, run_commit);
    wait_for_standby_waits("1");
    want_standby("");
    assert_int_equal(result_of(&call), 0);
}

/* ---- plans ---- */

/* What each statement has to be answered by, on tables that are empty and of which nothing is known: the plan that is made
 * then is kept. */
static const struct {
    PostgresStatement id;
    const char *index;
} plans[] = {
    {PG_LOAD_STACK_BY_NUMBER, "stack_pkey"},
    {PG_LOAD_STACK_HIGHEST, "stack_pkey"},
    {PG_LOAD_FREE_ON_BRANCH, "stack_free_on_branch"},
    {PG_LOAD_FREE_AT_COMMIT, "stack_free_at_commit"},
    {PG_LOAD_FREE_OLDEST, "stack_free_oldest"},
    {PG_LOAD_DIRTY_OLDEST, "stack_dirty_oldest"},
    {PG_LOAD_QUEUE, "request_waiting"},
    {PG_LOAD_QUEUED_BEFORE, "request_waiting"},
    {PG_LOAD_NUMBERS_UNUSED, "stack_pkey"},
    {PG_LOAD_REQUEST_BY_ID, "request_by_id"},
    {PG_LOAD_REQUEST_BY_TICKET, "request_pkey"},
    {PG_LOAD_KEY_BY_ID, "api_key_pkey"},
    {PG_LOAD_KEYS, "api_key_by_project"},
    {PG_STACK_UPDATE, "stack_pkey"},
    {PG_STACK_DELETE, "stack_pkey"},
    {PG_REQUEST_UPDATE, "request_pkey"},
    {PG_PROJECT_UPDATE, "project_pkey"},
    {PG_LOCK_PROJECTS, "project_pkey"},
    {PG_LIST_STACKS, "stack_pkey"},
    {PG_LIST_QUEUE, "request_queued"},
    {PG_LIST_EVENTS, "event_pkey"},
    {PG_LIST_EVENTS_BACKWARDS, "event_pkey"},
    {PG_LIST_STACK_EVENTS, "event_of_stack"},
    {PG_LIST_STACK_EVENTS_BACKWARDS, "event_of_stack"},
    {PG_DUMP_PROJECTS, "project_pkey"},
    {PG_DUMP_KEYS, "api_key_by_project"},
    {PG_DUMP_STACKS, "stack_pkey"},
    {PG_DUMP_REQUESTS, "request_pkey"},
    {PG_DUMP_EVENTS, "event_pkey"},
    {PG_PRUNE_EVENTS, "event_age"},
    {PG_PRUNE_REQUESTS, "request_over"},
};

/* All lines of the plan that a session like the store's makes. */
static const char *explain(PGconn *session, PostgresStatement id) {
    static char text[16384];
    size_t length = 0;
    Buffer sql;
    buffer_init(&sql, 65536);
    buffer_printf(&sql, "PREPARE q%d AS ", (int)id);
    postgres_statement_text(id, &sql);
    (void)postgres_run(session, buffer_text(&sql));
    buffer_clear(&sql);
    (void)snprintf(text, sizeof text,
                   "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'q%d'", (int)id);
    buffer_printf(&sql, "EXPLAIN EXECUTE q%d", (int)id);
    int count = atoi(postgres_run(session, text));
    for (int i = 0; i < count; i++)
        buffer_add_text(&sql, i == 0 ? " (NULL" : ", NULL");
    if (count > 0)
        buffer_add_char(&sql, ')');
    PGresult *plan = PQexec(session, buffer_text(&sql));
    text[0] = '\0';
    for (int i = 0; i < PQntuples(plan); i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s\n", PQgetvalue(plan, i, 0));
    PQclear(plan);
    buffer_deinit(&sql);
    return text;
}

/* The scan of a table: by the index meant, and not by going through it with a filter. */
static void is_planned_by(PGconn *session, PostgresStatement id, const char *index) {
    char scan[128];
    const char *text = explain(session, id);
    (void)snprintf(scan, sizeof scan, "using %s on ", index);
    if (strstr(text, scan) == NULL || strstr(text, "Seq Scan") != NULL)
        print_error("statement %d is not answered by %s:\n%s\n", (int)id, index, text);
    assert_non_null(strstr(text, scan));
    assert_null(strstr(text, "Seq Scan"));
}

static void loads_seek_the_index_that_is_meant_for_them(void **state) {
    World *w = *state;
    PGconn *session = postgres_server_connect(&server, "postgres");
    Buffer settings;
    buffer_init(&settings, 4096);
    postgres_session_text(&settings);
    (void)postgres_run(session, buffer_text(&settings));
    buffer_deinit(&settings);
    for (size_t i = 0; i < COUNT_OF(plans); i++)
        is_planned_by(session, plans[i].id, plans[i].index);
    PQfinish(session);
    (void)w;
}

int main(void) {
    world_begin();
#define TEST(function)                                                                                                 \
    { #function, function, set_up, tear_down, NULL }
    const struct CMUnitTest tests[] = {
        TEST(batch_is_two_round_trips),
        TEST(transaction_that_only_looked_is_one_round_trip),
        TEST(project_is_decided_by_one_at_a_time),
        TEST(project_that_stays_locked_is_busy),
        TEST(another_project_does_not_wait),
        TEST(project_made_by_two_at_once_is_made_by_one),
        TEST(unanswered_commit_that_happened_is_acknowledged),
        TEST(so_is_one_that_made_its_project),
        TEST(and_one_that_filled_the_store),
        TEST(unanswered_commit_that_did_not_happen_is_no_success),
        TEST(nor_is_one_that_was_to_make_its_project),
        TEST(nor_one_that_was_to_fill_the_store),
        TEST(transactions_are_told_apart),
        TEST(commit_cancelled_in_its_wait_waits_again),
        TEST(commit_that_no_standby_has_is_never_acknowledged),
        TEST(what_is_only_read_waits_for_the_standby_too),
        TEST(loads_seek_the_index_that_is_meant_for_them),
    };
#undef TEST
    int failed = cmocka_run_group_tests_name("postgres", tests, NULL, NULL);
    world_end();
    return failed;
}
