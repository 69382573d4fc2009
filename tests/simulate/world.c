#include "simulate/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "simulate/array_store.h"

int world_setup(void **state) {
    World *w = calloc(1, sizeof(*w));
    if (w == NULL || array_store_open(&w->store) != 0)
        return -1;
    arena_init(&w->arena);
    w->moment.wall_ms = WORLD_START_MS;
    *state = w;
    Command create = world_command(OP_CREATE_PROJECT);
    create.key_id = slice_of("k1");
    Answer answer = world_do(w, create);
    return answer.outcome == OUTCOME_DONE ? 0 : -1;
}

int world_teardown(void **state) {
    World *w = *state;
    store_close(w->store);
    arena_deinit(&w->arena);
    free(w);
    return 0;
}

Command world_command(OperationId operation) {
    Command command = simulate_command(operation, "acme");
    command.asker = slice_of("k1");
    return command;
}

void world_do_all(World *w, const Command *commands, size_t count, Answer *answers) {
    w->moment.wall_ms += 1000;
    assert_int_equal(simulate_batch(w->store, &w->arena, &w->moment, commands, count, answers), 0);
}

Answer world_do(World *w, Command command) {
    Answer answer;
    world_do_all(w, &command, 1, &answer);
    return answer;
}

Answer world_request(World *w, const char *branch) {
    Command command = world_command(OP_REQUEST_STACK);
    command.branch = slice_of(branch);
    return world_do(w, command);
}

Answer world_request_bound(World *w, const char *branch, const char *request_id) {
    Command command = world_command(OP_REQUEST_STACK);
    command.branch = slice_of(branch);
    command.request_id = slice_of(request_id);
    command.lease_seconds = 60;
    return world_do(w, command);
}

Answer world_release(World *w, const char *stack_name) {
    Command command = world_command(OP_RELEASE_STACK);
    command.stack_name = slice_of(stack_name);
    return world_do(w, command);
}

Answer world_release_lease(World *w, const char *stack_name, LeaseRef lease, ReleaseOutcome outcome) {
    Command command = world_command(OP_RELEASE_STACK);
    command.stack_name = slice_of(stack_name);
    command.asker = slice_of("lease");
    command.lease_ref = lease;
    command.outcome = (int)outcome;
    return world_do(w, command);
}

Answer world_deploy(World *w, const char *stack_name, const char *commit) {
    Command command = world_command(OP_SET_LAST_DEPLOYED_COMMIT);
    command.stack_name = slice_of(stack_name);
    command.last_deployed_commit = slice_of(commit);
    return world_do(w, command);
}

ProjectRow world_project(World *w) {
    ProjectRow row;
    assert_int_equal(store_find_project(w->store, slice_of("acme"), &w->arena, &row), 0);
    return row;
}

typedef struct Search {
    const char *name;
    bool is_found;
    StackRow row;
    EventRow event;
    int64_t count;
} Search;

static int match_stack(void *arg, const StackRow *row) {
    Search *search = arg;
    if (slice_equal_text(row->name, search->name)) {
        search->row = *row;
        search->is_found = true;
    }
    return 0;
}

static int match_event(void *arg, const EventRow *row) {
    Search *search = arg;
    search->event = *row;
    search->count++;
    return 0;
}

static Search search(World *w, ListQuery list, const char *name) {
    Search found = {.name = name};
    const StoreRows rows = {.stack = match_stack, .event = match_event, .arg = &found};
    const ReadQuery query = {.list = list, .project = slice_of("acme"), .after = FIELD_ABSENT};
    assert_int_equal(store_read(w->store, &query, &rows), 0);
    return found;
}

bool world_has_stack(World *w, const char *name) {
    return search(w, LIST_STACKS, name).is_found;
}

StackRow world_stack(World *w, const char *name) {
    Search found = search(w, LIST_STACKS, name);
    assert_true(found.is_found);
    return found.row;
}

EventRow world_last_event(World *w) {
    return search(w, LIST_EVENTS, NULL).event;
}

int64_t world_count_events(World *w) {
    return search(w, LIST_EVENTS, NULL).count;
}

void assert_slice_is(Slice actual, const char *expected) {
    if (expected == NULL) {
        assert_true(slice_is_absent(actual));
        return;
    }
    assert_false(slice_is_absent(actual));
    assert_int_equal(actual.len, strlen(expected));
    assert_memory_equal(actual.ptr, expected, actual.len);
}

void assert_outcome(const Answer *answer, Outcome expected) {
    if (answer->outcome != expected)
        print_error("%s: %.*s\n", outcome_row(answer->outcome)->code, SLICE_PRINT(answer->detail));
    assert_int_equal(answer->outcome, expected);
}
