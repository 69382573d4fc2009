/*
 * The service over an engine that fails: what is refused, what is not remembered, what heals. The real service, worker and
 * rules; the array engine behind a wrapper that fails on demand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "faults/wrap_store.h"
#include "service/service.h"
#include "simulate/array_store.h"

#define KEY_SIZE 256

typedef struct House {
    Store *store;
    Service *service;
    Logger log;
    pthread_mutex_t mutex;
    pthread_cond_t answered;
    int open;
    char key[KEY_SIZE];
    bool was_broken;
} House;

static void done(Operation *op) {
    House *h = op->call;
    (void)pthread_mutex_lock(&h->mutex);
    h->open--;
    (void)pthread_cond_signal(&h->answered);
    (void)pthread_mutex_unlock(&h->mutex);
}

static const OperationOwner owner = {.done = done};

static Operation *start_call_by(House *h, const char *key, OperationId id, Transport transport, const char *body) {
    Operation *op;
    assert_int_equal(operation_new(&op, h->service, id, transport, &owner, h), 0);
    if (transport != TRANSPORT_CONTROL)
        (void)service_authenticate(op, slice_of(key), slice_of("127.0.0.1"));
    if (!service_prepare(op, slice_of(body))) {
        (void)pthread_mutex_lock(&h->mutex);
        h->open++;
        (void)pthread_mutex_unlock(&h->mutex);
        service_submit(op);
    }
    return op;
}

static Operation *start_call(House *h, OperationId id, Transport transport, const char *body) {
    return start_call_by(h, h->key, id, transport, body);
}

static void await_all(House *h) {
    (void)pthread_mutex_lock(&h->mutex);
    while (h->open > 0)
        (void)pthread_cond_wait(&h->answered, &h->mutex);
    (void)pthread_mutex_unlock(&h->mutex);
}

/* The answer's status; *text (may be NULL) its body. */
static int call(House *h, OperationId id, const char *body, char **text) {
    Operation *op = start_call(h, id, TRANSPORT_HTTP, body);
    await_all(h);
    int status = op->status;
    if (text != NULL)
        *text = slice_dup(op->body);
    (void)operation_free(op);
    return status;
}

static void broken(void *arg) {
    ((House *)arg)->was_broken = true;
}

static void make_key(House *h, OperationId id, const char *body, char *key) {
    Operation *op = start_call(h, id, TRANSPORT_CONTROL, body);
    await_all(h);
    assert_int_equal(op->status, 200);
    json_t *answer;
    JsonProblem wrong;
    assert_int_equal(json_parse(op->body, JSON_DEPTH_MAX, &answer, &wrong), 0);
    (void)snprintf(key, KEY_SIZE, "%s", json_string_value(json_object_get(answer, "key")));
    json_decref(answer);
    (void)operation_free(op);
}

static int start_house(void **state, bool is_shared) {
    static House house;
    House *h = &house;
    memset(h, 0, sizeof *h);
    Store *inner;
    assert_int_equal(array_store_open(&inner), 0);
    h->store = wrap_store_new(inner);
    if (is_shared)
        wrap_store_share(h->store);
    h->log = (Logger){.fd = -1, .level = LOG_ERROR, .style = LOG_JSON, .clock = clock_system()};
    (void)pthread_mutex_init(&h->mutex, NULL);
    (void)pthread_cond_init(&h->answered, NULL);
    assert_int_equal(service_new(&h->service, &(ServiceOptions){.store = h->store,
                                                                .clock = clock_system(),
                                                                .random = random_system(),
                                                                .log = &h->log,
                                                                .version = "test"}),
                     0);
    service_on_broken(h->service, broken, h);
    assert_int_equal(service_start(h->service), 0);
    make_key(h, OP_CREATE_PROJECT, "{\"project\":\"shop\",\"maxStacks\":3}", h->key);
    *state = h;
    return 0;
}

static int set_up(void **state) {
    return start_house(state, false);
}

static int set_up_shared(void **state) {
    return start_house(state, true);
}

static int tear_down(void **state) {
    House *h = *state;
    service_drain(h->service);
    service_stop(h->service);
    h->service = service_free(h->service);
    h->store = store_close(h->store);
    return 0;
}

#define ASK "{\"branch\":\"b\",\"requestId\":\"0123456789abcdef\",\"leaseSeconds\":300}"

static void failed_call_is_503_and_leaves_nothing(void **state) {
    House *h = *state;
    const struct {
        WrapCall call;
        int result;
    } faults[] = {{WRAP_BEGIN, STORE_IO},    {WRAP_LOAD, STORE_IO},   {WRAP_SAVE, STORE_FULL},     {WRAP_SAVE, -12},
                  {WRAP_COMMIT, STORE_FULL}, {WRAP_COMMIT, STORE_IO}, {WRAP_COMMIT, STORE_UNKNOWN}};
    char *before, *after;
    assert_int_equal(call(h, OP_LIST_STACKS, "{}", &before), 200);
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        wrap_store_fail(h->store, faults[i].call, 1, faults[i].result, true);
        char *text;
        assert_int_equal(call(h, OP_REQUEST_STACK, ASK, &text), 503);
        assert_non_null(strstr(text, "store-unavailable"));
        free(text);
        wrap_store_heal(h->store);
        assert_int_equal(call(h, OP_LIST_STACKS, "{}", &after), 200);
        assert_string_equal(after, before);
        free(after);
    }
    free(before);
    /* Healed: the same requestId is granted as if nothing had been. */
    assert_int_equal(call(h, OP_REQUEST_STACK, ASK, NULL), 200);
}

/* The first commit, the batch's, fails; each operation then runs alone. */
static void operations_of_a_failed_batch_run_again_one_by_one(void **state) {
    House *h = *state;
    enum { COUNT = 3 };
    Operation *ops[COUNT];
    wrap_store_fail(h->store, WRAP_COMMIT, 1, STORE_IO, false);
    int commits = wrap_store_commits(h->store);
    for (int i = 0; i < COUNT; i++)
        ops[i] = start_call(h, OP_REQUEST_STACK, TRANSPORT_HTTP, "{\"branch\":\"b\"}");
    await_all(h);
    int granted = 0, refused = 0;
    for (int i = 0; i < COUNT; i++) {
        granted += ops[i]->status == 200;
        refused += ops[i]->status == 503;
        (void)operation_free(ops[i]);
    }
    /* Alone in its batch the first one is what failed; in company nobody is refused. */
    assert_in_range(refused, 0, 1);
    assert_int_equal(granted, COUNT - refused);
    assert_true(wrap_store_commits(h->store) > commits);
}

static void unknown_commit_is_not_run_again(void **state) {
    House *h = *state;
    int commits = wrap_store_commits(h->store);
    wrap_store_fail(h->store, WRAP_COMMIT, 1, STORE_UNKNOWN, false);
    assert_int_equal(call(h, OP_REQUEST_STACK, ASK, NULL), 503);
    assert_int_equal(wrap_store_commits(h->store), commits);
    assert_int_equal(call(h, OP_REQUEST_STACK, ASK, NULL), 200);
}

/* What was decided is told when it is durable, not before. */
static void failed_sync_is_503_and_stays_decided(void **state) {
    House *h = *state;
    int commits = wrap_store_commits(h->store);
    wrap_store_fail(h->store, WRAP_SYNC, 1, STORE_UNKNOWN, false);
    assert_int_equal(call(h, OP_REQUEST_STACK, ASK, NULL), 503);
    assert_int_equal(wrap_store_commits(h->store), commits + 1);
    char *text;
    assert_int_equal(call(h, OP_REQUEST_STACK, ASK, &text), 200);
    assert_non_null(strstr(text, "test-1"));
    free(text);
    assert_int_equal(wrap_store_commits(h->store), commits + 1); /* it is the same grant */
}

static void nothing_is_listed_that_is_not_durable(void **state) {
    House *h = *state;
    wrap_store_fail(h->store, WRAP_SYNC, 1, STORE_UNKNOWN, true);
    assert_int_equal(call(h, OP_RELEASE_STACK, "{\"stackName\":\"test-9\"}", NULL),
                     404); /* what tells of nothing new */
    assert_int_equal(call(h, OP_REQUEST_STACK, ASK, NULL), 503);
    assert_int_equal(call(h, OP_LIST_STACKS, "{}", NULL), 503);
    assert_int_equal(call(h, OP_RELEASE_STACK, "{\"stackName\":\"test-9\"}", NULL), 503); /* nor refused */
    wrap_store_heal(h->store);
    char *text;
    assert_int_equal(call(h, OP_LIST_STACKS, "{}", &text), 200);
    assert_non_null(strstr(text, "test-1"));
    free(text);
}

static void failed_syncs_that_break_the_store_end_readiness(void **state) {
    House *h = *state;
    wrap_store_fail(h->store, WRAP_SYNC, 1, STORE_BROKEN, false);
    assert_int_equal(call(h, OP_REQUEST_STACK, ASK, NULL), 503);
    assert_true(h->was_broken);
    assert_false(service_is_ready(h->service));
}

static void broken_store_is_told_once_and_ends_readiness(void **state) {
    House *h = *state;
    assert_true(service_is_ready(h->service));
    wrap_store_fail(h->store, WRAP_COMMIT, 1, STORE_BROKEN, true);
    assert_int_equal(call(h, OP_REQUEST_STACK, ASK, NULL), 503);
    assert_true(h->was_broken);
    assert_false(service_is_ready(h->service));
    assert_int_equal(call(h, OP_REQUEST_STACK, ASK, NULL), 503);
}

static void failed_list_is_503_and_the_next_one_works(void **state) {
    House *h = *state;
    wrap_store_fail(h->store, WRAP_READ, 1, STORE_IO, false);
    assert_int_equal(call(h, OP_LIST_STACKS, "{}", NULL), 503);
    assert_int_equal(call(h, OP_LIST_STACKS, "{}", NULL), 200);
}

static void draining_refuses_what_is_new(void **state) {
    House *h = *state;
    service_drain(h->service);
    char *text;
    assert_int_equal(call(h, OP_REQUEST_STACK, ASK, &text), 503);
    assert_non_null(strstr(text, "draining"));
    free(text);
}

static void a_refusal_writes_nothing(void **state) {
    House *h = *state;
    int commits = wrap_store_commits(h->store);
    assert_int_equal(call(h, OP_RELEASE_STACK, "{\"stackName\":\"test-9\"}", NULL), 404);
    assert_int_equal(call(h, OP_JOIN_REQUEST, "{\"requestId\":\"0123456789abcdef\"}", NULL), 404);
    assert_int_equal(wrap_store_commits(h->store), commits);
}

/* ---- one of several coordinators ---- */

/* Those there are, of three. */
static void release_all(House *h) {
    for (int i = 1; i <= 3; i++) {
        char body[64];
        (void)snprintf(body, sizeof body, "{\"stackName\":\"test-%d\"}", i);
        (void)call(h, OP_RELEASE_STACK, body, NULL);
    }
}

/* What comes while the first load waits for the project's lock; how many projects a transaction has at most. */
typedef struct Meanwhile {
    House *house;
    OperationId id;
    const char *keys[2], *body; /* of those who ask */
    Operation *first, *ops[2];
    size_t count, most_projects;
} Meanwhile;

static Meanwhile requests_meanwhile(House *h, const char *first, const char *second) {
    return (Meanwhile){.house = h, .id = OP_REQUEST_STACK, .keys = {first, second}, .body = "{\"branch\":\"b\"}"};
}

static void ask_meanwhile(void *arg, size_t projects) {
    Meanwhile *m = arg;
    if (projects > m->most_projects)
        m->most_projects = projects;
    for (; m->count < COUNT_OF(m->ops); m->count++)
        m->ops[m->count] = start_call_by(m->house, m->keys[m->count], m->id, TRANSPORT_HTTP, m->body);
}

/* One operation, and meanwhile two others, which stay in `m`; the transactions that all of them took. */
static int with_others(Meanwhile *m, OperationId id, Transport transport, const char *body) {
    House *h = m->house;
    wrap_store_on_load(h->store, ask_meanwhile, m);
    int commits = wrap_store_commits(h->store);
    m->first = start_call(h, id, transport, body);
    await_all(h);
    wrap_store_on_load(h->store, NULL, NULL);
    return wrap_store_commits(h->store) - commits;
}

/* What the first got, and what both others did. */
static void assert_statuses(const Meanwhile *m, int first, int others) {
    assert_int_equal(m->first->status, first);
    for (size_t i = 0; i < COUNT_OF(m->ops); i++)
        assert_int_equal(m->ops[i]->status, others);
}

static void assert_told(const Meanwhile *m, const char *first, const char *second) {
    const char *const texts[] = {first, second};
    for (size_t i = 0; i < COUNT_OF(m->ops); i++) {
        char *answer = slice_dup(m->ops[i]->body);
        assert_non_null(answer);
        assert_non_null(strstr(answer, texts[i]));
        free(answer);
    }
}

static void forget_all(Meanwhile *m) {
    m->first = operation_free(m->first);
    for (size_t i = 0; i < COUNT_OF(m->ops); i++)
        m->ops[i] = operation_free(m->ops[i]);
}

/* Who is known when he asks is decided with the others; a stranger is looked up first. */
static void learn_key(House *h, const char *key) {
    Operation *op = start_call_by(h, key, OP_LIST_STACKS, TRANSPORT_HTTP, "{}");
    await_all(h);
    assert_int_equal(op->status, 200);
    (void)operation_free(op);
}

static void who_comes_while_a_lock_is_waited_for_joins_the_batch(void **state) {
    House *h = *state;
    Meanwhile m = requests_meanwhile(h, h->key, h->key);
    learn_key(h, h->key);
    assert_int_equal(with_others(&m, OP_REQUEST_STACK, TRANSPORT_HTTP, ASK), 1);
    assert_statuses(&m, 200, 200);
    forget_all(&m);
}

/* What the batch had loaded for its own delete is not enough for three. */
static void who_joins_brings_the_rows_he_wants(void **state) {
    House *h = *state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(call(h, OP_REQUEST_STACK, "{\"branch\":\"b\"}", NULL), 200);
    release_all(h);
    Meanwhile m = {.house = h, .id = OP_DELETE_LAST_STACK, .keys = {h->key, h->key}, .body = "{}"};
    assert_int_equal(with_others(&m, OP_DELETE_LAST_STACK, TRANSPORT_HTTP, "{}"), 1);
    assert_statuses(&m, 200, 200);
    assert_told(&m, "Stack test-2 deleted", "Stack test-1 deleted");
    forget_all(&m);
}

/* What certainly did not happen runs again, each alone, those who joined too; what perhaps did does not,
 * nor what would only wait for the same lock again. */
static void who_joined_a_batch_that_fails_fares_like_the_others(void **state) {
    static const struct {
        int result, status, transactions;
    } faults[] = {{STORE_IO, 200, 3}, {STORE_CONFLICT, 200, 3}, {STORE_UNKNOWN, 503, 0}, {STORE_BUSY, 503, 0}};
    House *h = *state;
    learn_key(h, h->key);
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        Meanwhile m = requests_meanwhile(h, h->key, h->key);
        wrap_store_fail(h->store, WRAP_COMMIT, 1, faults[i].result, false);
        int transactions = with_others(&m, OP_REQUEST_STACK, TRANSPORT_HTTP, "{\"branch\":\"b\"}");
        assert_int_equal(transactions, faults[i].transactions);
        assert_statuses(&m, faults[i].status, faults[i].status);
        forget_all(&m);
        release_all(h);
    }
}

/* His key is looked up first, and whoever came after him stays behind him. */
static void nobody_joins_past_a_stranger(void **state) {
    House *h = *state;
    char key[KEY_SIZE];
    make_key(h, OP_CREATE_KEY, "{\"project\":\"shop\"}", key);
    Meanwhile m = requests_meanwhile(h, key, h->key);
    learn_key(h, h->key);
    assert_int_equal(with_others(&m, OP_REQUEST_STACK, TRANSPORT_HTTP, "{\"branch\":\"b\"}"), 2);
    assert_statuses(&m, 200, 200);
    assert_told(&m, "test-2", "test-3");
    forget_all(&m);
}

/* It is revoked when they are decided. */
static void nobody_joins_what_takes_his_key_away(void **state) {
    House *h = *state;
    Meanwhile m = requests_meanwhile(h, h->key, h->key);
    Slice rest = slice_of(h->key), prefix, project, id;
    char body[KEY_SIZE + 50];
    assert_true(slice_split(&rest, '_', &prefix) && slice_split(&rest, '_', &project) && slice_split(&rest, '_', &id));
    (void)snprintf(body, sizeof body, "{\"project\":\"shop\",\"keyId\":\"%.*s\"}", SLICE_PRINT(id));
    learn_key(h, h->key);
    assert_int_equal(with_others(&m, OP_REVOKE_KEY, TRANSPORT_CONTROL, body), 1);
    assert_statuses(&m, 200, 401);
    forget_all(&m);
}

static void each_project_is_a_transaction_of_its_own(void **state) {
    House *h = *state;
    char attic[KEY_SIZE], blog[KEY_SIZE];
    make_key(h, OP_CREATE_PROJECT, "{\"project\":\"attic\"}", attic);
    make_key(h, OP_CREATE_PROJECT, "{\"project\":\"blog\"}", blog);
    Meanwhile m = requests_meanwhile(h, attic, blog);
    learn_key(h, attic);
    learn_key(h, blog);
    assert_int_equal(with_others(&m, OP_REQUEST_STACK, TRANSPORT_HTTP, ASK), 3);
    assert_statuses(&m, 200, 200);
    assert_int_equal(m.most_projects, 1);
    forget_all(&m);
}

int main(void) {
    json_guard_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(failed_call_is_503_and_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(operations_of_a_failed_batch_run_again_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_commit_is_not_run_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_sync_is_503_and_stays_decided, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_listed_that_is_not_durable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_syncs_that_break_the_store_end_readiness, set_up, tear_down),
        cmocka_unit_test_setup_teardown(broken_store_is_told_once_and_ends_readiness, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_list_is_503_and_the_next_one_works, set_up, tear_down),
        cmocka_unit_test_setup_teardown(draining_refuses_what_is_new, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refusal_writes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_comes_while_a_lock_is_waited_for_joins_the_batch, set_up_shared, tear_down),
        cmocka_unit_test_setup_teardown(who_joins_brings_the_rows_he_wants, set_up_shared, tear_down),
        cmocka_unit_test_setup_teardown(who_joined_a_batch_that_fails_fares_like_the_others, set_up_shared, tear_down),
        cmocka_unit_test_setup_teardown(nobody_joins_past_a_stranger, set_up_shared, tear_down),
        cmocka_unit_test_setup_teardown(nobody_joins_what_takes_his_key_away, set_up_shared, tear_down),
        cmocka_unit_test_setup_teardown(each_project_is_a_transaction_of_its_own, set_up_shared, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
