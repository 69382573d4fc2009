/* The callbacks, in the order in which libmicrohttpd calls them. */
#include "http/call.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "http/context.h"
#include "http/head.h"
#include "http/query.h"
#include "http/reply.h"
#include "http/server.h"

#define BODY_KEPT (4 * 1024) /* bytes of buffer a connection keeps between two requests */

static HttpContext *context_of(const HttpCall *call) {
    return call->connection->server->context;
}

void call_init(HttpCall *call, Connection *connection) {
    *call = (HttpCall){.state = CALL_IDLE, .is_first = true, .connection = connection};
    buffer_init(&call->body, BODY_MAX);
}

void call_deinit(HttpCall *call) {
    assert(call->state == CALL_IDLE && call->op == NULL);
    buffer_deinit(&call->body);
}

/* ---- who is under way, for http_flush ---- */

static void enter(HttpCall *call) {
    if (!call->is_counted)
        atomic_fetch_add(&context_of(call)->under_way, 1);
    call->is_counted = true;
}

static void leave(HttpCall *call) {
    if (!call->is_counted)
        return;
    call->is_counted = false;
    HttpContext *context = context_of(call);
    if (atomic_fetch_sub(&context->under_way, 1) != 1 || !atomic_load(&context->is_flushing))
        return;
    (void)pthread_mutex_lock(&context->flush_lock);
    (void)pthread_cond_broadcast(&context->flushed);
    (void)pthread_mutex_unlock(&context->flush_lock);
}

/* ---- answers ---- */

static enum MHD_Result send_reply(HttpCall *call, Reply *reply, bool must_close) {
    Connection *connection = call->connection;
    HttpContext *context = context_of(call);
    call->state = CALL_SENDING;
    int64_t reading_ms = (int64_t)(reply->size * 1000 / HTTP_SLOWEST_READER);
    connection_await_reader(connection, http_now_ms(context) + context->limits.answer_ms + reading_ms);
    must_close |= atomic_load_explicit(&context->is_closing, memory_order_relaxed) ||
                  atomic_load_explicit(&connection->server->is_retired, memory_order_relaxed);
    return reply_queue(reply, call->mhd, must_close);
}

static enum MHD_Result send_operation(HttpCall *call) {
    Reply reply = {0};
    if (!reply_with_operation(&reply, call->op))
        return MHD_NO;
    call->op = NULL;
    return send_reply(call, &reply, false);
}

/* The body of such a request is not read: libmicrohttpd closes the connection after the answer. */
static enum MHD_Result refuse_at_once(HttpCall *call, Outcome outcome, const char *detail) {
    Reply reply = {0};
    enter(call);
    reply_with_problem(&reply, outcome, detail);
    return send_reply(call, &reply, true);
}

static enum MHD_Result send_refusal(HttpCall *call) {
    Reply reply = {0};
    reply_with_problem(&reply, call->refusal, call->detail);
    if (call->refusal == OUTCOME_METHOD_NOT_ALLOWED)
        reply.allow = call->route.allow;
    return send_reply(call, &reply, false);
}

static void refuse(HttpCall *call, Outcome outcome, const char *detail) {
    call->refusal = outcome;
    call->detail = detail;
    call->is_refused = true;
}

/* ---- the request line ---- */

void *call_begin(void *server_arg, const char *uri, struct MHD_Connection *mhd) {
    Server *server = server_arg;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    Connection *connection = info != NULL ? info->socket_context : NULL;
    if (connection == NULL)
        return NULL;
    HttpCall *call = &connection->call;
    assert(call->state == CALL_IDLE);
    call->state = CALL_BEGUN;
    call->mhd = mhd;

    /* The first request has its time from the connect; when a later one was begun is known only now. */
    if (!call->is_first)
        connection_await_request(connection, http_now_ms(server->context),
                                 http_now_ms(server->context) + server->context->limits.request_ms);
    call->is_first = false;

    Slice query = SLICE_ABSENT;
    route_find(uri != NULL ? slice_of(uri) : (Slice){.ptr = "", .len = 0}, &call->route, &query);
    bool is_asked = call->route.kind == ROUTE_OPERATION && query.len > 0 &&
                    (operation_row(call->route.operation)->flags & OPERATION_READS) != 0;
    call->uri_end = uri != NULL ? uri + strlen(uri) : NULL;
    /* Copied: libmicrohttpd cuts and decodes it in place. */
    if (is_asked && (call->query = slice_dup(query)) == NULL)
        refuse(call, OUTCOME_INTERNAL, "The coordinator is short of memory.");
    return call;
}

/* ---- the head ---- */

/* The worker's thread calls these. A suspended connection's socket stays open. */
static void operation_parked(Operation *op) {
    HttpCall *call = op->call;
    hang_ups_watch(&context_of(call)->hang_ups, call->connection->fd, op->id);
}

static void operation_unparked(Operation *op) {
    HttpCall *call = op->call;
    hang_ups_forget(&context_of(call)->hang_ups, call->connection->fd);
}

static bool operation_has_peer(Operation *op) {
    const HttpCall *call = op->call;
    return hang_ups_is_open(call->connection->fd);
}

static void operation_done(Operation *op) {
    HttpCall *call = op->call;
    if (call->is_waiter) {
        atomic_fetch_sub(&context_of(call)->waiters, 1);
        atomic_fetch_sub(&call->connection->server->waiters, 1);
    }
    call->is_waiter = false;
    call->state = CALL_ANSWERED;
    MHD_resume_connection(call->mhd); /* from here on the call may be gone already */
}

static const OperationOwner owner = {.done = operation_done,
                                     .parked = operation_parked,
                                     .unparked = operation_unparked,
                                     .is_peer_there = operation_has_peer};

/* Those who wait leave room for those who end a wait. */
static void admit_waiter(HttpCall *call) {
    HttpContext *context = context_of(call);
    if (!operation_may_wait(call->op))
        return;
    call->is_waiter = true;
    buffer_deinit(&call->body); /* what may take long keeps little */
    unsigned most = (unsigned)((uint64_t)context->max_connections * HTTP_WAITERS_PERCENT / 100);
    call->op->may_park = atomic_fetch_add(&context->waiters, 1) < most;
    atomic_fetch_add(&call->connection->server->waiters, 1);
}

static void begin_operation(HttpCall *call, const Head *head) {
    HttpContext *context = context_of(call);
    if (operation_new(&call->op, context->service, call->route.operation, TRANSPORT_HTTP, &owner, call) != 0) {
        refuse(call, OUTCOME_INTERNAL, "The coordinator is short of memory.");
        return;
    }
    Slice address = {.ptr = call->connection->address, .len = call->connection->address_len};
    call->is_refused = service_authenticate(call->op, head->credential, address);
}

/*
 * libmicrohttpd ends the request's target at a NUL, so what stands behind one is seen by a proxy and not by us. Both texts
 * lie in its one buffer: between the target's end and the version there is a single byte, the blank that was.
 */
static bool has_hidden_target(const HttpCall *call, const char *version) {
    uintptr_t gap = (uintptr_t)version - (uintptr_t)call->uri_end;
    return call->uri_end != NULL && gap > 1 && gap < HTTP_POOL_BYTES;
}

static enum MHD_Result read_head(HttpCall *call, const char *method, const char *version) {
    Head head = {0};
    const char *problem = head_read(call->mhd, version, &head);
    if (problem == NULL && has_hidden_target(call, version))
        problem = "The request line holds a NUL or more than two blanks.";
    if (problem != NULL)
        return refuse_at_once(call, OUTCOME_VALIDATION, problem);
    if (head.length > BODY_MAX)
        return refuse_at_once(call, OUTCOME_TOO_LARGE, "A request body may have at most 64 KiB.");

    call->state = CALL_READING;
    if (call->is_refused)
        return MHD_YES;
    if (call->route.kind == ROUTE_UNKNOWN)
        refuse(call, OUTCOME_UNKNOWN_OPERATION,
               "There is nothing under this path; /openapi.json lists the operations.");
    else if (route_check_method(&call->route, method) != ROUTE_METHOD_FITS)
        refuse(call, OUTCOME_METHOD_NOT_ALLOWED, "This path is asked with another method; see the Allow field.");
    else if (call->route.kind == ROUTE_OPERATION)
        begin_operation(call, &head);
    return MHD_YES;
}

/* ---- the body ---- */

static enum MHD_Result read_body(HttpCall *call, const char *data, size_t *data_size) {
    call->body_seen += *data_size;
    if (call->body_seen > HTTP_DISCARD_MAX)
        return MHD_NO;
    if (!call->is_refused && call->op != NULL)
        buffer_add(&call->body, data, *data_size);
    *data_size = 0;
    return MHD_YES;
}

/* True: the operation is answered. */
static bool prepare_query(HttpCall *call) {
    const char *detail = "The coordinator is short of memory.";
    int result = query_parse(slice_of(call->query != NULL ? call->query : ""), &call->query_json, &detail);
    if (result == 0)
        return service_prepare_query(call->op, call->query_json);
    service_refuse(call->op, result == QUERY_INVALID ? OUTCOME_VALIDATION : OUTCOME_INTERNAL, NULL, detail);
    return true;
}

/* True: the operation is answered. */
static bool prepare_body(HttpCall *call) {
    int error = buffer_error(&call->body);
    if (error == 0)
        return service_prepare(call->op, buffer_slice(&call->body));
    bool is_long = call->body_seen > BODY_MAX;
    service_refuse(call->op, is_long ? OUTCOME_TOO_LARGE : OUTCOME_INTERNAL, NULL,
                   is_long ? "A request body may have at most 64 KiB." : "The coordinator is short of memory.");
    return true;
}

/* ---- the request is complete ---- */

static enum MHD_Result answer(HttpCall *call) {
    enter(call);
    if (call->refusal != OUTCOME_DONE)
        return send_refusal(call);
    if (call->route.kind == ROUTE_PAGE) {
        Reply reply = {0};
        page_answer(context_of(call), call->route.page, call->route.argument, &reply);
        return send_reply(call, &reply, false);
    }
    bool is_read = (operation_row(call->route.operation)->flags & OPERATION_READS) != 0;
    if (call->is_refused || (is_read ? prepare_query(call) : prepare_body(call)))
        return send_operation(call);

    /* Suspended first: done() may come before service_submit returns. */
    Operation *op = call->op;
    admit_waiter(call);
    call->state = CALL_SUBMITTED;
    connection_await_service(call->connection);
    MHD_suspend_connection(call->mhd);
    service_submit(op);
    return MHD_YES;
}

enum MHD_Result call_handle(void *server, struct MHD_Connection *mhd, const char *url, const char *method,
                            const char *version, const char *data, size_t *data_size, void **call_arg) {
    (void)server;
    (void)mhd;
    (void)url; /* decoded in place: "/a%00b" ends at the NUL. call_begin saw it as it was sent */
    HttpCall *call = *call_arg;
    if (call == NULL)
        return MHD_NO;
    switch (call->state) {
    case CALL_BEGUN:
        return read_head(call, method, version);
    case CALL_READING:
        return *data_size != 0 ? read_body(call, data, data_size) : answer(call);
    case CALL_ANSWERED:
        return send_operation(call);
    case CALL_SUBMITTED:
    case CALL_SENDING:
        return MHD_YES;
    case CALL_IDLE:
    default:
        return MHD_NO;
    }
}

void call_completed(void *server_arg, struct MHD_Connection *mhd, void **call_arg,
                    enum MHD_RequestTerminationCode how) {
    Server *server = server_arg;
    (void)mhd;
    (void)how;
    HttpCall *call = *call_arg;
    if (call == NULL)
        return;
    assert(call->state != CALL_SUBMITTED);
    *call_arg = NULL;
    call->op = operation_free(call->op);
    json_decrefp(&call->query_json);
    freep(&call->query);
    if (call->body.capacity > BODY_KEPT)
        buffer_deinit(&call->body);
    else
        buffer_clear(&call->body);
    leave(call);
    call->state = CALL_IDLE;
    call->is_refused = false;
    call->refusal = OUTCOME_DONE;
    call->body_seen = 0;
    int64_t now_ms = http_now_ms(server->context);
    connection_await_request(call->connection, now_ms, now_ms + server->context->limits.idle_ms);
}
