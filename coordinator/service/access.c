/*
 * Authentication and authorisation. Order matters and is the protocol's: a lease secret beside a bad key wins (rotating
 * keys must not kill running jobs), a forged secret beside a good key loses.
 */
#include "service/access.h"

#include <string.h>

#include "base/limits.h"

static const Slice unread_store =
    SLICE_LITERAL("the store cannot be read, so nobody is let in: repeat in a moment; the coordinator's log says why");
static const Slice no_key =
    SLICE_LITERAL("no key was sent, or an empty one: give it as `X-API-Key: <key>` or `Authorization: Bearer <key>`, "
                  "over nng as `auth`");
static const Slice bad_key = SLICE_LITERAL("this key is not known here: mistyped, revoked, or of another coordinator");
static const Slice limited_key =
    SLICE_LITERAL("too many failed authentications from this address: wait a little, and check the key");
static const Slice bad_lease =
    SLICE_LITERAL("`lease` is not a secret of this coordinator: send it exactly as it was answered");

static Access refuse(Work *w, Outcome outcome, const char *field, Slice detail) {
    work_refuse(w, outcome, field, detail);
    return ACCESS_REFUSED;
}

/* Failures are counted by address, but for those of who has a good key; past the limit they are told as such. */
static Access refuse_unauthenticated(const Gate *gate, Work *w, const char *field, Slice detail) {
    bool is_within = w->credential == CREDENTIAL_GOOD || limiter_failed(gate->limiter, slice_of(w->address));
    return is_within ? refuse(w, OUTCOME_UNAUTHENTICATED, field, detail)
                     : refuse(w, OUTCOME_RATE_LIMITED, field, limited_key);
}

static Access refuse_key(const Gate *gate, Work *w) {
    return w->credential == CREDENTIAL_NONE ? refuse(w, OUTCOME_UNAUTHENTICATED, NULL, no_key)
                                            : refuse_unauthenticated(gate, w, NULL, bad_key);
}

/* Compares the claim with what is known of the key. */
static void judge_key(const Gate *gate, Work *w, const KnownKey *known) {
    if (known->is_revoked || !key_matches(&w->claim, known->hash)) {
        w->credential = CREDENTIAL_BAD;
        return;
    }
    w->credential = CREDENTIAL_GOOD;
    w->key_learned_ms = known->learned_ms;
    memcpy(w->key_id, known->id, sizeof w->key_id);
    memcpy(w->key_project, known->project, sizeof w->key_project);
    w->key_scope = known->scope;
    keys_used(gate->keys, known->id, clock_wall_ms(gate->clock));
}

Access access_check_credential(const Gate *gate, Work *w, Slice credential, Slice address) {
    w->key_epoch = keys_epoch(gate->keys);
    if (credential.len == 0) { /* or empty: a variable that nobody has set */
        w->credential = CREDENTIAL_NONE;
    } else if (claims_read(gate->claims, credential, &w->claim) != 0) {
        w->credential = CREDENTIAL_BAD;
    } else {
        KnownKey known;
        w->credential = CREDENTIAL_CLAIMED;
        if (keys_find(gate->keys, w->claim.id, &known))
            judge_key(gate, w, &known);
    }
    size_t len = address.len < sizeof w->address ? address.len : sizeof w->address - 1;
    if (len > 0)
        memcpy(w->address, address.ptr, len);
    w->address[len] = '\0';
    bool is_hopeless = w->credential == CREDENTIAL_NONE || w->credential == CREDENTIAL_BAD;
    return is_hopeless && (w->row->flags & OPERATION_LEASE_OPENS) == 0 ? refuse_key(gate, w) : ACCESS_READY;
}

static void set_project(Work *w, Slice name) {
    size_t len = name.len < sizeof w->project ? name.len : sizeof w->project - 1;
    memcpy(w->project, name.ptr, len);
    w->project[len] = '\0';
    w->command.project = (Slice){.ptr = w->project, .len = len};
}

/* A lease secret was sent: it alone decides, unless a good key of another project stands beside it. */
static Access resolve_lease(const Gate *gate, Work *w) {
    LeaseClaim claim;
    KnownProject project;
    if (lease_secret_read(w->command.lease, &claim) != 0)
        return refuse_unauthenticated(gate, w, "lease", bad_lease);
    if (!keys_find_project(gate->keys, claim.project, &project) || w->credential == CREDENTIAL_CLAIMED)
        return ACCESS_ASK_STORE;
    if (!lease_secret_is_genuine(&claim, project.lease_key))
        return refuse_unauthenticated(gate, w, "lease", bad_lease);
    if (w->credential == CREDENTIAL_GOOD && !slice_equal_text(claim.project, w->key_project))
        return refuse(w, OUTCOME_FORBIDDEN, "lease",
                      (Slice)SLICE_LITERAL("this lease belongs to another project than the key: nothing was changed"));
    set_project(w, claim.project);
    w->command.lease_ref = claim.ref;
    w->command.scope = SCOPE_AGENT;
    w->command.asker = (Slice)SLICE_LITERAL("lease");
    return ACCESS_READY;
}

static Access resolve_key(const Gate *gate, Work *w) {
    if (w->credential == CREDENTIAL_CLAIMED)
        return ACCESS_ASK_STORE;
    if (w->credential != CREDENTIAL_GOOD)
        return refuse_key(gate, w);
    if (w->key_scope < w->row->scope)
        return refuse(
            w, OUTCOME_FORBIDDEN, NULL,
            (Slice)SLICE_LITERAL("the scope of this key does not reach so far: ask the admin for a key of scope "
                                 "`agent` (jobs) or `operator` (people who free stacks)"));
    set_project(w, slice_of(w->key_project));
    w->command.scope = w->key_scope;
    w->command.asker = slice_of(w->key_id);
    return ACCESS_READY;
}

static Access resolve_control(Work *w) {
    if (w->row->scope != SCOPE_ADMIN && (w->row->flags & OPERATION_NAMES_PROJECT) == 0)
        return refuse(w, OUTCOME_UNKNOWN_OPERATION, NULL,
                      (Slice)SLICE_LITERAL("this operation is a job's: it needs a key, over HTTP or nng"));
    w->command.scope = SCOPE_ADMIN;
    w->command.asker = (Slice)SLICE_LITERAL("control");
    if ((w->row->flags & OPERATION_NAMES_PROJECT) != 0) {
        if (slice_is_absent(w->command.project_name))
            return refuse(w, OUTCOME_VALIDATION, "project",
                          (Slice)SLICE_LITERAL("project is required over the control socket"));
        set_project(w, w->command.project_name);
    }
    return ACCESS_READY;
}

Access access_resolve(const Gate *gate, Work *w) {
    if (w->transport == TRANSPORT_CONTROL)
        return resolve_control(w);
    bool is_lease_sent = (w->row->flags & OPERATION_LEASE_OPENS) != 0 && !slice_is_absent(w->command.lease);
    return is_lease_sent ? resolve_lease(gate, w) : resolve_key(gate, w);
}

bool access_is_stale(const Gate *gate, const Work *w) {
    if (w->transport == TRANSPORT_CONTROL)
        return false;
    bool is_old = w->credential == CREDENTIAL_GOOD && !keys_believe(gate->keys, w->key_learned_ms);
    return is_old || w->key_epoch != keys_epoch(gate->keys);
}

Access access_resolve_from_store(const Gate *gate, Work *w, Store *store, Arena *arena) {
    KeyRow key;
    ProjectRow project;
    int r = 0;
    KnownKey known = {0};
    if (w->credential == CREDENTIAL_GOOD)
        w->credential = CREDENTIAL_CLAIMED; /* what was known then may be outdated */
    if (w->credential == CREDENTIAL_CLAIMED && keys_find(gate->keys, w->claim.id, &known))
        judge_key(gate, w, &known); /* one that came before had the store asked */
    if (w->credential == CREDENTIAL_CLAIMED) {
        r = store_find_key(store, slice_of(w->claim.id), arena, &key, &project);
        if (r == 0) {
            keys_learn(gate->keys, &key, &project);
            (void)keys_find(gate->keys, w->claim.id, &known);
            judge_key(gate, w, &known);
        } else if (r == STORE_NOT_FOUND) {
            w->credential = CREDENTIAL_BAD;
        }
    }
    LeaseClaim claim;
    if ((r == 0 || r == STORE_NOT_FOUND) && !slice_is_absent(w->command.lease) &&
        lease_secret_read(w->command.lease, &claim) == 0) {
        r = store_find_project(store, claim.project, arena, &project);
        if (r == 0)
            keys_learn_project(gate->keys, &project);
    }
    if (r != 0 && r != STORE_NOT_FOUND)
        return refuse(w, OUTCOME_STORE_UNAVAILABLE, NULL, unread_store); /* who asks is not known yet */
    Access access = access_resolve(gate, w);
    /* Still unknown after the store was read: a lease of a project that is not there. */
    return access == ACCESS_ASK_STORE ? refuse_unauthenticated(gate, w, "lease", bad_lease) : access;
}
