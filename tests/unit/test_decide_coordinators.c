/* What the rules do for several coordinators: renewals are counted, a loss is for the count that was seen, and a waiting
 * request names the coordinator that heard of it last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "simulate/world.h"

#define ID "request-0123456789"
enum { HERE = 5, THERE = 6 };

static int among_others(void **state) {
    int r = world_setup(state);
    World *w = *state;
    w->moment.coordinator = HERE;
    return r;
}

static void pass_due(World *w, Due due) {
    const SimulatedBatch batch = {.store = w->store,
                                  .arena = &w->arena,
                                  .moment = &w->moment,
                                  .dues = &due,
                                  .due_count = 1,
                                  .due_project = slice_of("acme")};
    assert_int_equal(simulate_batch_with(&batch), 0);
}

static Answer renew(World *w, LeaseRef lease) {
    Command command = world_command(OP_RENEW_LEASE);
    command.lease_ref = lease;
    return world_do(w, command);
}

static int64_t renewals(World *w) {
    return world_stack(w, "test-1").renewals;
}

static void the_grant_and_every_renewal_are_counted(void **state) {
    World *w = *state;
    Answer granted = world_request_bound(w, "main", ID);
    assert_int_equal(renewals(w), 1);
    Answer renewed = renew(w, granted.lease_ref);
    assert_outcome(&renewed, OUTCOME_DONE);
    assert_int_equal(renewals(w), 2);
    world_deploy(w, "test-1", "c1"); /* refused: it is bound */
    assert_int_equal(renewals(w), 2);
    Answer again = world_request_bound(w, "main", ID); /* tells what is left: as good as a renewal */
    assert_outcome(&again, OUTCOME_DONE);
    assert_int_equal(renewals(w), 3);
}

static void one_coordinator_alone_counts_nothing(void **state) {
    World *w = *state;
    w->moment.coordinator = 0;
    Answer granted = world_request_bound(w, "main", ID);
    renew(w, granted.lease_ref);
    world_request_bound(w, "main", ID);
    assert_int_equal(renewals(w), 0);
}

static void a_loss_is_for_the_count_that_was_seen(void **state) {
    World *w = *state;
    Answer granted = world_request_bound(w, "main", ID);
    Due lost = {.kind = DUE_EXPIRED, .stack_number = 1, .ticket = granted.lease_ref.ticket, .renewals = 1};
    renew(w, granted.lease_ref); /* through another coordinator, say */
    pass_due(w, lost);
    assert_int_equal(world_stack(w, "test-1").ticket, granted.lease_ref.ticket);
    lost.renewals = 2;
    pass_due(w, lost);
    assert_int_equal(world_stack(w, "test-1").ticket, 0);
}

static Answer wait_in_line(World *w, const char *request_id) {
    Command command = world_command(OP_REQUEST_STACK);
    command.branch = slice_of("main");
    command.request_id = slice_of(request_id);
    command.if_none = IF_NONE_WAIT;
    return world_do(w, command);
}

static int find_first(void *arg, const RequestRow *row) {
    *(RequestRow *)arg = *row;
    return 1;
}

static RequestRow first_in_line(World *w) {
    RequestRow row = {.ticket = 0};
    const ReadQuery query = {.list = LIST_QUEUE, .project = slice_of("acme"), .after = FIELD_ABSENT};
    (void)(store_read(w->store, &query, &(StoreRows){.request = find_first, .arg = &row}) == 0);
    return row;
}

static void a_waiting_request_names_who_heard_of_it_last(void **state) {
    World *w = *state;
    Command one = world_command(OP_UPDATE_PROJECT);
    one.max_stacks = 1;
    world_do(w, one);
    world_request_bound(w, "main", ID);
    Answer queued = wait_in_line(w, "another-0123456789");
    assert_outcome(&queued, OUTCOME_QUEUED);
    assert_int_equal(first_in_line(w).heard_at, HERE);
    w->moment.coordinator = THERE;
    wait_in_line(w, "another-0123456789");
    assert_int_equal(first_in_line(w).heard_at, THERE);
    /* Who heard of it before has nothing to say any more. */
    Due unheard = {.kind = DUE_UNHEARD, .ticket = queued.lease_ref.ticket, .heard_at = HERE};
    pass_due(w, unheard);
    assert_true(first_in_line(w).is_heard);
    unheard.heard_at = THERE;
    pass_due(w, unheard);
    assert_false(first_in_line(w).is_heard);
    w->moment.coordinator = HERE;
    Due heard = {.kind = DUE_HEARD, .ticket = queued.lease_ref.ticket, .heard_at = HERE};
    pass_due(w, heard);
    assert_false(first_in_line(w).is_heard);
    heard.heard_at = THERE;
    pass_due(w, heard);
    assert_true(first_in_line(w).is_heard);
    assert_int_equal(first_in_line(w).heard_at, HERE);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, among_others, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_grant_and_every_renewal_are_counted),
        TEST(one_coordinator_alone_counts_nothing),
        TEST(a_loss_is_for_the_count_that_was_seen),
        TEST(a_waiting_request_names_who_heard_of_it_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
