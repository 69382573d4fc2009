/*
 * A service as its clients meet it, in virtual time: the real service, worker and rules; the array engine behind a wrapper
 * that fails on demand; a clock the tests move. A restart is a new service over the same store.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "faults/virtual_clock.h"
#include "faults/wrap_store.h"
#include "service/service.h"

typedef struct Call Call;

typedef struct House {
    Store *store;
    Service *service;
    VirtualClock clock;
    Logger log;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    char key[256];
    const Call *stalls_at; /* the worker stands still when it answers this one, until house_go_on */
} House;

/* One client's operation. */
struct Call {
    House *house;
    Operation *op;
    bool is_submitted, is_done, is_parked, is_peer_gone;
    int parked_count;
};

/* A finished call's answer. */
typedef struct Reply {
    int status;
    json_t *body;
} Reply;

typedef struct Lease {
    char stack[64], secret[256];
    int64_t generation, expires_in;
} Lease;

#define BODY_SIZE 512

#define EXPECT(reply, wanted)                                                                                          \
    do {                                                                                                               \
        Reply expected_ = (reply);                                                                                     \
        assert_int_equal(expected_.status, (wanted));                                                                  \
        (void)forget(expected_);                                                                                       \
    } while (0)

/* `may_park`: whether the transport has room for one more that waits. */
void start(House *h, Call *call, OperationId id, Transport transport, const char *body, bool may_park);
void await(Call *call, const bool *flag);
Reply finish(Call *call);
Reply ask_over(House *h, OperationId id, Transport transport, const char *body);
Reply ask(House *h, OperationId id, const char *body);
Reply control(House *h, OperationId id, const char *body);
Reply forget(Reply reply);
const char *text(Reply reply, const char *member);
int64_t number(Reply reply, const char *member);
void start_service(House *h);
void stop_service(House *h);
void restart(House *h);
/* Time passes as on a machine that runs: second by second, and after each the worker has done what was due. */
void pass(House *h, int64_t seconds);
/* cmocka's setup and teardown; *state is the House, with a project of one stack, a quiet of 15 s, a longest hold of 600. */
int house_begin(void **state);
/* As one of several coordinators. */
int house_begin_shared(void **state);
int house_end(void **state);
const char *request_body(char *out, char id, int64_t lease, int64_t wait);
Reply request(House *h, char id, int64_t lease, int64_t wait);
/* A long poll that stays open: parked. */
void wait_for(House *h, Call *call, char id, int64_t lease, int64_t wait);
Lease lease_of(Reply reply);
Reply renew(House *h, const Lease *lease);
const char *release_body(char *out, const Lease *lease, const char *outcome);
Reply release(House *h, const Lease *lease, const char *outcome);
void house_stall_at(House *h, const Call *call);
void house_go_on(House *h);
