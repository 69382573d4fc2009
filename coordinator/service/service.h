/*
 * The coordinator without its transports: takes decoded operations, hands back bytes.
 *
 * A transport's way through here, nothing turns back:
 *
 *     operation_new ─► service_authenticate ─► service_prepare ─┬─► answered: send op->status, op->body, operation_free
 *     (route known)    (headers known)         (body known)     └─► suspend, then service_submit ─► … ─► done(op) on the
 *                                                                    worker's thread: wake your own thread, send there
 *
 * An Operation has exactly one owner: the transport, then (submit) the service, then (done) the transport again.
 */
#pragma once

#include "base/log.h"
#include "base/random.h"
#include "protocol/messages.h"
#include "store/store.h"

typedef struct Service Service;
typedef struct Operation Operation;

typedef enum Transport { TRANSPORT_HTTP, TRANSPORT_RPC, TRANSPORT_CONTROL } Transport;

/* What the service tells the transport that owns an operation; all but `done` may be NULL. Called by the worker's thread. */
typedef struct OperationOwner {
    void (*done)(Operation *op); /* exactly once for each operation that was submitted, never for others */
    /* The operation waits for a stack, perhaps for long: until `unparked`, which comes once for each `parked` and before
     * `done`, the transport watches for its peer's hang-up and tells it by service_hang_up. */
    void (*parked)(Operation *op);
    void (*unparked)(Operation *op);
    /* Asked right before a grant is handed over: false when the peer certainly hung up (a socket is peeked). */
    bool (*is_peer_there)(Operation *op);
} OperationOwner;

/* What a transport may touch of an operation. */
struct Operation {
    /* The answer, once there is one. */
    int status;              /* HTTP status, on nng too */
    Slice body;              /* JSON; borrowed until operation_free */
    bool is_problem;         /* application/problem+json rather than application/json */
    int retry_after_seconds; /* 0: no Retry-After */
    /* Set by the transport before service_submit: false when it has no room for one more that waits; then waitSeconds
     * counts as 0. */
    bool may_park;
    bool is_brief; /* set by it too: it has little room, a list ends after LIST_BRIEF_BYTES and says `next` */
    uint64_t id;   /* for service_hang_up; never used twice */
    /* The transport's own. */
    void *call;
    Operation *next; /* free for the transport's lists from `done` on */
};

typedef struct ServiceOptions {
    Store *store; /* borrowed, until service_free */
    const Clock *clock;
    Random *random;
    const Logger *log;
    const char *version;
} ServiceOptions;

int service_new(Service **out, const ServiceOptions *options) MUST_USE;
/* Starts the worker. */
int service_start(Service *service) MUST_USE;
/* From now on new operations are answered 503 draining; returns at once. */
void service_drain(Service *service);
/* Waits until the queue ran empty, then stops the worker. Every submitted operation has been handed back. */
void service_stop(Service *service);
Service *service_free(Service *service);
/* False while draining, after the store said that it can promise nothing more, and while a server is away. */
bool service_is_ready(const Service *service);
/* Called by the worker's thread once, when the store is broken for good: the process has to end. May be NULL. */
void service_on_broken(Service *service, void (*fn)(void *), void *arg);

/* `owner` must outlive the operation. -ENOMEM. */
int operation_new(Operation **out, Service *service, OperationId id, Transport transport, const OperationOwner *owner,
                  void *call) MUST_USE;
Operation *operation_free(Operation *op); /* takes NULL, returns NULL */

/*
 * `credential` is the key as sent (absent: none), `address` the peer's, for the limit of failed authentications. Control
 * operations need no call. True: the operation is refused already, its answer is there; the transport may read the rest
 * of the body away and send it. Not called at all counts as called without a credential.
 */
bool service_authenticate(Operation *op, Slice credential, Slice address);

/*
 * The body as bytes (HTTP and nng bodies are JSON text; blank: an empty object). For GETs the transport passes the query's
 * members with service_prepare_query instead: a JSON object of strings, which it keeps owning.
 * True: the operation is answered already (refused, or a list from memory). False: suspend, then service_submit.
 */
bool service_prepare(Operation *op, Slice body);
bool service_prepare_query(Operation *op, const json_t *query);
/* nng and the control socket have the body as JSON already. Borrowed: must live until the operation is done or freed. */
bool service_prepare_json(Operation *op, const json_t *body);
/* Answers the operation without the service (a transport's own refusal): always leaves an answer. */
void service_refuse(Operation *op, Outcome outcome, const char *field, const char *detail);
/* Whether it may come to wait for a stack (a long poll): what the transport's ceiling for waiters counts. After prepare. */
bool operation_may_wait(const Operation *op);
/* Whether its answer may be a long one. */
bool operation_lists(const Operation *op);
/* Ownership goes to the service until done(op). Never fails: the place in the queue was taken by service_prepare. */
void service_submit(Operation *op);
/* The peer of a parked operation hung up: it is handed back soon, and its request is not live until heard of again. By any
 * thread; an id that is not parked (any more) is ignored. */
void service_hang_up(Service *service, uint64_t operation_id);

/* A problem+json body without an operation (unknown route, too large, not HTTP's method): appended to `out`. */
void service_problem(Outcome outcome, const char *detail, Buffer *out);
/* Prometheus text format 0.0.4, whole. */
void service_metrics(Service *service, Buffer *out);
const char *service_version(const Service *service);
