/* What the PostgreSQL engine does about servers that cannot be trusted, schemas it did not make, a server that goes away. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "contract/postgres_world.h"

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

int main(void) {
    world_begin();
#define TEST(function)                                                                                                 \
    { #function, function, set_up, tear_down, NULL }
    const struct CMUnitTest tests[] = {
        TEST(urls_that_lead_nowhere_are_refused),
        TEST(password_is_not_repeated),
        TEST(server_that_may_lose_what_it_confirms_is_refused),
        TEST(server_without_fsync_is_refused),
        TEST(database_of_another_encoding_is_refused),
        TEST(pooler_of_transactions_is_refused),
        TEST(pooler_of_sessions_will_do),
        TEST(roles_have_what_they_need_or_are_refused),
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
    };
#undef TEST
    int failed = cmocka_run_group_tests_name("postgres_servers", tests, NULL, NULL);
    world_end();
    return failed;
}
