/* What the PostgreSQL engine promises beyond the contract: round trips, locks, a COMMIT that was not answered, servers that
 * cannot be trusted, a server that goes away. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "contract/postgres_server.h"
#include "store/postgres.h"

static PostgresServer server;
static PGconn *admin;

/* ---- one store, and the set of the transaction under way ---- */

typedef struct World {
    Store *store;
    Arena arena;
    WorkingSet set;
} World;

static int open_on(const char *url, Store **out, Buffer *reason) {
    StoreOptions options = {.url = url, .clock = clock_system(), .program = "stack-coordinator 0.1.0"};
    return store_open_postgres(out, &options, reason);
}

static Store *open_store(void) {
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

static int set_up(void **state) {
    World *w = calloc(1, sizeof *w);
    assert_non_null(w);
    arena_init(&w->arena);
    (void)postgres_run(admin, "DROP SCHEMA IF EXISTS stack_coordinator CASCADE");
    w->store = open_store();
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    World *w = *state;
    w->store = store_close(w->store);
    arena_deinit(&w->arena);
    free(w);
    return 0;
}

static void begin(World *w, Store *store, const char *project) {
    WorkingSet *sets[] = {&w->set};
    assert_int_equal(store_begin(store), 0);
    assert_int_equal(working_set_init(&w->set, &w->arena, slice_of(project)), 0);
    assert_int_equal(store_load(store, sets, 1), 0);
}

static void add_project(World *w, const char *name) {
    w->set.project = (ProjectRow){.name = slice_of(name), .prefix = slice_of("test-"), .first_unused = 1};
    w->set.project_change = ROW_NEW;
}

/* One change of several tables: a stack, and an event that says so. */
static void add_stack(World *w, int64_t number) {
    StackSlot *slot;
    StackRow row = {.number = number, .name = arena_printf(&w->arena, "test-%lld", (long long)number)};
    row.state = STACK_LEASED;
    assert_int_equal(working_set_add_stack(&w->set, &row, &slot), 0);
    EventRow event = {.at_ms = number, .kind = EVENT_GRANTED, .stack_number = number, .stack_name = row.name};
    assert_int_equal(working_set_add_event(&w->set, &event), 0);
}

static int save(World *w) {
    WorkingSet *sets[] = {&w->set};
    return store_save(w->store, sets, 1);
}

static void make_project(World *w, const char *name) {
    begin(w, w->store, name);
    add_project(w, name);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
}

static int stack_count(void) {
    return atoi(postgres_run(admin, "SELECT count(*) FROM stack_coordinator.stack"));
}

/* ---- something happens while the store waits ---- */

typedef struct Call {
    pthread_t thread;
    World *world;
    int socket; /* of the store's session, when the call began */
    int result;
} Call;

static void *run_commit(void *arg) {
    Call *call = arg;
    call->result = store_commit(call->world->store);
    return NULL;
}

static void start(Call *call, World *w, void *(*run)(void *)) {
    call->world = w;
    call->socket = w->store != NULL ? PQsocket(postgres_store(w->store)->connection) : -1;
    call->result = -1;
    assert_int_equal(pthread_create(&call->thread, NULL, run, call), 0);
}

static int result_of(Call *call) {
    assert_int_equal(pthread_join(call->thread, NULL), 0);
    return call->result;
}

#define PATIENCE_MS 60000

/* Asks until the answer is the expected one. */
static void wait_until(const char *question, const char *expected) {
    int64_t until_ms = clock_boot_ms(clock_system()) + PATIENCE_MS;
    while (strcmp(postgres_run(admin, question), expected) != 0)
        if (clock_boot_ms(clock_system()) > until_ms)
            fail_msg("never %s: %s", expected, question);
}

/* From now on a COMMIT that has an event waits for a lock that the test has. */
static PGconn *hold_commits(void) {
    PGconn *holder = postgres_server_connect(&server, "postgres");
    (void)postgres_run(holder, "SELECT pg_advisory_lock(42)");
    (void)postgres_run(holder,
                       "CREATE FUNCTION stack_coordinator.hold() RETURNS trigger LANGUAGE plpgsql "
                       "SET lock_timeout = '60s' AS $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$");
    (void)postgres_run(holder, "CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON stack_coordinator.event DEFERRABLE "
                               "INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stack_coordinator.hold()");
    return holder;
}

static void wait_for_waiting(const char *count) {
    wait_until("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", count);
}

static void let_go(PGconn *holder) {
    PQfinish(holder); /* and its lock */
}

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

/* ---- servers that cannot be trusted ---- */

static void assert_refused_by(const char *url, int expected, const char *says) {
    Store *store = NULL;
    Buffer reason;
    buffer_init(&reason, 4096);
    int r = open_on(url, &store, &reason);
    const char *text = buffer_text(&reason);
    if (r != expected || text == NULL || strstr(text, says) == NULL)
        print_error("%d, %s\n", r, text);
    assert_int_equal(r, expected);
    assert_non_null(strstr(text, says));
    assert_null(strchr(text, '\n'));
    buffer_deinit(&reason);
    assert_null(store);
}

static void assert_refused(int expected, const char *says) {
    assert_refused_by(postgres_server_url(&server, "postgres"), expected, says);
}

static void run_all(const char *const statements[]) {
    for (size_t i = 0; statements[i] != NULL; i++)
        (void)postgres_run(admin, statements[i]);
}

static void urls_that_lead_nowhere_are_refused(void **state) {
    (void)state;
    assert_refused_by("postgres://user:s3cret%ZZ@host/db", -EINVAL, "none that PostgreSQL knows");
    assert_refused_by("postgres://h?nonsense=1", -EINVAL, "none that PostgreSQL knows");
    assert_refused_by("postgres://postgres@/postgres?host=/nowhere", STORE_IO, "cannot connect to PostgreSQL");
    assert_refused_by(postgres_server_url(&server, "nodatabase"), STORE_IO, "\"nodatabase\" does not exist");
}

static void password_is_not_repeated(void **state) {
    (void)state;
    Store *store = NULL;
    Buffer reason;
    buffer_init(&reason, 4096);
    assert_int_equal(open_on("postgres://user:s3cret%ZZ@host/db", &store, &reason), -EINVAL);
    assert_null(strstr(buffer_text(&reason), "s3cret"));
    buffer_clear(&reason);
    assert_int_equal(open_on("postgres://user:s3cret@/db?host=/nowhere", &store, &reason), STORE_IO);
    assert_null(strstr(buffer_text(&reason), "s3cret"));
    buffer_deinit(&reason);
}

static void server_that_may_lose_what_it_confirms_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *set, *says;
    } faults[] = {
        {"ALTER DATABASE postgres SET synchronous_commit = off", "synchronous_commit is off"},
        {"ALTER DATABASE postgres SET synchronous_commit = local", "synchronous_commit is local"},
        {"ALTER DATABASE postgres SET synchronous_commit = remote_write", "synchronous_commit is remote_write"},
        {"ALTER DATABASE postgres SET default_transaction_read_only = on", "read-only"},
    };
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        (void)postgres_run(admin, faults[i].set);
        assert_refused(STORE_IO, faults[i].says);
        (void)postgres_run(admin, "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE");
        (void)postgres_run(admin, "ALTER DATABASE postgres RESET ALL");
    }
    (void)postgres_run(admin, "ALTER DATABASE postgres SET synchronous_commit = remote_apply");
    Store *store = open_store(); /* more than enough */
    store = store_close(store);
    (void)postgres_run(admin, "ALTER DATABASE postgres RESET ALL");
}

static void server_without_fsync_is_refused(void **state) {
    (void)state;
    run_all((const char *const[]){"ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()", NULL});
    wait_until("SHOW fsync", "off");
    assert_refused(STORE_IO, "fsync off");
    run_all((const char *const[]){"ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()", NULL});
    wait_until("SHOW fsync", "on");
}

static void database_of_another_encoding_is_refused(void **state) {
    (void)state;
    (void)postgres_run(admin, "CREATE DATABASE old TEMPLATE template0 ENCODING 'LATIN1'");
    assert_refused_by(postgres_server_url(&server, "old"), STORE_IO, "encoding of database old is LATIN1");
    (void)postgres_run(admin, "DROP DATABASE old");
}

/* A pooler in front of the server, until standard input ends: "MODE" is its pool_mode. The URL that leads through it. */
typedef struct Pooler {
    pid_t pid;
    int input;
    char folder[256], url[512];
} Pooler;

static void start_pooler(Pooler *pooler, const char *mode) {
    char port[16];
    int input[2], output[2];
    (void)snprintf(port, sizeof port, "%d", server.port);
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    pooler->pid = fork();
    if (pooler->pid == 0) {
        (void)dup2(input[0], STDIN_FILENO);
        (void)dup2(output[1], STDOUT_FILENO);
        (void)execl(SOURCE_DIR "/tests/postgres/pooler", "pooler", server.folder, port, mode, (char *)NULL);
        _exit(127);
    }
    (void)close(input[0]);
    (void)close(output[1]);
    pooler->input = input[1];
    FILE *lines = fdopen(output[0], "r");
    assert_non_null(lines);
    assert_int_equal(fscanf(lines, "%255s", pooler->folder), 1);
    (void)fclose(lines);
    (void)snprintf(pooler->url, sizeof pooler->url, "postgres://postgres@/postgres?host=%s&port=6432", pooler->folder);
}

static void stop_pooler(Pooler *pooler) {
    (void)close(pooler->input);
    (void)waitpid(pooler->pid, NULL, 0);
}

static void pooler_of_transactions_is_refused(void **state) {
    (void)state;
    Pooler pooler;
    start_pooler(&pooler, "transaction");
    assert_refused_by(pooler.url, STORE_IO, "pool_mode = session");
    stop_pooler(&pooler);
}

static void pooler_of_sessions_will_do(void **state) {
    World *w = *state;
    Pooler pooler;
    w->store = store_close(w->store);
    start_pooler(&pooler, "session");
    assert_int_equal(open_on(pooler.url, &w->store, NULL), 0);
    make_project(w, "shop");
    w->store = store_close(w->store);
    stop_pooler(&pooler);
}

static const char *url_as(const char *role) {
    static char url[512];
    (void)snprintf(url, sizeof url, "postgres://%s@/postgres?host=%s&port=%d", role, server.folder, server.port);
    return url;
}

static void roles_have_what_they_need_or_are_refused(void **state) {
    World *w = *state;
    w->store = store_close(w->store);
    run_all((const char *const[]){"DROP SCHEMA stack_coordinator CASCADE", "CREATE ROLE guest LOGIN", NULL});
    assert_refused_by(url_as("guest"), STORE_IO, "lacks rights");
    assert_string_equal(postgres_run(admin, "SELECT count(*) FROM pg_namespace WHERE nspname = 'stack_coordinator'"),
                        "0");
    /* A schema made for it is enough. */
    (void)postgres_run(admin, "CREATE SCHEMA stack_coordinator AUTHORIZATION guest");
    assert_int_equal(open_on(url_as("guest"), &w->store, NULL), 0);
    w->store = store_close(w->store);
    /* One who may not change the schema may run on it, when nothing is to be changed. */
    run_all((const char *const[]){"CREATE ROLE worker LOGIN", "GRANT USAGE ON SCHEMA stack_coordinator TO worker",
                                  "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA stack_coordinator TO "
                                  "worker",
                                  NULL});
    assert_int_equal(open_on(url_as("worker"), &w->store, NULL), 0);
    w->store = store_close(w->store);
    (void)postgres_run(admin, "REVOKE DELETE ON stack_coordinator.stack FROM worker");
    assert_refused_by(url_as("worker"), STORE_IO, "stack (DELETE)");
    run_all((const char *const[]){"DROP SCHEMA stack_coordinator CASCADE", "DROP ROLE guest, worker", NULL});
    w->store = open_store();
}

/* ---- several coordinators ---- */

/* A second coordinator beside the world's own. */
static Store *beside;

static void open_other(void) {
    beside = open_store();
}

static void close_other(void) {
    beside = store_close(beside);
}

static const LeaseRef lease = {.ticket = 7, .generation = 1007};

/* A stack under a bound lease. */
static void make_lease(World *w, const char *project) {
    make_project(w, project);
    begin(w, w->store, project);
    StackSlot *slot;
    StackRow row = {.number = 1,
                    .name = slice_of("test-1"),
                    .state = STACK_LEASED,
                    .ticket = lease.ticket,
                    .generation = lease.generation,
                    .lease_seconds = 60,
                    .is_collected = true,
                    .renewals = 1};
    assert_int_equal(working_set_add_stack(&w->set, &row, &slot), 0);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
}

static Renewal renewal(LeaseRef of, int64_t seconds) {
    return (Renewal){.project = slice_of("shop"), .number = 1, .lease = of, .seconds = seconds};
}

/* The stack as the transaction loads it. */
static StackSlot *begin_with_stack(World *w, Store *store) {
    WorkingSet *sets[] = {&w->set};
    begin(w, store, "shop");
    assert_int_equal(working_set_want(&w->set, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 1, .limit = 1}), 0);
    assert_int_equal(store_load(store, sets, 1), 0);
    StackSlot *slot = working_set_stack(&w->set, 1);
    assert_non_null(slot);
    return slot;
}

static void renewals_are_counted_while_the_project_is_locked(void **state) {
    World *w = *state;
    make_lease(w, "shop");
    open_other();
    begin(w, w->store, "shop"); /* and its lock is kept */
    Renewal renewals[] = {renewal(lease, 60), renewal(lease, 61), renewal((LeaseRef){.ticket = 7, .generation = 8}, 0)};
    assert_int_equal(store_renew(beside, renewals, COUNT_OF(renewals)), 0);
    assert_int_equal(renewals[0].renewals, 2);
    assert_int_equal(renewals[1].renewals, 0); /* longer than it is stored: to be decided */
    assert_int_equal(renewals[2].renewals, 0); /* no such lease */
    store_rollback(w->store);
    Renewal again = renewal(lease, 0);
    assert_int_equal(store_renew(w->store, &again, 1), 0);
    assert_int_equal(again.renewals, 3);
    close_other();
}

static void renewal_waits_for_nobody_who_is_at_the_row(void **state) {
    World *w = *state;
    make_lease(w, "shop");
    open_other();
    StackSlot *slot = begin_with_stack(w, w->store);
    slot->row.note = slice_of("looked at");
    stack_slot_changed(slot);
    assert_int_equal(save(w), 0);
    WorkingSet *sets[] = {&w->set};
    assert_int_equal(working_set_want(&w->set, (RowWant){.query = ROWS_FREE_OLDEST, .limit = 1}), 0);
    assert_int_equal(store_load(w->store, sets, 1), 0); /* what was saved is at the server now */
    Renewal held = renewal(lease, 0);
    assert_int_equal(store_renew(beside, &held, 1), 0);
    assert_int_equal(held.renewals, 0);
    assert_int_equal(store_commit(w->store), 0);
    assert_int_equal(store_renew(beside, &held, 1), 0);
    assert_int_equal(held.renewals, 2);
    close_other();
}

/* The stack as a transaction loaded it, whose lease the other coordinator has renewed since. */
static StackSlot *load_before_a_renewal(World *w) {
    make_lease(w, "shop");
    open_other();
    StackSlot *slot = begin_with_stack(w, w->store);
    Renewal meanwhile = renewal(lease, 0);
    assert_int_equal(store_renew(beside, &meanwhile, 1), 0);
    assert_int_equal(meanwhile.renewals, 2);
    return slot;
}

static void loss_does_not_happen_once_the_lease_was_renewed(void **state) {
    World *w = *state;
    StackSlot *slot = load_before_a_renewal(w);
    slot->row.ticket = 0;
    slot->row.state = STACK_AVAILABLE;
    slot->is_guarded = true;
    stack_slot_changed(slot);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), STORE_CONFLICT);
    assert_string_equal(postgres_run(admin, "SELECT ticket FROM stack_coordinator.stack"), "7");
    close_other();
}

static void other_changes_keep_a_renewal_that_came_between(void **state) {
    World *w = *state;
    StackSlot *slot = load_before_a_renewal(w);
    slot->row.last_commit = slice_of("abc");
    slot->row.renewals++;
    stack_slot_changed(slot);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
    assert_string_equal(postgres_run(admin, "SELECT renewals FROM stack_coordinator.stack"), "3");
    close_other();
}

static bool is_told(const StoreLook *look, const char *project) {
    bool is_found = false;
    for (size_t i = 0; i < look->project_count; i++)
        is_found |= slice_equal_text(look->projects[i], project);
    return is_found;
}

static StoreLook look_from(World *w, Store *store, int64_t horizon) {
    StoreLook look;
    assert_int_equal(store_look(store, horizon, &w->arena, &look), 0);
    return look;
}

static void look_tells_what_others_changed(void **state) {
    World *w = *state;
    make_project(w, "shop");
    make_project(w, "blog");
    open_other();
    StoreLook first = look_from(w, beside, 0);
    assert_true(first.is_all);
    StoreLook quiet = look_from(w, beside, first.horizon);
    assert_false(quiet.is_all);
    assert_false(is_told(&quiet, "shop"));
    begin(w, w->store, "shop");
    add_stack(w, 1);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
    StoreLook changed = look_from(w, beside, quiet.horizon);
    assert_true(is_told(&changed, "shop"));
    assert_false(is_told(&changed, "blog"));
    StoreLook own = look_from(w, w->store, look_from(w, w->store, 0).horizon);
    begin(w, w->store, "shop");
    add_stack(w, 2);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
    own = look_from(w, w->store, own.horizon);
    assert_false(is_told(&own, "shop"));
    close_other();
}

/* It has a lower number than one that was committed and seen before it. */
static void look_misses_no_transaction_that_was_under_way(void **state) {
    World *w = *state;
    Call call;
    make_project(w, "shop");
    make_project(w, "blog");
    open_other();
    int64_t horizon = look_from(w, beside, 0).horizon;
    begin(w, w->store, "shop");
    add_stack(w, 1);
    assert_int_equal(save(w), 0);
    PGconn *holder = hold_commits();
    start(&call, w, run_commit);
    wait_for_waiting("1");
    World late = {.store = open_store()};
    arena_init(&late.arena);
    begin(&late, late.store, "blog");
    late.set.project.max_stacks = 5;
    working_set_project_changed(&late.set);
    assert_int_equal(save(&late), 0);
    assert_int_equal(store_commit(late.store), 0);
    StoreLook before = look_from(w, beside, horizon);
    assert_true(is_told(&before, "blog"));
    assert_false(is_told(&before, "shop"));
    let_go(holder);
    assert_int_equal(result_of(&call), 0);
    StoreLook after = look_from(w, beside, before.horizon);
    assert_true(is_told(&after, "shop"));
    late.store = store_close(late.store);
    arena_deinit(&late.arena);
    close_other();
}

static int64_t beats_of(const StoreLook *look, Store *store) {
    for (size_t i = 0; i < look->beat_count; i++)
        if (look->beats[i].coordinator == store_coordinator(store))
            return look->beats[i].beats;
    return 0;
}

static void look_is_a_sign_of_life(void **state) {
    World *w = *state;
    open_other();
    assert_int_not_equal(store_coordinator(w->store), store_coordinator(beside));
    StoreLook own = look_from(w, w->store, 0);
    assert_int_equal(beats_of(&own, w->store), 0); /* of others alone */
    StoreLook first = look_from(w, beside, 0);
    assert_int_equal(beats_of(&first, w->store), 1);
    (void)look_from(w, w->store, 0);
    StoreLook next = look_from(w, beside, first.horizon);
    assert_int_equal(beats_of(&next, w->store), 2);
    assert_false(next.beats[0].has_ended);
    postgres_lose_connection(postgres_store(w->store));
    do
        next = look_from(w, beside, next.horizon);
    while (!next.beats[0].has_ended); /* the server sees it when it sees it */
    assert_int_equal(beats_of(&next, w->store), 2);
    close_other();
}

static void session_made_anew_looks_at_everything(void **state) {
    World *w = *state;
    StoreLook look = look_from(w, w->store, 0);
    assert_false(store_must_look(w->store));
    postgres_lose_connection(postgres_store(w->store));
    assert_int_equal(store_begin(w->store), 0);
    assert_true(store_must_look(w->store)); /* known before anything is decided */
    store_rollback(w->store);
    look = look_from(w, w->store, look.horizon);
    assert_true(look.is_all);
    assert_false(store_must_look(w->store));
    assert_false(look_from(w, w->store, look.horizon).is_all);
}

typedef struct Heard {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    char project[64];
    int64_t ticket, stack_number;
} Heard;

static void note_call(void *arg, const StoreCall *call) {
    Heard *heard = arg;
    (void)pthread_mutex_lock(&heard->mutex);
    (void)snprintf(heard->project, sizeof heard->project, "%.*s", SLICE_PRINT(call->project));
    heard->stack_number = call->stack_number;
    heard->ticket = call->ticket;
    (void)pthread_cond_signal(&heard->cond);
    (void)pthread_mutex_unlock(&heard->mutex);
}

/* The queue served a request that was last heard of there. */
static void serve(World *w, int64_t ticket, int64_t heard_at) {
    RequestSlot *slot;
    RequestRow row = {.ticket = ticket,
                      .state = REQUEST_LIVE,
                      .heard_at = heard_at,
                      .stack_number = 7,
                      .stack_name = slice_of("test-7")};
    assert_int_equal(working_set_add_request(&w->set, &row, &slot), 0);
    assert_int_equal(working_set_add_granted(&w->set, ticket), 0);
}

static int64_t next_heard(Heard *heard) {
    (void)pthread_mutex_lock(&heard->mutex);
    while (heard->ticket == 0)
        assert_int_equal(pthread_cond_wait(&heard->cond, &heard->mutex), 0);
    int64_t ticket = heard->ticket;
    heard->ticket = 0;
    (void)pthread_mutex_unlock(&heard->mutex);
    return ticket;
}

static void listen_beside(Heard *heard) {
    open_other();
    assert_int_equal(store_listen(beside, note_call, heard), 0);
    wait_until("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle'", "1");
}

static void end_listening(void) {
    assert_int_equal(store_listen(beside, NULL, NULL), 0);
    close_other();
}

static void whoever_serves_one_that_waits_elsewhere_calls_there(void **state) {
    World *w = *state;
    static Heard heard = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    make_project(w, "blog");
    listen_beside(&heard);
    begin(w, w->store, "blog");
    int64_t before = postgres_store(w->store)->round_trips;
    serve(w, 3, store_coordinator(w->store));
    serve(w, 12345678901, store_coordinator(beside));
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
    assert_int_equal(postgres_store(w->store)->round_trips, before + 1);
    assert_int_equal(next_heard(&heard), 12345678901);
    assert_int_equal(heard.stack_number, 7);
    assert_string_equal(heard.project, "blog");
    end_listening();
}

/* Those who were told in order hear in order: nothing came of the first one. */
static void nobody_is_called_for_what_was_not_committed(void **state) {
    World *w = *state;
    static Heard heard = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    make_project(w, "blog");
    listen_beside(&heard);
    for (int64_t ticket = 1; ticket <= 3; ticket++) {
        begin(w, w->store, "blog");
        add_stack(w, 1); /* the second time it is there already */
        serve(w, ticket, store_coordinator(beside));
        assert_int_equal(save(w), 0);
        assert_int_equal(store_commit(w->store), ticket == 2 ? STORE_CONFLICT : 0);
        if (ticket == 2)
            (void)postgres_run(admin, "DELETE FROM stack_coordinator.stack");
        else
            assert_int_equal(next_heard(&heard), ticket);
    }
    end_listening();
}

static void assert_lost_call(World *w, bool was_one) {
    OWN(arena_deinit) Arena arena;
    StoreLook look;
    arena_init(&arena);
    assert_int_equal(store_look(w->store, 0, &arena, &look), 0);
    assert_int_equal(look.lost_call.len > 0, was_one);
}

static void call_that_fails_takes_nothing_back(void **state) {
    World *w = *state;
    make_project(w, "blog");
    begin(w, w->store, "blog");
    add_stack(w, 1);
    serve(w, 1, store_coordinator(w->store) + 1);
    assert_int_equal(save(w), 0);
    postgres_store(w->store)->calls.bytes.data[3] = 99; /* of the array's dimensions: the server refuses so many */
    assert_int_equal(store_commit(w->store), 0);
    assert_int_equal(stack_count(), 1);
    assert_lost_call(w, true);
    assert_lost_call(w, false); /* told once */
    begin(w, w->store, "blog");
    add_stack(w, 2);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
    assert_int_equal(stack_count(), 2);
}

/* ---- what fails on a session that goes on ---- */

static void refuse_updates_of(const char *table) {
    char text[512];
    (void)snprintf(
        text, sizeof text,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$; "
        "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON stack_coordinator.%s EXECUTE FUNCTION refuse()",
        table);
    (void)postgres_run(admin, text);
}

static void failed_renewal_or_look_leaves_no_transaction_behind(void **state) {
    World *w = *state;
    KeyRow key;
    ProjectRow project;
    StoreLook look;
    make_lease(w, "shop");
    Renewal one = renewal(lease, 0);
    refuse_updates_of("stack");
    assert_int_equal(store_renew(w->store, &one, 1), STORE_IO);
    (void)postgres_run(admin, "DROP FUNCTION refuse CASCADE");
    assert_int_equal(store_find_key(w->store, slice_of("k"), &w->arena, &key, &project), STORE_NOT_FOUND);
    assert_int_equal(store_renew(w->store, &one, 1), 0);
    refuse_updates_of("coordinator");
    assert_int_equal(store_look(w->store, 0, &w->arena, &look), STORE_IO);
    (void)postgres_run(admin, "DROP FUNCTION refuse CASCADE");
    assert_int_equal(store_look(w->store, 0, &w->arena, &look), 0);
    assert_int_equal(store_find_key(w->store, slice_of("k"), &w->arena, &key, &project), STORE_NOT_FOUND);
}

/* A newer program's, perhaps. The answers behind it are nobody else's. */
static void row_nobody_can_read_leaves_the_session_in_order(void **state) {
    World *w = *state;
    KeyRow key;
    ProjectRow project;
    make_project(w, "web");
    begin(w, w->store, "web");
    add_stack(w, 1);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
    run_all((const char *const[]){"INSERT INTO stack_coordinator.api_key VALUES "
                                  "('one', 'web', 1, decode(repeat('01', 32), 'hex'), NULL, 1, 0, 0), "
                                  "('two', 'web', 1, decode(repeat('02', 32), 'hex'), NULL, 1, 0, 0)",
                                  "UPDATE stack_coordinator.stack SET state = 77", NULL});
    WorkingSet *sets[] = {&w->set};
    assert_int_equal(store_begin(w->store), 0);
    assert_int_equal(working_set_init(&w->set, &w->arena, slice_of("web")), 0);
    assert_int_equal(working_set_want(&w->set, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 1, .limit = 1}), 0);
    assert_int_equal(store_load(w->store, sets, 1), STORE_IO);
    for (int i = 0; i < 2; i++) {
        const char *id = i == 0 ? "one" : "two";
        assert_int_equal(store_find_key(w->store, slice_of(id), &w->arena, &key, &project), 0);
        assert_true(slice_equal_text(key.id, id));
    }
}

/* Each begin would wait for the server's silence, and a batch that failed is tried one by one. */
static void doubt_does_not_connect_before_its_time(void **state) {
    World *w = *state;
    PostgresStore *s = postgres_store(w->store);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    OWN(closep) int silent = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(silent, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(silent, 1), 0);
    assert_int_equal(getsockname(silent, (struct sockaddr *)&address, &size), 0);
    free(s->url);
    assert_true(asprintf(&s->url, "postgres://127.0.0.1:%d/postgres", ntohs(address.sin_port)) > 0);
    postgres_lose_connection(s);
    (void)snprintf(s->doubtful_project, sizeof s->doubtful_project, "shop");
    s->retry_at_ms = clock_boot_ms(s->clock) + 60000;
    assert_int_equal(store_begin(w->store), STORE_IO);
    assert_int_equal(accept(silent, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
}

/* ---- schemas ---- */

static void newer_schema_says_who_may_run(void **state) {
    (void)state;
    (void)postgres_run(admin, "INSERT INTO stack_coordinator.schema VALUES (99, 'more', 'stack-coordinator 0.9.0', 1)");
    Store *store = open_store();
    store = store_close(store);
    (void)postgres_run(admin, "UPDATE stack_coordinator.compatibility SET oldest_program = '0.1.1'");
    assert_refused(STORE_NEWER_SCHEMA, "stack-coordinator 0.1.1 is the oldest");
    assert_refused(STORE_NEWER_SCHEMA, "written by stack-coordinator 0.9.0");
    (void)postgres_run(admin, "UPDATE stack_coordinator.compatibility SET oldest_program = '0.0.9'");
    store = open_store();
    store = store_close(store);
}

/* A newer program adds to each table while an older one, with its statements prepared, goes on and another starts. */
static void older_programs_go_on_over_what_a_newer_one_adds(void **state) {
    World *w = *state;
    make_project(w, "shop");
    begin(w, w->store, "shop");
    add_stack(w, 1);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
    (void)postgres_run(admin, "DO $$ DECLARE t text; BEGIN "
                              "FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'stack_coordinator' LOOP "
                              "EXECUTE format('ALTER TABLE stack_coordinator.%I ADD COLUMN later text, "
                              "ADD COLUMN much_later bigint NOT NULL DEFAULT 7', t); END LOOP; END $$");
    run_all((const char *const[]){
        "CREATE TABLE stack_coordinator.more (id bigint PRIMARY KEY)",
        "CREATE INDEX more_of_stacks ON stack_coordinator.stack (project, later)",
        "INSERT INTO stack_coordinator.schema VALUES (99, 'more', 'stack-coordinator 0.9.0', 1)", NULL});
    begin(w, w->store, "shop");
    add_stack(w, 2);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
    w->store = store_close(w->store);
    w->store = open_store();
    begin(w, w->store, "shop");
    add_stack(w, 3);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
    assert_int_equal(stack_count(), 3);
}

static void schema_that_does_not_say_its_version_is_left_alone(void **state) {
    World *w = *state;
    w->store = store_close(w->store);
    (void)postgres_run(admin, "DELETE FROM stack_coordinator.schema");
    assert_refused(-EBADMSG, "does not say which version");
    (void)postgres_run(admin, "DROP SCHEMA stack_coordinator CASCADE");
    w->store = open_store();
}

static void schema_of_another_program_is_left_alone(void **state) {
    World *w = *state;
    w->store = store_close(w->store);
    run_all((const char *const[]){"DROP SCHEMA stack_coordinator CASCADE", "CREATE SCHEMA stack_coordinator",
                                  "CREATE TABLE stack_coordinator.stack (theirs text)", NULL});
    assert_refused(-EBADMSG, "tables of another program");
    assert_string_equal(postgres_run(admin, "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = "
                                            "'stack_coordinator'::regnamespace"),
                        "1");
    (void)postgres_run(admin, "DROP SCHEMA stack_coordinator CASCADE");
    w->store = open_store();
}

static void migration_that_fails_leaves_nothing(void **state) {
    World *w = *state;
    w->store = store_close(w->store);
    /* A type of that name is in the way of a table in the middle. */
    run_all((const char *const[]){"DROP SCHEMA stack_coordinator CASCADE", "CREATE SCHEMA stack_coordinator",
                                  "CREATE TYPE stack_coordinator.request AS ENUM ('x')", NULL});
    assert_refused(STORE_IO, "migrating");
    assert_string_equal(postgres_run(admin, "SELECT count(*) FROM pg_class WHERE relnamespace = "
                                            "'stack_coordinator'::regnamespace"),
                        "0");
    (void)postgres_run(admin, "DROP SCHEMA stack_coordinator CASCADE");
    w->store = open_store();
}

static void *run_open(void *arg) {
    Call *call = arg;
    static char url[512];
    (void)snprintf(url, sizeof url, "%s", postgres_server_url(&server, "postgres"));
    call->result = open_on(url, &call->world->store, NULL);
    return NULL;
}

static void of_two_that_migrate_one_waits(void **state) {
    World *w = *state, other = {.store = NULL};
    w->store = store_close(w->store);
    (void)postgres_run(admin, "DROP SCHEMA stack_coordinator CASCADE");
    /* Both are held up in front of the migration, so that both have seen that there is nothing. */
    PGconn *holder = postgres_server_connect(&server, "postgres");
    char lock[96];
    (void)snprintf(lock, sizeof lock, "SELECT pg_advisory_lock(%d, %d)", POSTGRES_LOCKS, POSTGRES_LOCK_MIGRATION);
    (void)postgres_run(holder, lock);
    Call one, two;
    start(&one, w, run_open);
    wait_for_waiting("1");
    start(&two, &other, run_open);
    wait_for_waiting("2");
    PQfinish(holder);
    assert_int_equal(result_of(&one), 0);
    assert_int_equal(result_of(&two), 0);
    assert_string_equal(postgres_run(admin, "SELECT count(*) FROM stack_coordinator.schema"), "1");
    other.store = store_close(other.store);
}

/* ---- a server that goes away ---- */

/* Ends the store's session, and waits until this side of it can know. */
static void end_session(World *w, PGconn *by) {
    struct pollfd hung_up = {.fd = PQsocket(postgres_store(w->store)->connection), .events = POLLRDHUP};
    (void)postgres_run(by, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                           "'stack-coordinator'");
    assert_int_equal(poll(&hung_up, 1, 30000), 1);
}

static void session_that_was_ended_is_made_anew(void **state) {
    World *w = *state;
    make_project(w, "shop");
    end_session(w, admin);
    begin(w, w->store, "shop");
    assert_true(w->set.is_project_loaded);
    store_rollback(w->store);
}

static void transaction_whose_session_ends_did_nothing(void **state) {
    World *w = *state;
    make_project(w, "shop");
    begin(w, w->store, "shop");
    end_session(w, admin);
    add_stack(w, 1);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), STORE_IO);
    assert_int_equal(stack_count(), 0);
    begin(w, w->store, "shop");
    store_rollback(w->store);
}

static void store_is_away_while_nobody_may_connect(void **state) {
    World *w = *state;
    make_project(w, "shop");
    PGconn *elsewhere = postgres_server_connect(&server, "template1");
    (void)postgres_run(elsewhere, "ALTER DATABASE postgres ALLOW_CONNECTIONS false");
    end_session(w, elsewhere);
    for (int i = 0; i < 100; i++)
        assert_int_equal(store_begin(w->store), STORE_IO);
    assert_non_null(strstr(store_reason(w->store), "not currently accepting connections"));
    (void)postgres_run(elsewhere, "ALTER DATABASE postgres ALLOW_CONNECTIONS true");
    PQfinish(elsewhere);
    while (store_begin(w->store) != 0) /* attempts have pauses between them */
        ;
    store_rollback(w->store);
    begin(w, w->store, "shop");
    assert_true(w->set.is_project_loaded);
    store_rollback(w->store);
}

static void coordinator_that_stops_in_a_transaction_loses_it(void **state) {
    World *w = *state;
    make_project(w, "shop");
    begin(w, w->store, "shop");
    (void)postgres_run(admin, "SELECT set_config('lock_timeout', '20s', false)");
    (void)postgres_run(admin, "UPDATE stack_coordinator.project SET created_ms = 4711"); /* waits for the row */
    add_stack(w, 1);
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), STORE_IO);
    assert_int_equal(stack_count(), 0);
    (void)postgres_run(admin, "RESET lock_timeout");
}

static void url_may_name_several_hosts(void **state) {
    World *w = *state;
    char url[512];
    w->store = store_close(w->store);
    (void)snprintf(url, sizeof url, "postgres://postgres@/postgres?host=/nowhere,%s&port=1,%d", server.folder,
                   server.port);
    assert_int_equal(open_on(url, &w->store, NULL), 0);
    make_project(w, "shop");
}

/* It takes connections and says nothing, as a server that was stopped. */
static int listen_silently(char port[8]) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    (void)snprintf(port, 8, "%d", ntohs(address.sin_port));
    return fd;
}

/* libpq would ask the first one for its whole connect_timeout. */
static void silent_host_is_not_waited_for_when_another_answers(void **state) {
    World *w = *state;
    char url[512], port[8];
    int silent = listen_silently(port);
    w->store = store_close(w->store);
    (void)snprintf(url, sizeof url, "postgres://postgres@127.0.0.1:%s,127.0.0.1:%d/postgres?connect_timeout=3600", port,
                   server.port);
    assert_int_equal(open_on(url, &w->store, NULL), 0);
    make_project(w, "shop");
    (void)close(silent);
}

/* Each says its own. */
static void no_host_that_will_do_is_refused_with_what_each_says(void **state) {
    (void)state;
    char url[512], port[8];
    int silent = listen_silently(port);
    (void)postgres_run(admin, "ALTER DATABASE postgres SET default_transaction_read_only = on");
    (void)snprintf(url, sizeof url, "host=localhost,127.0.0.1,/nowhere port=%s,%d,1 user=postgres dbname=postgres",
                   port, server.port);
    assert_refused_by(url, STORE_IO, "localhost does not answer");
    assert_refused_by(url, STORE_IO, "session is read-only");
    assert_refused_by(url, STORE_IO, "/nowhere");
    (void)postgres_run(admin, "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE");
    (void)postgres_run(admin, "ALTER DATABASE postgres RESET ALL");
    (void)close(silent);
}

/* As after a failover that is not over: what answers is a standby still. */
static void standby_is_not_taken_for_a_primary(void **state) {
    World *w = *state;
    make_project(w, "shop");
    (void)postgres_run(admin, "ALTER DATABASE postgres SET default_transaction_read_only = on");
    end_session(w, admin);
    assert_int_equal(store_begin(w->store), STORE_IO);
    assert_non_null(strstr(store_reason(w->store), "read-only"));
    (void)postgres_run(admin, "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE");
    (void)postgres_run(admin, "ALTER DATABASE postgres RESET ALL");
    while (store_begin(w->store) != 0)
        ;
    store_rollback(w->store);
}

static void backup_is_left_to_the_server(void **state) {
    World *w = *state;
    assert_int_equal(store_backup_step(w->store, "/nowhere/backup"), -ENOTSUP);
    assert_non_null(strstr(store_reason(w->store), "pg_dump"));
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
    postgres_server_start(&server);
    admin = postgres_server_connect(&server, "postgres");
    (void)postgres_run(admin, "SET client_min_messages = warning");
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
        TEST(urls_that_lead_nowhere_are_refused),
        TEST(password_is_not_repeated),
        TEST(server_that_may_lose_what_it_confirms_is_refused),
        TEST(server_without_fsync_is_refused),
        TEST(database_of_another_encoding_is_refused),
        TEST(pooler_of_transactions_is_refused),
        TEST(pooler_of_sessions_will_do),
        TEST(roles_have_what_they_need_or_are_refused),
        TEST(renewals_are_counted_while_the_project_is_locked),
        TEST(renewal_waits_for_nobody_who_is_at_the_row),
        TEST(loss_does_not_happen_once_the_lease_was_renewed),
        TEST(other_changes_keep_a_renewal_that_came_between),
        TEST(look_tells_what_others_changed),
        TEST(look_misses_no_transaction_that_was_under_way),
        TEST(look_is_a_sign_of_life),
        TEST(session_made_anew_looks_at_everything),
        TEST(whoever_serves_one_that_waits_elsewhere_calls_there),
        TEST(nobody_is_called_for_what_was_not_committed),
        TEST(call_that_fails_takes_nothing_back),
        TEST(failed_renewal_or_look_leaves_no_transaction_behind),
        TEST(row_nobody_can_read_leaves_the_session_in_order),
        TEST(doubt_does_not_connect_before_its_time),
        TEST(what_is_only_read_waits_for_the_standby_too),
        TEST(newer_schema_says_who_may_run),
        TEST(older_programs_go_on_over_what_a_newer_one_adds),
        TEST(schema_that_does_not_say_its_version_is_left_alone),
        TEST(schema_of_another_program_is_left_alone),
        TEST(migration_that_fails_leaves_nothing),
        TEST(of_two_that_migrate_one_waits),
        TEST(session_that_was_ended_is_made_anew),
        TEST(transaction_whose_session_ends_did_nothing),
        TEST(store_is_away_while_nobody_may_connect),
        TEST(coordinator_that_stops_in_a_transaction_loses_it),
        TEST(url_may_name_several_hosts),
        TEST(silent_host_is_not_waited_for_when_another_answers),
        TEST(no_host_that_will_do_is_refused_with_what_each_says),
        TEST(standby_is_not_taken_for_a_primary),
        TEST(backup_is_left_to_the_server),
        TEST(loads_seek_the_index_that_is_meant_for_them),
    };
#undef TEST
    int failed = cmocka_run_group_tests_name("postgres", tests, NULL, NULL);
    PQfinish(admin);
    postgres_server_stop(&server);
    return failed;
}
