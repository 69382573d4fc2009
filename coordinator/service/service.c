/*
 * What transports see of the service: operations made, checked and decoded on their own threads, then given to the worker.
 */
#include "service/service.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "service/metrics.h"
#include "service/store_clock.h"
#include "service/work_pool.h"
#include "service/worker.h"

struct Service {
    ServiceOptions o;
    StoreClock clock;
    Gate gate;
    WorkPool pool;
    Snapshots *snapshots;
    Metrics *metrics;
    Worker *worker;
    atomic_bool is_draining;
    atomic_ullong last_operation;
    void (*on_broken)(void *);
    void *on_broken_arg;
};

static void service_broken(void *arg) {
    Service *s = arg;
    if (s->on_broken != NULL)
        s->on_broken(s->on_broken_arg);
}

static void service_freep(Service **s) {
    *s = service_free(*s);
}

int service_new(Service **out, const ServiceOptions *options) {
    OWN(service_freep) Service *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    int r = work_pool_init(&s->pool);
    if (r < 0) {
        free(steal(&s));
        return r;
    }
    s->o = *options;
    store_clock_init(&s->clock, options->clock);
    s->gate.clock = &s->clock.base;
    r = keys_new(&s->gate.keys, s->gate.clock, store_coordinator(options->store) != 0 ? KEY_KNOWN_MS : 0);
    if (r == 0)
        r = claims_new(&s->gate.claims);
    if (r == 0)
        r = limiter_new(&s->gate.limiter, s->gate.clock);
    if (r == 0)
        r = snapshots_new(&s->snapshots);
    if (r == 0)
        r = metrics_new(&s->metrics);
    if (r == 0)
        r = worker_new(&s->worker, &(WorkerOptions){.store = options->store,
                                                    .gate = s->gate,
                                                    .snapshots = s->snapshots,
                                                    .metrics = s->metrics,
                                                    .clock = &s->clock,
                                                    .log = options->log,
                                                    .on_broken = service_broken,
                                                    .on_broken_arg = s});
    if (r < 0)
        return r;
    *out = steal(&s);
    return 0;
}

Service *service_free(Service *s) {
    if (s == NULL)
        return NULL;
    s->worker = worker_free(s->worker);
    s->metrics = metrics_free(s->metrics);
    s->snapshots = snapshots_free(s->snapshots);
    s->gate.limiter = limiter_free(s->gate.limiter);
    s->gate.claims = claims_free(s->gate.claims);
    s->gate.keys = keys_free(s->gate.keys);
    work_pool_deinit(&s->pool);
    free(s);
    return NULL;
}

int service_start(Service *s) {
    return worker_start(s->worker);
}

void service_drain(Service *s) {
    atomic_store(&s->is_draining, true);
    worker_drain(s->worker);
}

void service_stop(Service *s) {
    worker_stop(s->worker);
}

bool service_is_ready(const Service *s) {
    return !atomic_load(&((Service *)s)->is_draining) && !worker_is_broken(s->worker) &&
           !worker_is_store_away(s->worker);
}

void service_on_broken(Service *s, void (*fn)(void *), void *arg) {
    s->on_broken = fn;
    s->on_broken_arg = arg;
}

const char *service_version(const Service *s) {
    return s->o.version;
}

void service_metrics(Service *s, Buffer *out) {
    metrics_write(s->metrics, s->o.version, out);
}

void service_problem(Outcome outcome, const char *detail, Buffer *out) {
    Answer answer;
    answer_init(&answer);
    (void)answer_refuse(&answer, outcome, NULL, slice_of(detail));
    answer_encode(operation_row(OP_REQUEST_STACK), &answer, out);
}

/* ---- operations ---- */

/* What no table of the operation names stays absent. */
static void command_init(Command *c, OperationId id) {
    *c = (Command){.operation = id,
                   .lease_seconds = FIELD_ABSENT,
                   .wait_seconds = FIELD_ABSENT,
                   .after = FIELD_ABSENT,
                   .limit = FIELD_ABSENT,
                   .max_stacks = FIELD_ABSENT,
                   .max_hold_seconds = FIELD_ABSENT,
                   .expiry_grace_seconds = FIELD_ABSENT};
}

int operation_new(Operation **out, Service *service, OperationId id, Transport transport, const OperationOwner *owner,
                  void *call) {
    Work *w = work_pool_take(&service->pool);
    if (w == NULL)
        return -ENOMEM;
    w->service = service;
    w->row = operation_row(id);
    w->transport = transport;
    w->owner = owner;
    w->shown.id = atomic_fetch_add(&service->last_operation, 1) + 1;
    w->shown.call = call;
    w->arrived_us = metrics_now_us();
    command_init(&w->command, id);
    *out = &w->shown;
    return 0;
}

/* Every answer given before the worker saw the operation passes here, so that it is counted. */
static bool answered(Work *w) {
    metrics_operation(w->service->metrics, w->command.operation, w->outcome, metrics_now_us() - w->arrived_us);
    return true;
}

static bool refuse(Work *w, Outcome outcome, const char *field, Slice detail) {
    work_refuse(w, outcome, field, detail);
    return answered(w);
}

void service_refuse(Operation *op, Outcome outcome, const char *field, const char *detail) {
    (void)refuse(work_of(op), outcome, field, slice_of(detail));
}

bool service_authenticate(Operation *op, Slice credential, Slice address) {
    Work *w = work_of(op);
    if (w->transport == TRANSPORT_CONTROL)
        return false;
    if (w->row->scope == SCOPE_ADMIN)
        return refuse(
            w, OUTCOME_UNKNOWN_OPERATION, NULL,
            (Slice)SLICE_LITERAL("this operation is for the control socket: use `stack-coordinator` on its machine"));
    return access_check_credential(&w->service->gate, w, credential, address) == ACCESS_REFUSED && answered(w);
}

/* The key that is made, or given, and the project's own for its leases. */
static Outcome complete_key(Work *w, Answer *problem) {
    Command *c = &w->command;
    int r = 0;
    w->made = calloc(1, sizeof *w->made);
    if (w->made == NULL)
        return answer_refuse(problem, OUTCOME_STORE_UNAVAILABLE, NULL, (Slice)SLICE_LITERAL("out of memory"));
    if (c->operation == OP_IMPORT_KEY)
        r = key_read(c->key_secret, &w->made->claim);
    else
        r = key_make(w->service->o.random, c->project_name, w->made->text, &w->made->claim);
    if (r == SECRET_MALFORMED)
        return answer_refuse(problem, OUTCOME_VALIDATION, "secret",
                             (Slice)SLICE_LITERAL("secret must be the key's whole text, 8 to 200 bytes"));
    if (r == 0 && c->operation == OP_CREATE_PROJECT)
        r = random_fill(w->service->o.random, c->lease_key, sizeof c->lease_key);
    if (r < 0)
        return answer_refuse(problem, OUTCOME_INTERNAL, NULL,
                             (Slice)SLICE_LITERAL("no randomness or no hash could be had"));
    c->key_id = slice_of(w->made->claim.id);
    memcpy(c->key_hash, w->made->claim.hash, sizeof c->key_hash);
    return OUTCOME_DONE;
}

/* The parts of a command that no decoder can fill. */
static Outcome complete_command(Work *w, Answer *problem) {
    Command *c = &w->command;
    if (c->has_holder) {
        holder_encode(&c->holder, &w->holder);
        if (buffer_error(&w->holder) != 0)
            return answer_refuse(problem, OUTCOME_VALIDATION, "holder",
                                 (Slice)SLICE_LITERAL("holder must be at most 2048 bytes long"));
        if (w->holder.len > 2)
            c->holder_json = buffer_slice(&w->holder);
    }
    bool has_key = c->operation == OP_IMPORT_KEY || c->operation == OP_CREATE_KEY || c->operation == OP_CREATE_PROJECT;
    return has_key ? complete_key(w, problem) : OUTCOME_DONE;
}

static bool list_from_memory(Work *w) {
    Snapshot *snapshot = work_is_shared_list(w) ? snapshots_get(w->service->snapshots, w->command.project) : NULL;
    if (snapshot == NULL)
        return false;
    work_answer_snapshot(w, snapshot);
    return answered(w);
}

/* nng resends what it thinks was lost, so there every change must be able to tell a repeat. */
static const char *missing_over_rpc(const Work *w) {
    if (w->transport != TRANSPORT_RPC)
        return NULL;
    if ((w->row->flags & OPERATION_RPC_NEEDS_LEASE) != 0 && slice_is_absent(w->command.lease))
        return "lease";
    if ((w->row->flags & OPERATION_RPC_NEEDS_REQUEST) != 0 && slice_is_absent(w->command.request_id))
        return "requestId";
    return NULL;
}

static bool prepare(Work *w, const json_t *body, FieldSource source) {
    Service *s = w->service;
    FieldProblem wrong;
    int r = fields_decode(w->row->command, body, source, &w->command, &wrong);
    /* A secret behind the wrong field still says who asks. */
    if (r != 0 && (w->row->flags & OPERATION_LEASE_OPENS) != 0)
        w->command.lease = slice_of(json_string_value(json_object_get(body, "lease")));
    Answer problem;
    answer_init(&problem);
    /* Who may not ask is not told what is wrong with the question; on the control socket everybody may. */
    bool is_known = w->transport == TRANSPORT_CONTROL && r != 0;
    Access access = is_known ? ACCESS_READY : access_resolve(&s->gate, w);
    if (access == ACCESS_REFUSED)
        return answered(w);
    if (r != 0)
        return refuse(w, r < 0 ? OUTCOME_INTERNAL : OUTCOME_VALIDATION, wrong.field, slice_of(wrong.detail));
    const char *missing = missing_over_rpc(w);
    if (missing != NULL)
        return refuse(
            w, OUTCOME_VALIDATION, missing,
            (Slice)SLICE_LITERAL("over nng, which may send a request twice, requestStack needs `requestId` and "
                                 "releaseStack and setLastDeployedCommit need `lease`"));
    if (complete_command(w, &problem) != OUTCOME_DONE) {
        (void)work_answer(w, &problem);
        return answered(w);
    }
    w->is_resolved = access == ACCESS_READY;
    if (w->is_resolved && list_from_memory(w))
        return true;
    if (worker_is_broken(s->worker))
        return refuse(w, OUTCOME_STORE_UNAVAILABLE, NULL,
                      (Slice)SLICE_LITERAL("the store failed for good: the coordinator has to be restarted"));
    if (!worker_take_place(s->worker, w))
        return refuse(w, OUTCOME_STORE_UNAVAILABLE, NULL,
                      (Slice)SLICE_LITERAL("the coordinator has more to do than it can queue: repeat in a moment"));
    /* After the place was taken: the end waits for places, so this operation is refused here or answered. */
    if (atomic_load(&s->is_draining)) {
        worker_give_place_back(w);
        return refuse(w, OUTCOME_DRAINING, NULL,
                      (Slice)SLICE_LITERAL("the coordinator is going down: repeat, another or the next one answers"));
    }
    return false;
}

bool service_prepare_json(Operation *op, const json_t *body) {
    return prepare(work_of(op), body, FIELDS_FROM_JSON);
}

bool service_prepare_query(Operation *op, const json_t *query) {
    Work *w = work_of(op);
    w->json = json_incref((json_t *)query);
    return prepare(w, query, FIELDS_FROM_TEXT);
}

bool service_prepare(Operation *op, Slice body) {
    Work *w = work_of(op);
    JsonProblem wrong;
    int r = json_parse(body, JSON_DEPTH_MAX, &w->json, &wrong);
    if (r < 0)
        return refuse(w, OUTCOME_STORE_UNAVAILABLE, NULL, (Slice)SLICE_LITERAL("out of memory"));
    if (r > 0)
        return refuse(w, OUTCOME_BAD_JSON, NULL, slice_of(wrong.detail));
    return prepare(w, w->json, FIELDS_FROM_JSON);
}

void service_submit(Operation *op) {
    Work *w = work_of(op);
    worker_submit(w->service->worker, w);
}

bool operation_may_wait(const Operation *op) {
    const Work *w = (const Work *)op;
    return w->command.operation == OP_REQUEST_STACK && w->command.wait_seconds > 0 &&
           !slice_is_absent(w->command.request_id);
}

bool operation_lists(const Operation *op) {
    return (((const Work *)op)->row->flags & OPERATION_READS) != 0;
}

void service_hang_up(Service *s, uint64_t operation_id) {
    worker_hang_up(s->worker, operation_id);
}
