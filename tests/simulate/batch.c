#include "simulate/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"

/* One thing to decide: a command, or what time made due. */
typedef struct Step {
    const Command *command; /* NULL: `due` */
    Answer *answer;
    const Due *due;
    Slice project;
    bool is_decided;
} Step;

typedef struct Batch {
    const SimulatedBatch *what;
    Step steps[BATCH_MAX + DUE_MAX];
    size_t count;
    WorkingSet *sets[BATCH_MAX];
    size_t set_count;
} Batch;

Command simulate_command(OperationId operation, const char *project) {
    Command command = {.operation = operation, .project = slice_of(project)};
    fields_clear(operation_row(operation)->command, &command);
    return command;
}

static WorkingSet *find_set(Batch *b, Slice project) {
    for (size_t i = 0; i < b->set_count; i++) {
        if (slice_equal(b->sets[i]->project_name, project))
            return b->sets[i];
    }
    WorkingSet *set = arena_alloc(b->what->arena, sizeof(*set));
    assert_non_null(set);
    assert_int_equal(working_set_init(set, b->what->arena, project), 0);
    b->sets[b->set_count++] = set;
    return set;
}

/* Everything a decision may change, as a sum; the queue that is due is a note to the caller. */
static uint64_t sum_of(const WorkingSet *set) {
    uint64_t sum = slice_hash((Slice){.ptr = (const char *)&set->project, .len = sizeof(set->project)});
    for (size_t i = 0; i < set->stack_count; i++)
        sum = sum * 31 + slice_hash((Slice){.ptr = (const char *)set->stacks[i], .len = sizeof(*set->stacks[i])});
    for (size_t i = 0; i < set->request_count; i++)
        sum = sum * 31 + slice_hash((Slice){.ptr = (const char *)set->requests[i], .len = sizeof(*set->requests[i])});
    for (size_t i = 0; i < set->key_count; i++)
        sum = sum * 31 + slice_hash((Slice){.ptr = (const char *)set->keys[i], .len = sizeof(*set->keys[i])});
    for (size_t i = 0; i < set->unused_count; i++)
        sum = sum * 31 + (uint64_t)set->unused_numbers[i];
    return sum * 31 + set->event_count + (uint64_t)set->project_change;
}

static int decide_checked(WorkingSet *set, const Command *command, const Moment *moment, Answer *answer) {
    answer_init(answer);
    int decision = lease_serve(set, moment);
    if (decision != DECISION_DONE)
        return decision;
    uint64_t before = sum_of(set);
    decision = lease_decide(set, command, moment, answer);
    if (decision != DECISION_DONE)
        assert_true(sum_of(set) == before);
    if (decision == DECISION_REFUSED) {
        assert_int_not_equal(answer->outcome, OUTCOME_DONE);
        assert_int_not_equal(answer->outcome, OUTCOME_INTERNAL);
        assert_false(slice_is_absent(answer->detail));
    }
    if (decision == DECISION_NEEDS_ROWS)
        assert_true(working_set_needs_load(set));
    return decision;
}

static int decide_step(WorkingSet *set, const Step *step, const Moment *moment) {
    if (step->command != NULL)
        return decide_checked(set, step->command, moment, step->answer);
    int decision = lease_serve(set, moment);
    return decision != DECISION_DONE ? decision : lease_decide_due(set, step->due, moment);
}

/* A project stops at its first wish for rows, so that its commands are decided in order. */
static int decide_pending(Batch *b, bool *is_pending) {
    bool is_stopped[BATCH_MAX] = {false};
    *is_pending = false;
    for (size_t i = 0; i < b->count; i++) {
        Step *step = &b->steps[i];
        if (step->is_decided)
            continue;
        WorkingSet *set = find_set(b, step->project);
        size_t place = 0;
        while (b->sets[place] != set)
            place++;
        int decision = DECISION_NEEDS_ROWS;
        if (!is_stopped[place])
            decision = decide_step(set, step, b->what->moment);
        if (decision < 0)
            return decision;
        step->is_decided = decision != DECISION_NEEDS_ROWS;
        is_stopped[place] = is_stopped[place] || !step->is_decided;
        *is_pending = *is_pending || !step->is_decided;
    }
    for (size_t i = 0; i < b->set_count; i++) {
        int decision = is_stopped[i] ? DECISION_DONE : lease_serve(b->sets[i], b->what->moment);
        if (decision < 0)
            return decision;
        *is_pending = *is_pending || decision == DECISION_NEEDS_ROWS;
    }
    return 0;
}

static int want(Batch *b, const Step *step) {
    WorkingSet *set = find_set(b, step->project);
    return step->command != NULL ? lease_want(set, step->command) : lease_want_due(set, step->due);
}

/* What is decided, and who was served. */
static size_t progress(const Batch *b) {
    size_t count = 0;
    for (size_t i = 0; i < b->count; i++)
        count += b->steps[i].is_decided;
    for (size_t i = 0; i < b->set_count; i++)
        count += b->sets[i]->granted_count;
    return count;
}

static int decide_all(Batch *b) {
    bool is_pending = b->count > 0;
    int r = 0;
    for (size_t i = 0; i < b->count && r == 0; i++)
        r = want(b, &b->steps[i]);
    size_t before = SIZE_MAX;
    for (int vain = 0; is_pending && r == 0; vain++) {
        assert_true(vain < DECIDE_ROUNDS_MAX);
        r = store_load(b->what->store, b->sets, b->set_count);
        if (r == 0)
            r = decide_pending(b, &is_pending);
        size_t now = progress(b);
        vain = now != before ? 0 : vain;
        before = now;
    }
    return r;
}

static void add_dues(Batch *b, bool is_unheard) {
    for (size_t i = 0; i < b->what->due_count; i++)
        if ((b->what->dues[i].kind == DUE_UNHEARD) == is_unheard)
            b->steps[b->count++] = (Step){.due = &b->what->dues[i], .project = b->what->due_project};
}

int simulate_batch_with(const SimulatedBatch *what) {
    Batch b = {.what = what};
    Store *store = what->store;
    assert_true(what->count <= BATCH_MAX && what->due_count <= DUE_MAX);
    add_dues(&b, true);
    for (size_t i = 0; i < what->count; i++)
        b.steps[b.count++] =
            (Step){.command = &what->commands[i], .answer = &what->answers[i], .project = what->commands[i].project};
    add_dues(&b, false);
    int r = store_begin(store);
    if (r == 0)
        r = decide_all(&b);
    if (r == 0)
        r = store_save(store, b.sets, b.set_count);
    if (r == 0)
        r = store_commit(store);
    if (r != 0)
        store_rollback(store);
    for (size_t i = 0; r == 0 && what->committed != NULL && i < b.set_count; i++)
        what->committed(what->arg, b.sets[i]);
    return r;
}

int simulate_batch(Store *store, Arena *arena, const Moment *moment, const Command *commands, size_t count,
                   Answer *answers) {
    return simulate_batch_with(&(SimulatedBatch){
        .store = store, .arena = arena, .moment = moment, .commands = commands, .count = count, .answers = answers});
}
