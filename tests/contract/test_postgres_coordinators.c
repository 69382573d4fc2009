/* Several coordinators on one PostgreSQL: renewals, looks at what others did, calls to who waits elsewhere; and what of
 * that fails on a session that goes on. */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "contract/postgres_world.h"

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

/* What a start that fails every second leaves, until it is pruned, hides nobody who lives. */
static void those_that_live_are_told_before_the_dead(void **state) {
    World *w = *state;
    open_other();
    (void)postgres_run(admin,
                       "INSERT INTO stack_coordinator.coordinator SELECT n, 1, 'none', now() + interval '1 minute' "
                       "FROM generate_series(1, 200) AS n");
    (void)look_from(w, w->store, 0);
    StoreLook look = look_from(w, beside, 0);
    assert_int_equal(look.beat_count, NEIGHBOURS_MAX);
    assert_int_equal(look.beats[0].coordinator, store_coordinator(w->store));
    assert_false(look.beats[0].has_ended);
    assert_true(look.beats[1].has_ended);
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

int main(void) {
    world_begin();
#define TEST(function)                                                                                                 \
    { #function, function, set_up, tear_down, NULL }
    const struct CMUnitTest tests[] = {
        TEST(renewals_are_counted_while_the_project_is_locked),
        TEST(renewal_waits_for_nobody_who_is_at_the_row),
        TEST(loss_does_not_happen_once_the_lease_was_renewed),
        TEST(other_changes_keep_a_renewal_that_came_between),
        TEST(look_tells_what_others_changed),
        TEST(look_misses_no_transaction_that_was_under_way),
        TEST(look_is_a_sign_of_life),
        TEST(those_that_live_are_told_before_the_dead),
        TEST(session_made_anew_looks_at_everything),
        TEST(whoever_serves_one_that_waits_elsewhere_calls_there),
        TEST(nobody_is_called_for_what_was_not_committed),
        TEST(call_that_fails_takes_nothing_back),
        TEST(failed_renewal_or_look_leaves_no_transaction_behind),
        TEST(row_nobody_can_read_leaves_the_session_in_order),
        TEST(doubt_does_not_connect_before_its_time),
    };
#undef TEST
    int failed = cmocka_run_group_tests_name("postgres_coordinators", tests, NULL, NULL);
    world_end();
    return failed;
}
