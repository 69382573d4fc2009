/*
 * Random commands in random batches, through the rules and an engine, judged by the model: every answer, and after every
 * batch every stack. What the model cannot see is checked on its own: generations only grow, nobody gets a held stack.
 *
 *     test_schedule [SEED [COMMANDS]]
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/random.h"
#include "simulate/array_store.h"
#include "simulate/batch.h"
#include "simulate/model.h"

#define BRANCHES 6
#define COMMITS 4
#define STACKS 40
#define IDS 200
#define TEXT_MAX 32
#define LEASES 64 /* remembered by clients, most of them over */

typedef struct Schedule {
    SeededRandom random;
    Store *store;
    Arena arena;
    Moment moment;
    Model model;
    ModelCommand leases[LEASES]; /* as ready-made releases */
    size_t lease_count;
    int requests_in_10; /* of this batch's commands */
    int64_t last_generation;
    uint64_t commands_done;
} Schedule;

static uint64_t seed;
static uint64_t commands_wanted = 200000;

static int below(Schedule *s, int bound) {
    return (int)seeded_random_below(&s->random, (uint64_t)bound);
}

/* ---- Commands ---- */

/* Low numbers are there more often. */
static int any_stack(Schedule *s) {
    return 1 + below(s, 1 + below(s, STACKS));
}

static ModelCommand random_request(Schedule *s) {
    return (ModelCommand){.operation = OP_REQUEST_STACK,
                          .branch = below(s, BRANCHES + 1) - 1,
                          .commit = below(s, 3) == 0 ? 1 + below(s, COMMITS) : MODEL_NONE,
                          .id = below(s, 2) == 0 ? below(s, IDS) : MODEL_NONE,
                          .lease_seconds = below(s, 2) == 0 ? 30 + below(s, 2) : MODEL_NONE,
                          .if_none = below(s, 20) == 0 ? IF_NONE_FAIL : IF_NONE_DEFAULT};
}

/* With a client's lease, which it mostly forgets when it releases, now and then for another stack than its own; or by key,
 * for any stack. */
static ModelCommand random_by_holder(Schedule *s, OperationId operation) {
    ModelCommand c = {.stack = any_stack(s)};
    if (s->lease_count > 0 && below(s, 3) != 0) {
        size_t place = (size_t)below(s, (int)s->lease_count);
        c = s->leases[place];
        if (operation == OP_RELEASE_STACK && below(s, 8) != 0)
            s->leases[place] = s->leases[--s->lease_count];
        if (below(s, 30) == 0)
            c.stack = any_stack(s);
    }
    int shape = below(s, 20);
    c.operation = operation;
    c.commit = 1 + below(s, COMMITS);
    c.outcome = shape == 0 ? RELEASE_BROKEN : shape < 4 ? RELEASE_DIRTY : RELEASE_OK;
    return c;
}

/* One batch asks for much, the next gives back, deletes and deploys: full pools and empty ones both come by. */
static ModelCommand random_command(Schedule *s) {
    int dice = s->requests_in_10 > below(s, 10) ? 0 : 40 + below(s, 60);
    ModelCommand c = {.stack = any_stack(s), .id = below(s, IDS), .outcome = (ReleaseOutcome)below(s, 3)};
    if (dice < 40)
        return random_request(s);
    if (dice < 70)
        return random_by_holder(s, OP_RELEASE_STACK);
    if (dice < 78)
        return random_by_holder(s, OP_SET_LAST_DEPLOYED_COMMIT);
    c.operation = dice < 82   ? OP_CANCEL_REQUEST
                  : dice < 86 ? OP_JOIN_REQUEST
                  : dice < 89 ? OP_DELETE_LAST_STACK
                  : dice < 93 ? OP_QUARANTINE_STACK
                  : dice < 97 ? OP_RESTORE_STACK
                  : dice < 99 ? OP_FORCE_RELEASE_STACK
                              : OP_UPDATE_PROJECT;
    c.max_stacks = 1 + below(s, STACKS);
    return c;
}

static Slice numbered(Arena *arena, const char *format, int number) {
    char text[TEXT_MAX];
    if (number == MODEL_NONE)
        return SLICE_ABSENT;
    (void)snprintf(text, sizeof(text), "%s%d", format, number);
    return arena_printf(arena, "%s", text);
}

static Slice branch_text(Arena *arena, int branch) {
    return branch == 0 ? slice_of("main") : numbered(arena, "feat/", branch);
}

/* Fields that the operation has not are ignored. */
static Command spell(Schedule *s, const ModelCommand *c) {
    Command command = simulate_command(c->operation, "acme");
    command.asker = slice_of(c->ticket != 0 ? "lease" : "k1");
    command.branch = branch_text(&s->arena, c->branch);
    command.commit = command.last_deployed_commit = numbered(&s->arena, "c", c->commit);
    command.request_id = numbered(&s->arena, "request-00000000", c->id);
    command.lease_seconds = c->lease_seconds != MODEL_NONE ? c->lease_seconds : FIELD_ABSENT;
    command.if_none = (int)c->if_none;
    command.stack_name = numbered(&s->arena, "test-", c->stack);
    command.lease_ref = (LeaseRef){.ticket = c->ticket, .generation = c->generation};
    command.outcome = (int)c->outcome;
    command.now = true;
    command.max_stacks = c->max_stacks;
    return command;
}

/* ---- Judgement ---- */

static void assert_text(Slice actual, Slice expected) {
    if (!slice_equal(actual, expected))
        fail_msg("got '%.*s', not '%.*s'", SLICE_PRINT(actual), SLICE_PRINT(expected));
}

static void judge(Schedule *s, const ModelCommand *c, const Answer *answer, const ModelAnswer *expected) {
    if (answer->outcome != expected->outcome)
        fail_msg("%s of test-%d: %s, not %s (%.*s)", operation_row(c->operation)->name, c->stack,
                 outcome_row(answer->outcome)->code, outcome_row(expected->outcome)->code, SLICE_PRINT(answer->detail));
    if (expected->stack != 0) {
        assert_text(answer->stack_name, numbered(&s->arena, "test-", expected->stack));
        assert_text(answer->last_deployed_commit, numbered(&s->arena, "c", expected->commit));
        assert_int_equal(answer->is_reused, expected->is_reused);
        assert_int_equal(answer->has_lease, expected->has_lease);
        assert_int_equal(answer->lease_ref.ticket, expected->ticket);
        assert_int_equal(answer->lease_ref.generation, expected->generation);
    }
    if (expected->why != WHY_NONE)
        assert_text(answer->why, slice_of(request_why_names[expected->why]));
    if (c->operation == OP_CANCEL_REQUEST)
        assert_text(answer->result, slice_of(expected->result));
}

typedef struct Audit {
    Schedule *schedule;
    int last_number;
    int64_t leased, requested_max;
} Audit;

static int audit_stack(void *arg, const StackRow *row) {
    Audit *audit = arg;
    Schedule *s = audit->schedule;
    int number = (int)row->number;
    const ModelStack *expected = &s->model.stacks[number];
    for (int n = audit->last_number + 1; n < number; n++)
        assert_false(s->model.stacks[n].exists);
    audit->last_number = number;
    audit->leased += row->ticket != 0;
    assert_true(expected->exists);
    assert_int_equal(row->state, expected->state);
    assert_text(row->branch, branch_text(&s->arena, expected->branch));
    assert_text(row->last_commit, numbered(&s->arena, "c", expected->commit));
    assert_int_equal(row->is_content_unknown, expected->is_unknown);
    assert_int_equal(row->requested, expected->requested);
    assert_int_equal(row->ticket, expected->ticket);
    assert_int_equal(row->generation, expected->ticket != 0 ? expected->generation : 0);
    assert_int_equal(row->lease_seconds > 0, expected->ticket != 0 && expected->is_bound);
    return 0;
}

static void audit(Schedule *s) {
    Audit a = {.schedule = s};
    const StoreRows rows = {.stack = audit_stack, .arg = &a};
    const ReadQuery query = {.list = LIST_STACKS, .project = slice_of("acme"), .after = FIELD_ABSENT};
    ProjectRow project;
    assert_int_equal(store_read(s->store, &query, &rows), 0);
    for (int n = a.last_number + 1; n < MODEL_STACKS; n++)
        assert_false(s->model.stacks[n].exists);
    assert_int_equal(store_find_project(s->store, slice_of("acme"), &s->arena, &project), 0);
    int64_t count = 0;
    for (int n = 1; n < MODEL_STACKS; n++) {
        count += s->model.stacks[n].exists;
        assert_true(n >= project.first_unused || s->model.stacks[n].exists);
    }
    assert_int_equal(project.stack_count, count);
    assert_int_equal(project.leased_count, a.leased);
    assert_int_equal(project.last_ticket, s->model.last_ticket);
    assert_int_equal(project.last_generation, s->model.last_generation);
    assert_true(project.last_generation >= s->last_generation);
    s->last_generation = project.last_generation;
}

/* ---- The schedule ---- */

static void remember_lease(Schedule *s, const ModelAnswer *answer) {
    if (answer->outcome != OUTCOME_DONE || !answer->has_lease)
        return;
    size_t place = s->lease_count < LEASES ? s->lease_count++ : (size_t)below(s, LEASES);
    s->leases[place] = (ModelCommand){
        .stack = answer->stack, .ticket = answer->ticket, .generation = answer->generation, .id = MODEL_NONE};
}

/* Small ones show what happens past the few rows that were loaded, large ones what many do to each other. */
static size_t random_size(Schedule *s) {
    int dice = below(s, 20);
    return dice == 0 ? BATCH_MAX : 1 + (size_t)below(s, dice < 14 ? 8 : 64);
}

static void run_batch(Schedule *s) {
    static ModelCommand spoken[BATCH_MAX];
    static Command commands[BATCH_MAX];
    static Answer answers[BATCH_MAX];
    size_t count = random_size(s);
    s->requests_in_10 = 1 + below(s, 4);
    arena_reset(&s->arena);
    s->moment.wall_ms += below(s, 10) == 0 ? -below(s, 3000) : below(s, 1000);
    s->model.wall_ms = s->moment.wall_ms;
    for (size_t i = 0; i < count; i++) {
        spoken[i] = random_command(s);
        commands[i] = spell(s, &spoken[i]);
    }
    assert_int_equal(simulate_batch(s->store, &s->arena, &s->moment, commands, count, answers), 0);
    for (size_t i = 0; i < count; i++) {
        ModelAnswer expected = model_do(&s->model, &spoken[i]);
        judge(s, &spoken[i], &answers[i], &expected);
        remember_lease(s, &expected);
        s->commands_done++;
    }
    audit(s);
}

static void prune(Schedule *s) {
    int64_t before = s->moment.wall_ms - 5000;
    int r;
    do
        r = store_prune(s->store, before, before, 256);
    while (r == 0);
    assert_int_equal(r, STORE_DONE);
    model_prune(&s->model, before);
}

static void create_project(Schedule *s) {
    Command create = simulate_command(OP_CREATE_PROJECT, "acme");
    Answer answer;
    create.key_id = slice_of("k1");
    create.max_stacks = s->model.max_stacks;
    create.initial_commit = slice_of("c0");
    assert_int_equal(simulate_batch(s->store, &s->arena, &s->moment, &create, 1, &answer), 0);
    assert_int_equal(answer.outcome, OUTCOME_DONE);
}

static int setup(void **state) {
    static Schedule schedule;
    schedule.moment.wall_ms = INT64_C(1790000000000);
    schedule.model.max_stacks = 10;
    seeded_random_init(&schedule.random, seed);
    arena_init(&schedule.arena);
    *state = &schedule;
    return array_store_open(&schedule.store);
}

/* Runs after a failure as well: then not all commands are done. */
static int teardown(void **state) {
    Schedule *s = *state;
    if (s->commands_done < commands_wanted)
        print_error("again: test_schedule %" PRIu64 " (failed after %" PRIu64 " commands)\n", seed, s->commands_done);
    store_close(s->store);
    arena_deinit(&s->arena);
    return 0;
}

static void any_schedule_goes_as_the_model_says(void **state) {
    Schedule *s = *state;
    create_project(s);
    for (int batch = 1; s->commands_done < commands_wanted; batch++) {
        run_batch(s);
        if (batch % 16 == 0)
            prune(s);
    }
}

int main(int argc, char **argv) {
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    else if (random_fill(random_system(), &seed, sizeof(seed)) != 0)
        return 1;
    if (argc > 2)
        commands_wanted = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_schedule_goes_as_the_model_says, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
