/*
 * Whole lives in virtual time: random commands in random batches, clients that wait, hang up, renew and go silent, operators
 * in a hurry, pauses, steps of wall time, a store that fails now and then, restarts; through the rules, the service's watch
 * and an engine, as the service's worker does it. Judged by the model: every answer, everything that time makes due, and
 * after every batch every stack, every request that waits, and the counters.
 *
 * What the model cannot see is checked on its own: nobody gets a stack while another may still believe that it is his.
 *
 *     test_schedule [SEED [COMMANDS]]
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/limits.h"
#include "base/random.h"
#include "faults/wrap_store.h"
#include "seeded_random.h"
#include "service/watch.h"
#include "simulate/array_store.h"
#include "simulate/batch.h"
#include "simulate/model.h"

#define BRANCHES 6
#define COMMITS 4
#define STACKS 40
#define IDS 200
#define TEXT_MAX 32
#define LEASES 64 /* remembered by clients, most of them over */
#define WAITERS 64
/* A sanitizer slows all this, and is after the paths. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COMMANDS 30000
#else
#define COMMANDS 200000
#endif
#define REPLAYED 10000 /* commands of the schedule that is run twice */

/* Seeds that found something once, with as many commands as it took. */
static const struct {
    uint64_t seed, commands;
} kept_seeds[] = {
    {1, 20000}, /* numbers of new stacks that nobody had asked the store for; quiet measured by another lease's time */
    {2, 20000}, /* a renewal without a length took the longest one ever asked for */
    /* told of an earlier grant's loss, and granted and forced in the same go: the quiet ended as if told of that */
    {13313329947425261016u, 3000},
    /* the model took it for told when a secret of a grant that was taken back was refused */
    {14911999411150810253u, 20000},
};

/* An operation that waits: a connection. */
typedef struct Waiter {
    ModelCommand ask;
    int64_t ticket;
} Waiter;

/* Until when the holder of a stack's lease may believe that he has it, by the time that really passes. */
typedef struct Belief {
    int64_t ticket, until_ms;
} Belief;

typedef struct Schedule {
    uint64_t seed, commands_wanted, commands_done, events_done;
    SeededRandom random;
    Store *store;
    Watch *watch;
    Arena arena;
    Moment moment;
    int64_t boot_ms, ticked_ms; /* real time, and when the lease clock last looked */
    bool is_held;               /* the store failed since then */
    Model model;
    ModelCommand leases[LEASES]; /* as ready-made releases */
    size_t lease_count;
    Waiter waiters[WAITERS], again[WAITERS]; /* those that wait; those to be decided once more */
    size_t waiter_count, again_count;
    const Command *commands; /* of the batch under way */
    const Answer *answers;
    size_t command_count;
    Belief beliefs[MODEL_STACKS];
    int requests_in_10; /* of this batch's commands */
    int64_t last_generation;
    Buffer *trace; /* NULL: not wanted */
} Schedule;

static uint64_t seed;
static uint64_t commands_wanted = COMMANDS;

static int below(Schedule *s, int bound) {
    return (int)seeded_random_below(&s->random, (uint64_t)bound);
}

static bool one_in(Schedule *s, int n) {
    return below(s, n) == 0;
}

/* ---- Commands ---- */

/* Low numbers are there more often. */
static int any_stack(Schedule *s) {
    return 1 + below(s, 1 + below(s, STACKS));
}

static ModelCommand random_request(Schedule *s) {
    static const int lengths[] = {2, 10, 30, 31, 60, 300};
    return (ModelCommand){.operation = OP_REQUEST_STACK,
                          .branch = below(s, BRANCHES + 1) - 1,
                          .commit = one_in(s, 3) ? 1 + below(s, COMMITS) : MODEL_NONE,
                          .id = one_in(s, 4) ? MODEL_NONE : below(s, IDS),
                          .lease_seconds = one_in(s, 3) ? MODEL_NONE : lengths[below(s, (int)COUNT_OF(lengths))],
                          .purpose = one_in(s, 6) ? PURPOSE_CLEAN : PURPOSE_TEST,
                          .wait_seconds = one_in(s, 2) ? 0 : 25,
                          .if_none = one_in(s, 20)  ? IF_NONE_FAIL
                                     : one_in(s, 8) ? IF_NONE_WAIT
                                                    : IF_NONE_DEFAULT};
}

/* With a client's lease, which it mostly forgets when it releases, now and then for another stack than its own; or by key,
 * for any stack. */
static ModelCommand random_by_holder(Schedule *s, OperationId operation) {
    ModelCommand c = {.stack = any_stack(s)};
    if (s->lease_count > 0 && (operation == OP_RENEW_LEASE || !one_in(s, 3))) {
        size_t place = (size_t)below(s, (int)s->lease_count);
        c = s->leases[place];
        if (operation == OP_RELEASE_STACK && !one_in(s, 8))
            s->leases[place] = s->leases[--s->lease_count];
        if (one_in(s, 30))
            c.stack = any_stack(s);
    }
    int shape = below(s, 20);
    c.operation = operation;
    c.commit = 1 + below(s, COMMITS);
    c.lease_seconds = shape < 12 ? MODEL_NONE : shape < 18 ? 2 + below(s, 60) : 600;
    c.outcome = shape == 0 ? RELEASE_BROKEN : shape < 6 ? RELEASE_DIRTY : RELEASE_OK;
    return c;
}

static ModelCommand random_update(Schedule *s) {
    static const int graces[] = {0, 5, 15, 60};
    return (ModelCommand){.operation = OP_UPDATE_PROJECT,
                          .max_stacks = 1 + below(s, STACKS),
                          .expiry_grace_seconds = graces[below(s, (int)COUNT_OF(graces))],
                          .max_hold_seconds = one_in(s, 3) ? 60 : 3600,
                          .is_cleaning = one_in(s, 2)};
}

/* One batch asks for much, the next gives back, deletes and deploys: full pools and empty ones both come by. */
static ModelCommand random_command(Schedule *s) {
    static const struct {
        int upto;
        OperationId operation;
    } others[] = {{82, OP_CANCEL_REQUEST},   {86, OP_JOIN_REQUEST},  {88, OP_DELETE_LAST_STACK},
                  {91, OP_QUARANTINE_STACK}, {96, OP_RESTORE_STACK}, {99, OP_FORCE_RELEASE_STACK}};
    int dice = s->requests_in_10 > below(s, 10) ? 0 : 40 + below(s, 60);
    ModelCommand c = {.stack = any_stack(s), .id = below(s, IDS), .outcome = (ReleaseOutcome)below(s, 3)};
    if (dice < 40)
        return random_request(s);
    if (dice < 52)
        return random_by_holder(s, OP_RELEASE_STACK);
    if (dice < 70)
        return random_by_holder(s, OP_RENEW_LEASE);
    if (dice < 76)
        return random_by_holder(s, OP_SET_LAST_DEPLOYED_COMMIT);
    c.now = one_in(s, 3);
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        c.operation = others[i].operation;
        if (dice < others[i].upto)
            return c;
    }
    c.operation = OP_FORCE_RELEASE_STACK;
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
    command.purpose = c->purpose;
    command.wait_seconds = c->wait_seconds;
    command.if_none = (int)c->if_none;
    command.stack_name = numbered(&s->arena, "test-", c->stack);
    command.lease_ref = (LeaseRef){.ticket = c->ticket, .generation = c->generation};
    command.outcome = (int)c->outcome;
    command.now = c->now;
    command.is_peer_gone = c->is_peer_gone;
    if (c->operation == OP_UPDATE_PROJECT) {
        command.max_stacks = c->max_stacks;
        command.expiry_grace_seconds = c->expiry_grace_seconds;
        command.max_hold_seconds = c->max_hold_seconds;
        command.cleaning = c->is_cleaning ? SWITCH_ON : SWITCH_OFF;
    }
    return command;
}

/* ---- The trace ---- */

static void trace(Schedule *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void trace(Schedule *s, const char *format, ...) {
    char line[256];
    va_list arguments;
    if (s->trace == NULL)
        return;
    va_start(arguments, format);
    int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    assert_in_range(n, 0, sizeof line - 1);
    buffer_add(s->trace, line, (size_t)n);
}

static void trace_answer(Schedule *s, const ModelCommand *c, const Answer *a) {
    trace(s, "%s %d %d: %s %.*s %" PRId64 " %" PRId64 " %" PRId64 " %.*s\n", operation_row(c->operation)->name,
          c->stack, c->id, outcome_row(a->outcome)->code, SLICE_PRINT(a->stack_name), a->lease_ref.ticket,
          a->lease_ref.generation, a->position, SLICE_PRINT(a->why));
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
    if (expected->outcome == OUTCOME_QUEUED) {
        assert_int_equal(answer->lease_ref.ticket, expected->ticket);
        assert_int_equal(answer->position, expected->position);
    }
    if (expected->why != WHY_NONE)
        assert_text(answer->why, slice_of(request_why_names[expected->why]));
    if (c->operation == OP_CANCEL_REQUEST)
        assert_text(answer->result, slice_of(expected->result));
}

typedef struct Audit {
    Schedule *schedule;
    int last_number;
    int64_t leased, queued, last_ticket;
} Audit;

/* Somebody has it who had it not: nobody else may believe that he still has. */
static void audit_holder(Schedule *s, const StackRow *row) {
    Belief *belief = &s->beliefs[row->number];
    if (row->ticket == 0 || row->ticket == belief->ticket)
        return;
    if (belief->until_ms > s->boot_ms)
        fail_msg("test-%" PRId64 " goes to lease %" PRId64 " while lease %" PRId64 " has %" PRId64 " ms left",
                 row->number, row->ticket, belief->ticket, belief->until_ms - s->boot_ms);
    *belief = (Belief){.ticket = row->ticket};
}

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
    assert_int_equal(row->lease_seconds, expected->ticket != 0 ? expected->lease_seconds : 0);
    assert_int_equal(row->is_collected, expected->ticket != 0 && expected->is_collected);
    assert_int_equal(row->quiet_until_ms != 0, expected->is_quiet);
    if (row->state == STACK_DIRTY)
        assert_int_equal(row->dirty_since, expected->dirty_since);
    audit_holder(s, row);
    trace(s, " %d %d %" PRId64 " %d", number, (int)row->state, row->ticket, row->quiet_until_ms != 0);
    return 0;
}

static int audit_request(void *arg, const RequestRow *row) {
    Audit *audit = arg;
    const ModelRequest *expected = model_request(&audit->schedule->model, row->ticket);
    audit->queued++;
    assert_true(row->ticket > audit->last_ticket);
    audit->last_ticket = row->ticket;
    assert_non_null(expected);
    assert_int_equal(expected->state, REQUEST_QUEUED);
    assert_int_equal(row->is_heard, expected->is_heard);
    return 0;
}

static void audit_counters(Schedule *s, const Audit *a) {
    ProjectRow project;
    int64_t count = 0, queued = 0;
    assert_int_equal(store_find_project(s->store, slice_of("acme"), &s->arena, &project), 0);
    for (int n = 1; n < MODEL_STACKS; n++) {
        count += s->model.stacks[n].exists;
        assert_true(n >= project.first_unused || s->model.stacks[n].exists);
    }
    for (int i = 0; i < s->model.request_count; i++)
        queued += s->model.requests[i].state == REQUEST_QUEUED;
    assert_int_equal(a->queued, queued);
    assert_int_equal(project.queued_count, queued);
    assert_int_equal(watch_queued(s->watch), queued);
    assert_int_equal(project.stack_count, count);
    assert_int_equal(project.leased_count, a->leased);
    assert_int_equal(project.last_ticket, s->model.last_ticket);
    assert_int_equal(project.last_generation, s->model.last_generation);
    assert_true(project.last_generation >= s->last_generation);
    s->last_generation = project.last_generation;
}

static void audit(Schedule *s) {
    Audit a = {.schedule = s};
    const StoreRows rows = {.stack = audit_stack, .request = audit_request, .arg = &a};
    ReadQuery query = {.list = LIST_STACKS, .project = slice_of("acme"), .after = FIELD_ABSENT};
    assert_int_equal(store_read(s->store, &query, &rows), 0);
    for (int n = a.last_number + 1; n < MODEL_STACKS; n++)
        assert_false(s->model.stacks[n].exists);
    query.list = LIST_QUEUE;
    assert_int_equal(store_read(s->store, &query, &rows), 0);
    audit_counters(s, &a);
    trace(s, "\n");
}

/* ---- What holders believe ---- */

/* The lease was told, or renewed: so long its holder works on. */
static void believe(Schedule *s, int64_t ticket) {
    const ModelRequest *r = model_request(&s->model, ticket);
    if (r == NULL || r->state != REQUEST_LIVE)
        return;
    const ModelStack *stack = &s->model.stacks[r->stack];
    if (stack->lease_seconds == 0 || !stack->is_collected)
        return; /* whoever has not collected it does not use it yet */
    int64_t until_ms = s->boot_ms + watch_left(s->watch, slice_of("acme"), ticket, 0);
    Belief *belief = &s->beliefs[r->stack];
    if (belief->ticket != ticket || belief->until_ms < until_ms)
        *belief = (Belief){.ticket = ticket, .until_ms = until_ms};
}

static void stop_believing(Schedule *s, int64_t ticket) {
    for (int n = 1; n < MODEL_STACKS; n++)
        if (s->beliefs[n].ticket == ticket)
            s->beliefs[n].until_ms = 0;
}

/* Who lets go of a lease himself, or is told that it is over, stops; and an operator in a hurry takes it upon himself. */
static void note_ends(Schedule *s, const ModelCommand *c, const ModelAnswer *a) {
    const ModelRequest *r = model_request(&s->model, c->ticket);
    bool is_done = a->outcome == OUTCOME_DONE;
    if (c->operation == OP_RELEASE_STACK && is_done && c->ticket != 0)
        stop_believing(s, c->ticket);
    if (a->outcome == OUTCOME_LEASE_LOST && (r == NULL || (r->generation == c->generation && !r->is_joined)))
        stop_believing(s, c->ticket);
    if (c->now && is_done)
        s->beliefs[c->stack].until_ms = 0;
    if (c->operation == OP_CANCEL_REQUEST && is_done)
        for (int i = 0; i < s->model.request_count; i++)
            if (s->model.requests[i].id == c->id)
                stop_believing(s, s->model.requests[i].ticket);
}

static void note_life(Schedule *s, const ModelCommand *c, const ModelAnswer *a) {
    if (a->outcome == OUTCOME_DONE && (c->operation == OP_RENEW_LEASE || c->operation == OP_SET_LAST_DEPLOYED_COMMIT))
        believe(s, c->ticket);
    else if (a->outcome == OUTCOME_DONE && a->has_lease)
        believe(s, a->ticket);
}

/* ---- What the service does around a transaction ---- */

/* What a renewal gave counts also where the same transaction ended its lease: its holder was told so. */
static void publish_renewals(Schedule *s, const WorkingSet *set) {
    for (size_t i = 0; i < s->command_count; i++) {
        const Command *c = &s->commands[i];
        if (c->operation != OP_RENEW_LEASE || s->answers[i].outcome != OUTCOME_DONE)
            continue;
        const RequestSlot *request = working_set_request((WorkingSet *)set, c->lease_ref.ticket);
        if (c->lease_seconds == FIELD_ABSENT && request != NULL)
            watch_asked(s->watch, c->project, c->lease_ref, request->row.lease_seconds);
        watch_renewed(s->watch, c->project, c->lease_ref, c->lease_seconds);
    }
}

static void follow(void *arg, const WorkingSet *set) {
    Schedule *s = arg;
    publish_renewals(s, set);
    assert_int_equal(watch_reserve(s->watch, set->stack_count + set->request_count, 1), 0);
    for (size_t i = 0; i < set->stack_count; i++) {
        const StackSlot *slot = set->stacks[i];
        StackRow row = slot->row;
        if (slot->change == ROW_CLEAN || slot->change == ROW_VOID)
            continue;
        if (slot->change == ROW_DELETED)
            row.state = STACK_GONE;
        watch_follow_stack(s->watch, &set->project, &row, slot->loaded_renewals, slot->is_granted);
    }
    for (size_t i = 0; i < set->request_count; i++)
        if (set->requests[i]->change != ROW_CLEAN)
            watch_follow_request(s->watch, &set->project, &set->requests[i]->row);
}

static void publish_life(Schedule *s, const Command *c, const Answer *a) {
    if (a->outcome == OUTCOME_QUEUED)
        watch_heard(s->watch, c->project, a->lease_ref.ticket);
    else if (a->outcome == OUTCOME_LEASE_LOST)
        watch_told(s->watch, c->project, a->lease_ref.ticket);
}

/* Renewals that no transaction sees; the others stay. */
static size_t renew_from_memory(Schedule *s, ModelCommand *spoken, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const ModelCommand *c = &spoken[i];
        LeaseRef lease = {.ticket = c->ticket, .generation = c->generation};
        bool is_renewal = c->operation == OP_RENEW_LEASE;
        int64_t seconds = c->lease_seconds != MODEL_NONE ? c->lease_seconds : FIELD_ABSENT;
        int64_t number = 0;
        bool is_done = is_renewal && watch_may_renew(s->watch, slice_of("acme"), lease, seconds, &number);
        if (is_done)
            watch_renewed(s->watch, slice_of("acme"), lease, seconds);
        if (is_renewal)
            assert_int_equal(model_renew(&s->model, c), is_done);
        if (is_done) {
            believe(s, c->ticket);
            s->commands_done++;
        } else {
            spoken[kept++] = *c;
        }
    }
    return kept;
}

/* Renewals that have arrived come before expiries. */
static bool is_spoken_of(const ModelCommand *spoken, size_t count, int64_t ticket) {
    for (size_t i = 0; i < count; i++)
        if (spoken[i].ticket == ticket)
            return true;
    return false;
}

static size_t take_due(Schedule *s, const ModelCommand *spoken, size_t count, Due *out) {
    WatchDue due[DUE_MAX];
    size_t found = watch_due(s->watch, due, DUE_MAX), kept = 0;
    for (size_t i = 0; i < found; i++) {
        const Due *d = &due[i].due;
        if (!model_is_due(&s->model, d))
            fail_msg("due %d of stack %" PRId64 ", lease %" PRId64 " came too early", (int)d->kind, d->stack_number,
                     d->ticket);
        trace(s, "due %d %" PRId64 " %" PRId64 "\n", (int)d->kind, d->stack_number, d->ticket);
        if (d->kind != DUE_EXPIRED || !is_spoken_of(spoken, count, d->ticket))
            out[kept++] = *d;
    }
    if (found < DUE_MAX)
        if (model_is_forgotten(&s->model))
            fail_msg("something due was forgotten");
    return kept;
}

static void happen(Schedule *s, const Due *dues, size_t count, bool is_unheard) {
    for (size_t i = 0; i < count; i++) {
        if ((dues[i].kind == DUE_UNHEARD) == is_unheard) {
            model_happen(&s->model, &dues[i]);
            s->events_done++;
        }
    }
}

/* ---- Those that wait ---- */

static void wait_no_longer(Schedule *s, size_t place, bool is_decided_again) {
    Waiter *w = &s->waiters[place];
    bool was_queued = model_parked(&s->model, w->ticket, -1);
    assert_int_equal(watch_parked(s->watch, slice_of("acme"), w->ticket, -1), was_queued);
    if (is_decided_again && s->again_count < WAITERS)
        s->again[s->again_count++] = *w;
    *w = s->waiters[--s->waiter_count];
}

/* Long polls that are over, and peers that hung up. */
static void end_waits(Schedule *s) {
    for (size_t i = s->waiter_count; i-- > 0;) {
        int dice = below(s, 20);
        int64_t ticket = s->waiters[i].ticket;
        if (dice < 3)
            wait_no_longer(s, i, true);
        if (dice != 3)
            continue;
        wait_no_longer(s, i, false);
        watch_hung_up(s->watch, slice_of("acme"), ticket);
        model_hung_up(&s->model, ticket);
    }
}

static void wake_served(Schedule *s) {
    for (size_t i = s->waiter_count; i-- > 0;) {
        const ModelRequest *r = model_request(&s->model, s->waiters[i].ticket);
        if (r != NULL && r->state == REQUEST_QUEUED)
            continue;
        s->waiters[i].ask.is_peer_gone = one_in(s, 4);
        wait_no_longer(s, i, true);
    }
}

static void park(Schedule *s, const ModelCommand *c, const ModelAnswer *a) {
    bool may_wait = a->outcome == OUTCOME_QUEUED && c->operation == OP_REQUEST_STACK && c->wait_seconds > 0;
    if (!may_wait || s->waiter_count == WAITERS || one_in(s, 3))
        return;
    bool is_queued = model_parked(&s->model, a->ticket, 1);
    assert_int_equal(watch_parked(s->watch, slice_of("acme"), a->ticket, 1), is_queued);
    if (is_queued)
        s->waiters[s->waiter_count++] = (Waiter){.ask = *c, .ticket = a->ticket};
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
    return dice == 0 ? BATCH_MAX - WAITERS : (size_t)below(s, dice < 14 ? 8 : 64);
}

static size_t speak(Schedule *s, ModelCommand *spoken) {
    size_t count = s->again_count, more = random_size(s);
    for (size_t i = 0; i < count; i++) {
        spoken[i] = s->again[i].ask;
        spoken[i].wait_seconds = 0; /* it waited long enough */
        spoken[i].if_none = IF_NONE_WAIT;
    }
    s->again_count = 0;
    s->requests_in_10 = 1 + below(s, 4);
    for (size_t i = 0; i < more; i++)
        spoken[count++] = random_command(s);
    return count;
}

/* Real time goes on, mostly a little; wall time steps as it likes. The lease clock looks, once or often. */
static void pass_time(Schedule *s) {
    int dice = below(s, 100);
    int64_t ms = dice < 60 ? below(s, 500) : dice < 90 ? below(s, 5000) : dice < 99 ? below(s, 120000) : 7200000;
    int64_t pause = one_in(s, 3) ? ms + 1 : 1000;
    for (int64_t left = ms; left >= 0; left -= pause) {
        int64_t step = left < pause ? left : pause;
        s->boot_ms += step;
        watch_tick(s->watch, s->boot_ms, s->is_held);
        if (!s->is_held)
            s->model.now += step < WATCH_STEP_MAX_MS ? step : WATCH_STEP_MAX_MS;
        s->is_held = false;
        if (watch_next(s->watch) == 0)
            break; /* it does not sleep past what is due */
    }
    assert_int_equal(watch_now(s->watch), s->model.now);
    s->moment.wall_ms += one_in(s, 10) ? -below(s, 3000) : ms;
    s->model.wall_ms = s->moment.wall_ms;
}

/* Now and then a commit fails: nothing happened, and what was due is so again later. */
static bool commit_fails(Schedule *s) {
    if (!one_in(s, 40))
        return false;
    wrap_store_fail(s->store, WRAP_COMMIT, 1, STORE_IO, false);
    s->is_held = true;
    return true;
}

static void run_batch(Schedule *s, ModelCommand *spoken, size_t count) {
    static Command commands[BATCH_MAX];
    static Answer answers[BATCH_MAX];
    static ModelAnswer expected[BATCH_MAX];
    Due dues[DUE_MAX];
    arena_reset(&s->arena);
    count = renew_from_memory(s, spoken, count);
    size_t due_count = take_due(s, spoken, count, dues);
    for (size_t i = 0; i < count; i++)
        commands[i] = spell(s, &spoken[i]);
    bool is_failing = commit_fails(s);
    s->commands = commands;
    s->answers = answers;
    s->command_count = count;
    s->model.batch++;
    const SimulatedBatch batch = {.store = s->store,
                                  .arena = &s->arena,
                                  .moment = &s->moment,
                                  .commands = commands,
                                  .count = count,
                                  .answers = answers,
                                  .dues = dues,
                                  .due_count = due_count,
                                  .due_project = slice_of("acme"),
                                  .committed = follow,
                                  .arg = s};
    assert_int_equal(simulate_batch_with(&batch), is_failing ? STORE_IO : 0);
    s->commands_done += count;
    if (is_failing)
        return;
    happen(s, dues, due_count, true);
    for (size_t i = 0; i < count; i++) {
        expected[i] = model_do(&s->model, &spoken[i]);
        judge(s, &spoken[i], &answers[i], &expected[i]);
        note_ends(s, &spoken[i], &expected[i]);
        trace_answer(s, &spoken[i], &answers[i]);
    }
    happen(s, dues, due_count, false);
    for (size_t i = 0; i < count; i++)
        publish_life(s, &commands[i], &answers[i]);
    wake_served(s);
    for (size_t i = 0; i < count; i++) {
        remember_lease(s, &expected[i]);
        park(s, &spoken[i], &expected[i]);
        note_life(s, &spoken[i], &expected[i]);
    }
    audit(s);
}

static void prune(Schedule *s) {
    int64_t before = s->moment.wall_ms - 60000;
    int r;
    do
        r = store_prune(s->store, before, before, 256);
    while (r == 0);
    assert_int_equal(r, STORE_DONE);
    model_prune(&s->model, before);
}

static int watch_stack(void *arg, const ProjectRow *project, const StackRow *row) {
    Schedule *s = arg;
    ProjectRow holding = *project;
    if (holding.max_hold_seconds < row->lease_seconds)
        holding.max_hold_seconds = row->lease_seconds;
    assert_int_equal(watch_reserve(s->watch, 1, 1), 0);
    watch_follow_stack(s->watch, &holding, row, row->renewals, false);
    return 0;
}

static int watch_request(void *arg, const ProjectRow *project, const RequestRow *row) {
    Schedule *s = arg;
    assert_int_equal(watch_reserve(s->watch, 1, 1), 0);
    watch_start_request(s->watch, project, row);
    return 0;
}

/* Another coordinator goes on with what is stored. */
static void restart(Schedule *s) {
    s->watch = watch_free(s->watch);
    assert_int_equal(watch_new(&s->watch, 0), 0);
    const StoreRows rows = {.watched_stack = watch_stack, .watched_request = watch_request, .arg = s};
    assert_int_equal(store_read(s->store, &(ReadQuery){.list = LIST_WATCHED, .after = FIELD_ABSENT}, &rows), 0);
    model_restart(&s->model);
    s->waiter_count = s->again_count = 0;
    watch_tick(s->watch, s->boot_ms, false);
    while (watch_next(s->watch) == 0) {
        run_batch(s, NULL, 0);
        s->boot_ms += 1000; /* a failed one is tried again */
        watch_tick(s->watch, s->boot_ms, s->is_held);
        s->model.now += s->is_held ? 0 : 1000;
        s->is_held = false;
    }
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

static void begin(Schedule *s, uint64_t with_seed, uint64_t commands, Buffer *traced) {
    Store *inner;
    memset(s, 0, sizeof *s);
    s->seed = with_seed;
    s->commands_wanted = commands;
    s->trace = traced;
    s->moment.wall_ms = INT64_C(1790000000000);
    s->model.max_stacks = 10;
    s->model.expiry_grace_seconds = 15;
    s->model.max_hold_seconds = 24 * 3600;
    seeded_random_init(&s->random, with_seed);
    arena_init(&s->arena);
    assert_int_equal(array_store_open(&inner), 0);
    s->store = wrap_store_new(inner);
    assert_non_null(s->store);
    assert_int_equal(watch_new(&s->watch, 0), 0);
    watch_tick(s->watch, 0, false);
    create_project(s);
}

static void end_schedule(Schedule *s) {
    s->watch = watch_free(s->watch);
    s->store = store_close(s->store);
    arena_deinit(&s->arena);
}

static void run(Schedule *s) {
    static ModelCommand spoken[BATCH_MAX];
    for (int batch = 1; s->commands_done < s->commands_wanted; batch++) {
        end_waits(s);
        pass_time(s);
        size_t count = speak(s, spoken);
        run_batch(s, spoken, count);
        if (batch % 16 == 0)
            prune(s);
        if (one_in(s, 40)) { /* alone, as the service does it */
            spoken[0] = random_update(s);
            run_batch(s, spoken, 1);
        }
        if (one_in(s, 200))
            restart(s);
    }
}

/* The one that runs; a failure leaves it as it was, for the words about it. */
static Schedule schedule;

static void any_schedule_goes_as_the_model_says(void **state) {
    (void)state;
    clock_t start = clock();
    begin(&schedule, seed, commands_wanted, NULL);
    run(&schedule);
    double minutes = (double)(clock() - start) / CLOCKS_PER_SEC / 60;
    print_message("seed %" PRIu64 ": %.1f million events a minute\n", seed,
                  (double)(schedule.commands_done + schedule.events_done) / minutes / 1e6);
    end_schedule(&schedule);
}

static void seeds_that_found_something_once_go_well(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kept_seeds); i++) {
        begin(&schedule, kept_seeds[i].seed, kept_seeds[i].commands, NULL);
        run(&schedule);
        end_schedule(&schedule);
    }
}

static void the_same_seed_leaves_the_same_trace(void **state) {
    (void)state;
    Buffer traces[3];
    for (size_t i = 0; i < COUNT_OF(traces); i++) {
        buffer_init(&traces[i], SIZE_MAX);
        begin(&schedule, seed + i / 2, REPLAYED, &traces[i]);
        run(&schedule);
        end_schedule(&schedule);
    }
    assert_true(traces[0].len > 100 * 1000);
    assert_int_equal(traces[0].len, traces[1].len);
    assert_memory_equal(traces[0].data, traces[1].data, traces[0].len);
    bool is_other = traces[0].len != traces[2].len || memcmp(traces[0].data, traces[2].data, traces[0].len) != 0;
    assert_true(is_other); /* or the trace would say nothing */
    for (size_t i = 0; i < COUNT_OF(traces); i++)
        buffer_deinit(&traces[i]);
}

/* Runs after a failure as well: then not all commands are done. */
static int teardown(void **state) {
    (void)state;
    if (schedule.commands_done < schedule.commands_wanted) {
        print_error("again: test_schedule %" PRIu64 " (failed after %" PRIu64 " commands); add it to kept_seeds\n",
                    schedule.seed, schedule.commands_done);
        end_schedule(&schedule);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    else if (random_fill(random_system(), &seed, sizeof(seed)) != 0)
        return 1;
    if (argc > 2)
        commands_wanted = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(any_schedule_goes_as_the_model_says, teardown),
        cmocka_unit_test_teardown(seeds_that_found_something_once_go_well, teardown),
        cmocka_unit_test_teardown(the_same_seed_leaves_the_same_trace, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
