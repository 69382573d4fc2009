/* deleteLastStack, quarantineStack, restoreStack, annotateStack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "simulate/world.h"

static Answer on_stack(World *w, OperationId operation, const char *stack_name) {
    Command command = world_command(operation);
    command.stack_name = slice_of(stack_name);
    command.reason = slice_of("disk full");
    return world_do(w, command);
}

static Answer annotate(World *w, const char *note) {
    Command command = world_command(OP_ANNOTATE_STACK);
    command.stack_name = slice_of("test-1");
    command.note = slice_of(note);
    return world_do(w, command);
}

static void the_highest_goes_and_a_leased_one_retires(void **state) {
    World *w = *state;
    for (int i = 0; i < 3; i++)
        world_request(w, "main");
    world_release(w, "test-3");
    const struct {
        const char *message;
        int kind;
    } cases[] = {
        {"Stack test-3 deleted", EVENT_DELETED},
        {"Stack test-2 deleted", EVENT_RETIRED},
        {"Stack test-1 deleted", EVENT_RETIRED},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Answer answer = world_do(w, world_command(OP_DELETE_LAST_STACK));
        assert_outcome(&answer, OUTCOME_DONE);
        assert_slice_is(answer.message, cases[i].message);
        assert_int_equal(world_last_event(w).kind, cases[i].kind);
    }
    /* A loop "until No more stack" ends although two of them still have their lease. */
    Answer answer = world_do(w, world_command(OP_DELETE_LAST_STACK));
    assert_slice_is(answer.message, "No more stack");
    assert_int_equal(world_project(w).stack_count, 2);
    assert_int_equal(world_project(w).leased_count, 2);
    assert_int_equal(world_stack(w, "test-2").state, STACK_RETIRING);
    world_release(w, "test-2");
    world_release(w, "test-1");
    assert_int_equal(world_project(w).stack_count, 0);
}

static void one_batch_deletes_one_after_the_other(void **state) {
    World *w = *state;
    Command commands[8];
    Answer answers[8];
    for (size_t i = 0; i < 3; i++)
        world_request(w, "main");
    world_release(w, "test-3");
    for (size_t i = 0; i < 8; i++)
        commands[i] = world_command(i == 4 ? OP_REQUEST_STACK : OP_DELETE_LAST_STACK);
    world_do_all(w, commands, 8, answers);
    const char *expected[] = {
        "Stack test-3 deleted", "Stack test-2 deleted", "Stack test-1 deleted", "No more stack", NULL,
        "Stack test-3 deleted", "No more stack",        "No more stack"};
    for (size_t i = 0; i < 8; i++)
        assert_slice_is(answers[i].message, expected[i]);
    assert_slice_is(answers[4].stack_name, "test-3");
    assert_int_equal(world_stack(w, "test-3").state, STACK_RETIRING);
}

/* Each delete takes the stack the next request would have got; what the store has beyond is fetched. */
static void deletes_and_requests_in_one_batch(void **state) {
    World *w = *state;
    enum { STACKS = 40 };
    Command commands[STACKS];
    Answer answers[STACKS];
    for (int i = 0; i < STACKS; i++)
        commands[i] = world_command(OP_REQUEST_STACK);
    world_do_all(w, commands, STACKS, answers);
    for (int i = 0; i < STACKS; i++)
        world_release(w, arena_printf(&w->arena, "test-%d", i + 1).ptr);
    for (int i = 0; i < STACKS; i++)
        commands[i] = world_command(i % 2 == 0 ? OP_DELETE_LAST_STACK : OP_REQUEST_STACK);
    world_do_all(w, commands, STACKS, answers);
    /* test-40 deleted; test-39, now the last requested, granted; it retires; test-38 granted; … */
    assert_slice_is(answers[0].message, "Stack test-40 deleted");
    assert_slice_is(answers[1].stack_name, "test-39");
    assert_slice_is(answers[2].message, "Stack test-39 deleted");
    assert_slice_is(answers[3].stack_name, "test-38");
    assert_int_equal(world_project(w).leased_count, STACKS / 2);
}

static void stacks_are_moved_by_hand(void **state) {
    World *w = *state;
    world_request(w, "main");
    Answer answer = on_stack(w, OP_RESTORE_STACK, "test-1");
    assert_outcome(&answer, OUTCOME_WRONG_STATE);
    world_release(w, "test-1");

    answer = on_stack(w, OP_RESTORE_STACK, "test-1");
    assert_outcome(&answer, OUTCOME_DONE);
    assert_int_equal(world_last_event(w).kind, EVENT_RELEASED); /* nothing happened */
    for (int i = 0; i < 2; i++) {
        answer = on_stack(w, OP_QUARANTINE_STACK, "test-1");
        assert_outcome(&answer, OUTCOME_DONE);
        assert_slice_is(answer.message, "Stack test-1 quarantined");
    }
    EventRow event = world_last_event(w);
    assert_int_equal(event.kind, EVENT_QUARANTINED);
    assert_slice_is(event.note, "disk full");
    assert_int_equal(world_project(w).leased_count, 0);
    answer = world_request(w, "main");
    assert_slice_is(answer.stack_name, "test-2"); /* not the quarantined one */

    answer = on_stack(w, OP_RESTORE_STACK, "test-1");
    assert_outcome(&answer, OUTCOME_DONE);
    assert_int_equal(world_last_event(w).kind, EVENT_RESTORED);
    answer = world_request(w, "main");
    assert_slice_is(answer.stack_name, "test-1");
    world_do(w, world_command(OP_DELETE_LAST_STACK));
    answer = on_stack(w, OP_QUARANTINE_STACK, "test-2");
    assert_outcome(&answer, OUTCOME_WRONG_STATE); /* retiring */
}

/* Else it rests until its holder must have stopped, out of use or not. */
static void an_operator_in_a_hurry_quarantines_without_rest(void **state) {
    World *w = *state;
    for (int now = 0; now < 2; now++) {
        Answer granted = world_request_bound(w, "main", NULL);
        Command quarantine = world_command(OP_QUARANTINE_STACK);
        quarantine.stack_name = granted.stack_name;
        quarantine.now = now != 0;
        Answer answer = world_do(w, quarantine);
        assert_outcome(&answer, OUTCOME_DONE);
        StackRow row = world_stack(w, now != 0 ? "test-2" : "test-1");
        assert_int_equal(row.state, STACK_QUARANTINED);
        assert_int_equal(row.quiet_until_ms != 0, now == 0);
    }
}

static void restoring_does_not_tell_what_is_on_it(void **state) {
    World *w = *state;
    Answer granted = world_request_bound(w, "main", NULL);
    world_release_lease(w, "test-1", granted.lease_ref, RELEASE_BROKEN);
    on_stack(w, OP_RESTORE_STACK, "test-1");
    StackRow row = world_stack(w, "test-1");
    assert_int_equal(row.state, STACK_AVAILABLE);
    assert_true(row.is_content_unknown);
}

static void quarantined_stacks_count_and_can_be_deleted(void **state) {
    World *w = *state;
    world_request(w, "main");
    world_release(w, "test-1");
    on_stack(w, OP_QUARANTINE_STACK, "test-1");
    Command update = world_command(OP_UPDATE_PROJECT);
    update.max_stacks = 1;
    world_do(w, update);
    Answer answer = world_request(w, "main");
    assert_outcome(&answer, OUTCOME_NONE_AVAILABLE);
    answer = world_do(w, world_command(OP_DELETE_LAST_STACK));
    assert_slice_is(answer.message, "Stack test-1 deleted");
    answer = world_request(w, "main");
    assert_slice_is(answer.stack_name, "test-1");
}

static void a_note_is_set_and_cleared_under_any_state(void **state) {
    World *w = *state;
    world_request(w, "main");
    Answer answer = annotate(w, "slow disk");
    assert_outcome(&answer, OUTCOME_DONE);
    assert_slice_is(world_stack(w, "test-1").note, "slow disk");
    assert_slice_is(world_last_event(w).note, "slow disk");
    int64_t events = world_count_events(w);
    annotate(w, "slow disk");
    assert_int_equal(world_count_events(w), events);
    annotate(w, "");
    assert_slice_is(world_stack(w, "test-1").note, NULL);
    assert_int_equal(world_count_events(w), events + 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_highest_goes_and_a_leased_one_retires),   TEST(one_batch_deletes_one_after_the_other),
        TEST(deletes_and_requests_in_one_batch),           TEST(stacks_are_moved_by_hand),
        TEST(restoring_does_not_tell_what_is_on_it),       TEST(an_operator_in_a_hurry_quarantines_without_rest),
        TEST(quarantined_stacks_count_and_can_be_deleted), TEST(a_note_is_set_and_cleared_under_any_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
