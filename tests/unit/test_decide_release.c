/* releaseStack, setLastDeployedCommit, forceReleaseStack: who may, and what becomes of the stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "simulate/world.h"

#define ID "request-0123456789"

static Answer deploy_by_lease(World *w, const char *stack_name, LeaseRef lease) {
    Command command = world_command(OP_SET_LAST_DEPLOYED_COMMIT);
    command.stack_name = slice_of(stack_name);
    command.last_deployed_commit = slice_of("c9");
    command.lease_ref = lease;
    return world_do(w, command);
}

static Answer force(World *w, const char *stack_name, ReleaseOutcome outcome, bool now) {
    Command command = world_command(OP_FORCE_RELEASE_STACK);
    command.stack_name = slice_of(stack_name);
    command.asker = slice_of("boss");
    command.reason = slice_of("stuck");
    command.outcome = (int)outcome;
    command.now = now;
    return world_do(w, command);
}

static void set_cleaning(World *w, Switch cleaning) {
    Command command = world_command(OP_UPDATE_PROJECT);
    command.cleaning = (int)cleaning;
    Answer answer = world_do(w, command);
    assert_outcome(&answer, OUTCOME_DONE);
}

static void each_outcome_leads_to_its_state(void **state) {
    World *w = *state;
    const struct {
        ReleaseOutcome outcome;
        Switch cleaning;
        StackState expected;
        bool is_unknown;
        const char *told;
    } cases[] = {
        {RELEASE_OK, SWITCH_OFF, STACK_AVAILABLE, false, "ok"},
        {RELEASE_DIRTY, SWITCH_OFF, STACK_AVAILABLE, true, "dirty"},
        {RELEASE_BROKEN, SWITCH_OFF, STACK_QUARANTINED, true, "broken"},
        {RELEASE_OK, SWITCH_ON, STACK_AVAILABLE, false, "ok"},
        {RELEASE_DIRTY, SWITCH_ON, STACK_DIRTY, true, "dirty"},
        {RELEASE_BROKEN, SWITCH_ON, STACK_QUARANTINED, true, "broken"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        set_cleaning(w, cases[i].cleaning);
        Answer granted = world_request_bound(w, "main", NULL);
        deploy_by_lease(w, "test-1", granted.lease_ref);
        Answer answer = world_release_lease(w, "test-1", granted.lease_ref, cases[i].outcome);
        assert_outcome(&answer, OUTCOME_DONE);
        assert_slice_is(answer.message, "Stack test-1 released");
        StackRow row = world_stack(w, "test-1");
        assert_int_equal(row.state, cases[i].expected);
        assert_int_equal(row.is_content_unknown, cases[i].is_unknown);
        assert_slice_is(row.last_commit, cases[i].is_unknown ? NULL : "c9");
        assert_int_equal(row.dirty_since != 0, cases[i].expected == STACK_DIRTY);
        assert_int_equal(row.ticket, 0);
        assert_int_equal(row.modified_ms, w->moment.wall_ms);
        assert_int_equal(row.requested, granted.lease_ref.generation);
        assert_int_equal(world_project(w).leased_count, 0);
        EventRow event = world_last_event(w);
        assert_int_equal(event.kind, EVENT_RELEASED);
        assert_slice_is(event.outcome, cases[i].told);
        assert_int_equal(event.generation, granted.lease_ref.generation);
        Command restore = world_command(OP_RESTORE_STACK);
        restore.stack_name = slice_of("test-1");
        world_do(w, restore);
        assert_int_equal(world_stack(w, "test-1").dirty_since, 0);
    }
}

static void dirty_stacks_line_up_in_the_order_of_their_turning_dirty(void **state) {
    World *w = *state;
    set_cleaning(w, SWITCH_ON);
    Answer first = world_request_bound(w, "main", NULL), second = world_request_bound(w, "main", NULL);
    world_release_lease(w, "test-2", second.lease_ref, RELEASE_DIRTY);
    world_release_lease(w, "test-1", first.lease_ref, RELEASE_DIRTY);
    assert_true(world_stack(w, "test-2").dirty_since < world_stack(w, "test-1").dirty_since);
}

static void releasing_by_name_what_is_not_leased_changes_nothing(void **state) {
    World *w = *state;
    world_request(w, "main");
    world_release(w, "test-1");
    int64_t events = world_count_events(w);
    Answer answer = world_release(w, "test-1");
    assert_outcome(&answer, OUTCOME_DONE);
    assert_slice_is(answer.message, "Stack test-1 released");
    Command quarantine = world_command(OP_QUARANTINE_STACK);
    quarantine.stack_name = slice_of("test-1");
    world_do(w, quarantine);
    answer = world_release(w, "test-1");
    assert_outcome(&answer, OUTCOME_DONE);
    assert_int_equal(world_stack(w, "test-1").state, STACK_QUARANTINED);
    assert_int_equal(world_count_events(w), events + 1);
}

static void an_unknown_stack_is_said_to_be_unknown(void **state) {
    World *w = *state;
    const OperationId operations[] = {OP_RELEASE_STACK, OP_SET_LAST_DEPLOYED_COMMIT, OP_QUARANTINE_STACK,
                                      OP_RESTORE_STACK, OP_ANNOTATE_STACK,           OP_FORCE_RELEASE_STACK};
    for (size_t i = 0; i < COUNT_OF(operations); i++) {
        Command command = world_command(operations[i]);
        command.stack_name = slice_of("test-9");
        command.last_deployed_commit = slice_of("c1");
        command.now = true;
        Answer answer = world_do(w, command);
        assert_outcome(&answer, OUTCOME_UNKNOWN_STACK);
        assert_slice_is(answer.detail, "project acme has no stack test-9: see the list of its stacks");
    }
}

static void a_bound_lease_is_opened_by_its_secret_alone(void **state) {
    World *w = *state;
    Command command = world_command(OP_REQUEST_STACK);
    command.lease_seconds = 60;
    command.holder_json = slice_of("{\"actor\":\"anna\"}");
    Answer granted = world_do(w, command);
    Answer refused[] = {world_release(w, "test-1"), world_deploy(w, "test-1", "c1")};
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        assert_outcome(&refused[i], OUTCOME_LEASE_REQUIRED);
        assert_slice_is(refused[i].field, "lease");
        assert_slice_is(refused[i].now_held_by, "{\"actor\":\"anna\"}");
        assert_int_equal(refused[i].now_generation, granted.lease_ref.generation);
    }
    Answer answer = deploy_by_lease(w, "test-1", granted.lease_ref);
    assert_outcome(&answer, OUTCOME_DONE);
    assert_slice_is(answer.message, "Last commit of stack test-1 updated");
    answer = world_release_lease(w, "test-1", granted.lease_ref, RELEASE_OK);
    assert_outcome(&answer, OUTCOME_DONE);
}

static void a_plain_lease_with_a_request_is_released_by_name(void **state) {
    World *w = *state;
    Command command = world_command(OP_REQUEST_STACK);
    command.request_id = slice_of(ID);
    Answer granted = world_do(w, command);
    assert_true(granted.has_lease);
    Answer answer = world_release(w, "test-1");
    assert_outcome(&answer, OUTCOME_DONE);
    answer = world_do(w, command);
    assert_outcome(&answer, OUTCOME_REQUEST_OVER);
    assert_slice_is(answer.why, "released");
    assert_slice_is(answer.by, "k1");
    /* It was not its own release. */
    answer = world_release_lease(w, "test-1", granted.lease_ref, RELEASE_OK);
    assert_outcome(&answer, OUTCOME_LEASE_LOST);
}

/* A grant from the queue that its requester has not heard of: whoever speaks of the stack by name means another one. */
static void what_is_said_by_name_is_not_said_by_who_has_not_heard_of_his_grant(void **state) {
    World *w = *state;
    Command bounds = world_command(OP_UPDATE_PROJECT), waits = world_command(OP_REQUEST_STACK);
    bounds.max_stacks = 1;
    world_do(w, bounds);
    world_request(w, "main");
    waits.request_id = slice_of(ID);
    waits.if_none = IF_NONE_WAIT;
    Answer answer = world_do(w, waits);
    assert_outcome(&answer, OUTCOME_QUEUED);
    world_release(w, "test-1");
    assert_false(world_stack(w, "test-1").is_collected);
    answer = world_deploy(w, "test-1", "c1");
    assert_outcome(&answer, OUTCOME_DONE);
    assert_false(world_stack(w, "test-1").is_collected);
    answer = world_release(w, "test-1"); /* a post step that says it again */
    assert_outcome(&answer, OUTCOME_DONE);
    answer = world_do(w, waits);
    assert_outcome(&answer, OUTCOME_DONE);
    assert_true(world_stack(w, "test-1").is_collected);
    answer = world_release(w, "test-1");
    assert_outcome(&answer, OUTCOME_DONE);
    assert_int_equal(world_stack(w, "test-1").state, STACK_AVAILABLE);
}

static void a_secret_of_another_stack_changes_nothing(void **state) {
    World *w = *state;
    Answer first = world_request_bound(w, "main", NULL);
    world_request_bound(w, "main", NULL);
    int64_t events = world_count_events(w);
    const char *others[] = {"test-2", "test-77"};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        Answer answer = world_release_lease(w, others[i], first.lease_ref, RELEASE_OK);
        assert_outcome(&answer, OUTCOME_FORBIDDEN);
        answer = deploy_by_lease(w, others[i], first.lease_ref);
        assert_outcome(&answer, OUTCOME_FORBIDDEN);
    }
    assert_int_equal(world_count_events(w), events);
}

static void the_first_release_counts(void **state) {
    World *w = *state;
    Answer granted = world_request_bound(w, "main", ID);
    world_release_lease(w, "test-1", granted.lease_ref, RELEASE_OK);
    world_request(w, "other");
    int64_t events = world_count_events(w);
    Answer answer = world_release_lease(w, "test-1", granted.lease_ref, RELEASE_BROKEN);
    assert_outcome(&answer, OUTCOME_DONE);
    assert_slice_is(answer.message, "Stack test-1 released");
    assert_int_equal(world_stack(w, "test-1").state, STACK_LEASED);
    assert_int_equal(world_count_events(w), events);
    /* To anything but that repeat the lease is lost. */
    answer = deploy_by_lease(w, "test-1", granted.lease_ref);
    assert_outcome(&answer, OUTCOME_LEASE_LOST);
    assert_slice_is(answer.why, "released");
    assert_int_equal(answer.now_generation, world_stack(w, "test-1").generation);
}

static void a_lease_nobody_remembers_is_lost(void **state) {
    World *w = *state;
    Answer granted = world_request_bound(w, "main", NULL);
    world_release_lease(w, "test-1", granted.lease_ref, RELEASE_OK);
    assert_int_equal(store_prune(w->store, 0, w->moment.wall_ms + 1, 100), STORE_DONE);
    Answer answer = world_release_lease(w, "test-1", granted.lease_ref, RELEASE_OK);
    assert_outcome(&answer, OUTCOME_LEASE_LOST);
    assert_slice_is(answer.why, NULL);
    /* A ticket that came again after a restore is told from the old one by its generation. */
    granted = world_request_bound(w, "main", NULL);
    granted.lease_ref.generation--;
    answer = world_release_lease(w, "test-1", granted.lease_ref, RELEASE_OK);
    assert_outcome(&answer, OUTCOME_LEASE_LOST);
    assert_int_equal(world_stack(w, "test-1").state, STACK_LEASED);
}

static void by_key_one_deploys_where_nobody_is_hurt(void **state) {
    World *w = *state;
    set_cleaning(w, SWITCH_ON);
    world_request(w, "main");
    Answer answer = world_deploy(w, "test-1", "c1"); /* plainly leased */
    assert_outcome(&answer, OUTCOME_DONE);
    EventRow event = world_last_event(w);
    assert_int_equal(event.kind, EVENT_DEPLOYED);
    assert_slice_is(event.commit, "c1");
    world_release(w, "test-1");
    answer = world_deploy(w, "test-1", "c2"); /* available */
    assert_outcome(&answer, OUTCOME_DONE);
    assert_slice_is(world_stack(w, "test-1").last_commit, "c2");

    Answer granted = world_request_bound(w, "main", NULL);
    world_release_lease(w, "test-1", granted.lease_ref, RELEASE_DIRTY);
    answer = world_deploy(w, "test-1", "c3");
    assert_outcome(&answer, OUTCOME_WRONG_STATE);
    Command quarantine = world_command(OP_QUARANTINE_STACK);
    quarantine.stack_name = slice_of("test-1");
    world_do(w, quarantine);
    answer = world_deploy(w, "test-1", "c3");
    assert_outcome(&answer, OUTCOME_WRONG_STATE);

    world_request(w, "main");
    world_do(w, world_command(OP_DELETE_LAST_STACK));
    assert_int_equal(world_stack(w, "test-2").state, STACK_RETIRING);
    answer = world_deploy(w, "test-2", "c4"); /* retiring, plainly leased */
    assert_outcome(&answer, OUTCOME_DONE);
}

static void a_url_stays_until_another_is_told(void **state) {
    World *w = *state;
    world_request(w, "main");
    Command deploy = world_command(OP_SET_LAST_DEPLOYED_COMMIT);
    deploy.stack_name = slice_of("test-1");
    deploy.last_deployed_commit = slice_of("c1");
    deploy.url = slice_of("https://one.example");
    world_do(w, deploy);
    world_deploy(w, "test-1", "c2");
    assert_slice_is(world_stack(w, "test-1").url, "https://one.example");
    assert_slice_is(world_stack(w, "test-1").last_commit, "c2");
}

static void a_retiring_stack_goes_with_its_lease(void **state) {
    World *w = *state;
    const ReleaseOutcome outcomes[] = {RELEASE_OK, RELEASE_DIRTY, RELEASE_BROKEN};
    for (size_t i = 0; i < COUNT_OF(outcomes); i++) {
        Answer granted = world_request_bound(w, "main", NULL);
        world_do(w, world_command(OP_DELETE_LAST_STACK));
        Answer answer = world_release_lease(w, "test-1", granted.lease_ref, outcomes[i]);
        assert_outcome(&answer, OUTCOME_DONE);
        assert_false(world_has_stack(w, "test-1"));
        ProjectRow project = world_project(w);
        assert_int_equal(project.stack_count, 0);
        assert_int_equal(project.leased_count, 0);
        assert_int_equal(project.first_unused, 1);
        /* Also to a repeat, though the stack is gone. */
        answer = world_release_lease(w, "test-1", granted.lease_ref, RELEASE_OK);
        assert_outcome(&answer, OUTCOME_DONE);
    }
}

static void force_wants_a_lease(void **state) {
    World *w = *state;
    world_request(w, "main");
    world_release(w, "test-1");
    Answer answer = force(w, "test-1", RELEASE_DIRTY, true);
    assert_outcome(&answer, OUTCOME_WRONG_STATE);
}

static void force_ends_any_lease(void **state) {
    World *w = *state;
    const struct {
        ReleaseOutcome outcome;
        StackState expected;
        bool is_unknown;
    } cases[] = {
        {RELEASE_DIRTY, STACK_AVAILABLE, true},
        {RELEASE_OK, STACK_AVAILABLE, false},
        {RELEASE_BROKEN, STACK_QUARANTINED, true},
    };
    assert_int_equal(simulate_command(OP_FORCE_RELEASE_STACK, "acme").outcome, RELEASE_DIRTY); /* the default */
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Answer granted = world_request_bound(w, "main", NULL);
        deploy_by_lease(w, "test-1", granted.lease_ref);
        Answer answer = force(w, "test-1", cases[i].outcome, true);
        assert_outcome(&answer, OUTCOME_DONE);
        StackRow row = world_stack(w, "test-1");
        assert_int_equal(row.state, cases[i].expected);
        assert_int_equal(row.is_content_unknown, cases[i].is_unknown);
        EventRow event = world_last_event(w);
        assert_int_equal(event.kind, EVENT_FORCED);
        assert_slice_is(event.by, "boss");
        assert_slice_is(event.note, "stuck");
        answer = world_release_lease(w, "test-1", granted.lease_ref, RELEASE_OK);
        assert_outcome(&answer, OUTCOME_LEASE_LOST);
        assert_slice_is(answer.why, "forced");
        assert_slice_is(answer.by, "boss");
        assert_slice_is(answer.reason, "stuck");
        char detail[256];
        assert_true((size_t)snprintf(detail, sizeof detail, "%.*s", SLICE_PRINT(answer.detail)) < sizeof detail);
        assert_non_null(strstr(detail, "by boss (stuck)"));
    }
    world_request(w, "main"); /* test-2: plain, no request behind it */
    world_do(w, world_command(OP_DELETE_LAST_STACK));
    Answer answer = force(w, "test-2", RELEASE_DIRTY, true);
    assert_outcome(&answer, OUTCOME_DONE);
    assert_false(world_has_stack(w, "test-2"));
}

/* Many plain releases by name, each with a request of its own to be found: the loads stay within their bound. */
static void many_other_halves_are_one_load(void **state) {
    World *w = *state;
    enum { MANY = 64 };
    Command commands[MANY];
    Answer answers[MANY];
    for (int i = 0; i < MANY; i++) {
        commands[i] = world_command(OP_REQUEST_STACK);
        commands[i].request_id = arena_printf(&w->arena, "request-0123456-%d", i);
    }
    world_do_all(w, commands, MANY, answers);
    Command again[MANY * 2];
    Answer answers_again[MANY * 2];
    for (int i = 0; i < MANY; i++) {
        again[2 * i] = commands[i]; /* replayed, then released by name */
        again[2 * i + 1] = world_command(OP_RELEASE_STACK);
        again[2 * i + 1].stack_name = answers[i].stack_name;
    }
    world_do_all(w, again, MANY * 2, answers_again);
    for (int i = 0; i < MANY * 2; i++)
        assert_outcome(&answers_again[i], OUTCOME_DONE);
    assert_int_equal(world_project(w).leased_count, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_outcome_leads_to_its_state),
        TEST(dirty_stacks_line_up_in_the_order_of_their_turning_dirty),
        TEST(releasing_by_name_what_is_not_leased_changes_nothing),
        TEST(an_unknown_stack_is_said_to_be_unknown),
        TEST(a_bound_lease_is_opened_by_its_secret_alone),
        TEST(a_plain_lease_with_a_request_is_released_by_name),
        TEST(what_is_said_by_name_is_not_said_by_who_has_not_heard_of_his_grant),
        TEST(a_secret_of_another_stack_changes_nothing),
        TEST(the_first_release_counts),
        TEST(a_lease_nobody_remembers_is_lost),
        TEST(by_key_one_deploys_where_nobody_is_hurt),
        TEST(a_url_stays_until_another_is_told),
        TEST(a_retiring_stack_goes_with_its_lease),
        TEST(force_wants_a_lease),
        TEST(force_ends_any_lease),
        TEST(many_other_halves_are_one_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
