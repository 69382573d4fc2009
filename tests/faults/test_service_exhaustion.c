/*
 * The service with leases, a queue and somebody who waits, while every allocation and every call of its store fails in
 * turn, once and from then on. Each step of a short life may be refused with 503, and nothing else may go wrong; when all
 * is healed every repeat is answered, no request has two leases, and the stack is free in the end.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "faults/house.h"

/* A sanitizer slows all this tenfold, and is after the paths, not after every single place to fail. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define APART 9
#else
#define APART 1
#endif

/* ---- memory that runs out ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

/* The worker's alone: it is what holds the transitions. Set while it has nothing to do. */
static _Thread_local bool is_spared;
static struct {
    atomic_llong count, fail_at;
    atomic_bool for_ever;
} memory;

static bool is_refused(void) {
    if (is_spared)
        return false;
    long long count = ++memory.count;
    return memory.fail_at != 0 && (memory.for_ever ? count >= memory.fail_at : count == memory.fail_at);
}

void *__wrap_malloc(size_t size) {
    return is_refused() ? NULL : __real_malloc(size);
}
void *__wrap_calloc(size_t count, size_t size) {
    return is_refused() ? NULL : __real_calloc(count, size);
}
void *__wrap_realloc(void *old, size_t size) {
    return is_refused() ? NULL : __real_realloc(old, size);
}

static void heal(House *h) {
    memory.fail_at = 0;
    wrap_store_heal(h->store);
}

/* ---- a short life ---- */

/* 200, 202 or the answer that says nothing: 503. */
static int say(House *h, OperationId operation, const char *body) {
    Reply reply = ask(h, operation, body);
    int status = reply.status;
    if (status == 503)
        assert_string_equal(text(reply, "code"), "store-unavailable");
    (void)forget(reply);
    return status;
}

/* As a client does that may ask again: with what is healed the second answer counts. */
static void pass_failing(House *h, int64_t seconds) {
    for (; seconds > 0; seconds--) {
        virtual_clock_move(&h->clock, 1000, 1000);
        (void)say(h, OP_LIST_STACKS, "{\"limit\":1}");
    }
}

static void finish_waiting(House *h, Call *call) {
    virtual_clock_move(&h->clock, 1000, 1000);
    if (!call->is_done)
        pass_failing(h, 30); /* the poll is over by then */
    (void)forget(finish(call));
}

/* The holder is known from before the fault; everything after it may fail. */
static void live(House *h, const Lease *first) {
    char body[BODY_SIZE];
    Call waiting;
    start(h, &waiting, OP_REQUEST_STACK, TRANSPORT_HTTP, request_body(body, 'b', 60, 25), true);
    (void)say(h, OP_REQUEST_STACK, request_body(body, 'c', 60, 1));
    (void)snprintf(body, sizeof body, "{\"lease\":\"%s\",\"leaseSeconds\":120}", first->secret);
    (void)say(h, OP_RENEW_LEASE, body);
    (void)say(h, OP_RELEASE_STACK, release_body(body, first, "dirty"));
    (void)say(h, OP_REQUEST_STACK, request_body(body, 'b', 60, 0));
    (void)say(h, OP_LIST_QUEUE, "{}");
    pass_failing(h, 22); /* a grant nobody came for */
    (void)say(h, OP_JOIN_REQUEST, "{\"requestId\":\"request-id-of-c-0001\"}");
    (void)say(h, OP_CANCEL_REQUEST, "{\"requestId\":\"request-id-of-d-0001\"}");
    finish_waiting(h, &waiting);
    (void)say(h, OP_QUARANTINE_STACK, "{\"stackName\":\"test-1\"}");
    (void)say(h, OP_RESTORE_STACK, "{\"stackName\":\"test-1\",\"now\":true}");
    pass_failing(h, 62); /* leases that nobody renews, requests not heard of */
}

/* Healed: every request is somewhere, and only there; what is cancelled is over; nothing holds the stack in the end. */
static void assert_whole(House *h) {
    static const char *const ids[] = {"a", "b", "c", "d"};
    char body[BODY_SIZE];
    int held = 0;
    pass(h, 20); /* whatever was due and could not be done */
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        Reply reply = request(h, ids[i][0], 60, 1);
        assert_true(reply.status == 200 || reply.status == 202 || reply.status == 410);
        held += reply.status == 200;
        (void)forget(reply);
    }
    assert_in_range(held, 0, 1); /* there is one stack */
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        (void)snprintf(body, sizeof body, "{\"requestId\":\"request-id-of-%s-0001\"}", ids[i]);
        EXPECT(ask(h, OP_CANCEL_REQUEST, body), 200);
        EXPECT(request(h, ids[i][0], 60, 0), 410);
    }
    Reply queue = ask(h, OP_LIST_QUEUE, "{}");
    assert_int_equal(json_array_size(json_object_get(queue.body, "queue")), 0);
    (void)forget(queue);
    EXPECT(control(h, OP_RESTORE_STACK, "{\"project\":\"shop\",\"stackName\":\"test-1\",\"now\":true}"), 200);
    Lease last = lease_of(request(h, 'z', 60, 0));
    assert_string_equal(last.stack, "test-1");
    EXPECT(release(h, &last, "ok"), 200);
}

static void become_operator(House *h) {
    Reply made = control(h, OP_CREATE_KEY, "{\"project\":\"shop\",\"scope\":\"operator\"}");
    assert_int_equal(made.status, 200);
    (void)snprintf(h->key, sizeof h->key, "%s", text(made, "key"));
    (void)forget(made);
}

static House *begin_life(void **state, Lease *first) {
    is_spared = true;
    assert_int_equal(house_begin(state), 0);
    House *h = *state;
    become_operator(h);
    *first = lease_of(request(h, 'a', 60, 0));
    return h;
}

static void end_life(void **state, House *h, bool is_restarted) {
    heal(h);
    if (is_restarted)
        restart(h); /* what is stored is whole, too */
    assert_whole(h);
    assert_int_equal(house_end(state), 0);
}

/* ---- what fails ---- */

static void each_allocation_may_fail(void **state) {
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        bool is_past_the_end = false;
        int64_t visited = 0;
        for (int64_t nth = 1; !is_past_the_end; nth += APART) {
            Lease first;
            House *h = begin_life(state, &first);
            memory.for_ever = for_ever != 0;
            memory.fail_at = memory.count + nth;
            live(h, &first);
            is_past_the_end = memory.count < memory.fail_at;
            end_life(state, h, nth % 2 == 0);
            visited = nth;
        }
        print_message("%lld allocations\n", (long long)visited);
        assert_in_range(visited, 20, 100000);
    }
}

static void each_call_of_the_store_may_fail(void **state) {
    static const struct {
        WrapCall call;
        int result;
    } faults[] = {{WRAP_BEGIN, STORE_IO},  {WRAP_LOAD, STORE_IO},     {WRAP_SAVE, STORE_FULL},
                  {WRAP_COMMIT, STORE_IO}, {WRAP_COMMIT, STORE_FULL}, {WRAP_COMMIT, STORE_UNKNOWN},
                  {WRAP_READ, STORE_IO}};
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        bool is_past_the_end = false;
        for (int nth = 1; !is_past_the_end; nth += APART) {
            for (int for_ever = 0; for_ever < 2; for_ever++) {
                Lease first;
                House *h = begin_life(state, &first);
                wrap_store_fail(h->store, faults[i].call, nth, faults[i].result, for_ever != 0);
                live(h, &first);
                is_past_the_end = wrap_store_is_waiting(h->store, faults[i].call);
                end_life(state, h, nth % 2 == 0);
            }
        }
    }
}

int main(void) {
    json_guard_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_of_the_store_may_fail),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
