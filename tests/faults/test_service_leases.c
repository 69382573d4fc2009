/*
 * Leases, queues and waiters as a client meets them, in virtual time: the real service, worker and rules; the array engine;
 * a clock the tests move. Restarts are a new service over the same store.
 */
#include <stdio.h>
#include <string.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "faults/house.h"

/* ---- leases ---- */

static void a_renewed_lease_lives_and_an_unrenewed_one_is_lost(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 30, 0));
    assert_int_equal(lease.expires_in, 30);
    for (int i = 0; i < 10; i++) {
        pass(h, 20);
        Reply renewed = renew(h, &lease);
        assert_int_equal(renewed.status, 200);
        assert_int_equal(number(renewed, "expiresInSeconds"), 30);
        (void)forget(renewed);
    }
    pass(h, 29);
    Reply held = request(h, 'b', 30, 0);
    assert_int_equal(held.status, 409);
    (void)forget(held);
    pass(h, 1);
    Reply lost = renew(h, &lease);
    assert_int_equal(lost.status, 410);
    assert_string_equal(text(lost, "code"), "lease-lost");
    assert_string_equal(text(lost, "why"), "expired");
    (void)forget(lost);
    EXPECT(release(h, &lease, "ok"), 410);
}

static void a_renewal_that_waits_behind_many_others_comes_before_the_loss(void **state) {
    House *h = *state;
    enum { OTHERS = BATCH_MAX + 10 };
    static Call others[OTHERS];
    Call first, renewal;
    char body[BODY_SIZE];
    Lease lease = lease_of(request(h, 'a', 30, 0));
    pass(h, 29);
    house_stall_at(h, &first);
    start(h, &first, OP_LIST_STACKS, TRANSPORT_HTTP, "{}", false);
    await(&first, &first.is_done);
    for (size_t i = 0; i < OTHERS; i++)
        start(h, &others[i], OP_JOIN_REQUEST, TRANSPORT_HTTP, "{\"requestId\":\"request-id-of-nobody\"}", false);
    (void)snprintf(body, sizeof body, "{\"lease\":\"%s\"}", lease.secret);
    start(h, &renewal, OP_RENEW_LEASE, TRANSPORT_HTTP, body, false);
    virtual_clock_move(&h->clock, 2000, 2000);
    house_go_on(h);
    EXPECT(finish(&first), 200);
    for (size_t i = 0; i < OTHERS; i++)
        EXPECT(finish(&others[i]), 404);
    EXPECT(finish(&renewal), 200);
    pass(h, 5);
    EXPECT(renew(h, &lease), 200);
}

static void a_lost_stack_rests_before_another_gets_it(void **state) {
    House *h = *state;
    Lease first = lease_of(request(h, 'a', 30, 0));
    pass(h, 30);
    EXPECT(request(h, 'b', 30, 0), 409);
    pass(h, 14);
    EXPECT(request(h, 'b', 30, 0), 409);
    pass(h, 1);
    Lease second = lease_of(request(h, 'b', 30, 0));
    assert_string_equal(second.stack, first.stack);
    assert_true(second.generation > first.generation);
    EXPECT(release(h, &first, "ok"), 410);
    EXPECT(renew(h, &second), 200);
}

static void renewing_for_ever_ends_at_max_hold(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 60, 0));
    for (int64_t left = 600; left > 50; left -= 50) {
        pass(h, 50);
        Reply renewed = renew(h, &lease);
        assert_int_equal(renewed.status, 200);
        assert_int_equal(number(renewed, "expiresInSeconds"), left - 50 < 60 ? left - 50 : 60);
        (void)forget(renewed);
    }
    pass(h, 50);
    EXPECT(renew(h, &lease), 410);
}

static void a_length_beyond_max_hold_is_told_as_what_it_comes_to(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 3600, 0));
    assert_int_equal(lease.expires_in, 600);
    pass(h, 100);
    assert_int_equal(lease_of(request(h, 'a', 3600, 0)).expires_in, 500); /* the same request again */
    Reply renewed = renew(h, &lease);
    assert_int_equal(renewed.status, 200);
    assert_int_equal(number(renewed, "expiresInSeconds"), 500);
    (void)forget(renewed);
    pass(h, 499);
    EXPECT(renew(h, &lease), 200);
    pass(h, 1);
    EXPECT(renew(h, &lease), 410);
}

static void renew_until(House *h, const Lease *lease, int64_t seconds) {
    for (; seconds > 0; seconds -= 50) {
        pass(h, 50);
        EXPECT(renew(h, lease), 200);
    }
}

/* A renewal that makes the lease longer is stored, so it is answered elsewhere than those that memory keeps. */
static void a_longer_renewal_gets_no_more_than_max_hold_leaves(void **state) {
    House *h = *state;
    char body[BODY_SIZE];
    Lease lease = lease_of(request(h, 'a', 60, 0));
    renew_until(h, &lease, 550);
    (void)snprintf(body, sizeof body, "{\"lease\":\"%s\",\"leaseSeconds\":300}", lease.secret);
    Reply renewed = ask(h, OP_RENEW_LEASE, body);
    assert_int_equal(renewed.status, 200);
    assert_int_equal(number(renewed, "expiresInSeconds"), 50);
    (void)forget(renewed);
    pass(h, 50);
    EXPECT(renew(h, &lease), 410);
}

/* Pruning has its turn, however busy the worker is. */
static void let_prune(House *h, int64_t boot_ms, int64_t wall_ms) {
    virtual_clock_move(&h->clock, boot_ms, wall_ms);
    for (int i = 0; i < 4; i++)
        EXPECT(ask(h, OP_LIST_STACKS, "{\"limit\":1}"), 200);
}

static void a_step_of_wall_time_forgets_no_request(void **state) {
    House *h = *state;
    const int64_t hour_ms = 3600 * 1000;
    Lease lease = lease_of(request(h, 'a', 30, 0));
    EXPECT(release(h, &lease, "ok"), 200);
    let_prune(h, hour_ms, 49 * hour_ms);
    EXPECT(request(h, 'a', 30, 0), 410); /* a late repeat gets no second stack */
    let_prune(h, 22 * hour_ms, 22 * hour_ms);
    EXPECT(request(h, 'a', 30, 0), 410);
    let_prune(h, 2 * hour_ms, 2 * hour_ms);
    EXPECT(request(h, 'a', 30, 0), 200); /* a day later nobody repeats it any more */
}

static void max_hold_begins_afresh_with_a_restart(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 60, 0));
    renew_until(h, &lease, 550);
    restart(h);
    renew_until(h, &lease, 550);
    pass(h, 49);
    Reply renewed = renew(h, &lease);
    assert_int_equal(renewed.status, 200);
    assert_int_equal(number(renewed, "expiresInSeconds"), 1);
    (void)forget(renewed);
    pass(h, 1);
    EXPECT(renew(h, &lease), 410);
}

static void a_lower_max_hold_takes_nothing_from_who_was_told_more(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 300, 0));
    EXPECT(control(h, OP_UPDATE_PROJECT, "{\"project\":\"shop\",\"maxHoldSeconds\":60}"), 200);
    pass(h, 200);
    Reply renewed = renew(h, &lease);
    assert_int_equal(renewed.status, 200);
    assert_int_equal(number(renewed, "expiresInSeconds"), 300);
    (void)forget(renewed);
    restart(h);
    pass(h, 299);
    renewed = renew(h, &lease);
    assert_int_equal(renewed.status, 200);
    assert_int_equal(number(renewed, "expiresInSeconds"), 1);
    (void)forget(renewed);
    pass(h, 1);
    EXPECT(renew(h, &lease), 410);
    pass(h, 15);
    assert_int_equal(lease_of(request(h, 'b', 300, 0)).expires_in, 60);
}

static void ask_with(House *h, const char *key) {
    (void)snprintf(h->key, sizeof h->key, "%s", key);
}

/* The keys of the one there is, and of another one. */
static void two_projects(House *h, char *shop, char *mall) {
    (void)snprintf(shop, sizeof h->key, "%s", h->key);
    Reply made = control(h, OP_CREATE_PROJECT, "{\"project\":\"mall\",\"maxStacks\":1,\"expiryGraceSeconds\":0}");
    assert_int_equal(made.status, 200);
    (void)snprintf(mall, sizeof h->key, "%s", text(made, "key"));
    (void)forget(made);
}

/* Both projects count their stacks and tickets from one, and are asked under the same ids at the same moments. */
static void what_time_ends_in_one_project_touches_no_other(void **state) {
    House *h = *state;
    char shop[sizeof h->key], mall[sizeof h->key];
    two_projects(h, shop, mall);
    Call shop_waits, mall_waits;
    Lease ours = lease_of(request(h, 'a', 20, 0));
    ask_with(h, mall);
    Lease theirs = lease_of(request(h, 'a', 20, 0));
    assert_string_equal(theirs.stack, ours.stack);
    pass(h, 15);
    wait_for(h, &mall_waits, 'b', 30, 25);
    ask_with(h, shop);
    wait_for(h, &shop_waits, 'b', 30, 25);
    pass(h, 4);
    ask_with(h, mall);
    EXPECT(renew(h, &theirs), 200);
    pass(h, 1);
    ask_with(h, shop);
    EXPECT(renew(h, &ours), 410);
    pass(h, 14);
    assert_true(shop_waits.is_parked); /* for its own project's quiet */
    pass(h, 1);
    Lease next = lease_of(finish(&shop_waits));
    EXPECT(renew(h, &next), 200);
    ask_with(h, mall);
    EXPECT(renew(h, &theirs), 200);
    assert_true(mall_waits.is_parked);
    EXPECT(release(h, &theirs, "ok"), 200);
    theirs = lease_of(finish(&mall_waits));
    EXPECT(renew(h, &theirs), 200);
}

static void a_restart_gives_everybody_the_full_length_again(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 30, 0));
    pass(h, 29);
    restart(h);
    pass(h, 29);
    Reply renewed = renew(h, &lease);
    assert_int_equal(renewed.status, 200);
    (void)forget(renewed);
    pass(h, 30);
    EXPECT(renew(h, &lease), 410);
}

static void a_pause_and_a_step_of_wall_time_take_two_seconds_at_most(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 30, 0));
    virtual_clock_move(&h->clock, 3600 * 1000, 3600 * 1000); /* stopped for an hour */
    pass(h, 1);
    virtual_clock_move(&h->clock, 0, -86400LL * 1000); /* a day back */
    pass(h, 1);
    virtual_clock_move(&h->clock, 0, 30 * 86400LL * 1000);
    pass(h, 1);
    Reply renewed = renew(h, &lease);
    assert_int_equal(renewed.status, 200);
    (void)forget(renewed);
    pass(h, 30);
    EXPECT(renew(h, &lease), 410);
}

static void renewals_work_and_nothing_is_lost_while_the_store_fails(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 30, 0));
    wrap_store_fail(h->store, WRAP_COMMIT, 1, STORE_FULL, true);
    for (int i = 0; i < 5; i++) {
        pass(h, 20);
        EXPECT(renew(h, &lease), 200);
    }
    pass(h, 60); /* nobody renews, and the loss cannot be written */
    EXPECT(renew(h, &lease), 200);
    wrap_store_heal(h->store);
    pass(h, 29);
    EXPECT(renew(h, &lease), 200);
    pass(h, 32);
    EXPECT(renew(h, &lease), 410);
}

/* ---- the queue ---- */

static void renewals_do_not_wait_for_what_cannot_become_durable(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 30, 0));
    wrap_store_fail(h->store, WRAP_SYNC, 1, STORE_UNKNOWN, true);
    EXPECT(request(h, 'b', 30, 5), 503); /* queued, and nobody may know */
    EXPECT(renew(h, &lease), 200);
    wrap_store_heal(h->store);
    EXPECT(request(h, 'b', 30, 5), 202);
    EXPECT(renew(h, &lease), 200);
}

/* The repeat of a longer or a collecting one that was refused changes nothing any more, and promises as much. */
static void a_repeated_renewal_waits_for_what_the_first_one_changed(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 10, 0));
    char longer[BODY_SIZE];
    (void)snprintf(longer, sizeof longer, "{\"lease\":\"%s\",\"leaseSeconds\":500}", lease.secret);
    wrap_store_fail(h->store, WRAP_SYNC, 1, STORE_UNKNOWN, true);
    for (int i = 0; i < 2; i++)
        EXPECT(ask(h, OP_RENEW_LEASE, longer), 503);
    wrap_store_heal(h->store);
    EXPECT(ask(h, OP_RENEW_LEASE, longer), 200);
    EXPECT(release(h, &lease, "ok"), 200);

    lease = lease_of(request(h, 'b', 300, 0));
    EXPECT(request(h, 'c', 300, 1), 202); /* polls */
    EXPECT(release(h, &lease, "ok"), 200);
    lease = lease_of(request(h, 'c', 300, 0));
    wrap_store_fail(h->store, WRAP_SYNC, 1, STORE_UNKNOWN, true);
    for (int i = 0; i < 2; i++)
        EXPECT(renew(h, &lease), 503);
    wrap_store_heal(h->store);
    EXPECT(renew(h, &lease), 200);
}

static void a_release_hands_the_stack_to_who_waits_at_once(void **state) {
    House *h = *state;
    Lease first = lease_of(request(h, 'a', 30, 0));
    Call waiting;
    wait_for(h, &waiting, 'b', 30, 25);
    EXPECT(release(h, &first, "ok"), 200);
    Lease second = lease_of(finish(&waiting)); /* no time has passed */
    assert_string_equal(second.stack, first.stack);
    assert_true(second.generation > first.generation);
    EXPECT(renew(h, &second), 200);
}

static void a_long_poll_that_ends_says_the_place_and_to_come_again_now(void **state) {
    House *h = *state;
    (void)lease_of(request(h, 'a', 600, 0));
    Call first, second;
    wait_for(h, &first, 'b', 30, 25);
    wait_for(h, &second, 'c', 30, 20);
    pass(h, 20);
    Reply over = finish(&second);
    assert_int_equal(over.status, 202);
    assert_int_equal(number(over, "position"), 2);
    assert_int_equal(number(over, "retryAfterSeconds"), 0);
    (void)forget(over);
    pass(h, 5);
    over = finish(&first);
    assert_int_equal(over.status, 202);
    assert_int_equal(number(over, "position"), 1);
    (void)forget(over);
}

static void first_come_first_served_and_newcomers_do_not_overtake(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 600, 0));
    Call calls[3];
    for (int i = 0; i < 3; i++)
        wait_for(h, &calls[i], (char)('b' + i), 600, 25);
    for (int i = 0; i < 3; i++) {
        EXPECT(release(h, &lease, "ok"), 200);
        Reply newcomer = request(h, 'z', 600, 0);
        assert_int_equal(newcomer.status, 409);
        (void)forget(newcomer);
        lease = lease_of(finish(&calls[i]));
        EXPECT(renew(h, &lease), 200);
    }
}

static void who_hangs_up_is_passed_over(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 600, 0));
    Call gone, there;
    wait_for(h, &gone, 'b', 600, 25);
    wait_for(h, &there, 'c', 600, 25);
    service_hang_up(h->service, gone.op->id);
    EXPECT(finish(&gone), 202); /* handed back; nobody hears it */
    EXPECT(release(h, &lease, "ok"), 200);
    lease = lease_of(finish(&there));
    EXPECT(renew(h, &lease), 200);
    /* Heard of again, it has its old place. */
    Reply again = request(h, 'b', 600, 0);
    assert_int_equal(again.status, 202);
    assert_int_equal(number(again, "position"), 1);
    (void)forget(again);
}

static void who_hung_up_does_not_get_what_is_freed_at_the_same_moment(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 600, 0));
    Call gone, there, before, freeing;
    char body[BODY_SIZE];
    wait_for(h, &gone, 'b', 600, 25);
    wait_for(h, &there, 'c', 600, 25);
    /* Whoever answers the first one waits for us, and then finds both others. */
    (void)pthread_mutex_lock(&h->mutex);
    start(h, &before, OP_LIST_STACKS, TRANSPORT_HTTP, "{\"limit\":1}", false);
    service_hang_up(h->service, gone.op->id);
    start(h, &freeing, OP_RELEASE_STACK, TRANSPORT_HTTP, release_body(body, &lease, "ok"), false);
    (void)pthread_mutex_unlock(&h->mutex);
    EXPECT(finish(&before), 200);
    EXPECT(finish(&gone), 202);
    EXPECT(finish(&freeing), 200);
    lease = lease_of(finish(&there));
    EXPECT(renew(h, &lease), 200);
}

static void a_grant_nobody_comes_for_goes_to_the_next(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 600, 0));
    EXPECT(request(h, 'b', 600, 1), 202); /* polls, and never again */
    Call there;
    wait_for(h, &there, 'c', 600, 25);
    EXPECT(release(h, &lease, "ok"), 200);
    pass(h, 19);
    assert_true(there.is_parked);
    pass(h, 1);
    lease = lease_of(finish(&there));
    EXPECT(renew(h, &lease), 200);
    EXPECT(request(h, 'b', 600, 0), 202); /* it only lost its turn */
}

/* Its secret is genuine, and of nobody that is to be waited for: telling it the end of the next grant tells nobody. */
static void the_secret_of_a_grant_taken_back_speaks_for_no_later_one(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 600, 0));
    EXPECT(request(h, 'b', 600, 1), 202); /* polls, and never again */
    EXPECT(release(h, &lease, "ok"), 200);
    Lease taken_back = lease_of(request(h, 'b', 600, 0));
    pass(h, 20);
    Reply lost = renew(h, &taken_back);
    assert_int_equal(lost.status, 410);
    assert_string_equal(text(lost, "why"), "uncollected");
    assert_string_not_equal(text(lost, "at"), "");
    (void)forget(lost);
    char body[BODY_SIZE];
    Call waits;
    start(h, &waits, OP_REQUEST_STACK, TRANSPORT_HTTP, request_body(body, 'b', 600, 25), true);
    Lease again = lease_of(finish(&waits)); /* it only lost its turn */
    EXPECT(renew(h, &again), 200);
    EXPECT(control(h, OP_FORCE_RELEASE_STACK, "{\"project\":\"shop\",\"stackName\":\"test-1\"}"), 200);
    EXPECT(renew(h, &taken_back), 410);
    pass(h, 30);
    EXPECT(request(h, 'c', 30, 0), 409);
    EXPECT(renew(h, &again), 410);
    pass(h, 15);
    EXPECT(request(h, 'c', 30, 0), 200);
}

static void two_polls_of_one_request_get_one_answer(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 600, 0));
    Call one, other;
    wait_for(h, &one, 'b', 600, 25);
    wait_for(h, &other, 'b', 600, 25);
    EXPECT(release(h, &lease, "ok"), 200);
    Lease first = lease_of(finish(&one)), second = lease_of(finish(&other));
    assert_string_equal(first.secret, second.secret);
}

static void a_cancelled_wait_is_told_and_lets_the_next_one_in(void **state) {
    House *h = *state;
    (void)lease_of(request(h, 'a', 600, 0));
    Call waiting;
    wait_for(h, &waiting, 'b', 600, 25);
    Reply cancelled = ask(h, OP_CANCEL_REQUEST, "{\"requestId\":\"request-id-of-b-0001\"}");
    assert_int_equal(cancelled.status, 200);
    assert_string_equal(text(cancelled, "result"), "removed");
    (void)forget(cancelled);
    Reply told = finish(&waiting);
    assert_int_equal(told.status, 410);
    assert_string_equal(text(told, "why"), "cancelled");
    (void)forget(told);
}

static void the_queue_survives_a_restart_in_its_order(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 600, 0));
    EXPECT(request(h, 'b', 600, 1), 202);
    pass(h, 70); /* b was not heard of for long */
    EXPECT(request(h, 'c', 600, 1), 202);
    restart(h);
    EXPECT(release(h, &lease, "ok"), 200);
    Lease second = lease_of(request(h, 'b', 600, 0)); /* counts as just heard of, and came first */
    assert_string_equal(second.stack, lease.stack);
}

static void a_drain_answers_who_waits(void **state) {
    House *h = *state;
    (void)lease_of(request(h, 'a', 600, 0));
    Call waiting;
    wait_for(h, &waiting, 'b', 600, 25);
    service_drain(h->service);
    Reply over = finish(&waiting);
    assert_int_equal(over.status, 202);
    assert_int_equal(number(over, "retryAfterSeconds"), 1);
    (void)forget(over);
}

static void who_waits_hears_of_the_end_of_quiet(void **state) {
    House *h = *state;
    Lease lost = lease_of(request(h, 'a', 20, 0));
    Call waiting;
    pass(h, 15);
    wait_for(h, &waiting, 'b', 30, 25);
    pass(h, 5 + 14);
    assert_true(waiting.is_parked);
    pass(h, 1);
    Lease next = lease_of(finish(&waiting));
    assert_string_equal(next.stack, lost.stack);
}

static void after_an_operators_release_the_holder_is_waited_for(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 300, 0));
    pass(h, 100);
    EXPECT(control(h, OP_FORCE_RELEASE_STACK, "{\"project\":\"shop\",\"stackName\":\"test-1\"}"), 200);
    pass(h, 30);
    EXPECT(request(h, 'b', 30, 0), 409);
    EXPECT(renew(h, &lease), 410); /* he is told, and stops */
    pass(h, 14);
    EXPECT(request(h, 'b', 30, 0), 409);
    pass(h, 1);
    Lease next = lease_of(request(h, 'b', 30, 0));
    assert_true(next.generation > lease.generation);
}

static void an_operator_in_a_hurry_need_not_wait(void **state) {
    House *h = *state;
    (void)lease_of(request(h, 'a', 300, 0));
    EXPECT(control(h, OP_FORCE_RELEASE_STACK, "{\"project\":\"shop\",\"stackName\":\"test-1\",\"now\":true}"), 200);
    (void)lease_of(request(h, 'b', 30, 0));
}

static void lists_say_when_leases_end_and_who_waits(void **state) {
    House *h = *state;
    (void)lease_of(request(h, 'a', 300, 0));
    EXPECT(request(h, 'b', 300, 1), 202);
    Reply list = ask(h, OP_LIST_STACKS, "{}");
    const json_t *stack = json_array_get(json_object_get(list.body, "stacks"), 0);
    const json_t *expires = json_object_get(json_object_get(stack, "lease"), "expires");
    assert_non_null(json_string_value(expires));
    (void)forget(list);
    Reply queue = ask(h, OP_LIST_QUEUE, "{}");
    assert_int_equal(queue.status, 200);
    const json_t *waits = json_array_get(json_object_get(queue.body, "queue"), 0);
    assert_int_equal(json_integer_value(json_object_get(waits, "position")), 1);
    assert_string_equal(json_string_value(json_object_get(waits, "branch")), "feat/b");
    (void)forget(queue);
}

/* ---- one of several coordinators ---- */

/* On another server renewals may be counted otherwise: first all is read again. */
static void nobody_loses_a_lease_on_a_session_newer_than_what_was_read(void **state) {
    House *h = *state;
    Lease lease = lease_of(request(h, 'a', 30, 0));
    wrap_store_must_look(h->store, true);
    pass(h, 60);
    EXPECT(renew(h, &lease), 200);
    wrap_store_must_look(h->store, false);
    pass(h, 60);
    EXPECT(renew(h, &lease), 410);
}

/* Not even what time ends, which is decided for all projects at once. */
static void a_project_somebody_keeps_locked_holds_up_no_other(void **state) {
    House *h = *state;
    char shop[sizeof h->key], mall[sizeof h->key];
    two_projects(h, shop, mall);
    Lease ours = lease_of(request(h, 'a', 20, 0));
    ask_with(h, mall);
    EXPECT(request(h, 'a', 20, 0), 200);
    Call waits;
    wait_for(h, &waits, 'b', 30, 25);
    wrap_store_lock(h->store, "shop");
    pass(h, 22);
    assert_false(waits.is_parked);
    Lease theirs = lease_of(finish(&waits));
    EXPECT(renew(h, &theirs), 200);
    ask_with(h, shop);
    EXPECT(renew(h, &ours), 503);
    wrap_store_lock(h->store, NULL);
    pass(h, 1);
    EXPECT(renew(h, &ours), 410);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, house_begin, house_end)
#define TEST_SHARED(name) cmocka_unit_test_setup_teardown(name, house_begin_shared, house_end)

int main(void) {
    json_guard_init();
    const struct CMUnitTest tests[] = {
        TEST(a_renewed_lease_lives_and_an_unrenewed_one_is_lost),
        TEST(a_renewal_that_waits_behind_many_others_comes_before_the_loss),
        TEST(a_lost_stack_rests_before_another_gets_it),
        TEST(renewing_for_ever_ends_at_max_hold),
        TEST(a_length_beyond_max_hold_is_told_as_what_it_comes_to),
        TEST(a_longer_renewal_gets_no_more_than_max_hold_leaves),
        TEST(max_hold_begins_afresh_with_a_restart),
        TEST(a_step_of_wall_time_forgets_no_request),
        TEST(a_lower_max_hold_takes_nothing_from_who_was_told_more),
        TEST(what_time_ends_in_one_project_touches_no_other),
        TEST(a_restart_gives_everybody_the_full_length_again),
        TEST(a_pause_and_a_step_of_wall_time_take_two_seconds_at_most),
        TEST(renewals_work_and_nothing_is_lost_while_the_store_fails),
        TEST(renewals_do_not_wait_for_what_cannot_become_durable),
        TEST(a_repeated_renewal_waits_for_what_the_first_one_changed),
        TEST(a_release_hands_the_stack_to_who_waits_at_once),
        TEST(a_long_poll_that_ends_says_the_place_and_to_come_again_now),
        TEST(first_come_first_served_and_newcomers_do_not_overtake),
        TEST(who_hangs_up_is_passed_over),
        TEST(who_hung_up_does_not_get_what_is_freed_at_the_same_moment),
        TEST(a_grant_nobody_comes_for_goes_to_the_next),
        TEST(the_secret_of_a_grant_taken_back_speaks_for_no_later_one),
        TEST(two_polls_of_one_request_get_one_answer),
        TEST(a_cancelled_wait_is_told_and_lets_the_next_one_in),
        TEST(the_queue_survives_a_restart_in_its_order),
        TEST(a_drain_answers_who_waits),
        TEST(who_waits_hears_of_the_end_of_quiet),
        TEST(after_an_operators_release_the_holder_is_waited_for),
        TEST(an_operator_in_a_hurry_need_not_wait),
        TEST(lists_say_when_leases_end_and_who_waits),
        TEST_SHARED(a_project_somebody_keeps_locked_holds_up_no_other),
        TEST_SHARED(nobody_loses_a_lease_on_a_session_newer_than_what_was_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
