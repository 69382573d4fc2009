/* requestStack, joinRequest, cancelRequest: grants, and exactly once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "simulate/world.h"

#define ID "request-0123456789"
#define ID2 "request-abcdefghij"

static void update_max_stacks(World *w, int64_t max_stacks) {
    Command update = world_command(OP_UPDATE_PROJECT);
    update.max_stacks = max_stacks;
    Answer answer = world_do(w, update);
    assert_outcome(&answer, OUTCOME_DONE);
}

static Answer join(World *w, const char *request_id, const char *holder) {
    Command command = world_command(OP_JOIN_REQUEST);
    command.request_id = slice_of(request_id);
    command.holder_json = slice_of(holder);
    return world_do(w, command);
}

static Answer cancel(World *w, const char *request_id) {
    Command command = world_command(OP_CANCEL_REQUEST);
    command.request_id = slice_of(request_id);
    return world_do(w, command);
}

/* Whoever waited and was told what he got asks for that alone: the queue's choice is made. */
static void who_was_told_his_stack_wants_no_other(void **state) {
    World *w = *state;
    WorkingSet set;
    Command command = world_command(OP_REQUEST_STACK);
    command.request_id = slice_of(ID);
    assert_int_equal(working_set_init(&set, &w->arena, slice_of("shop")), 0);
    command.told_stack = 7;
    assert_int_equal(lease_want(&set, &command), 0);
    assert_int_equal(set.want_count, 2);
    assert_int_equal(set.wants[0].query, ROWS_REQUEST_BY_ID);
    assert_int_equal(set.wants[1].query, ROWS_STACK_BY_NUMBER);
    assert_int_equal(set.wants[1].number, 7);
}

static void the_first_request_makes_the_first_stack(void **state) {
    World *w = *state;
    Command command = world_command(OP_REQUEST_STACK);
    command.commit = slice_of("c1");
    command.holder_json = slice_of("{\"job\":\"deploy\"}");
    Answer answer = world_do(w, command);
    assert_outcome(&answer, OUTCOME_DONE);
    assert_slice_is(answer.stack_name, "test-1");
    assert_slice_is(answer.last_deployed_commit, NULL);
    assert_false(answer.is_reused);
    assert_false(answer.has_lease); /* a client of the original gets no secret to print */

    StackRow row = world_stack(w, "test-1");
    assert_int_equal(row.state, STACK_LEASED);
    assert_slice_is(row.branch, "main");
    assert_int_equal(row.ticket, 1);
    assert_int_equal(row.lease_seconds, 0);
    assert_int_equal(row.generation, w->moment.wall_ms);
    assert_int_equal(row.requested, row.generation);
    assert_int_equal(row.created_ms, w->moment.wall_ms);
    assert_true(row.is_collected);
    ProjectRow project = world_project(w);
    assert_int_equal(project.stack_count, 1);
    assert_int_equal(project.leased_count, 1);
    assert_int_equal(project.first_unused, 2);

    EventRow event = world_last_event(w);
    assert_int_equal(event.kind, EVENT_GRANTED);
    assert_slice_is(event.stack_name, "test-1");
    assert_slice_is(event.branch, "main");
    assert_slice_is(event.commit, "c1");
    assert_slice_is(event.by, "k1");
    assert_slice_is(event.note, "created");
    assert_slice_is(event.holder_json, "{\"job\":\"deploy\"}");
}

static void twelve_at_once_get_twelve_stacks(void **state) {
    World *w = *state;
    Command commands[12];
    Answer answers[12];
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        commands[i] = world_command(OP_REQUEST_STACK);
    world_do_all(w, commands, COUNT_OF(commands), answers);
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        assert_outcome(&answers[i], OUTCOME_DONE);
        for (size_t k = 0; k < i; k++)
            assert_false(slice_equal(answers[i].stack_name, answers[k].stack_name));
    }
    assert_slice_is(answers[11].stack_name, "test-12");
}

static void a_branch_gets_its_stack_back(void **state) {
    World *w = *state;
    world_request(w, "feat/a");
    world_request(w, "feat/b");
    world_deploy(w, "test-1", "c1");
    world_release(w, "test-1");
    world_release(w, "test-2");
    Answer answer = world_request(w, "feat/b");
    assert_slice_is(answer.stack_name, "test-2");
    assert_true(answer.is_reused);
    assert_slice_is(world_last_event(w).note, "reused");
    answer = world_request(w, "feat/c");
    assert_slice_is(answer.stack_name, "test-1");
    assert_false(answer.is_reused);
    assert_slice_is(answer.last_deployed_commit, "c1"); /* what is on it, whoever deployed it */
    assert_slice_is(world_stack(w, "test-1").branch, "feat/c");
    assert_slice_is(world_last_event(w).note, NULL);
}

static void releases_and_deploys_do_not_change_the_order(void **state) {
    World *w = *state;
    for (int i = 0; i < 3; i++)
        world_request(w, "main");
    world_release(w, "test-3");
    world_release(w, "test-2");
    world_release(w, "test-1");
    world_deploy(w, "test-1", "c1");
    Answer answer = world_request(w, "other");
    assert_slice_is(answer.stack_name, "test-1");
}

static void one_batch_gives_on_what_it_frees(void **state) {
    World *w = *state;
    update_max_stacks(w, 1);
    world_request(w, "main");
    Command commands[3];
    Answer answers[3];
    commands[0] = world_command(OP_REQUEST_STACK);
    commands[1] = world_command(OP_RELEASE_STACK);
    commands[1].stack_name = slice_of("test-1");
    commands[2] = world_command(OP_REQUEST_STACK);
    world_do_all(w, commands, 3, answers);
    assert_outcome(&answers[0], OUTCOME_NONE_AVAILABLE);
    assert_outcome(&answers[1], OUTCOME_DONE);
    assert_outcome(&answers[2], OUTCOME_DONE);
    assert_slice_is(answers[2].stack_name, "test-1");
}

static void a_full_pool_refuses_however_one_asks(void **state) {
    World *w = *state;
    update_max_stacks(w, 2);
    world_request(w, "main");
    world_request(w, "main");
    int64_t events = world_count_events(w);
    const struct {
        const char *request_id;
        int if_none;
        int64_t wait_seconds;
        Outcome expected;
        const char *field;
    } cases[] = {
        {NULL, IF_NONE_DEFAULT, FIELD_ABSENT, OUTCOME_NONE_AVAILABLE, NULL},
        {NULL, IF_NONE_FAIL, 25, OUTCOME_NONE_AVAILABLE, NULL},
        {ID, IF_NONE_FAIL, 25, OUTCOME_NONE_AVAILABLE, NULL},
        {ID, IF_NONE_DEFAULT, 0, OUTCOME_NONE_AVAILABLE, NULL},
        {NULL, IF_NONE_WAIT, 0, OUTCOME_VALIDATION, "requestId"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Command command = world_command(OP_REQUEST_STACK);
        command.request_id = slice_of(cases[i].request_id);
        command.if_none = cases[i].if_none;
        command.wait_seconds = cases[i].wait_seconds;
        Answer answer = world_do(w, command);
        assert_outcome(&answer, cases[i].expected);
        assert_slice_is(answer.field, cases[i].field);
    }
    assert_int_equal(world_count_events(w), events);

    /* A refusal is not remembered: the same request is granted once there is room. */
    update_max_stacks(w, 0);
    Answer answer = world_request_bound(w, "main", ID);
    assert_outcome(&answer, OUTCOME_DONE);
    assert_slice_is(answer.stack_name, "test-3");
}

static void nothing_waits_for_a_cleaner(void **state) {
    World *w = *state;
    Command command = world_command(OP_REQUEST_STACK);
    command.purpose = PURPOSE_CLEAN;
    Answer answer = world_do(w, command);
    assert_outcome(&answer, OUTCOME_NONE_AVAILABLE);
    assert_false(world_has_stack(w, "test-1"));
}

static void a_deleted_number_is_used_again_first(void **state) {
    World *w = *state;
    for (int i = 0; i < 3; i++)
        world_request(w, "main");
    Command force = world_command(OP_DELETE_LAST_STACK);
    world_do(w, force); /* test-3 retires */
    world_do(w, force); /* test-2 retires */
    world_release(w, "test-2");
    assert_false(world_has_stack(w, "test-2"));
    assert_int_equal(world_project(w).first_unused, 2);
    Answer answer = world_request(w, "main");
    assert_slice_is(answer.stack_name, "test-2");
    answer = world_request(w, "main");
    assert_slice_is(answer.stack_name, "test-4");
    assert_int_equal(world_project(w).stack_count, 4);
}

static void generations_grow_when_the_clock_does_not(void **state) {
    World *w = *state;
    world_request(w, "main");
    int64_t before = world_stack(w, "test-1").generation;
    w->moment.wall_ms -= 3600 * 1000;
    world_request(w, "main");
    assert_int_equal(world_stack(w, "test-2").generation, before + 1);
    /* Ahead again: a store that was restored from an old copy goes on behind what it forgot. */
    w->moment.wall_ms = before + 7200 * 1000;
    world_request(w, "main");
    assert_int_equal(world_stack(w, "test-3").generation, w->moment.wall_ms);
}

static void what_is_told_of_the_content(void **state) {
    World *w = *state;
    Command update = world_command(OP_UPDATE_PROJECT);
    update.initial_commit = slice_of("c0");
    world_do(w, update);
    Answer answer = world_request_bound(w, "main", NULL);
    assert_slice_is(answer.last_deployed_commit, "c0");

    world_release_lease(w, "test-1", answer.lease_ref, RELEASE_DIRTY);
    answer = world_request_bound(w, "main", NULL);
    assert_true(answer.is_reused);
    assert_slice_is(answer.last_deployed_commit, NULL); /* rubble is at no commit, not at the initial one */

    world_release_lease(w, "test-1", answer.lease_ref, RELEASE_OK);
    assert_true(world_stack(w, "test-1").is_content_unknown); /* nobody cleaned it */
    world_deploy(w, "test-1", "c2");
    answer = world_request_bound(w, "main", NULL);
    assert_slice_is(answer.last_deployed_commit, "c2");
}

static void the_same_request_again_is_the_same_grant(void **state) {
    World *w = *state;
    Command command = world_command(OP_REQUEST_STACK);
    command.branch = slice_of("feat");
    command.request_id = slice_of(ID);
    command.lease_seconds = 60;
    command.wait_seconds = 20;
    Answer first = world_do(w, command);
    assert_outcome(&first, OUTCOME_DONE);
    assert_true(first.has_lease);
    assert_slice_is(first.lease.id, "1");
    assert_int_equal(first.lease.generation, w->moment.wall_ms);
    assert_int_equal(first.lease.expires_ms, FIELD_ABSENT);
    Command deploy = world_command(OP_SET_LAST_DEPLOYED_COMMIT);
    deploy.stack_name = slice_of("test-1");
    deploy.lease_ref = first.lease_ref;
    deploy.last_deployed_commit = slice_of("c1");
    deploy.url = slice_of("https://test-1.example");
    world_do(w, deploy);

    int64_t events = world_count_events(w);
    command.wait_seconds = 5; /* may differ, as may ifNone and the holder */
    command.if_none = IF_NONE_FAIL;
    command.holder_json = slice_of("{\"job\":\"again\"}");
    command.asker = slice_of("k2");
    Answer again = world_do(w, command);
    assert_outcome(&again, OUTCOME_DONE);
    assert_true(slice_equal(again.stack_name, first.stack_name));
    assert_int_equal(again.lease_ref.ticket, first.lease_ref.ticket);
    assert_int_equal(again.lease_ref.generation, first.lease_ref.generation);
    assert_int_equal(again.is_reused, first.is_reused);
    assert_slice_is(again.last_deployed_commit, "c1"); /* as of now */
    assert_slice_is(again.url, "https://test-1.example");
    assert_int_equal(world_count_events(w), events);
    assert_int_equal(world_project(w).leased_count, 1);
}

static void two_equal_requests_in_one_batch_get_one_stack(void **state) {
    World *w = *state;
    Command commands[2];
    Answer answers[2];
    commands[0] = world_command(OP_REQUEST_STACK);
    commands[0].request_id = slice_of(ID);
    commands[1] = commands[0];
    world_do_all(w, commands, 2, answers);
    assert_outcome(&answers[1], OUTCOME_DONE);
    assert_true(slice_equal(answers[0].stack_name, answers[1].stack_name));
    assert_int_equal(answers[0].lease_ref.generation, answers[1].lease_ref.generation);
    assert_int_equal(world_project(w).stack_count, 1);
}

static void another_request_under_the_same_id_is_refused(void **state) {
    World *w = *state;
    Command first = world_command(OP_REQUEST_STACK);
    first.request_id = slice_of(ID);
    first.commit = slice_of("c1");
    Answer answer = world_do(w, first);
    assert_outcome(&answer, OUTCOME_DONE);
    Command others[] = {first, first, first, first, first};
    const char *fields[] = {"branch", "commit", "commit", "leaseSeconds", "purpose"};
    others[0].branch = slice_of("main"); /* the default, but now it is said */
    others[1].commit = slice_of("c2");
    others[2].commit = SLICE_ABSENT;
    others[3].lease_seconds = 60;
    others[4].purpose = PURPOSE_CLEAN;
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        answer = world_do(w, others[i]);
        assert_outcome(&answer, OUTCOME_REQUEST_MISMATCH);
        assert_slice_is(answer.field, fields[i]);
    }
}

static void a_request_that_is_over_is_never_granted_again(void **state) {
    World *w = *state;
    Answer granted = world_request_bound(w, "main", ID);
    world_release_lease(w, "test-1", granted.lease_ref, RELEASE_OK);
    int64_t released_ms = w->moment.wall_ms;
    Answer answer = world_request_bound(w, "main", ID);
    assert_outcome(&answer, OUTCOME_REQUEST_OVER);
    assert_slice_is(answer.why, "released");
    assert_slice_is(answer.by, "lease");
    assert_int_equal(answer.at_ms, released_ms);
    answer = join(w, ID, NULL);
    assert_outcome(&answer, OUTCOME_REQUEST_OVER);
    assert_int_equal(world_stack(w, "test-1").state, STACK_AVAILABLE);
}

static void others_join_a_live_request(void **state) {
    World *w = *state;
    Answer answer = join(w, ID, "{}");
    assert_outcome(&answer, OUTCOME_UNKNOWN_REQUEST);
    assert_slice_is(answer.field, "requestId");
    Answer granted = world_request_bound(w, "main", ID);
    int64_t events = world_count_events(w);
    answer = join(w, ID, NULL);
    assert_outcome(&answer, OUTCOME_DONE);
    assert_slice_is(answer.stack_name, "test-1");
    assert_int_equal(answer.lease_ref.generation, granted.lease_ref.generation);
    assert_int_equal(world_count_events(w), events); /* a poll leaves no trace */
    answer = join(w, ID, "{\"job\":\"e2e\"}");
    assert_outcome(&answer, OUTCOME_DONE);
    EventRow event = world_last_event(w);
    assert_int_equal(event.kind, EVENT_JOINED);
    assert_slice_is(event.holder_json, "{\"job\":\"e2e\"}");
    assert_slice_is(event.stack_name, "test-1");
}

static void a_cancel_that_comes_first_wins(void **state) {
    World *w = *state;
    for (int i = 0; i < 2; i++) {
        Answer answer = cancel(w, ID);
        assert_outcome(&answer, OUTCOME_DONE);
        assert_slice_is(answer.result, "stored");
    }
    Answer answer = world_request_bound(w, "any", ID);
    assert_outcome(&answer, OUTCOME_REQUEST_OVER);
    assert_slice_is(answer.why, "cancelled");
    assert_slice_is(answer.by, "k1");
    assert_false(world_has_stack(w, "test-1"));
    /* Its ticket is a ticket like any other. */
    answer = world_request_bound(w, "any", ID2);
    assert_slice_is(answer.lease.id, "2");
}

static void cancelling_a_grant_ends_its_lease(void **state) {
    World *w = *state;
    Answer granted = world_request_bound(w, "main", ID);
    Command deploy = world_command(OP_SET_LAST_DEPLOYED_COMMIT);
    deploy.stack_name = slice_of("test-1");
    deploy.lease_ref = granted.lease_ref;
    deploy.last_deployed_commit = slice_of("c1");
    world_do(w, deploy);
    for (int i = 0; i < 2; i++) {
        Answer answer = cancel(w, ID);
        assert_outcome(&answer, OUTCOME_DONE);
        assert_slice_is(answer.result, "ended");
    }
    StackRow row = world_stack(w, "test-1");
    assert_int_equal(row.state, STACK_AVAILABLE);
    assert_true(row.is_content_unknown);
    assert_slice_is(row.last_commit, NULL);
    assert_int_equal(row.ticket, 0);
    assert_int_equal(world_project(w).leased_count, 0);
    assert_int_equal(world_last_event(w).kind, EVENT_CANCELLED);
    Answer answer = world_release_lease(w, "test-1", granted.lease_ref, RELEASE_OK);
    assert_outcome(&answer, OUTCOME_LEASE_LOST);
    assert_slice_is(answer.why, "cancelled");
}

static void cancelling_what_was_released_changes_nothing(void **state) {
    World *w = *state;
    Answer granted = world_request_bound(w, "main", ID);
    world_release_lease(w, "test-1", granted.lease_ref, RELEASE_OK);
    world_request(w, "main");
    int64_t events = world_count_events(w);
    Answer answer = cancel(w, ID);
    assert_outcome(&answer, OUTCOME_DONE);
    assert_slice_is(answer.result, "over");
    assert_int_equal(world_count_events(w), events);
    assert_int_equal(world_stack(w, "test-1").state, STACK_LEASED);
}

static void a_retiring_stack_goes_when_its_request_is_cancelled(void **state) {
    World *w = *state;
    world_request_bound(w, "main", ID);
    world_do(w, world_command(OP_DELETE_LAST_STACK));
    assert_int_equal(world_stack(w, "test-1").state, STACK_RETIRING);
    Answer answer = cancel(w, ID);
    assert_slice_is(answer.result, "ended");
    assert_false(world_has_stack(w, "test-1"));
    assert_int_equal(world_project(w).stack_count, 0);
    assert_int_equal(world_last_event(w).kind, EVENT_DELETED);
}

static void an_unknown_project_is_said_to_be_unknown(void **state) {
    World *w = *state;
    Command command = simulate_command(OP_REQUEST_STACK, "nobody");
    Answer answer = world_do(w, command);
    assert_outcome(&answer, OUTCOME_UNKNOWN_PROJECT);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(who_was_told_his_stack_wants_no_other),
        TEST(the_first_request_makes_the_first_stack),
        TEST(twelve_at_once_get_twelve_stacks),
        TEST(a_branch_gets_its_stack_back),
        TEST(releases_and_deploys_do_not_change_the_order),
        TEST(one_batch_gives_on_what_it_frees),
        TEST(a_full_pool_refuses_however_one_asks),
        TEST(nothing_waits_for_a_cleaner),
        TEST(a_deleted_number_is_used_again_first),
        TEST(generations_grow_when_the_clock_does_not),
        TEST(what_is_told_of_the_content),
        TEST(the_same_request_again_is_the_same_grant),
        TEST(two_equal_requests_in_one_batch_get_one_stack),
        TEST(another_request_under_the_same_id_is_refused),
        TEST(a_request_that_is_over_is_never_granted_again),
        TEST(others_join_a_live_request),
        TEST(a_cancel_that_comes_first_wins),
        TEST(cancelling_a_grant_ends_its_lease),
        TEST(cancelling_what_was_released_changes_nothing),
        TEST(a_retiring_stack_goes_when_its_request_is_cancelled),
        TEST(an_unknown_project_is_said_to_be_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
