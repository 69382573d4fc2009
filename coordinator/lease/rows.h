/*
 * The rows the rules work on: a project, its stacks, its requests, its keys, its history. The store fills and saves them;
 * only lease/ changes them. Absent text is SLICE_ABSENT, an absent number 0 unless said otherwise; times are wall ms.
 */
#pragma once

#include "lease/state.h"
#include "protocol/messages.h"

typedef struct ProjectRow {
    Slice name;
    bool is_deleted; /* one row stays behind a deleted project: its generation counter must go on growing */
    Slice prefix, initial_commit;
    int64_t max_stacks; /* 0: unbounded */
    int64_t max_hold_seconds, expiry_grace_seconds;
    bool is_cleaning;
    uint8_t lease_key[32];
    int64_t created_ms;
    /* Counters. */
    int64_t stack_count;  /* rows in all states, retiring included */
    int64_t leased_count; /* of which leased or retiring under a lease */
    int64_t queued_count; /* requests waiting, live or not: 0 spares everybody a look at the queue */
    int64_t first_unused; /* every number below it is used: where the search for the lowest unused one starts */
    int64_t last_generation, last_ticket, last_event;
} ProjectRow;

/* What a new one is unless somebody says otherwise; its lease key is left to the caller. */
ProjectRow project_row_new(Slice name, int64_t created_ms);

/* A lease lives on its stack's row while it lasts; a request row exists beside it when requestId or leaseSeconds was sent. */
typedef struct StackRow {
    int64_t number; /* ≥ 1 */
    Slice name;
    StackState state;
    Slice branch, last_commit;
    bool is_content_unknown; /* after a loss, dirty, broken: no commit is told until the next deploy or a clean ok */
    int64_t requested;       /* generation of the last grant: the order of "last requested" */
    int64_t requested_ms, created_ms, modified_ms;
    Slice url, note;
    /* The lease; ticket 0 when there is none. */
    int64_t ticket, generation, lease_seconds; /* lease_seconds 0: plain */
    int64_t since_ms;
    /* False only for a grant from the queue that nobody has heard of yet; then `before` is what the stack was before it. */
    bool is_collected;
    struct {
        Slice branch;
        int64_t requested, requested_ms;
    } before;
    int purpose; /* Purpose */
    Slice holder_json;
    /* Of several coordinators alone: a number that the grant of a bound lease and every renewal raise, so that each of them
     * sees whether it was renewed, wherever that was. Outlives the lease. */
    int64_t renewals;
    /* After it. */
    /* Quiet: nobody gets it before the last holder must have stopped. The service's clock ends it; these say how long it
     * may take, from the start of the daemon on too: quiet_untold_seconds until the holder has been told (0: he knows, or
     * his own clock told him), then quiet_seconds. */
    int64_t quiet_until_ms; /* when it probably ends, for people; 0: not quiet */
    int64_t quiet_seconds, quiet_untold_seconds;
    int64_t quiet_ticket;   /* the lease that ended; told to it, quiet_untold_seconds is over. 0: several may hold it */
    int64_t dirty_since;    /* ticket order of turning dirty: the cleaner takes the lowest; 0: not dirty */
    int64_t clean_failures; /* in a row */
} StackRow;

static inline bool is_leased(const StackRow *row) {
    return row->ticket != 0;
}
/* Only its secret, or cancelRequest with its requestId, ends a bound lease. */
static inline bool is_bound(const StackRow *row) {
    return row->ticket != 0 && row->lease_seconds > 0;
}
static inline bool is_quiet(const StackRow *row) {
    return row->quiet_until_ms != 0;
}
/* A request may get it now. */
static inline bool is_free(const StackRow *row) {
    return row->state == STACK_AVAILABLE && !is_quiet(row);
}

/* The number that a stack's name ends in, which is its row's: prefixes end in no digit. 0: it is no stack's name. */
int64_t stack_number_of(Slice name);

typedef enum RequestState { REQUEST_QUEUED, REQUEST_LIVE, REQUEST_OVER } RequestState;
extern const char *const request_state_names[]; /* "queued", … ; NULL-terminated */
typedef enum RequestWhy {
    WHY_NONE,
    WHY_RELEASED,
    WHY_EXPIRED,
    WHY_FORCED,
    WHY_CANCELLED,
    WHY_ABANDONED,
    WHY_UNCOLLECTED
} RequestWhy;
extern const char *const request_why_names[]; /* "", "released", … ; NULL-terminated */

typedef struct RequestRow {
    int64_t ticket;   /* the lease's id, and the place in the queue, for good */
    Slice request_id; /* absent: a lease asked for without one */
    RequestState state;
    bool is_heard; /* of a queued one: live. One not heard of for a while is passed over, and keeps its place */
    /* … and the coordinator that heard of it last: it tells when the request fell silent. 0: the only one. */
    int64_t heard_at;
    RequestWhy why;
    /* As sent, for comparison with a repeat; lease_seconds FIELD_ABSENT when it was not sent. */
    Slice branch, commit;
    int64_t lease_seconds;
    int purpose;
    Slice holder_json;
    int64_t created_ms;
    /* Of the grant. */
    int64_t stack_number; /* 0: never granted */
    Slice stack_name;
    int64_t generation;
    bool is_reused, from_queue;
    bool is_joined; /* other jobs may hold it too: telling one of them that it is over does not tell all */
    /* When over; of one that waits, or has been granted, again, why and ended_ms tell of the grant that was taken back. */
    int64_t ended_ms;
    Slice ended_by;
    Slice ended_reason; /* an operator's; absent: none was given */
    int outcome;        /* ReleaseOutcome of a release */
} RequestRow;

/* It is live in the queue, and counts in `position`. */
static inline bool is_waiting(const RequestRow *row) {
    return row->state == REQUEST_QUEUED && row->is_heard;
}

typedef struct KeyRow {
    Slice id, project; /* ids are unique over all projects */
    int scope;         /* Scope */
    uint8_t hash[32];  /* SHA-256 of the whole key text */
    Slice label;
    int64_t created_ms, last_used_ms, revoked_ms; /* 0: never */
} KeyRow;

typedef enum EventKind {
    EVENT_GRANTED,
    EVENT_JOINED,
    EVENT_DEPLOYED,
    EVENT_RELEASED,
    EVENT_FORCED,
    EVENT_CANCELLED,
    EVENT_DELETED,
    EVENT_RETIRED,
    EVENT_QUARANTINED,
    EVENT_RESTORED,
    EVENT_ANNOTATED,
    EVENT_PROJECT_CREATED,
    EVENT_PROJECT_UPDATED,
    EVENT_PROJECT_DELETED,
    EVENT_KEY_CREATED,
    EVENT_KEY_REVOKED,
    EVENT_QUEUED,
    EVENT_EXPIRED,
    EVENT_ABANDONED,
    EVENT_UNCOLLECTED,
    EVENT_RESTED, /* its quiet is over */
    EVENT_KIND_COUNT,
} EventKind;
extern const char *const event_kind_names[];

/* The history: appended, never changed, dropped after HISTORY_DAYS. */
typedef struct EventRow {
    int64_t id; /* 1, 2, … in the project */
    int64_t at_ms;
    int kind;             /* EventKind */
    int64_t stack_number; /* 0: about the project */
    Slice stack_name;
    int64_t generation; /* 0: none */
    Slice branch, commit, by, outcome, note, holder_json;
} EventRow;
