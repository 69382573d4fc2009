/*
 * Load, decide, encode, save, commit. Answers are encoded before the COMMIT: after it nothing may fail any more.
 */
#include "service/batch.h"

#include <errno.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/limits.h"

#define RETRY_AFTER_DRAIN_SECONDS 1
#define RETRY_AFTER_SECONDS 5 /* of a request that waits without a connection that does */

void batch_init(Batch *b, Watch *watch) {
    *b = (Batch){.watch = watch};
    arena_init(&b->arena);
}

void batch_deinit(Batch *b) {
    arena_deinit(&b->arena);
}

/* One thing to decide: an operation, or what time made due. */
typedef struct Step {
    Work *work; /* NULL: `due` */
    const Due *due;
    Slice project;
    WorkingSet *set; /* b->sets[set_at] */
    size_t set_at;
    bool is_decided;
} Step;

/* In the order they are decided in. */
typedef struct Plan {
    Step steps[BATCH_MAX + DUE_MAX];
    size_t count;
    size_t last_dues; /* of which at the end */
} Plan;

static Step step_of(Work *work) {
    return (Step){.work = work, .project = work->command.project};
}

WorkingSet *batch_set(const Batch *b, Slice project) {
    for (size_t i = 0; i < b->set_count; i++)
        if (slice_equal(b->sets[i]->project_name, project))
            return b->sets[i];
    return NULL;
}

static int find_set(Batch *b, Step *s) {
    for (s->set_at = 0; s->set_at < b->set_count; s->set_at++) {
        s->set = b->sets[s->set_at];
        if (slice_equal(s->set->project_name, s->project))
            return 0;
    }
    WorkingSet *set = arena_alloc(&b->arena, sizeof *set);
    int r = set == NULL ? -ENOMEM : working_set_init(set, &b->arena, s->project);
    s->set = NULL;
    if (r < 0)
        return r;
    b->sets[b->set_count++] = set;
    s->set = set;
    return 0;
}

static int want_pending(Batch *b, Plan *plan) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < plan->count; i++) {
        Step *s = &plan->steps[i];
        if (s->is_decided)
            continue;
        if (s->set == NULL)
            r = find_set(b, s);
        if (r == 0)
            r = s->work != NULL ? lease_want(s->set, &s->work->command) : lease_want_due(s->set, s->due);
    }
    return r;
}

/* ---- answers ---- */

static void tell_expiry(Answer *answer, const Moment *moment, int64_t left_ms) {
    answer->lease.expires_ms = moment->wall_ms + left_ms;
    answer->lease.expires_in_seconds = left_ms / 1000;
}

/* What is left of a lease, by the lease clock; a lease that this batch grants has all of it. Among several coordinators
 * each answer renews (lease_renewed). */
static int add_lease(Batch *b, const Step *s, const Moment *moment, Answer *answer) {
    const ProjectRow *project = &s->set->project;
    answer->lease.secret = lease_secret_make(&b->arena, project->name, answer->lease_ref, project->lease_key);
    if (slice_is_absent(answer->lease.secret))
        return -ENOMEM;
    const RequestSlot *request = working_set_request(s->set, answer->lease_ref.ticket);
    int64_t seconds = request != NULL ? request->row.lease_seconds : FIELD_ABSENT;
    if (seconds != FIELD_ABSENT && seconds > 0) {
        int64_t most = seconds < project->max_hold_seconds ? seconds : project->max_hold_seconds;
        int64_t ticket = answer->lease_ref.ticket;
        tell_expiry(answer, moment,
                    moment->coordinator != 0 ? watch_left_renewed(b->watch, project->name, ticket, most)
                                             : watch_left(b->watch, project->name, ticket, most * 1000));
    }
    return 0;
}

static void add_renewal(const Batch *b, const Step *s, const Moment *moment, Answer *answer) {
    const Command *c = &s->work->command;
    const RequestSlot *request = working_set_request(s->set, c->lease_ref.ticket);
    int64_t seconds = c->lease_seconds;
    if (seconds == FIELD_ABSENT && request != NULL)
        seconds = request->row.lease_seconds;
    if (request == NULL || request->row.lease_seconds == FIELD_ABSENT || request->row.lease_seconds <= 0)
        return; /* a plain lease has no end */
    tell_expiry(answer, moment, watch_left_renewed(b->watch, c->project, c->lease_ref.ticket, seconds));
}

/* Until when somebody else has it, by the lease clock. */
static void add_holders_expiry(const Batch *b, const Step *s, const Moment *moment, Answer *answer) {
    const StackSlot *stack = working_set_stack(s->set, stack_number_of(s->work->command.stack_name));
    int64_t seconds = stack != NULL && stack->row.lease_seconds > 0 ? stack->row.lease_seconds : 0;
    tell_expiry(answer, moment, watch_left(b->watch, s->set->project_name, answer->lease_ref.ticket, seconds * 1000));
}

/* The parts of an answer that only the service can make, then its bytes. */
static int finish_answer(Batch *b, const Step *s, const Moment *moment, Answer *answer) {
    Work *w = s->work;
    bool is_done = answer->outcome == OUTCOME_DONE;
    if (is_done && answer->has_lease && add_lease(b, s, moment, answer) < 0)
        return -ENOMEM;
    if (is_done && w->command.operation == OP_RENEW_LEASE)
        add_renewal(b, s, moment, answer);
    if (answer->outcome == OUTCOME_LEASE_REQUIRED)
        add_holders_expiry(b, s, moment, answer);
    if (answer->outcome == OUTCOME_QUEUED)
        answer->retry_after_seconds = w->is_draining    ? RETRY_AFTER_DRAIN_SECONDS
                                      : w->is_wait_over ? 0
                                                        : RETRY_AFTER_SECONDS;
    if (is_done && w->made != NULL && w->made->text[0] != '\0') {
        answer->key = slice_of(w->made->text);
        answer->key_id = slice_of(w->made->claim.id);
    }
    return work_answer(w, answer) ? 0 : -ENOMEM;
}

/* ---- deciding ---- */

/* A Decision for one step, the queue served before it: what was freed first goes to whoever waited first. */
static int decide(Batch *b, Step *s, const Moment *moment) {
    int r = lease_serve(s->set, moment);
    if (r != DECISION_DONE)
        return r;
    if (s->work == NULL)
        return lease_decide_due(s->set, s->due, moment);
    Answer answer;
    answer_init(&answer);
    r = lease_decide(s->set, &s->work->command, moment, &answer);
    if (r < 0 || r == DECISION_NEEDS_ROWS)
        return r;
    int finished = finish_answer(b, s, moment, &answer);
    return finished < 0 ? finished : r;
}

/* Decides what is pending, in order; a project stops at its first wish for more rows. */
static int decide_pending(Batch *b, const Moment *moment, Plan *plan, size_t *left) {
    bool is_stopped[BATCH_MAX + DUE_MAX] = {false}; /* as b->sets */
    *left = 0;
    for (size_t i = 0; i < plan->count; i++) {
        Step *s = &plan->steps[i];
        if (s->is_decided)
            continue;
        int r = is_stopped[s->set_at] ? DECISION_NEEDS_ROWS : decide(b, s, moment);
        if (r < 0)
            return r;
        is_stopped[s->set_at] |= r == DECISION_NEEDS_ROWS;
        s->is_decided = r != DECISION_NEEDS_ROWS;
        *left += !s->is_decided;
    }
    for (size_t at = 0; at < b->set_count; at++) {
        int r = is_stopped[at] ? DECISION_DONE : lease_serve(b->sets[at], moment);
        if (r < 0)
            return r;
        *left += r == DECISION_NEEDS_ROWS;
    }
    return 0;
}

static int load_pending(Batch *b, Store *store, Plan *plan) {
    int r = want_pending(b, plan);
    return r == 0 ? store_load(store, b->sets, b->set_count) : r;
}

/* Who came while the projects' locks were waited for is decided with those who waited for them. */
static bool let_others_join(const Batch *b, BatchInput *input, Plan *plan) {
    if (input->more == NULL)
        return false;
    Work **more = input->works + input->count;
    size_t most = BATCH_MAX - input->count;
    size_t count = input->more(input->more_arg, b, input->count, more, most);
    size_t after = plan->count - plan->last_dues;
    memmove(&plan->steps[after + count], &plan->steps[after], plan->last_dues * sizeof plan->steps[0]);
    for (size_t i = 0; i < count; i++)
        plan->steps[after + i] = step_of(more[i]);
    plan->count += count;
    input->count += count;
    for (size_t i = 0; count > 0 && i < b->set_count; i++)
        working_set_want_again(b->sets[i]);
    return count > 0;
}

static size_t granted(const Batch *b) {
    size_t count = 0;
    for (size_t at = 0; at < b->set_count; at++)
        count += b->sets[at]->granted_count;
    return count;
}

/* Whoever is decided or served may wish for rows before, one wish following from another. */
static int decide_all(Batch *b, Store *store, const Moment *moment, BatchInput *input, Plan *plan) {
    int r = load_pending(b, store, plan);
    if (r == 0 && let_others_join(b, input, plan))
        r = load_pending(b, store, plan);
    size_t left = plan->count;
    for (size_t vain = 0; r == 0 && left > 0 && vain < DECIDE_ROUNDS_MAX; vain++) {
        size_t left_before = left, granted_before = granted(b);
        r = decide_pending(b, moment, plan, &left);
        if (r == 0 && left > 0)
            r = load_pending(b, store, plan);
        if (left < left_before || granted(b) > granted_before)
            vain = 0;
    }
    return r == 0 && left > 0 ? -EDEADLK : r;
}

/* The watch follows after the COMMIT, when nothing may fail any more. */
static int reserve_watch(const Batch *b) {
    size_t rows = 0;
    for (size_t i = 0; i < b->set_count; i++)
        rows += b->sets[i]->stack_count + b->sets[i]->request_count;
    return watch_reserve(b->watch, rows, b->set_count);
}

/* Where maxHold is over a renewal promises its holder nothing, and is not counted: the other coordinators would take it for
 * the promise of a whole length, each of the other's, for ever. */
static void count_no_empty_promises(const Batch *b) {
    for (size_t at = 0; at < b->set_count; at++)
        for (size_t i = 0; i < b->sets[at]->stack_count; i++) {
            StackSlot *slot = b->sets[at]->stacks[i];
            if (slot->row.renewals != slot->loaded_renewals && !slot->is_granted &&
                watch_has_lasted(b->watch, b->sets[at]->project_name, slot->row.ticket))
                slot->row.renewals = slot->loaded_renewals;
        }
}

static int save(const Batch *b, Store *store) {
    int r = reserve_watch(b);
    count_no_empty_promises(b);
    if (r == 0)
        r = store_save(store, (WorkingSet **)b->sets, b->set_count);
    return r;
}

static size_t add_dues(Plan *plan, const BatchInput *input, bool is_unheard) {
    size_t before = plan->count;
    for (size_t i = 0; i < input->due_count; i++) {
        const WatchDue *due = &input->dues[i];
        if ((due->due.kind == DUE_UNHEARD) == is_unheard)
            plan->steps[plan->count++] = (Step){.due = &due->due, .project = due->project};
    }
    return plan->count - before;
}

/* Who hung up does not get what the others free; all else that is due comes after what has arrived. */
static void make_plan(Plan *plan, const BatchInput *input) {
    plan->count = 0;
    (void)add_dues(plan, input, true);
    for (size_t i = 0; i < input->count; i++)
        plan->steps[plan->count++] = step_of(input->works[i]);
    plan->last_dues = add_dues(plan, input, false);
}

/* Whether they were renewed may be counted otherwise where the rows are now: the watch begins anew with the next look. */
static void drop_expired(Plan *plan) {
    size_t kept = 0, before = plan->count;
    for (size_t i = 0; i < before; i++)
        if (plan->steps[i].due == NULL || plan->steps[i].due->kind != DUE_EXPIRED)
            plan->steps[kept++] = plan->steps[i];
    plan->count = kept;
    plan->last_dues -= before - kept;
}

int batch_run(Batch *b, Store *store, const Moment *moment, BatchInput *input) {
    Plan plan;
    arena_reset(&b->arena);
    b->set_count = 0;
    make_plan(&plan, input);
    int r = store_begin(store);
    if (r != 0)
        return r;
    if (store_must_look(store))
        drop_expired(&plan);
    r = decide_all(b, store, moment, input, &plan);
    FAILPOINT("decided");
    b->is_changed = false;
    for (size_t i = 0; i < b->set_count; i++)
        b->is_changed |= working_set_is_changed(b->sets[i]);
    if (r == 0 && b->is_changed) {
        r = save(b, store);
        FAILPOINT("saved");
    }
    if (r == 0)
        r = store_commit(store);
    else
        store_rollback(store);
    return r;
}
