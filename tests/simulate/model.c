#include "simulate/model.h"

#include <stdlib.h>

#include "base/limits.h"

#define FOREVER INT64_MAX
#define CLEAN_FAILURES 3

static int64_t lowest(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t highest(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* ---- Which stack ---- */

static bool is_to_be_had(const ModelStack *s) {
    return s->exists && s->state == STACK_AVAILABLE && !s->is_quiet;
}

static int count_stacks(const Model *m) {
    int count = 0;
    for (int n = 1; n < MODEL_STACKS; n++)
        count += m->stacks[n].exists;
    return count;
}

/* 0: none. */
static int choose(const Model *m, int branch, int commit) {
    int best = 0;
    for (int n = 1; n < MODEL_STACKS && commit != MODEL_NONE; n++) {
        const ModelStack *s = &m->stacks[n];
        if (is_to_be_had(s) && s->branch == branch && !s->is_unknown && s->commit == commit &&
            (best == 0 || s->requested > m->stacks[best].requested))
            best = n;
    }
    for (int n = 1; n < MODEL_STACKS && best == 0; n++) {
        bool is_last = is_to_be_had(&m->stacks[n]) && m->stacks[n].branch == branch;
        for (int k = 1; k < MODEL_STACKS; k++)
            is_last = is_last && !(is_to_be_had(&m->stacks[k]) && m->stacks[k].branch == branch &&
                                   m->stacks[k].requested > m->stacks[n].requested);
        best = is_last ? n : 0;
    }
    for (int n = 1; n < MODEL_STACKS && best == 0; n++) {
        bool is_first = is_to_be_had(&m->stacks[n]);
        for (int k = 1; k < MODEL_STACKS; k++)
            is_first = is_first && !(is_to_be_had(&m->stacks[k]) && m->stacks[k].requested < m->stacks[n].requested);
        best = is_first ? n : 0;
    }
    for (int n = 1; n < MODEL_STACKS && best == 0 && count_stacks(m) < m->max_stacks; n++)
        best = m->stacks[n].exists ? 0 : n;
    return best;
}

/* Dirty longest. */
static int choose_dirty(const Model *m) {
    int best = 0;
    for (int n = 1; n < MODEL_STACKS; n++) {
        const ModelStack *s = &m->stacks[n];
        if (s->exists && s->state == STACK_DIRTY && !s->is_quiet &&
            (best == 0 || s->dirty_since < m->stacks[best].dirty_since))
            best = n;
    }
    return best;
}

static int branch_of(int branch) {
    return branch == MODEL_NONE ? 0 : branch; /* 0: main */
}

static int choose_for(const Model *m, const ModelRequest *r) {
    return r->purpose == PURPOSE_CLEAN ? choose_dirty(m) : choose(m, branch_of(r->branch), r->commit);
}

/* ---- Requests ---- */

static ModelRequest *find_id(Model *m, int id) {
    for (int i = 0; i < m->request_count; i++) {
        if (id != MODEL_NONE && m->requests[i].id == id)
            return &m->requests[i];
    }
    return NULL;
}

ModelRequest *model_request(Model *m, int64_t ticket) {
    for (int i = 0; i < m->request_count; i++) {
        if (ticket != 0 && m->requests[i].ticket == ticket)
            return &m->requests[i];
    }
    return NULL;
}

static ModelRequest *remember(Model *m, ModelRequest request) {
    if (m->request_count == MODEL_REQUESTS)
        abort(); /* the schedule has to prune more often */
    m->requests[m->request_count] = request;
    return &m->requests[m->request_count++];
}

void model_prune(Model *m, int64_t wall_ms) {
    int kept = 0;
    for (int i = 0; i < m->request_count; i++) {
        if (m->requests[i].state != REQUEST_OVER || m->requests[i].ended_ms >= wall_ms)
            m->requests[kept++] = m->requests[i];
    }
    m->request_count = kept;
}

static void set_over(Model *m, ModelRequest *r, RequestWhy why) {
    r->state = REQUEST_OVER;
    r->is_heard = false;
    r->parked = 0;
    r->why = why;
    r->ended_ms = m->wall_ms;
}

static ModelAnswer told(const Model *m, int stack, bool is_reused, const ModelRequest *request) {
    const ModelStack *s = &m->stacks[stack];
    ModelAnswer a = {.outcome = OUTCOME_DONE, .stack = stack, .is_reused = is_reused, .has_lease = request != NULL};
    a.commit = s->is_unknown ? MODEL_NONE : s->commit == MODEL_NONE ? 0 : s->commit; /* 0: the project's initial one */
    if (request != NULL) {
        a.ticket = request->ticket;
        a.generation = request->generation;
    }
    return a;
}

static ModelAnswer over(const ModelRequest *r) {
    return (ModelAnswer){.outcome = OUTCOME_REQUEST_OVER, .why = r->why, .commit = MODEL_NONE};
}

static ModelAnswer only(Outcome outcome) {
    return (ModelAnswer){.outcome = outcome, .commit = MODEL_NONE};
}

/* ---- Grants ---- */

/* The lease of ticket r->ticket begins on stack n. */
static void grant(Model *m, int n, ModelRequest *r) {
    ModelStack *s = &m->stacks[n];
    bool is_cleaning = r->purpose == PURPOSE_CLEAN;
    if (!s->exists)
        *s = (ModelStack){.exists = true, .commit = MODEL_NONE, .branch = MODEL_NONE, .due_told = -FOREVER};
    r->is_reused = !is_cleaning && s->branch == branch_of(r->branch);
    s->before.branch = s->branch;
    s->before.requested = s->requested;
    m->last_generation = highest(m->last_generation + 1, m->wall_ms);
    s->state = STACK_LEASED;
    s->ticket = r->ticket;
    s->generation = m->last_generation;
    s->granted_in = m->batch;
    s->purpose = r->purpose;
    if (!is_cleaning) {
        s->branch = branch_of(r->branch);
        s->requested = m->last_generation;
    }
    s->lease_seconds = s->asked_seconds = r->lease_seconds == MODEL_NONE ? 0 : r->lease_seconds;
    s->is_asked_known = true;
    s->lease_end = s->lease_seconds > 0 ? m->now + s->lease_seconds * 1000 : FOREVER;
    s->hold_end = s->lease_seconds > 0 ? m->now + m->max_hold_seconds * 1000 : FOREVER;
    s->is_collected = !r->from_queue;
    s->collect_end = s->is_collected ? FOREVER : lowest(m->now + COLLECT_MS, s->lease_end);
    s->due_told = -FOREVER;
    r->state = REQUEST_LIVE;
    r->is_heard = false;
    r->parked = 0;
    r->stack = n;
    r->generation = s->generation;
}

static ModelRequest *queue_head(Model *m, int purpose) {
    ModelRequest *head = NULL;
    for (int i = 0; i < m->request_count; i++) {
        ModelRequest *r = &m->requests[i];
        if (r->state == REQUEST_QUEUED && r->is_heard && r->purpose == purpose &&
            (head == NULL || r->ticket < head->ticket))
            head = r;
    }
    return head;
}

/* Capacity has one door: while the first of a queue can be served, it is. */
static void serve(Model *m) {
    for (int purpose = PURPOSE_TEST; purpose <= PURPOSE_CLEAN; purpose++) {
        ModelRequest *head;
        int n;
        while ((head = queue_head(m, purpose)) != NULL && (n = choose_for(m, head)) != 0)
            grant(m, n, head);
    }
}

/* ---- Asking ---- */

static ModelAnswer queued(Model *m, const ModelRequest *r) {
    ModelAnswer a = only(OUTCOME_QUEUED);
    a.ticket = r->ticket;
    a.position = 1;
    for (int i = 0; i < m->request_count; i++) {
        const ModelRequest *other = &m->requests[i];
        a.position += other->state == REQUEST_QUEUED && other->is_heard && other->purpose == r->purpose &&
                      other->ticket < r->ticket;
    }
    return a;
}

static void hear(const Model *m, ModelRequest *r) {
    r->is_heard = true;
    r->must_be_heard = false;
    r->since = m->now;
}

static ModelAnswer known(Model *m, ModelRequest *r, bool is_peer_gone) {
    if (r->state == REQUEST_OVER)
        return over(r);
    if (r->state == REQUEST_QUEUED) {
        hear(m, r);
        return queued(m, r);
    }
    ModelStack *s = &m->stacks[r->stack];
    if (s->lease_seconds == 0 && !is_peer_gone)
        s->is_collected = true;
    return told(m, r->stack, r->is_reused, r);
}

static ModelAnswer request_stack(Model *m, const ModelCommand *c) {
    ModelRequest *before = find_id(m, c->id);
    if (before != NULL) {
        bool is_same = before->branch == c->branch && before->commit == c->commit &&
                       before->lease_seconds == c->lease_seconds && before->purpose == c->purpose;
        bool is_unheard_of = before->state == REQUEST_OVER && before->stack == 0 && !before->from_queue;
        return is_same || is_unheard_of ? known(m, before, c->is_peer_gone) : only(OUTCOME_REQUEST_MISMATCH);
    }
    if (c->if_none == IF_NONE_WAIT && c->id == MODEL_NONE)
        return only(OUTCOME_VALIDATION);
    ModelRequest request = {.id = c->id,
                            .branch = c->branch,
                            .commit = c->commit,
                            .lease_seconds = c->lease_seconds,
                            .purpose = c->purpose,
                            .due_told = -FOREVER};
    int n = queue_head(m, c->purpose) != NULL ? 0 : choose_for(m, &request);
    bool will_wait =
        c->if_none == IF_NONE_WAIT || (c->if_none == IF_NONE_DEFAULT && c->id != MODEL_NONE && c->wait_seconds > 0);
    if (n == 0 && !will_wait)
        return only(OUTCOME_NONE_AVAILABLE);
    request.ticket = ++m->last_ticket;
    if (n == 0) {
        request.state = REQUEST_QUEUED;
        request.from_queue = true;
        hear(m, &request);
        return queued(m, remember(m, request));
    }
    grant(m, n, &request);
    bool is_kept = c->id != MODEL_NONE || c->lease_seconds != MODEL_NONE;
    return told(m, n, request.is_reused, is_kept ? remember(m, request) : NULL);
}

static ModelAnswer join_request(Model *m, const ModelCommand *c) {
    ModelRequest *r = find_id(m, c->id);
    if (r == NULL)
        return only(OUTCOME_UNKNOWN_REQUEST);
    ModelAnswer a = known(m, r, false);
    r->is_joined |= r->state == REQUEST_LIVE;
    return a;
}

/* ---- Ends ---- */

static void clear_lease(ModelStack *s) {
    s->ticket = 0;
    s->purpose = PURPOSE_TEST;
    s->lease_seconds = 0;
    s->is_collected = false;
}

static void begin_quiet(const Model *m, ModelStack *s, const ModelRequest *r, RequestWhy why) {
    int64_t rest = lowest(m->expiry_grace_seconds, s->lease_seconds) * 1000;
    bool has_quiet = why == WHY_FORCED || rest > 0;
    s->quiet_ticket = r != NULL && r->is_joined ? 0 : s->ticket;
    int64_t untold = why == WHY_FORCED ? highest(lowest(s->lease_end, s->hold_end) - m->now, 0) : 0;
    s->stored_untold_ms = why == WHY_FORCED ? s->lease_seconds * INT64_C(1000) : 0;
    bool is_seen = s->granted_in != m->batch; /* or nobody knows what it had left */
    untold = is_seen ? lowest(untold, s->stored_untold_ms) : s->stored_untold_ms;
    s->is_quiet = has_quiet;
    s->rest_ms = rest;
    s->is_untold = s->quiet_ticket != 0 && untold > 0;
    s->quiet_end = m->now + untold + rest;
    s->due_told = -FOREVER;
}

/* Where a stack goes that is neither retiring nor gone. */
static StackState next_state(const Model *m, ModelStack *s, ReleaseOutcome outcome) {
    if (s->purpose == PURPOSE_CLEAN) {
        s->clean_failures = outcome == RELEASE_OK ? 0 : s->clean_failures + 1;
        if (outcome == RELEASE_OK)
            return STACK_AVAILABLE;
        return outcome == RELEASE_BROKEN || s->clean_failures >= CLEAN_FAILURES ? STACK_QUARANTINED : STACK_DIRTY;
    }
    if (outcome == RELEASE_BROKEN)
        return STACK_QUARANTINED;
    return outcome == RELEASE_DIRTY && m->is_cleaning ? STACK_DIRTY : STACK_AVAILABLE;
}

static void end(Model *m, int n, ReleaseOutcome outcome, RequestWhy why, bool is_own_release, bool is_now) {
    ModelStack *s = &m->stacks[n];
    ModelRequest *r = model_request(m, s->ticket);
    bool is_clean = s->purpose == PURPOSE_CLEAN;
    if (s->lease_seconds > 0 && (why == WHY_EXPIRED || why == WHY_FORCED) && !is_now)
        begin_quiet(m, s, r, why);
    if (r != NULL) {
        set_over(m, r, why);
        r->is_own_release = is_own_release;
    }
    if (s->state == STACK_RETIRING)
        s->exists = s->is_quiet;
    else
        s->state = next_state(m, s, outcome);
    s->dirty_since = s->exists && s->state == STACK_DIRTY ? ++m->last_ticket : 0;
    clear_lease(s);
    if (outcome != RELEASE_OK || is_clean) {
        s->is_unknown = outcome != RELEASE_OK;
        s->commit = MODEL_NONE;
    }
}

/* A grant from the queue that nobody used: as if it had not been. */
static void take_back(ModelStack *s) {
    bool is_clean = s->purpose == PURPOSE_CLEAN;
    if (s->state == STACK_RETIRING)
        s->exists = false;
    s->state = is_clean ? STACK_DIRTY : STACK_AVAILABLE;
    if (!is_clean) {
        s->branch = s->before.branch;
        s->requested = s->before.requested != 0 ? s->before.requested : s->requested;
    }
    clear_lease(s);
}

static void rest(ModelStack *s) {
    s->is_quiet = false;
    s->is_untold = false;
    if (s->state == STACK_RETIRING && s->ticket == 0)
        s->exists = false;
}

static void cancel_live(Model *m, ModelRequest *r) {
    ModelStack *s = &m->stacks[r->stack];
    if (s->is_collected) {
        end(m, r->stack, RELEASE_DIRTY, WHY_CANCELLED, false, false);
        return;
    }
    take_back(s);
    set_over(m, r, WHY_CANCELLED);
}

static ModelAnswer cancel_request(Model *m, const ModelCommand *c) {
    ModelAnswer a = only(OUTCOME_DONE);
    ModelRequest *r = find_id(m, c->id);
    if (r == NULL) {
        ModelRequest cancelled = {.ticket = ++m->last_ticket, .id = c->id, .lease_seconds = MODEL_NONE};
        set_over(m, remember(m, cancelled), WHY_CANCELLED);
        a.result = "stored";
        return a;
    }
    bool was_cancelled = r->state != REQUEST_OVER || r->why == WHY_CANCELLED;
    a.result = !was_cancelled ? "over" : r->stack != 0 ? "ended" : r->from_queue ? "removed" : "stored";
    if (r->state == REQUEST_QUEUED)
        set_over(m, r, WHY_CANCELLED);
    else if (r->state == REQUEST_LIVE)
        cancel_live(m, r);
    return a;
}

/* ---- By the holder ---- */

static ModelAnswer lost(RequestWhy why) {
    return (ModelAnswer){.outcome = OUTCOME_LEASE_LOST, .why = why, .commit = MODEL_NONE};
}

/* Whoever is told that his lease is over stops, and need not be waited for any longer. */
static ModelAnswer tell_lost(Model *m, const ModelRequest *r) {
    for (int n = 1; n < MODEL_STACKS; n++) {
        ModelStack *s = &m->stacks[n];
        if (!s->exists || !s->is_quiet || !s->is_untold || s->quiet_ticket != r->ticket)
            continue;
        s->is_untold = false;
        s->quiet_end = lowest(s->quiet_end, m->now + s->rest_ms);
    }
    return lost(r->why);
}

/* The request whose lease a command names, or the refusal. */
static ModelAnswer find_lease(Model *m, const ModelCommand *c, ModelRequest **out) {
    ModelRequest *r = model_request(m, c->ticket);
    *out = NULL;
    if (r == NULL || r->generation != c->generation || r->state == REQUEST_QUEUED)
        return lost(WHY_NONE); /* of another grant; it says nothing of this one */
    if (c->operation != OP_RENEW_LEASE && r->stack != c->stack)
        return only(OUTCOME_FORBIDDEN);
    *out = r;
    bool is_repeat = c->operation == OP_RELEASE_STACK && r->is_own_release && r->state == REQUEST_OVER;
    return r->state == REQUEST_LIVE || is_repeat ? only(OUTCOME_DONE) : tell_lost(m, r);
}

/* The stack that release and deploy may go on with, or the refusal. */
static ModelAnswer find_held(Model *m, const ModelCommand *c, ModelRequest **request) {
    const ModelStack *s = &m->stacks[c->stack];
    *request = NULL;
    if (c->ticket != 0)
        return find_lease(m, c, request);
    if (!s->exists)
        return only(OUTCOME_UNKNOWN_STACK);
    return only(s->ticket != 0 && s->lease_seconds > 0 ? OUTCOME_LEASE_REQUIRED : OUTCOME_DONE);
}

static void renew(const Model *m, ModelStack *s, int seconds) {
    int64_t length = seconds != MODEL_NONE ? seconds : s->asked_seconds;
    s->lease_end = highest(s->lease_end, m->now + length * 1000);
}

static ModelAnswer renew_lease(Model *m, const ModelCommand *c) {
    ModelRequest *r;
    ModelAnswer a = find_lease(m, c, &r);
    if (a.outcome != OUTCOME_DONE)
        return a;
    ModelStack *s = &m->stacks[r->stack];
    s->is_collected = true;
    if (s->lease_seconds == 0)
        return a;
    if (c->lease_seconds > s->lease_seconds)
        s->lease_seconds = c->lease_seconds;
    s->is_asked_known |= c->lease_seconds == MODEL_NONE;
    renew(m, s, c->lease_seconds);
    return a;
}

bool model_renew(Model *m, const ModelCommand *c) {
    ModelRequest *r = model_request(m, c->ticket);
    if (r == NULL || r->state != REQUEST_LIVE || r->generation != c->generation)
        return false;
    ModelStack *s = &m->stacks[r->stack];
    bool is_known = c->lease_seconds != MODEL_NONE || s->is_asked_known;
    if (s->lease_seconds == 0 || !s->is_collected || !is_known || c->lease_seconds > s->lease_seconds)
        return false;
    renew(m, s, c->lease_seconds);
    return true;
}

static ModelAnswer release_stack(Model *m, const ModelCommand *c) {
    ModelRequest *r;
    ModelAnswer a = find_held(m, c, &r);
    const ModelStack *s = &m->stacks[c->stack];
    bool is_over = r != NULL && r->state == REQUEST_OVER;
    bool is_theirs = c->ticket != 0 || s->is_collected; /* who speaks by name has not heard of another's new grant */
    if (a.outcome == OUTCOME_DONE && !is_over && s->ticket != 0 && is_theirs)
        end(m, c->stack, c->outcome, WHY_RELEASED, c->ticket != 0, false);
    return a;
}

static ModelAnswer deploy(Model *m, const ModelCommand *c) {
    ModelRequest *r;
    ModelAnswer a = find_held(m, c, &r);
    ModelStack *s = &m->stacks[c->stack];
    if (a.outcome == OUTCOME_DONE && s->ticket == 0 && (s->state != STACK_AVAILABLE || s->is_quiet))
        a.outcome = OUTCOME_WRONG_STATE;
    if (a.outcome == OUTCOME_DONE) {
        s->commit = c->commit;
        s->is_unknown = false;
        s->is_collected |= c->ticket != 0;
    }
    return a;
}

/* ---- By hand ---- */

static ModelAnswer delete_last(Model *m) {
    for (int n = MODEL_STACKS - 1; n > 0; n--) {
        ModelStack *s = &m->stacks[n];
        if (!s->exists || s->state == STACK_RETIRING)
            continue;
        if (s->ticket != 0 || s->is_quiet)
            s->state = STACK_RETIRING;
        else
            s->exists = false;
        s->dirty_since = s->ticket != 0 ? s->dirty_since : 0;
        break;
    }
    return only(OUTCOME_DONE);
}

static void move(ModelStack *s, StackState to) {
    if (s->state == to)
        return;
    s->state = to;
    s->dirty_since = 0;
    s->clean_failures = 0;
}

static ModelAnswer by_hand(Model *m, const ModelCommand *c) {
    ModelStack *s = &m->stacks[c->stack];
    if (!s->exists)
        return only(OUTCOME_UNKNOWN_STACK);
    bool is_leased = s->ticket != 0;
    if (c->operation == OP_FORCE_RELEASE_STACK) {
        if (!is_leased)
            return only(OUTCOME_WRONG_STATE);
        end(m, c->stack, c->outcome, WHY_FORCED, false, c->now);
    } else if (s->state == STACK_RETIRING || (c->operation == OP_RESTORE_STACK && is_leased)) {
        return only(OUTCOME_WRONG_STATE);
    } else if (is_leased) {
        end(m, c->stack, RELEASE_BROKEN, WHY_FORCED, false, c->now);
    } else {
        move(s, c->operation == OP_QUARANTINE_STACK ? STACK_QUARANTINED : STACK_AVAILABLE);
        if (c->now)
            rest(s);
    }
    return only(OUTCOME_DONE);
}

static ModelAnswer update_project(Model *m, const ModelCommand *c) {
    m->max_stacks = c->max_stacks;
    m->expiry_grace_seconds = c->expiry_grace_seconds;
    m->max_hold_seconds = c->max_hold_seconds;
    m->is_cleaning = c->is_cleaning;
    return only(OUTCOME_DONE);
}

static ModelAnswer decide(Model *m, const ModelCommand *c) {
    if (c->operation == OP_REQUEST_STACK)
        return request_stack(m, c);
    if (c->operation == OP_JOIN_REQUEST)
        return join_request(m, c);
    if (c->operation == OP_CANCEL_REQUEST)
        return cancel_request(m, c);
    if (c->operation == OP_RENEW_LEASE)
        return renew_lease(m, c);
    if (c->operation == OP_RELEASE_STACK)
        return release_stack(m, c);
    if (c->operation == OP_SET_LAST_DEPLOYED_COMMIT)
        return deploy(m, c);
    if (c->operation == OP_DELETE_LAST_STACK)
        return delete_last(m);
    if (c->operation == OP_UPDATE_PROJECT)
        return update_project(m, c);
    return by_hand(m, c);
}

ModelAnswer model_do(Model *m, const ModelCommand *c) {
    ModelAnswer a = decide(m, c);
    serve(m);
    return a;
}

/* ---- What time does ---- */

typedef struct TimeOut {
    DueKind kind;
    int64_t at;
} TimeOut;

static TimeOut stack_time_out(const ModelStack *s) {
    if (s->exists && s->ticket != 0 && !s->is_collected && s->collect_end <= lowest(s->lease_end, s->hold_end))
        return (TimeOut){DUE_UNCOLLECTED, s->collect_end};
    if (s->exists && s->ticket != 0 && s->lease_seconds > 0)
        return (TimeOut){DUE_EXPIRED, lowest(s->lease_end, s->hold_end)};
    if (s->exists && s->ticket == 0 && s->is_quiet)
        return (TimeOut){DUE_RESTED, s->quiet_end};
    return (TimeOut){DUE_EXPIRED, FOREVER};
}

static TimeOut request_time_out(const ModelRequest *r) {
    if (r->state != REQUEST_QUEUED)
        return (TimeOut){DUE_ABANDONED, FOREVER};
    if (r->must_be_heard)
        return (TimeOut){DUE_HEARD, 0};
    if (!r->is_heard)
        return (TimeOut){DUE_ABANDONED, r->since + QUEUE_KEPT_MS};
    return (TimeOut){DUE_UNHEARD, r->parked > 0 ? FOREVER : r->since + QUEUE_LIVE_MS};
}

bool model_is_due(Model *m, const Due *due) {
    TimeOut expected;
    if (due->stack_number != 0) {
        ModelStack *s = &m->stacks[due->stack_number];
        bool is_this = due->kind == DUE_RESTED ? s->ticket == 0 : s->ticket == due->ticket;
        expected = stack_time_out(s);
        if (!is_this)
            return false;
        s->due_told = m->now;
    } else {
        ModelRequest *r = model_request(m, due->ticket);
        if (r == NULL)
            return false;
        expected = request_time_out(r);
        r->due_told = m->now;
    }
    return expected.kind == due->kind && expected.at <= m->now;
}

bool model_is_forgotten(const Model *m) {
    for (int n = 1; n < MODEL_STACKS; n++) {
        const ModelStack *s = &m->stacks[n];
        if (stack_time_out(s).at <= m->now && s->due_told + 1000 <= m->now)
            return true;
    }
    for (int i = 0; i < m->request_count; i++) {
        const ModelRequest *r = &m->requests[i];
        if (request_time_out(r).at <= m->now && r->due_told + 1000 <= m->now)
            return true;
    }
    return false;
}

static void happen_to_stack(Model *m, const Due *due) {
    ModelStack *s = &m->stacks[due->stack_number];
    if (!s->exists)
        return;
    if (due->kind == DUE_RESTED && s->ticket == 0 && s->is_quiet && s->quiet_end <= m->now) {
        rest(s);
        return;
    }
    if (due->kind == DUE_RESTED || s->ticket != due->ticket)
        return;
    if (due->kind == DUE_EXPIRED) {
        end(m, (int)due->stack_number, RELEASE_DIRTY, WHY_EXPIRED, false, false);
    } else if (!s->is_collected) {
        ModelRequest *r = model_request(m, s->ticket);
        take_back(s);
        r->state = REQUEST_QUEUED;
        r->is_heard = r->is_reused = r->is_joined = false;
        r->must_be_heard = false;
        r->since = m->now;
        r->stack = 0;
        r->generation = 0;
        r->due_told = -FOREVER;
    }
}

static void happen_to_request(Model *m, const Due *due) {
    ModelRequest *r = model_request(m, due->ticket);
    if (r == NULL || r->state != REQUEST_QUEUED)
        return;
    if (due->kind == DUE_HEARD) {
        hear(m, r);
    } else if (due->kind == DUE_UNHEARD && r->is_heard) {
        r->is_heard = false;
        r->since = m->now;
    } else if (due->kind == DUE_ABANDONED && !r->is_heard) {
        set_over(m, r, WHY_ABANDONED);
    }
}

void model_happen(Model *m, const Due *due) {
    if (due->stack_number != 0)
        happen_to_stack(m, due);
    else
        happen_to_request(m, due);
    serve(m);
}

bool model_parked(Model *m, int64_t ticket, int by) {
    ModelRequest *r = model_request(m, ticket);
    if (r == NULL || r->state != REQUEST_QUEUED)
        return false;
    r->parked += by;
    r->since = m->now;
    return true;
}

void model_hung_up(Model *m, int64_t ticket) {
    ModelRequest *r = model_request(m, ticket);
    if (r != NULL && r->state == REQUEST_QUEUED && r->parked == 0 && r->is_heard)
        r->since = m->now - QUEUE_LIVE_MS;
}

void model_restart(Model *m) {
    m->now = 0;
    for (int n = 1; n < MODEL_STACKS; n++) {
        ModelStack *s = &m->stacks[n];
        s->due_told = -FOREVER;
        if (s->ticket != 0 && s->lease_seconds > 0) {
            s->is_asked_known = false;
            s->lease_end = s->lease_seconds * INT64_C(1000);
            s->hold_end = highest(m->max_hold_seconds, s->lease_seconds) * 1000;
        }
        if (s->ticket != 0 && !s->is_collected)
            s->collect_end = lowest(COLLECT_MS, s->lease_end);
        if (s->is_quiet) {
            s->quiet_end = s->stored_untold_ms + s->rest_ms;
            s->is_untold = s->quiet_ticket != 0 && s->stored_untold_ms > 0;
        }
    }
    for (int i = 0; i < m->request_count; i++) {
        ModelRequest *r = &m->requests[i];
        r->due_told = -FOREVER;
        r->since = 0;
        r->parked = 0;
        r->must_be_heard = r->state == REQUEST_QUEUED && !r->is_heard;
    }
}
