/* Projects and keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "simulate/world.h"

static Command on_project(OperationId operation, const char *project, const char *key_id) {
    Command command = simulate_command(operation, project);
    command.asker = slice_of("control");
    command.key_id = slice_of(key_id);
    return command;
}

static Answer on_key(World *w, OperationId operation, const char *project, const char *key_id) {
    return world_do(w, on_project(operation, project, key_id));
}

static KeyRow stored_key(World *w, const char *id) {
    KeyRow key;
    ProjectRow project;
    assert_int_equal(store_find_key(w->store, slice_of(id), &w->arena, &key, &project), 0);
    return key;
}

static void a_project_starts_with_its_defaults_and_a_key(void **state) {
    World *w = *state;
    Command create = on_project(OP_CREATE_PROJECT, "web", "kw");
    memset(create.lease_key, 7, sizeof(create.lease_key));
    memset(create.key_hash, 9, sizeof(create.key_hash));
    Answer answer = world_do(w, create);
    assert_outcome(&answer, OUTCOME_DONE);
    assert_slice_is(answer.project_name, "web");
    assert_slice_is(answer.key_id, "kw");
    assert_int_equal(answer.key_scope, SCOPE_AGENT);
    ProjectRow row;
    assert_int_equal(store_find_project(w->store, slice_of("web"), &w->arena, &row), 0);
    assert_slice_is(row.prefix, "test-");
    assert_slice_is(row.initial_commit, NULL);
    assert_int_equal(row.max_stacks, 0);
    assert_int_equal(row.max_hold_seconds, 86400);
    assert_int_equal(row.expiry_grace_seconds, 15);
    assert_false(row.is_cleaning);
    assert_memory_equal(row.lease_key, create.lease_key, sizeof(row.lease_key));
    assert_int_equal(row.last_event, 2);
    KeyRow key = stored_key(w, "kw");
    assert_int_equal(key.scope, SCOPE_AGENT);
    assert_memory_equal(key.hash, create.key_hash, sizeof(key.hash));
    assert_slice_is(key.project, "web");
}

static void names_of_projects_and_keys_are_taken_once(void **state) {
    World *w = *state;
    Answer answer = on_key(w, OP_CREATE_PROJECT, "acme", "k9");
    assert_outcome(&answer, OUTCOME_EXISTS);
    answer = on_key(w, OP_CREATE_PROJECT, "web", "k1"); /* acme's */
    assert_outcome(&answer, OUTCOME_EXISTS);
    const OperationId operations[] = {OP_CREATE_KEY, OP_IMPORT_KEY};
    for (size_t i = 0; i < COUNT_OF(operations); i++) {
        answer = on_key(w, operations[i], "acme", "k1");
        assert_outcome(&answer, OUTCOME_EXISTS);
    }
    Command twice[] = {on_project(OP_CREATE_KEY, "acme", "k2"), on_project(OP_IMPORT_KEY, "acme", "k2")};
    Answer answers[2];
    world_do_all(w, twice, 2, answers);
    assert_outcome(&answers[0], OUTCOME_DONE);
    assert_outcome(&answers[1], OUTCOME_EXISTS);
}

static void settings_change_one_by_one(void **state) {
    World *w = *state;
    Command update = world_command(OP_UPDATE_PROJECT);
    update.prefix = slice_of("pr-");
    update.initial_commit = slice_of("c0");
    update.max_stacks = 3;
    update.max_hold_seconds = 600;
    update.expiry_grace_seconds = 5;
    update.cleaning = SWITCH_ON;
    Answer answer = world_do(w, update);
    assert_outcome(&answer, OUTCOME_DONE);
    answer = world_do(w, world_command(OP_UPDATE_PROJECT)); /* nothing said, nothing changed */
    assert_outcome(&answer, OUTCOME_DONE);
    ProjectRow row = world_project(w);
    assert_slice_is(row.prefix, "pr-");
    assert_slice_is(row.initial_commit, "c0");
    assert_int_equal(row.max_stacks, 3);
    assert_int_equal(row.max_hold_seconds, 600);
    assert_int_equal(row.expiry_grace_seconds, 5);
    assert_true(row.is_cleaning);
    answer = world_request(w, "main");
    assert_slice_is(answer.stack_name, "pr-1");

    update = world_command(OP_UPDATE_PROJECT);
    update.prefix = slice_of("test-");
    update.max_stacks = 9;
    answer = world_do(w, update);
    assert_outcome(&answer, OUTCOME_IN_USE);
    assert_int_equal(world_project(w).max_stacks, 3); /* all or nothing */
    update.prefix = slice_of("pr-");
    answer = world_do(w, update);
    assert_outcome(&answer, OUTCOME_DONE);
    assert_int_equal(world_project(w).max_stacks, 9);
}

static void a_higher_ceiling_serves_everybody_who_waits(void **state) {
    World *w = *state;
    enum { WAITING = 40 };
    char ids[WAITING][32];
    Command update = world_command(OP_UPDATE_PROJECT);
    update.max_stacks = 1;
    Answer answer = world_do(w, update);
    assert_outcome(&answer, OUTCOME_DONE);
    answer = world_request(w, "main");
    assert_outcome(&answer, OUTCOME_DONE);
    for (int i = 0; i < WAITING; i++) {
        Command ask = world_command(OP_REQUEST_STACK);
        (void)snprintf(ids[i], sizeof ids[i], "request-%016d", i);
        ask.request_id = slice_of(ids[i]);
        ask.if_none = IF_NONE_WAIT;
        answer = world_do(w, ask);
        assert_outcome(&answer, OUTCOME_QUEUED);
        assert_int_equal(answer.position, i + 1);
    }
    update.max_stacks = 1 + WAITING;
    answer = world_do(w, update);
    assert_outcome(&answer, OUTCOME_DONE);
    assert_int_equal(world_project(w).queued_count, 0);
    assert_int_equal(world_project(w).stack_count, 1 + WAITING);
    assert_int_equal(world_stack(w, "test-2").is_collected, 0);
}

static void a_lower_ceiling_deletes_nothing(void **state) {
    World *w = *state;
    for (int i = 0; i < 3; i++)
        world_request(w, "main");
    Command update = world_command(OP_UPDATE_PROJECT);
    update.max_stacks = 1;
    world_do(w, update);
    assert_int_equal(world_project(w).stack_count, 3);
    Answer answer = world_request(w, "main");
    assert_outcome(&answer, OUTCOME_NONE_AVAILABLE);
    world_release(w, "test-2");
    answer = world_request(w, "main"); /* what is there may be used */
    assert_slice_is(answer.stack_name, "test-2");
}

static void a_project_goes_only_when_it_is_empty(void **state) {
    World *w = *state;
    Answer granted = world_request_bound(w, "main", NULL);
    Answer answer = world_do(w, world_command(OP_DELETE_PROJECT));
    assert_outcome(&answer, OUTCOME_IN_USE);
    world_release_lease(w, "test-1", granted.lease_ref, RELEASE_OK);
    answer = world_do(w, world_command(OP_DELETE_PROJECT));
    assert_outcome(&answer, OUTCOME_IN_USE);
    world_do(w, world_command(OP_DELETE_LAST_STACK));
    on_key(w, OP_CREATE_KEY, "acme", "k2");
    answer = world_do(w, world_command(OP_DELETE_PROJECT));
    assert_outcome(&answer, OUTCOME_DONE);
    assert_true(world_project(w).is_deleted);
    assert_int_not_equal(stored_key(w, "k1").revoked_ms, 0);
    assert_int_not_equal(stored_key(w, "k2").revoked_ms, 0);
    const OperationId operations[] = {OP_REQUEST_STACK, OP_UPDATE_PROJECT, OP_DELETE_PROJECT, OP_CREATE_KEY,
                                      OP_REVOKE_KEY};
    for (size_t i = 0; i < COUNT_OF(operations); i++) {
        answer = on_key(w, operations[i], "acme", "k1");
        assert_outcome(&answer, OUTCOME_UNKNOWN_PROJECT);
    }
}

static void a_project_made_again_goes_on_counting(void **state) {
    World *w = *state;
    Answer granted = world_request_bound(w, "main", NULL);
    int64_t generation = granted.lease_ref.generation, ticket = granted.lease_ref.ticket;
    world_release_lease(w, "test-1", granted.lease_ref, RELEASE_OK);
    world_do(w, world_command(OP_DELETE_LAST_STACK));
    Command update = world_command(OP_UPDATE_PROJECT);
    update.max_stacks = 1;
    world_do(w, update);
    world_do(w, world_command(OP_DELETE_PROJECT));
    int64_t last_event = world_project(w).last_event;

    w->moment.wall_ms -= 1000 * 1000; /* even when the clock went back */
    Answer answer = on_key(w, OP_CREATE_PROJECT, "acme", "k7");
    assert_outcome(&answer, OUTCOME_DONE);
    assert_int_equal(world_project(w).max_stacks, 0);
    assert_true(world_project(w).last_event > last_event);
    granted = world_request_bound(w, "main", NULL);
    assert_slice_is(granted.stack_name, "test-1");
    assert_int_equal(granted.lease_ref.generation, generation + 1);
    assert_int_equal(granted.lease_ref.ticket, ticket + 1);
}

/* The control socket may send all of a project's life in one batch. */
static void a_project_is_made_and_used_in_one_batch(void **state) {
    World *w = *state;
    Command commands[5];
    Answer answers[5];
    commands[0] = on_project(OP_CREATE_PROJECT, "web", "kw");
    commands[1] = commands[2] = on_project(OP_REQUEST_STACK, "web", NULL);
    commands[3] = on_project(OP_DELETE_LAST_STACK, "web", NULL);
    commands[4] = on_project(OP_REQUEST_STACK, "web", NULL);
    world_do_all(w, commands, 5, answers);
    for (size_t i = 0; i < 5; i++)
        assert_outcome(&answers[i], OUTCOME_DONE);
    assert_slice_is(answers[1].stack_name, "test-1");
    assert_slice_is(answers[2].stack_name, "test-2");
    assert_slice_is(answers[4].stack_name, "test-3");
}

static void keys_come_and_go(void **state) {
    World *w = *state;
    Command create = on_project(OP_CREATE_KEY, "acme", "k2");
    create.key_scope = SCOPE_OPERATOR;
    create.label = slice_of("night shift");
    Answer answer = world_do(w, create);
    assert_outcome(&answer, OUTCOME_DONE);
    assert_slice_is(answer.key_id, "k2");
    assert_int_equal(answer.key_scope, SCOPE_OPERATOR);
    EventRow event = world_last_event(w);
    assert_int_equal(event.kind, EVENT_KEY_CREATED);
    assert_slice_is(event.note, "operator key k2: night shift");
    assert_slice_is(event.by, "control");

    for (int i = 0; i < 2; i++) {
        answer = on_key(w, OP_REVOKE_KEY, "acme", "k2");
        assert_outcome(&answer, OUTCOME_DONE);
    }
    assert_int_equal(world_last_event(w).kind, EVENT_KEY_REVOKED);
    assert_int_equal(world_last_event(w).id, event.id + 1);
    assert_int_not_equal(stored_key(w, "k2").revoked_ms, 0);
}

static void a_key_of_another_project_is_unknown_here(void **state) {
    World *w = *state;
    on_key(w, OP_CREATE_PROJECT, "web", "kw");
    const char *ids[] = {"kw", "never"};
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        Answer answer = on_key(w, OP_REVOKE_KEY, "acme", ids[i]);
        assert_outcome(&answer, OUTCOME_UNKNOWN_KEY);
    }
    assert_int_equal(stored_key(w, "kw").revoked_ms, 0);
}

static void the_rules_know_their_operations(void **state) {
    (void)state;
    assert_true(lease_decides(OP_REQUEST_STACK));
    assert_true(lease_decides(OP_REVOKE_KEY));
    assert_false(lease_decides(OP_LIST_STACKS));
    assert_false(lease_decides(OP_BACKUP));
    assert_false(lease_decides(OP_COUNT));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_project_starts_with_its_defaults_and_a_key),
        TEST(names_of_projects_and_keys_are_taken_once),
        TEST(settings_change_one_by_one),
        TEST(a_higher_ceiling_serves_everybody_who_waits),
        TEST(a_lower_ceiling_deletes_nothing),
        TEST(a_project_goes_only_when_it_is_empty),
        TEST(a_project_made_again_goes_on_counting),
        TEST(a_project_is_made_and_used_in_one_batch),
        TEST(keys_come_and_go),
        TEST(a_key_of_another_project_is_unknown_here),
        TEST(the_rules_know_their_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
