#include "unit/stub_service.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

typedef struct StubOperation {
    Operation shown;
    Service *service;
    OperationId id;
    const OperationOwner *owner;
    bool is_authenticated, is_held, is_parked, is_hung_up;
    Buffer text;
} StubOperation;

struct Service {
    pthread_t worker;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    Operation *queue, *held;
    size_t held_count, parked_count, hung_up_count;
    uint64_t last_id;
    bool is_stopping, is_releasing;
    atomic_bool is_ready;
    atomic_size_t operations, answer_size;
    char credential[512], address[64];
    bool has_credential;
};

static StubOperation *stub_of(Operation *op) {
    return (StubOperation *)op;
}

static void *work(void *arg) {
    Service *service = arg;
    (void)pthread_mutex_lock(&service->lock);
    for (;;) {
        while (service->queue == NULL && !service->is_stopping)
            (void)pthread_cond_wait(&service->changed, &service->lock);
        Operation *batch = service->queue;
        service->queue = NULL;
        if (batch == NULL)
            break;
        (void)pthread_mutex_unlock(&service->lock);
        while (batch != NULL) {
            Operation *op = batch;
            batch = op->next;
            if (stub_of(op)->is_parked && stub_of(op)->owner->unparked != NULL)
                stub_of(op)->owner->unparked(op);
            stub_of(op)->owner->done(op);
        }
        (void)pthread_mutex_lock(&service->lock);
    }
    (void)pthread_mutex_unlock(&service->lock);
    return NULL;
}

Service *stub_service_new(void) {
    Service *service = calloc(1, sizeof *service);
    if (service == NULL)
        abort();
    (void)pthread_mutex_init(&service->lock, NULL);
    (void)pthread_cond_init(&service->changed, NULL);
    service->is_ready = true;
    if (pthread_create(&service->worker, NULL, work, service) != 0)
        abort();
    return service;
}

void stub_release(Service *service) {
    (void)pthread_mutex_lock(&service->lock);
    while (service->held != NULL) {
        Operation *op = service->held;
        service->held = op->next;
        op->next = service->queue;
        service->queue = op;
    }
    service->held_count = 0;
    (void)pthread_cond_broadcast(&service->changed);
    (void)pthread_mutex_unlock(&service->lock);
}

void stub_service_free(Service *service) {
    stub_release(service);
    (void)pthread_mutex_lock(&service->lock);
    service->is_stopping = true;
    (void)pthread_cond_broadcast(&service->changed);
    (void)pthread_mutex_unlock(&service->lock);
    (void)pthread_join(service->worker, NULL);
    if (atomic_load(&service->operations) != 0) {
        (void)fprintf(stderr, "%zu operations were never freed\n", atomic_load(&service->operations));
        abort();
    }
    (void)pthread_cond_destroy(&service->changed);
    (void)pthread_mutex_destroy(&service->lock);
    free(service);
}

void stub_await_held(Service *service, size_t count) {
    (void)pthread_mutex_lock(&service->lock);
    while (service->held_count < count)
        (void)pthread_cond_wait(&service->changed, &service->lock);
    (void)pthread_mutex_unlock(&service->lock);
}

void stub_await_hung_up(Service *service, size_t count) {
    (void)pthread_mutex_lock(&service->lock);
    while (service->hung_up_count < count)
        (void)pthread_cond_wait(&service->changed, &service->lock);
    (void)pthread_mutex_unlock(&service->lock);
}

size_t stub_parked(Service *service) {
    (void)pthread_mutex_lock(&service->lock);
    size_t count = service->parked_count;
    (void)pthread_mutex_unlock(&service->lock);
    return count;
}

void stub_set_ready(Service *service, bool is_ready) {
    atomic_store(&service->is_ready, is_ready);
}

size_t stub_operations(Service *service) {
    return atomic_load(&service->operations);
}

void stub_set_answer_size(Service *service, size_t size) {
    atomic_store(&service->answer_size, size);
}

const char *stub_last_credential(Service *service) {
    return service->has_credential ? service->credential : NULL;
}

const char *stub_last_address(Service *service) {
    return service->address;
}

/* ---- service.h ---- */

bool service_is_ready(const Service *service) {
    return atomic_load(&((Service *)(uintptr_t)service)->is_ready);
}

int operation_new(Operation **out, Service *service, OperationId id, Transport transport, const OperationOwner *owner,
                  void *call) {
    (void)transport;
    StubOperation *op = calloc(1, sizeof *op);
    if (op == NULL)
        return -ENOMEM;
    op->service = service;
    op->id = id;
    op->owner = owner;
    op->shown.call = call;
    (void)pthread_mutex_lock(&service->lock);
    op->shown.id = ++service->last_id;
    (void)pthread_mutex_unlock(&service->lock);
    buffer_init(&op->text, ANSWER_MAX);
    atomic_fetch_add(&service->operations, 1);
    *out = &op->shown;
    return 0;
}

Operation *operation_free(Operation *op) {
    if (op == NULL)
        return NULL;
    atomic_fetch_sub(&stub_of(op)->service->operations, 1);
    buffer_deinit(&stub_of(op)->text);
    free(op);
    return NULL;
}

void service_problem(Outcome outcome, const char *detail, Buffer *out) {
    buffer_add_text(out, "{\"code\":\"");
    buffer_add_text(out, outcome_row(outcome)->code);
    buffer_add_text(out, "\",\"detail\":");
    buffer_add_json_text(out, slice_of(detail));
    buffer_add_text(out, "}");
}

void service_refuse(Operation *op, Outcome outcome, const char *field, const char *detail) {
    (void)field;
    buffer_clear(&stub_of(op)->text);
    service_problem(outcome, detail, &stub_of(op)->text);
    op->status = outcome_row(outcome)->http_status;
    op->is_problem = true;
    op->body = buffer_slice(&stub_of(op)->text);
}

bool service_authenticate(Operation *op, Slice credential, Slice address) {
    Service *service = stub_of(op)->service;
    (void)pthread_mutex_lock(&service->lock); /* nng calls from several threads */
    service->has_credential = !slice_is_absent(credential);
    (void)snprintf(service->credential, sizeof service->credential, "%.*s", SLICE_PRINT(credential));
    (void)snprintf(service->address, sizeof service->address, "%.*s", SLICE_PRINT(address));
    (void)pthread_mutex_unlock(&service->lock);
    stub_of(op)->is_authenticated = slice_equal_text(credential, "good");
    if (stub_of(op)->is_authenticated)
        return false;
    service_refuse(op, OUTCOME_UNAUTHENTICATED, NULL, "no good key");
    return true;
}

static bool holds(Slice text, const char *word) {
    return text.len > 0 && memmem(text.ptr, text.len, word, strlen(word)) != NULL;
}

static void echo(Operation *op, Slice asked) {
    StubOperation *stub = stub_of(op);
    buffer_add_text(&stub->text, "{\"operation\":\"");
    buffer_add_text(&stub->text, operation_row(stub->id)->name);
    buffer_add_text(&stub->text, "\",\"asked\":");
    buffer_add_json_text(&stub->text, asked.ptr != NULL ? asked : (Slice){.ptr = "", .len = 0});
    buffer_add_text(&stub->text, "}");
    size_t size = atomic_load(&stub->service->answer_size);
    while (stub->text.len < size && buffer_error(&stub->text) == 0)
        buffer_add_char(&stub->text, ' ');
    op->status = stub->id == OP_JOIN_REQUEST ? 202 : 200;
    op->retry_after_seconds = stub->id == OP_JOIN_REQUEST ? 7 : 0;
    op->body = buffer_slice(&stub->text);
}

bool service_prepare(Operation *op, Slice body) {
    if (holds(body, "refuse")) {
        service_refuse(op, OUTCOME_VALIDATION, NULL, "as you wish");
        return true;
    }
    echo(op, body);
    stub_of(op)->is_held = holds(body, "hold");
    return holds(body, "at-once");
}

bool service_prepare_query(Operation *op, const json_t *query) {
    char *text = json_dumps(query, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL)
        abort();
    echo(op, slice_of(text));
    free(text);
    return false;
}

bool service_prepare_json(Operation *op, const json_t *body) {
    char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text == NULL)
        abort();
    bool is_answered = service_prepare(op, slice_of(text));
    free(text);
    return is_answered;
}

void service_submit(Operation *op) {
    Service *service = stub_of(op)->service;
    stub_of(op)->is_parked = stub_of(op)->is_held && op->may_park;
    if (stub_of(op)->is_parked && stub_of(op)->owner->parked != NULL)
        stub_of(op)->owner->parked(op); /* without the lock: a transport's own is taken in there */
    (void)pthread_mutex_lock(&service->lock);
    Operation **list = stub_of(op)->is_held ? &service->held : &service->queue;
    service->held_count += stub_of(op)->is_held;
    op->next = *list;
    *list = op;
    service->parked_count += stub_of(op)->is_parked;
    (void)pthread_cond_broadcast(&service->changed);
    (void)pthread_mutex_unlock(&service->lock);
}

void service_metrics(Service *service, Buffer *out) {
    buffer_add_text(out, "stub_operations ");
    buffer_add_number(out, (int64_t)atomic_load(&service->operations));
    buffer_add_text(out, "\n");
}

const char *service_version(const Service *service) {
    (void)service;
    return "0.0.0-stub";
}

bool operation_may_wait(const Operation *op) {
    return stub_of((Operation *)(uintptr_t)op)->is_held;
}

bool operation_lists(const Operation *op) {
    (void)op;
    return false;
}

void service_hang_up(Service *service, uint64_t operation_id) {
    (void)pthread_mutex_lock(&service->lock);
    Operation *op = service->held;
    while (op != NULL && op->id != operation_id)
        op = op->next;
    if (op != NULL && stub_of(op)->is_parked && !stub_of(op)->is_hung_up) {
        stub_of(op)->is_hung_up = true;
        service->hung_up_count++;
    }
    (void)pthread_cond_broadcast(&service->changed);
    (void)pthread_mutex_unlock(&service->lock);
}
