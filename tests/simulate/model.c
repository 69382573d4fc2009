#include "simulate/model.h"

#include <stdlib.h>

/* ---- Which stack ---- */

static bool is_free(const ModelStack *s) {
    return s->exists && s->state == STACK_AVAILABLE;
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
        if (is_free(s) && s->branch == branch && !s->is_unknown && s->commit == commit &&
            (best == 0 || s->requested > m->stacks[best].requested))
            best = n;
    }
    for (int n = 1; n < MODEL_STACKS && best == 0; n++) {
        bool is_last = is_free(&m->stacks[n]) && m->stacks[n].branch == branch;
        for (int k = 1; k < MODEL_STACKS; k++)
            is_last = is_last && !(is_free(&m->stacks[k]) && m->stacks[k].branch == branch &&
                                   m->stacks[k].requested > m->stacks[n].requested);
        best = is_last ? n : 0;
    }
    for (int n = 1; n < MODEL_STACKS && best == 0; n++) {
        bool is_first = is_free(&m->stacks[n]);
        for (int k = 1; k < MODEL_STACKS; k++)
            is_first = is_first && !(is_free(&m->stacks[k]) && m->stacks[k].requested < m->stacks[n].requested);
        best = is_first ? n : 0;
    }
    for (int n = 1; n < MODEL_STACKS && best == 0 && count_stacks(m) < m->max_stacks; n++)
        best = m->stacks[n].exists ? 0 : n;
    return best;
}

/* ---- Requests ---- */

static ModelRequest *find_id(Model *m, int id) {
    for (int i = 0; i < m->request_count; i++) {
        if (id != MODEL_NONE && m->requests[i].id == id)
            return &m->requests[i];
    }
    return NULL;
}

static ModelRequest *find_ticket(Model *m, int64_t ticket) {
    for (int i = 0; i < m->request_count; i++) {
        if (m->requests[i].ticket == ticket)
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
        if (m->requests[i].is_live || m->requests[i].ended_ms >= wall_ms)
            m->requests[kept++] = m->requests[i];
    }
    m->request_count = kept;
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

static ModelAnswer request_stack(Model *m, const ModelCommand *c) {
    ModelRequest *known = find_id(m, c->id);
    if (known != NULL) {
        bool is_same =
            known->branch == c->branch && known->commit == c->commit && known->lease_seconds == c->lease_seconds;
        if (known->stack != 0 && !is_same)
            return only(OUTCOME_REQUEST_MISMATCH);
        return known->is_live ? told(m, known->stack, known->is_reused, known) : over(known);
    }
    if (c->if_none == IF_NONE_WAIT && c->id == MODEL_NONE)
        return only(OUTCOME_VALIDATION);
    int branch = c->branch == MODEL_NONE ? 0 : c->branch; /* 0: main */
    int n = choose(m, branch, c->commit);
    if (n == 0)
        return only(OUTCOME_NONE_AVAILABLE);

    ModelStack *s = &m->stacks[n];
    bool is_reused = s->exists && s->branch == branch;
    if (!s->exists)
        *s = (ModelStack){.exists = true, .commit = MODEL_NONE};
    m->last_generation = m->last_generation + 1 > m->wall_ms ? m->last_generation + 1 : m->wall_ms;
    s->state = STACK_LEASED;
    s->branch = branch;
    s->requested = s->generation = m->last_generation;
    s->ticket = ++m->last_ticket;
    s->is_bound = c->lease_seconds != MODEL_NONE;
    ModelRequest *r = NULL;
    if (s->is_bound || c->id != MODEL_NONE)
        r = remember(m, (ModelRequest){.ticket = s->ticket,
                                       .generation = s->generation,
                                       .id = c->id,
                                       .branch = c->branch,
                                       .commit = c->commit,
                                       .lease_seconds = c->lease_seconds,
                                       .stack = n,
                                       .is_live = true,
                                       .is_reused = is_reused});
    return told(m, n, is_reused, r);
}

static ModelAnswer join_request(Model *m, const ModelCommand *c) {
    ModelRequest *r = find_id(m, c->id);
    if (r == NULL)
        return only(OUTCOME_UNKNOWN_REQUEST);
    return r->is_live ? told(m, r->stack, r->is_reused, r) : over(r);
}

/* ---- Ends ---- */

static void end(Model *m, int n, ReleaseOutcome outcome, RequestWhy why, bool is_own_release) {
    ModelStack *s = &m->stacks[n];
    ModelRequest *r = find_ticket(m, s->ticket);
    if (r != NULL) {
        r->is_live = false;
        r->why = why;
        r->is_own_release = is_own_release;
        r->ended_ms = m->wall_ms;
    }
    s->exists = s->state != STACK_RETIRING;
    s->state = outcome == RELEASE_BROKEN ? STACK_QUARANTINED : STACK_AVAILABLE;
    s->ticket = 0;
    if (outcome != RELEASE_OK) {
        s->is_unknown = true;
        s->commit = MODEL_NONE;
    }
}

static ModelAnswer cancel_request(Model *m, const ModelCommand *c) {
    ModelAnswer a = only(OUTCOME_DONE);
    ModelRequest *r = find_id(m, c->id);
    if (r == NULL) {
        (void)remember(m, (ModelRequest){.ticket = ++m->last_ticket,
                                         .id = c->id,
                                         .branch = MODEL_NONE,
                                         .commit = MODEL_NONE,
                                         .lease_seconds = MODEL_NONE,
                                         .why = WHY_CANCELLED,
                                         .ended_ms = m->wall_ms});
        a.result = "stored";
    } else if (r->is_live) {
        end(m, r->stack, RELEASE_DIRTY, WHY_CANCELLED, false);
        a.result = "ended";
    } else {
        a.result = r->why != WHY_CANCELLED ? "over" : r->stack != 0 ? "ended" : "stored";
    }
    return a;
}

/* The stack that release and deploy may go on with, or the refusal. */
static ModelAnswer find_held(Model *m, const ModelCommand *c, ModelRequest **request) {
    const ModelStack *s = &m->stacks[c->stack];
    *request = NULL;
    if (c->ticket != 0) {
        ModelRequest *r = find_ticket(m, c->ticket);
        if (r == NULL)
            return only(OUTCOME_LEASE_LOST);
        if (r->stack != c->stack)
            return only(OUTCOME_FORBIDDEN);
        *request = r;
        return r->is_live ? only(OUTCOME_DONE)
                          : (ModelAnswer){.outcome = OUTCOME_LEASE_LOST, .why = r->why, .commit = MODEL_NONE};
    }
    if (!s->exists)
        return only(OUTCOME_UNKNOWN_STACK);
    return only(s->ticket != 0 && s->is_bound ? OUTCOME_LEASE_REQUIRED : OUTCOME_DONE);
}

static ModelAnswer release_stack(Model *m, const ModelCommand *c) {
    ModelRequest *r;
    ModelAnswer a = find_held(m, c, &r);
    if (r != NULL && !r->is_live && r->is_own_release)
        return only(OUTCOME_DONE);
    if (a.outcome == OUTCOME_DONE && m->stacks[c->stack].ticket != 0)
        end(m, c->stack, c->outcome, WHY_RELEASED, c->ticket != 0);
    return a;
}

static ModelAnswer deploy(Model *m, const ModelCommand *c) {
    ModelRequest *r;
    ModelAnswer a = find_held(m, c, &r);
    ModelStack *s = &m->stacks[c->stack];
    if (a.outcome == OUTCOME_DONE && s->ticket == 0 && s->state != STACK_AVAILABLE)
        a.outcome = OUTCOME_WRONG_STATE;
    if (a.outcome == OUTCOME_DONE) {
        s->commit = c->commit;
        s->is_unknown = false;
    }
    return a;
}

/* ---- By hand ---- */

static ModelAnswer delete_last(Model *m) {
    for (int n = MODEL_STACKS - 1; n > 0; n--) {
        ModelStack *s = &m->stacks[n];
        if (!s->exists || s->state == STACK_RETIRING)
            continue;
        if (s->ticket != 0)
            s->state = STACK_RETIRING;
        else
            s->exists = false;
        break;
    }
    return only(OUTCOME_DONE);
}

static ModelAnswer by_hand(Model *m, const ModelCommand *c) {
    ModelStack *s = &m->stacks[c->stack];
    if (!s->exists)
        return only(OUTCOME_UNKNOWN_STACK);
    bool is_leased = s->ticket != 0;
    bool is_quarantine = c->operation == OP_QUARANTINE_STACK;
    bool is_right = is_quarantine ? s->state != STACK_RETIRING : is_leased == (c->operation == OP_FORCE_RELEASE_STACK);
    if (!is_right)
        return only(OUTCOME_WRONG_STATE);
    if (is_leased)
        end(m, c->stack, is_quarantine ? RELEASE_BROKEN : c->outcome, WHY_FORCED, false);
    else
        s->state = is_quarantine ? STACK_QUARANTINED : STACK_AVAILABLE;
    return only(OUTCOME_DONE);
}

ModelAnswer model_do(Model *m, const ModelCommand *c) {
    if (c->operation == OP_REQUEST_STACK)
        return request_stack(m, c);
    if (c->operation == OP_JOIN_REQUEST)
        return join_request(m, c);
    if (c->operation == OP_CANCEL_REQUEST)
        return cancel_request(m, c);
    if (c->operation == OP_RELEASE_STACK)
        return release_stack(m, c);
    if (c->operation == OP_SET_LAST_DEPLOYED_COMMIT)
        return deploy(m, c);
    if (c->operation == OP_DELETE_LAST_STACK)
        return delete_last(m);
    if (c->operation == OP_UPDATE_PROJECT) {
        m->max_stacks = c->max_stacks;
        return only(OUTCOME_DONE);
    }
    return by_hand(m, c);
}
