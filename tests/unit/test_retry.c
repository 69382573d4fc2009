/* Repeating, with a clock, a random source and transports of our own: no test here waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "agent/limits.h"
#include "agent/retry.h"
#include "seeded_random.h"

typedef struct FakeClock {
    Clock base;
    int64_t now_ms;
} FakeClock;

static int64_t fake_boot_ms(const Clock *clock) {
    return ((const FakeClock *)clock)->now_ms;
}
static const ClockVtable fake_clock_vtable = {.boot_ms = fake_boot_ms, .wall_ms = fake_boot_ms};

/* What one try does; the last step of a script repeats for ever. */
typedef struct Step {
    int result, status;
    int64_t retry_after;
    bool is_sent, has_code;
    int64_t takes_ms;
    const char *reason;
} Step;

typedef struct FakeClient {
    Client base;
    FakeClock *clock;
    const Step *steps;
    size_t count, at;
    int64_t timeout_ms; /* of the latest try */
} FakeClient;

static int fake_call(Client *client, const ClientCall *call, ClientReply *reply) {
    FakeClient *fake = (FakeClient *)client;
    const Step *step = &fake->steps[fake->at < fake->count ? fake->at : fake->count - 1];
    fake->at++;
    fake->timeout_ms = call->timeout_ms;
    fake->clock->now_ms += step->takes_ms < call->timeout_ms ? step->takes_ms : call->timeout_ms;
    reply->status = step->status;
    reply->is_sent = step->is_sent;
    if (step->has_code)
        reply->json = json_pack("{s:s}", "code", "some-code");
    else if (step->status == 200)
        reply->json = json_object();
    if (step->retry_after != 0)
        reply->retry_after_seconds = step->retry_after;
    buffer_add_text(&reply->reason, step->reason != NULL ? step->reason : "connection refused");
    return step->result;
}
static void fake_free(Client *client) {
    (void)client;
}
static const ClientVtable fake_vtable = {.call = fake_call, .free = fake_free};

typedef struct World {
    FakeClock clock;
    SeededRandom random;
    RetryWorld retry;
    FakeClient fakes[3];
    Client *clients[3];
    size_t count;
    ClientReply reply;
    int64_t pauses[4096], mentioned_at_ms[64];
    size_t pause_count, mention_count;
    char mentioned[64][256];
    int cancel_at_pause; /* 0: never */
    bool is_met;
} World;

static int note_pause(void *arg, int64_t ms, int cancel_fd) {
    World *w = arg;
    (void)cancel_fd;
    assert_true(w->pause_count < COUNT_OF(w->pauses));
    w->pauses[w->pause_count++] = ms;
    if (w->cancel_at_pause != 0 && (size_t)w->cancel_at_pause == w->pause_count)
        return -ECANCELED;
    w->clock.now_ms += ms;
    return 0;
}

static void note_waiting(void *arg, const char *what, int64_t left_ms) {
    World *w = arg;
    assert_true(left_ms > 0);
    if (w->mention_count == COUNT_OF(w->mentioned))
        return;
    (void)strncpy(w->mentioned[w->mention_count], what, sizeof w->mentioned[0] - 1);
    w->mentioned_at_ms[w->mention_count++] = w->clock.now_ms;
}

static void world_init(World *w) {
    *w = (World){.clock = {.base.vtable = &fake_clock_vtable, .now_ms = 1000}};
    seeded_random_init(&w->random, 1);
    w->retry = (RetryWorld){
        .clock = &w->clock.base, .random = &w->random.base, .arg = w, .pause = note_pause, .waiting = note_waiting};
    client_reply_init(&w->reply);
}

static void add_script(World *w, const Step *steps, size_t count) {
    FakeClient *fake = &w->fakes[w->count];
    *fake = (FakeClient){.base.vtable = &fake_vtable, .clock = &w->clock, .steps = steps, .count = count};
    w->clients[w->count++] = &fake->base;
}

static int call(World *w, int64_t within_ms, bool is_repeatable) {
    const RetryCall c = {.call = {.operation = operation_row(OP_REQUEST_STACK), .cancel_fd = -1},
                         .deadline_ms = w->clock.now_ms + (within_ms > 0 ? within_ms : CALL_MS),
                         .is_one_try = within_ms == 0,
                         .is_repeatable = is_repeatable,
                         .is_met = w->is_met};
    return retry_call(&w->retry, w->clients, w->count, &c, &w->reply);
}

static const Step refused = {.result = CLIENT_FAULT};
static const Step lost = {.result = CLIENT_FAULT, .is_sent = true, .reason = "connection reset"};
static const Step untrusted = {.result = CLIENT_REFUSED, .reason = "no trust"};
static const Step done = {.status = 200, .is_sent = true};
static const Step conflict = {.status = 409, .is_sent = true, .has_code = true};
static const Step draining = {.status = 503, .is_sent = true, .retry_after = 3};
static const Step busy = {.status = 429, .is_sent = true, .has_code = true};
static const Step endless = {
    .result = CLIENT_FAULT, .is_sent = true, .takes_ms = INT64_MAX, .reason = "no answer in time"};

static void an_answer_ends_it_at_once(void **state) {
    (void)state;
    static World w;
    const Step *const answers[] = {&done, &conflict};
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        world_init(&w);
        add_script(&w, answers[i], 1);
        assert_int_equal(call(&w, 60000, true), 0);
        assert_int_equal(w.reply.status, answers[i]->status);
        assert_int_equal(w.fakes[0].at, 1);
        assert_int_equal(w.pause_count, 0);
        client_reply_deinit(&w.reply);
    }
}

static void faults_are_repeated_until_there_is_an_answer(void **state) {
    (void)state;
    static World w;
    const Step steps[] = {refused, lost, refused, busy, done};
    world_init(&w);
    add_script(&w, steps, COUNT_OF(steps));
    assert_int_equal(call(&w, 60000, true), 0);
    assert_int_equal(w.reply.status, 200);
    assert_int_equal(w.fakes[0].at, 5);
    client_reply_deinit(&w.reply);
}

static void the_next_address_is_asked_before_any_pause(void **state) {
    (void)state;
    static World w;
    world_init(&w);
    add_script(&w, &refused, 1);
    add_script(&w, &draining, 1);
    add_script(&w, &done, 1);
    assert_int_equal(call(&w, 60000, true), 0);
    assert_int_equal(w.pause_count, 0);
    client_reply_deinit(&w.reply);
}

static void an_address_that_hangs_leaves_time_for_the_next(void **state) {
    (void)state;
    static World w;
    world_init(&w);
    add_script(&w, &endless, 1);
    add_script(&w, &done, 1);
    assert_int_equal(call(&w, 10000, true), 0);
    assert_int_equal(w.fakes[0].timeout_ms, 5000);
    assert_int_equal(w.reply.status, 200);
    client_reply_deinit(&w.reply);
}

/* Who waits in line must not be deaf for as long as a poll takes, each time. */
static void the_address_that_answers_is_asked_first_from_then_on(void **state) {
    (void)state;
    static World w;
    world_init(&w);
    add_script(&w, &draining, 1);
    add_script(&w, &endless, 1);
    add_script(&w, &done, 1);
    for (size_t i = 1; i <= 2; i++) {
        assert_int_equal(call(&w, 60000, true), 0);
        assert_int_equal(w.reply.status, 200);
        assert_int_equal(w.fakes[0].at, 1);
        assert_int_equal(w.fakes[1].at, 1);
        assert_int_equal(w.fakes[2].at, i);
    }
    client_reply_deinit(&w.reply);
}

static void pauses_grow_stay_random_and_below_their_ceiling(void **state) {
    (void)state;
    static World w;
    int64_t longest = 0, ceiling = BACKOFF_FIRST_MS;
    world_init(&w);
    add_script(&w, &refused, 1);
    assert_int_equal(call(&w, 3600000, true), CLIENT_FAULT);
    assert_true(w.pause_count > 100);
    for (size_t i = 0; i < w.pause_count; i++) {
        assert_true(w.pauses[i] >= 1 && w.pauses[i] <= ceiling);
        longest = w.pauses[i] > longest ? w.pauses[i] : longest;
        ceiling = ceiling * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ceiling * 2;
    }
    assert_true(longest > BACKOFF_MAX_MS / 2);
    client_reply_deinit(&w.reply);
}

static void the_deadline_ends_it_and_the_last_reason_is_kept(void **state) {
    (void)state;
    static World w;
    world_init(&w);
    add_script(&w, &refused, 1);
    assert_int_equal(call(&w, 30000, true), CLIENT_FAULT);
    assert_true(w.clock.now_ms <= 31000);
    assert_true(w.clock.now_ms >= 29000);
    assert_string_equal(buffer_text(&w.reply.reason), "connection refused");
    client_reply_deinit(&w.reply);
}

static void a_try_never_outlasts_the_deadline(void **state) {
    (void)state;
    static World w;
    world_init(&w);
    add_script(&w, &endless, 1);
    assert_int_equal(call(&w, 40000, true), CLIENT_FAULT);
    assert_true(w.clock.now_ms <= 41000);
    assert_true(w.fakes[0].at >= 3);
    client_reply_deinit(&w.reply);
}

static void one_try_asks_each_address_once(void **state) {
    (void)state;
    static World w;
    world_init(&w);
    add_script(&w, &refused, 1);
    add_script(&w, &draining, 1);
    assert_int_equal(call(&w, 0, true), 0);
    assert_int_equal(w.reply.status, 503);
    assert_int_equal(w.fakes[0].at, 1);
    assert_int_equal(w.fakes[1].at, 1);
    assert_int_equal(w.pause_count, 0);
    client_reply_deinit(&w.reply);
}

static void retry_after_is_the_least_that_is_waited(void **state) {
    (void)state;
    static World w;
    const Step steps[] = {draining, done};
    world_init(&w);
    add_script(&w, steps, COUNT_OF(steps));
    assert_int_equal(call(&w, 60000, true), 0);
    assert_true(w.pauses[0] > 3000 && w.pauses[0] <= 3000 + BACKOFF_FIRST_MS);
    client_reply_deinit(&w.reply);
}

static void where_retry_after_is_behind_the_deadline_a_last_try_is_before_it(void **state) {
    (void)state;
    static World w;
    const Step steps[] = {draining, done};
    world_init(&w);
    add_script(&w, steps, COUNT_OF(steps));
    assert_int_equal(call(&w, 2500, true), 0);
    assert_int_equal(w.reply.status, 200);
    assert_int_equal(w.pause_count, 1);
    assert_true(w.pauses[0] == 1500);
    client_reply_deinit(&w.reply);
}

/* An error page is all there is at an address, unless a coordinator is known to be there. */
static void an_error_without_a_code_is_a_fault_where_a_coordinator_was_met(void **state) {
    (void)state;
    static World w;
    static const Step page = {.status = 404, .is_sent = true}, greeting = {.is_sent = true, .status = 204};
    static const Step refusal = {.status = 404, .is_sent = true, .has_code = true};
    const struct {
        bool is_met;
        Step steps[3];
        int tries, status;
    } cases[] = {
        {false, {page, done}, 1, 404},       {true, {page, done}, 2, 200},
        {true, {greeting, done}, 2, 200},    {true, {refusal, done}, 1, 404},
        {false, {lost, page, done}, 3, 200}, {false, {refused, page, done}, 2, 404},
        {false, {busy, page, done}, 2, 404}, {false, {draining, page, done}, 3, 200},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        world_init(&w);
        w.is_met = cases[i].is_met;
        add_script(&w, cases[i].steps, 3);
        assert_int_equal(call(&w, 60000, true), 0);
        assert_int_equal(w.reply.status, cases[i].status);
        assert_int_equal(w.fakes[0].at, cases[i].tries);
        client_reply_deinit(&w.reply);
    }
}

static void what_may_have_arrived_unanswered_is_told(void **state) {
    (void)state;
    static World w;
    const struct {
        Step first;
        bool is_unsure;
    } cases[] = {{refused, false}, {busy, false}, {lost, true}, {draining, true}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const Step steps[] = {cases[i].first, conflict};
        world_init(&w);
        add_script(&w, steps, COUNT_OF(steps));
        assert_int_equal(call(&w, 60000, true), 0);
        assert_int_equal(w.reply.status, 409);
        assert_int_equal(w.reply.is_unsure, cases[i].is_unsure);
        client_reply_deinit(&w.reply);
    }
}

static void an_absurd_retry_after_is_not_believed(void **state) {
    (void)state;
    static World w;
    const Step steps[] = {{.status = 503, .retry_after = 1000000000}, {.status = 200}};
    world_init(&w);
    add_script(&w, steps, COUNT_OF(steps));
    assert_int_equal(call(&w, 3600000, true), 0);
    assert_true(w.pauses[0] <= RETRY_AFTER_MAX_SECONDS * 1000 + BACKOFF_FIRST_MS);
    client_reply_deinit(&w.reply);
}

static void an_address_without_trust_is_not_asked_again(void **state) {
    (void)state;
    static World w;
    const Step steps[] = {refused, refused, done};
    world_init(&w);
    add_script(&w, &untrusted, 1);
    add_script(&w, steps, COUNT_OF(steps));
    assert_int_equal(call(&w, 60000, true), 0);
    assert_int_equal(w.fakes[0].at, 1);
    assert_int_equal(w.fakes[1].at, 3);
    client_reply_deinit(&w.reply);
}

static void no_address_left_ends_it_at_once(void **state) {
    (void)state;
    static World w;
    world_init(&w);
    add_script(&w, &untrusted, 1);
    assert_int_equal(call(&w, 60000, true), CLIENT_REFUSED);
    assert_int_equal(w.pause_count, 0);
    assert_string_equal(buffer_text(&w.reply.reason), "no trust");
    client_reply_deinit(&w.reply);
}

static void what_must_not_arrive_twice_is_sent_once(void **state) {
    (void)state;
    static World w;
    const Step *const ambiguous[] = {&lost, &draining};
    for (size_t i = 0; i < COUNT_OF(ambiguous); i++) {
        const Step steps[] = {refused, busy, *ambiguous[i], done};
        world_init(&w);
        add_script(&w, steps, COUNT_OF(steps));
        (void)call(&w, 60000, false);
        assert_int_equal(w.fakes[0].at, 3);
        assert_int_not_equal(w.reply.status, 200);
        client_reply_deinit(&w.reply);
    }
}

static void it_is_told_that_something_was_sent_in_any_try(void **state) {
    (void)state;
    static World w;
    const Step steps[] = {lost, refused};
    world_init(&w);
    add_script(&w, steps, COUNT_OF(steps));
    assert_int_equal(call(&w, 20000, true), CLIENT_FAULT);
    assert_true(w.reply.is_sent);
    client_reply_deinit(&w.reply);
}

static void a_wait_is_mentioned_at_once_on_change_and_every_minute(void **state) {
    (void)state;
    static World w;
    const Step steps[] = {refused, refused, lost, lost, draining, refused};
    world_init(&w);
    add_script(&w, steps, COUNT_OF(steps));
    (void)call(&w, 300000, true);
    assert_string_equal(w.mentioned[0], "coordinator unreachable (connection refused)");
    assert_int_equal(w.mentioned_at_ms[0], 1000);
    assert_string_equal(w.mentioned[1], "coordinator unreachable (connection reset)");
    assert_string_equal(w.mentioned[2], "coordinator answers 503");
    assert_string_equal(w.mentioned[3], "coordinator unreachable (connection refused)");
    assert_in_range(w.mention_count, 6, 9);
    for (size_t i = 5; i < w.mention_count; i++)
        assert_true(w.mentioned_at_ms[i] - w.mentioned_at_ms[i - 1] >= REMIND_MS);
    client_reply_deinit(&w.reply);
}

static void a_signal_ends_a_pause_and_a_try(void **state) {
    (void)state;
    static World w;
    static const Step cancelled = {.result = -ECANCELED};
    world_init(&w);
    w.cancel_at_pause = 2;
    add_script(&w, &refused, 1);
    assert_int_equal(call(&w, 60000, true), -ECANCELED);
    assert_int_equal(w.fakes[0].at, 2);
    client_reply_deinit(&w.reply);

    world_init(&w);
    add_script(&w, &cancelled, 1);
    assert_int_equal(call(&w, 60000, true), -ECANCELED);
    client_reply_deinit(&w.reply);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_ends_it_at_once),
        cmocka_unit_test(faults_are_repeated_until_there_is_an_answer),
        cmocka_unit_test(the_next_address_is_asked_before_any_pause),
        cmocka_unit_test(an_address_that_hangs_leaves_time_for_the_next),
        cmocka_unit_test(the_address_that_answers_is_asked_first_from_then_on),
        cmocka_unit_test(pauses_grow_stay_random_and_below_their_ceiling),
        cmocka_unit_test(the_deadline_ends_it_and_the_last_reason_is_kept),
        cmocka_unit_test(a_try_never_outlasts_the_deadline),
        cmocka_unit_test(one_try_asks_each_address_once),
        cmocka_unit_test(retry_after_is_the_least_that_is_waited),
        cmocka_unit_test(where_retry_after_is_behind_the_deadline_a_last_try_is_before_it),
        cmocka_unit_test(an_error_without_a_code_is_a_fault_where_a_coordinator_was_met),
        cmocka_unit_test(what_may_have_arrived_unanswered_is_told),
        cmocka_unit_test(an_absurd_retry_after_is_not_believed),
        cmocka_unit_test(an_address_without_trust_is_not_asked_again),
        cmocka_unit_test(no_address_left_ends_it_at_once),
        cmocka_unit_test(what_must_not_arrive_twice_is_sent_once),
        cmocka_unit_test(it_is_told_that_something_was_sent_in_any_try),
        cmocka_unit_test(a_wait_is_mentioned_at_once_on_change_and_every_minute),
        cmocka_unit_test(a_signal_ends_a_pause_and_a_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
