#include "faults/house.h"

#include <stdio.h>
#include <string.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "simulate/array_store.h"

static void tell(Call *call, bool *flag, bool value) {
    (void)pthread_mutex_lock(&call->house->mutex);
    *flag = value;
    (void)pthread_cond_broadcast(&call->house->changed);
    (void)pthread_mutex_unlock(&call->house->mutex);
}

static void done(Operation *op) {
    Call *call = op->call;
    House *h = call->house;
    tell(call, &call->is_done, true);
    (void)pthread_mutex_lock(&h->mutex);
    while (h->stalls_at == call)
        (void)pthread_cond_wait(&h->changed, &h->mutex);
    (void)pthread_mutex_unlock(&h->mutex);
}

void house_stall_at(House *h, const Call *call) {
    (void)pthread_mutex_lock(&h->mutex);
    h->stalls_at = call;
    (void)pthread_mutex_unlock(&h->mutex);
}

void house_go_on(House *h) {
    (void)pthread_mutex_lock(&h->mutex);
    h->stalls_at = NULL;
    (void)pthread_cond_broadcast(&h->changed);
    (void)pthread_mutex_unlock(&h->mutex);
}

static void parked(Operation *op) {
    Call *call = op->call;
    call->parked_count++;
    tell(call, &call->is_parked, true);
}

static void unparked(Operation *op) {
    Call *call = op->call;
    tell(call, &call->is_parked, false);
}

static bool is_peer_there(Operation *op) {
    const Call *call = op->call;
    return !call->is_peer_gone;
}

static const OperationOwner owner = {
    .done = done, .parked = parked, .unparked = unparked, .is_peer_there = is_peer_there};

void start(House *h, Call *call, OperationId id, Transport transport, const char *body, bool may_park) {
    *call = (Call){.house = h};
    assert_int_equal(operation_new(&call->op, h->service, id, transport, &owner, call), 0);
    if (transport != TRANSPORT_CONTROL)
        (void)service_authenticate(call->op, slice_of(h->key), slice_of("127.0.0.1"));
    if (service_prepare(call->op, slice_of(body))) {
        call->is_done = true;
        return;
    }
    call->op->may_park = may_park;
    service_submit(call->op);
}

void await(Call *call, const bool *flag) {
    (void)pthread_mutex_lock(&call->house->mutex);
    while (!*flag)
        (void)pthread_cond_wait(&call->house->changed, &call->house->mutex);
    (void)pthread_mutex_unlock(&call->house->mutex);
}

Reply finish(Call *call) {
    JsonProblem wrong;
    Reply reply = {0};
    await(call, &call->is_done);
    reply.status = call->op->status;
    assert_int_equal(json_parse(call->op->body, JSON_DEPTH_MAX, &reply.body, &wrong), 0);
    call->op = operation_free(call->op);
    return reply;
}

Reply ask_over(House *h, OperationId id, Transport transport, const char *body) {
    Call call;
    start(h, &call, id, transport, body, false);
    return finish(&call);
}

Reply ask(House *h, OperationId id, const char *body) {
    return ask_over(h, id, TRANSPORT_HTTP, body);
}

Reply control(House *h, OperationId id, const char *body) {
    return ask_over(h, id, TRANSPORT_CONTROL, body);
}

Reply forget(Reply reply) {
    json_decref(reply.body);
    return (Reply){0};
}

const char *text(Reply reply, const char *member) {
    const char *value = json_string_value(json_object_get(reply.body, member));
    return value != NULL ? value : "(none)";
}

int64_t number(Reply reply, const char *member) {
    const json_t *value = json_object_get(reply.body, member);
    return value != NULL ? json_integer_value(value) : -1;
}

void start_service(House *h) {
    assert_int_equal(service_new(&h->service, &(ServiceOptions){.store = h->store,
                                                                .clock = &h->clock.base,
                                                                .random = random_system(),
                                                                .log = &h->log,
                                                                .version = "test"}),
                     0);
    assert_int_equal(service_start(h->service), 0);
}

void stop_service(House *h) {
    service_drain(h->service);
    service_stop(h->service);
    virtual_clock_forget(&h->clock);
    h->service = service_free(h->service);
}

void restart(House *h) {
    stop_service(h);
    start_service(h);
    EXPECT(ask(h, OP_LIST_STACKS, "{\"limit\":1}"), 200); /* the worker has read the clock: time passes from here */
}

void pass(House *h, int64_t seconds) {
    for (; seconds > 0; seconds--) {
        virtual_clock_move(&h->clock, 1000, 1000);
        EXPECT(ask(h, OP_LIST_STACKS, "{\"limit\":1}"), 200);
    }
}

static int begin(void **state, bool is_shared) {
    static House house;
    House *h = &house;
    memset(h, 0, sizeof *h);
    Store *inner;
    assert_int_equal(array_store_open(&inner), 0);
    h->store = wrap_store_new(inner);
    if (is_shared)
        wrap_store_share(h->store);
    virtual_clock_init(&h->clock);
    h->log = (Logger){.fd = -1, .level = LOG_ERROR, .style = LOG_JSON, .clock = &h->clock.base};
    (void)pthread_mutex_init(&h->mutex, NULL);
    (void)pthread_cond_init(&h->changed, NULL);
    start_service(h);
    Reply made = control(h, OP_CREATE_PROJECT,
                         "{\"project\":\"shop\",\"maxStacks\":1,\"expiryGraceSeconds\":15,\"maxHoldSeconds\":600}");
    assert_int_equal(made.status, 200);
    (void)snprintf(h->key, sizeof h->key, "%s", text(made, "key"));
    (void)forget(made);
    *state = h;
    return 0;
}

int house_begin(void **state) {
    return begin(state, false);
}

int house_begin_shared(void **state) {
    return begin(state, true);
}

int house_end(void **state) {
    House *h = *state;
    stop_service(h);
    h->store = store_close(h->store);
    return 0;
}

/* ---- what clients say ---- */

const char *request_body(char *out, char id, int64_t lease, int64_t wait) {
    (void)snprintf(out, BODY_SIZE,
                   "{\"branch\":\"feat/%c\",\"requestId\":\"request-id-of-%c-0001\",\"leaseSeconds\":%lld,"
                   "\"waitSeconds\":%lld}",
                   id, id, (long long)lease, (long long)wait);
    return out;
}

Reply request(House *h, char id, int64_t lease, int64_t wait) {
    char body[BODY_SIZE];
    return ask(h, OP_REQUEST_STACK, request_body(body, id, lease, wait));
}

void wait_for(House *h, Call *call, char id, int64_t lease, int64_t wait) {
    char body[BODY_SIZE];
    start(h, call, OP_REQUEST_STACK, TRANSPORT_HTTP, request_body(body, id, lease, wait), true);
    await(call, &call->is_parked);
}

Lease lease_of(Reply reply) {
    Lease lease;
    const json_t *object = json_object_get(reply.body, "lease");
    assert_int_equal(reply.status, 200);
    (void)snprintf(lease.stack, sizeof lease.stack, "%s", text(reply, "stackName"));
    (void)snprintf(lease.secret, sizeof lease.secret, "%s", json_string_value(json_object_get(object, "secret")));
    lease.generation = json_integer_value(json_object_get(object, "generation"));
    lease.expires_in = json_integer_value(json_object_get(object, "expiresInSeconds"));
    (void)forget(reply);
    return lease;
}

Reply renew(House *h, const Lease *lease) {
    char body[BODY_SIZE];
    (void)snprintf(body, sizeof body, "{\"lease\":\"%s\"}", lease->secret);
    return ask(h, OP_RENEW_LEASE, body);
}

const char *release_body(char *out, const Lease *lease, const char *outcome) {
    (void)snprintf(out, BODY_SIZE, "{\"stackName\":\"%s\",\"lease\":\"%s\",\"outcome\":\"%s\"}", lease->stack,
                   lease->secret, outcome);
    return out;
}

Reply release(House *h, const Lease *lease, const char *outcome) {
    char body[BODY_SIZE];
    return ask(h, OP_RELEASE_STACK, release_body(body, lease, outcome));
}
