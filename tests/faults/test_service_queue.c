/*
 * Capacity as those hear of it who wait for it, in virtual time: what makes room, what becomes of grants that nobody comes
 * for, what rests first, and who is refused when there is too much to do.
 */
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json_guard.h"
#include "base/limits.h"
#include "faults/house.h"

static void update(House *h, const char *setting) {
    char body[BODY_SIZE];
    (void)snprintf(body, sizeof body, "{\"project\":\"shop\",%s}", setting);
    EXPECT(control(h, OP_UPDATE_PROJECT, body), 200);
}

#define OF_TEST_1 "{\"project\":\"shop\",\"stackName\":\"test-1\"}"

/* The only stack, or the first. */
typedef struct Listed {
    char state[32], branch[64], requested[64], commit[64];
    bool is_available;
} Listed;

static void copy_text(char *out, size_t size, const json_t *object, const char *member) {
    const char *value = json_string_value(json_object_get(object, member));
    (void)snprintf(out, size, "%s", value != NULL ? value : "");
}

static Listed listed(House *h) {
    Listed l = {0};
    Reply list = ask(h, OP_LIST_STACKS, "{}");
    const json_t *stack = json_array_get(json_object_get(list.body, "stacks"), 0);
    assert_non_null(stack);
    copy_text(l.state, sizeof l.state, stack, "state");
    copy_text(l.branch, sizeof l.branch, stack, "branch");
    copy_text(l.requested, sizeof l.requested, stack, "requested");
    copy_text(l.commit, sizeof l.commit, stack, "lastDeployedCommit");
    l.is_available = json_is_true(json_object_get(stack, "isAvailable"));
    (void)forget(list);
    return l;
}

/* ---- one door for capacity ---- */

/* Who waited for it, and has it now. */
static Lease served(House *h, Call *waiting, const char *stack) {
    Lease lease = lease_of(finish(waiting));
    assert_string_equal(lease.stack, stack);
    EXPECT(renew(h, &lease), 200);
    return lease;
}

static void whatever_makes_room_serves_who_waits(void **state) {
    House *h = *state;
    Call waiting;
    Lease first = lease_of(request(h, 'a', 600, 0));
    EXPECT(release(h, &first, "broken"), 200);
    wait_for(h, &waiting, 'b', 600, 25);
    EXPECT(control(h, OP_RESTORE_STACK, OF_TEST_1), 200);
    first = served(h, &waiting, "test-1");

    wait_for(h, &waiting, 'c', 600, 25);
    update(h, "\"maxStacks\":2");
    Lease last = served(h, &waiting, "test-2");

    wait_for(h, &waiting, 'd', 600, 25);
    EXPECT(ask(h, OP_DELETE_LAST_STACK, "{}"), 200); /* it retires, and counts until it is gone */
    assert_true(waiting.is_parked);
    EXPECT(release(h, &last, "ok"), 200);
    last = served(h, &waiting, "test-2");

    EXPECT(release(h, &last, "broken"), 200);
    wait_for(h, &waiting, 'e', 600, 25);
    EXPECT(ask(h, OP_DELETE_LAST_STACK, "{}"), 200);
    (void)served(h, &waiting, "test-2");

    wait_for(h, &waiting, 'f', 600, 25);
    EXPECT(ask(h, OP_CANCEL_REQUEST, "{\"requestId\":\"request-id-of-e-0001\"}"), 200);
    (void)served(h, &waiting, "test-2");
    EXPECT(renew(h, &first), 200);
}

/* Who was passed over and asks again is in line again, where something may be free by now: he is told so at once, not that
 * he waits, whether his connection would or not. */
static void who_is_heard_of_again_is_not_told_to_wait_for_what_he_got(void **state) {
    House *h = *state;
    static const char again[] =
        "{\"branch\":\"b\",\"requestId\":\"request-id-of-b-0001\",\"leaseSeconds\":600,\"ifNone\":\"wait\"}";
    Lease first = lease_of(request(h, 'a', 600, 0));
    EXPECT(ask(h, OP_REQUEST_STACK, again), 202);
    pass(h, 70);
    EXPECT(renew(h, &first), 200);
    EXPECT(release(h, &first, "ok"), 200);
    (void)lease_of(ask(h, OP_REQUEST_STACK, again));
}

static void count_load(void *arg, size_t projects) {
    (void)projects;
    (*(int *)arg)++;
}

/* A transaction serves as many as there is room for, whatever they want: nobody else is answered meanwhile. */
static void room_for_many_is_given_in_a_few_loads(void **state) {
    House *h = *state;
    enum { MANY = 3 * BATCH_MAX, LOADS_MAX = 16 };
    char body[BODY_SIZE];
    int loads = 0;
    Lease broken = lease_of(request(h, 'a', 600, 0));
    EXPECT(release(h, &broken, "broken"), 200); /* so not all stacks are leased: what is free has to be looked for */
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(body, sizeof body,
                       "{\"branch\":\"b%d\",\"requestId\":\"request-id-no-%06d\",\"ifNone\":\"wait\"}", i, i);
        EXPECT(ask(h, OP_REQUEST_STACK, body), 202);
    }
    wrap_store_on_load(h->store, count_load, &loads);
    update(h, "\"maxStacks\":2000");
    wrap_store_on_load(h->store, NULL, NULL);
    Reply queue = ask(h, OP_LIST_QUEUE, "{}");
    assert_int_equal(json_array_size(json_object_get(queue.body, "queue")), 0);
    (void)forget(queue);
    assert_in_range(loads, 1, LOADS_MAX);
}

static void what_jobs_do_is_not_done_over_the_control_socket(void **state) {
    House *h = *state;
    static const OperationId jobs[] = {
        OP_REQUEST_STACK, OP_JOIN_REQUEST,      OP_CANCEL_REQUEST,          OP_RENEW_LEASE,
        OP_RELEASE_STACK, OP_DELETE_LAST_STACK, OP_SET_LAST_DEPLOYED_COMMIT};
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        Reply refused = control(h, jobs[i],
                                "{\"project\":\"shop\",\"requestId\":\"request-id-of-a-0001\",\"stackName\":\"test-1\","
                                "\"lease\":\"x\",\"lastDeployedCommit\":\"c1\"}");
        if (jobs[i] == OP_SET_LAST_DEPLOYED_COMMIT) /* which knows no `project`, and says so */
            assert_int_equal(refused.status, 400);
        else
            assert_string_equal(text(refused, "code"), "unknown-operation");
        (void)forget(refused);
    }
}

static void who_cannot_be_recognised_does_not_wait(void **state) {
    House *h = *state;
    (void)lease_of(request(h, 'a', 600, 0));
    EXPECT(ask(h, OP_REQUEST_STACK, "{\"branch\":\"b\",\"ifNone\":\"wait\",\"waitSeconds\":5}"), 400);
    EXPECT(ask(h, OP_REQUEST_STACK, "{\"branch\":\"b\",\"waitSeconds\":5}"), 409);
    Reply queue = ask(h, OP_LIST_QUEUE, "{}");
    assert_int_equal(json_array_size(json_object_get(queue.body, "queue")), 0);
    (void)forget(queue);
}

/* The first key of two, and from now on the second. */
static void change_key(House *h, char *revoke, size_t size) {
    Slice rest = slice_of(h->key), prefix, project, id;
    assert_true(slice_split(&rest, '_', &prefix) && slice_split(&rest, '_', &project) && slice_split(&rest, '_', &id));
    (void)snprintf(revoke, size, "{\"project\":\"shop\",\"keyId\":\"%.*s\"}", SLICE_PRINT(id));
    Reply made = control(h, OP_CREATE_KEY, "{\"project\":\"shop\"}");
    assert_int_equal(made.status, 200);
    (void)snprintf(h->key, sizeof h->key, "%s", text(made, "key"));
    (void)forget(made);
}

static void who_waits_with_a_key_that_is_revoked_is_turned_away_at_once(void **state) {
    House *h = *state;
    Call waiting, other;
    char revoke[BODY_SIZE];
    Lease lease = lease_of(request(h, 'a', 600, 0));
    wait_for(h, &waiting, 'b', 600, 25);
    change_key(h, revoke, sizeof revoke);
    wait_for(h, &other, 'c', 600, 25);
    wrap_store_fail(h->store, WRAP_COMMIT, 1, STORE_IO, false);
    EXPECT(control(h, OP_REVOKE_KEY, revoke), 503);
    EXPECT(ask(h, OP_LIST_STACKS, "{}"), 200);
    assert_false(waiting.is_done);
    EXPECT(control(h, OP_REVOKE_KEY, revoke), 200);
    EXPECT(finish(&waiting), 401);
    EXPECT(release(h, &lease, "ok"), 200);
    (void)served(h, &other, "test-1"); /* who came before him has no say any more */
}

/* ---- grants made from the queue ---- */

static void a_stack_nobody_came_for_is_as_it_was(void **state) {
    House *h = *state;
    char body[BODY_SIZE];
    update(h, "\"cleaning\":\"on\"");
    Lease lease = lease_of(request(h, 'a', 600, 0));
    (void)snprintf(body, sizeof body, "{\"stackName\":\"test-1\",\"lastDeployedCommit\":\"c1\",\"lease\":\"%s\"}",
                   lease.secret);
    EXPECT(ask(h, OP_SET_LAST_DEPLOYED_COMMIT, body), 200);
    Listed before = listed(h);
    pass(h, 5);
    EXPECT(request(h, 'b', 600, 1), 202); /* polls, and never again */
    EXPECT(release(h, &lease, "ok"), 200);
    Listed granted = listed(h);
    assert_string_equal(granted.state, "leased");
    assert_string_equal(granted.branch, "feat/b");
    assert_string_not_equal(granted.requested, before.requested);
    pass(h, 20);
    Listed after = listed(h);
    assert_string_equal(after.state, "available");
    assert_true(after.is_available);
    assert_string_equal(after.branch, "feat/a");
    assert_string_equal(after.commit, "c1");
    assert_string_equal(after.requested, before.requested);
}

static void assert_uncollected(Reply reply, bool has_date) {
    assert_int_equal(reply.status, 410);
    assert_string_equal(text(reply, "why"), "uncollected");
    assert_int_equal(json_object_get(reply.body, "at") != NULL, has_date);
    (void)forget(reply);
}

/* Also once his request is over, by whatever cause. */
static void who_came_too_late_for_his_grant_hears_so(void **state) {
    House *h = *state;
    Call waiting;
    Lease first = lease_of(request(h, 'a', 600, 0));
    wait_for(h, &waiting, 'b', 600, 25);
    EXPECT(release(h, &first, "ok"), 200);
    Lease late = lease_of(finish(&waiting));
    pass(h, 21);
    assert_uncollected(renew(h, &late), true);
    EXPECT(ask(h, OP_CANCEL_REQUEST, "{\"requestId\":\"request-id-of-b-0001\"}"), 200);
    assert_uncollected(renew(h, &late), false);
    Reply over = renew(h, &first);
    assert_string_equal(text(over, "why"), "released");
    (void)forget(over);
}

static const char *plain_body(char *out, char id) {
    (void)snprintf(out, BODY_SIZE,
                   "{\"branch\":\"feat/%c\",\"requestId\":\"request-id-of-%c-0001\",\"waitSeconds\":25}", id, id);
    return out;
}

static void a_plain_grant_is_collected_by_its_answer(void **state) {
    House *h = *state;
    char body[BODY_SIZE];
    Call parked;
    Lease lease = lease_of(request(h, 'a', 600, 0));
    start(h, &parked, OP_REQUEST_STACK, TRANSPORT_HTTP, plain_body(body, 'b'), true);
    await(&parked, &parked.is_parked);
    EXPECT(release(h, &lease, "ok"), 200);
    Lease plain = lease_of(finish(&parked));
    pass(h, 60);
    EXPECT(request(h, 'z', 30, 0), 409);
    Reply renewed = renew(h, &plain); /* there is nothing to renew, and it is nobody's mistake */
    assert_int_equal(renewed.status, 200);
    assert_int_equal(json_object_size(renewed.body), 0);
    (void)forget(renewed);

    EXPECT(ask(h, OP_REQUEST_STACK, plain_body(body, 'c')), 202); /* polls: nobody is there when it is granted */
    EXPECT(ask(h, OP_RELEASE_STACK, "{\"stackName\":\"test-1\"}"), 200);
    Reply over = renew(h, &plain);
    assert_int_equal(over.status, 410);
    assert_string_equal(text(over, "why"), "released");
    (void)forget(over);
    pass(h, 19);
    EXPECT(ask(h, OP_REQUEST_STACK, plain_body(body, 'c')), 200);
    pass(h, 60);
    EXPECT(request(h, 'z', 30, 0), 409);
}

static void a_plain_grant_nobody_heard_of_goes_to_the_next(void **state) {
    House *h = *state;
    char body[BODY_SIZE];
    Call parked;
    Lease lease = lease_of(request(h, 'a', 600, 0));
    EXPECT(ask(h, OP_REQUEST_STACK, plain_body(body, 'b')), 202);
    wait_for(h, &parked, 'c', 600, 25);
    EXPECT(release(h, &lease, "ok"), 200);
    pass(h, 19);
    assert_true(parked.is_parked);
    pass(h, 1);
    (void)served(h, &parked, "test-1");
}

/* ---- who is not heard of ---- */

static void who_is_not_heard_of_is_passed_over_and_keeps_a_place_for_ten_minutes(void **state) {
    House *h = *state;
    Call parked;
    Lease lease = lease_of(request(h, 'a', 600, 0));
    EXPECT(request(h, 'b', 600, 1), 202);
    pass(h, 60);
    wait_for(h, &parked, 'c', 600, 25);
    EXPECT(renew(h, &lease), 200);
    EXPECT(release(h, &lease, "ok"), 200);
    lease = served(h, &parked, "test-1"); /* though b came first */
    pass(h, 500);
    EXPECT(renew(h, &lease), 200);
    wait_for(h, &parked, 'd', 600, 25);
    EXPECT(request(h, 'b', 600, 1), 202);
    EXPECT(release(h, &lease, "ok"), 200);
    assert_true(parked.is_parked);
    lease = lease_of(request(h, 'b', 600, 0)); /* it has its old place again */
    EXPECT(renew(h, &lease), 200);
    EXPECT(release(h, &lease, "ok"), 200);
    lease = served(h, &parked, "test-1");

    EXPECT(request(h, 'e', 600, 1), 202);
    pass(h, 400);
    EXPECT(renew(h, &lease), 200);
    pass(h, 260);
    Reply over = request(h, 'e', 600, 1);
    assert_int_equal(over.status, 410);
    assert_string_equal(text(over, "why"), "abandoned");
    (void)forget(over);
}

/* ---- what rests ---- */

static void a_stack_that_is_quarantined_and_restored_rests_all_the_same(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 300, 0));
    pass(h, 100);
    EXPECT(control(h, OP_QUARANTINE_STACK, OF_TEST_1), 200);
    EXPECT(control(h, OP_RESTORE_STACK, OF_TEST_1), 200);
    EXPECT(request(h, 'b', 30, 0), 409);
    EXPECT(renew(h, &lease), 410); /* he is told, and stops */
    pass(h, 14);
    EXPECT(request(h, 'b', 30, 0), 409);
    pass(h, 1);
    (void)lease_of(request(h, 'b', 30, 0));
}

static void a_lost_stack_rests_before_it_is_cleaned_and_keeps_its_place(void **state) {
    House *h = *state;
    Call cleaner;
    update(h, "\"cleaning\":\"on\"");
    (void)lease_of(request(h, 'a', 30, 0));
    Listed before = listed(h);
    pass(h, 25);
    start(h, &cleaner, OP_REQUEST_STACK, TRANSPORT_HTTP,
          "{\"purpose\":\"clean\",\"requestId\":\"request-id-of-a-cleaner\",\"leaseSeconds\":30,\"waitSeconds\":25}",
          true);
    await(&cleaner, &cleaner.is_parked);
    pass(h, 5 + 14);
    assert_true(cleaner.is_parked);
    pass(h, 1);
    Lease cleaning = served(h, &cleaner, "test-1");
    EXPECT(release(h, &cleaning, "ok"), 200);
    Listed after = listed(h);
    assert_string_equal(after.state, "available");
    assert_string_equal(after.branch, before.branch);
    assert_string_equal(after.requested, before.requested);
}

static Lease clean(House *h, char id) {
    char body[BODY_SIZE];
    (void)snprintf(body, sizeof body,
                   "{\"purpose\":\"clean\",\"requestId\":\"request-id-of-%c-0001\",\"leaseSeconds\":30}", id);
    return lease_of(ask(h, OP_REQUEST_STACK, body));
}

static void a_stack_that_cannot_be_cleaned_keeps_nobody_from_another(void **state) {
    House *h = *state;
    update(h, "\"cleaning\":\"on\",\"maxStacks\":2");
    Lease first = lease_of(request(h, 'a', 600, 0)), second = lease_of(request(h, 'b', 600, 0));
    EXPECT(release(h, &first, "dirty"), 200);
    EXPECT(release(h, &second, "dirty"), 200);
    Lease cleaning = clean(h, 'v');
    assert_string_equal(cleaning.stack, first.stack);
    EXPECT(release(h, &cleaning, "dirty"), 200);
    cleaning = clean(h, 'w');
    assert_string_equal(cleaning.stack, second.stack);
    EXPECT(release(h, &cleaning, "ok"), 200);
    assert_string_equal(lease_of(request(h, 'c', 600, 0)).stack, second.stack);
}

static void assert_counted(const char *page, const char *line) {
    if (strstr(page, line) == NULL)
        fail_msg("no line \"%s\" in:\n%s", line, page);
}

static void history_and_metrics_tell_what_time_and_people_did(void **state) {
    House *h = *state;
    static const char *const kinds[] = {
        "project-created", "key-created", "project-updated", "granted", /* to a */
        "queued",                                                       /* b, who is not heard of again */
        "expired",                                                      /* a */
        "rested",          "granted",     "released",                   /* by the cleaner */
        "granted",                                                      /* to b */
        "uncollected",     "abandoned",   "granted",                    /* to c */
        "forced",          "granted",                                   /* to d */
    };
    update(h, "\"cleaning\":\"on\"");
    (void)lease_of(request(h, 'a', 30, 0));
    EXPECT(request(h, 'b', 30, 1), 202);
    pass(h, 30 + 15);
    Lease cleaning = clean(h, 'x');
    EXPECT(release(h, &cleaning, "ok"), 200);
    pass(h, 20 + 600);
    Lease lease = lease_of(request(h, 'c', 600, 0));
    EXPECT(control(h, OP_FORCE_RELEASE_STACK,
                   "{\"project\":\"shop\",\"stackName\":\"test-1\",\"outcome\":\"ok\",\"now\":true}"),
           200);
    Lease taken = lease_of(request(h, 'd', 600, 0));
    Reply lost = renew(h, &lease);
    assert_int_equal(lost.status, 410);
    assert_string_equal(text(lost, "why"), "forced");
    (void)forget(lost);
    assert_true(taken.generation > lease.generation);

    Reply history = ask(h, OP_LIST_EVENTS, "{\"after\":0}");
    const json_t *events = json_object_get(history.body, "events");
    for (size_t i = 0; i < COUNT_OF(kinds) && i < json_array_size(events); i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(events, i), "kind")), kinds[i]);
    assert_int_equal(json_array_size(events), COUNT_OF(kinds));
    (void)forget(history);

    OWN(buffer_deinit) Buffer page;
    buffer_init(&page, 1024 * 1024);
    service_metrics(h->service, &page);
    assert_counted(buffer_text(&page), "stack_coordinator_leases_lost_total 1\n");
    assert_counted(buffer_text(&page), "stack_coordinator_grants_uncollected_total 1\n");
    assert_counted(buffer_text(&page), "stack_coordinator_requests_abandoned_total 1\n");
    assert_counted(buffer_text(&page), "stack_coordinator_wait_duration_seconds_count 1\n");
    assert_counted(buffer_text(&page), "stack_coordinator_hold_duration_seconds_count 3\n"); /* a, the cleaner, c */
}

/* ---- too much to do ---- */

/* The queue is as full as requests may make it; who has this lease is heard all the same. */
static void hear_when_requests_are_refused(House *h, const Lease *lease, const char *key) {
    static Call others[QUEUE_MAX];
    Call first = {.house = h}, renewal, end;
    char body[BODY_SIZE];
    house_stall_at(h, &first);
    start(h, &first, OP_LIST_STACKS, TRANSPORT_HTTP, "{}", false);
    await(&first, &first.is_done);
    size_t count = 0;
    do {
        assert_true(count < QUEUE_MAX);
        start(h, &others[count], OP_JOIN_REQUEST, TRANSPORT_HTTP, "{\"requestId\":\"request-id-of-nobody\"}", false);
    } while (!others[count++].is_done);
    EXPECT(finish(&others[--count]), 503);
    assert_true(count > QUEUE_MAX / 2);
    (void)snprintf(h->key, sizeof h->key, "%s", key);
    (void)snprintf(body, sizeof body, "{\"lease\":\"%s\"}", lease->secret);
    start(h, &renewal, OP_RENEW_LEASE, TRANSPORT_HTTP, body, false);
    start(h, &end, OP_RELEASE_STACK, TRANSPORT_HTTP, release_body(body, lease, "ok"), false);
    assert_false(renewal.is_done);
    assert_false(end.is_done);
    house_go_on(h);
    EXPECT(finish(&first), 200);
    for (size_t i = 0; i < count; i++)
        EXPECT(finish(&others[i]), 404);
    EXPECT(finish(&renewal), 200);
    EXPECT(finish(&end), 200);
}

static void who_has_a_lease_is_heard_when_requests_are_refused(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 30, 0));
    char key[sizeof h->key];
    memcpy(key, h->key, sizeof key);
    hear_when_requests_are_refused(h, &lease, key);
}

/* Since the start nothing was heard of his project, so nobody knows yet whether it is his. */
static void so_is_who_has_one_of_another_project_after_a_restart(void **state) {
    House *h = *state;
    char shop[sizeof h->key], fair[sizeof h->key];
    memcpy(shop, h->key, sizeof shop);
    Reply made = control(h, OP_CREATE_PROJECT, "{\"project\":\"fair\",\"maxStacks\":1}");
    assert_int_equal(made.status, 200);
    (void)snprintf(h->key, sizeof h->key, "%s", text(made, "key"));
    (void)forget(made);
    Lease lease = lease_of(request(h, 'a', 600, 0));
    memcpy(fair, h->key, sizeof fair);
    memcpy(h->key, shop, sizeof shop);
    restart(h);
    hear_when_requests_are_refused(h, &lease, fair);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, house_begin, house_end)

int main(void) {
    json_guard_init();
    const struct CMUnitTest tests[] = {
        TEST(whatever_makes_room_serves_who_waits),
        TEST(who_is_heard_of_again_is_not_told_to_wait_for_what_he_got),
        TEST(room_for_many_is_given_in_a_few_loads),
        TEST(what_jobs_do_is_not_done_over_the_control_socket),
        TEST(who_cannot_be_recognised_does_not_wait),
        TEST(who_waits_with_a_key_that_is_revoked_is_turned_away_at_once),
        TEST(a_stack_nobody_came_for_is_as_it_was),
        TEST(who_came_too_late_for_his_grant_hears_so),
        TEST(a_plain_grant_is_collected_by_its_answer),
        TEST(a_plain_grant_nobody_heard_of_goes_to_the_next),
        TEST(who_is_not_heard_of_is_passed_over_and_keeps_a_place_for_ten_minutes),
        TEST(a_stack_that_is_quarantined_and_restored_rests_all_the_same),
        TEST(a_lost_stack_rests_before_it_is_cleaned_and_keeps_its_place),
        TEST(a_stack_that_cannot_be_cleaned_keeps_nobody_from_another),
        TEST(history_and_metrics_tell_what_time_and_people_did),
        TEST(who_has_a_lease_is_heard_when_requests_are_refused),
        TEST(so_is_who_has_one_of_another_project_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
