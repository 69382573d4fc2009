/*
 * What an operation is asked with and what it answers, as structs. One flat Command and one flat Answer serve all
 * operations: each operation's tables (commands.c, answers.c) name the members it uses, everything else stays absent.
 *
 * Lifetime: a decoded Command borrows from its json_t; an Answer borrows from the working set that made it.
 */
#pragma once

#include "base/fields.h"
#include "protocol/operations.h"
#include "protocol/outcome.h"

typedef enum IfNone {
    IF_NONE_DEFAULT,
    IF_NONE_WAIT,
    IF_NONE_FAIL
} IfNone; /* names: "default" (never sent), "wait", "fail" */
typedef enum Purpose { PURPOSE_TEST, PURPOSE_CLEAN } Purpose;
typedef enum ReleaseOutcome { RELEASE_OK, RELEASE_DIRTY, RELEASE_BROKEN } ReleaseOutcome;
typedef enum Switch { SWITCH_UNSET, SWITCH_OFF, SWITCH_ON } Switch;

/* NULL-terminated. Rows of commands whose first choice is never sent say so by `.min` = the first that is. */
extern const char *const if_none_names[], *const purpose_names[], *const release_outcome_names[], *const switch_names[];
extern const char *const key_scope_names[]; /* scope_names without "admin", which no key has */

/* Who asks, shown to people; every member optional. Stored and listed as the JSON that holder_encode makes. */
typedef struct Holder {
    Slice provider, repository, run, attempt, job, actor, link, note;
} Holder;

/* A lease named by its secret, after the secret was verified. */
typedef struct LeaseRef {
    int64_t ticket;     /* the lease's id; 0: no lease was named */
    int64_t generation; /* its fencing number */
} LeaseRef;

typedef struct Command {
    OperationId operation;

    /* Filled by the service, never by a decoder. */
    Slice project;      /* whose: the key's, the lease's, or (control socket) the body's */
    Scope scope;        /* what the asker may */
    bool is_peer_gone;  /* whoever asked hung up: nobody will hear the answer */
    int64_t told_stack; /* the number of the one its request was given while it waited; 0: not told yet */
    Slice asker;        /* for the history: a key's id, "lease", or "control" */
    LeaseRef lease_ref; /* the verified `lease` */
    Slice holder_json;  /* canonical form of `holder`; absent when empty */

    /* As sent. */
    Slice project_name; /* `project`, control socket only */
    Slice branch, commit, request_id, stack_name, last_deployed_commit, url, note, reason;
    int64_t lease_seconds, wait_seconds; /* FIELD_ABSENT when not sent */
    int if_none, purpose, outcome;
    bool has_holder;
    Holder holder;
    Slice lease; /* the secret, as sent */
    bool now;
    int64_t after, limit;
    Slice prefix, initial_commit;
    int64_t max_stacks, max_hold_seconds, expiry_grace_seconds;
    int cleaning; /* Switch */
    Slice key_id, key_secret, label;
    int key_scope; /* Scope */
    Slice path;

    /* Made by the service for createKey, importKey, createProject. */
    uint8_t key_hash[32];
    uint8_t lease_key[32];
} Command;

/* The `lease` of an answer. */
typedef struct LeaseAnswer {
    Slice id;     /* ticket in decimal */
    Slice secret; /* filled by the service, which holds the project's lease key */
    int64_t generation;
    int64_t expires_ms;         /* FIELD_ABSENT: not said */
    int64_t expires_in_seconds; /* FIELD_ABSENT */
} LeaseAnswer;

typedef struct Answer {
    Outcome outcome;
    /* Of a refusal: RFC 9457 `detail`, whole sentences that name the way out; and the field at fault, if one is. */
    Slice detail, field;
    /* Of 410: why it ended, when, by whom; who has the stack now (holder JSON) and under which generation. */
    Slice why, by, reason, now_held_by;
    int64_t at_ms;
    int64_t now_generation;

    /* requestStack, joinRequest */
    Slice stack_name, last_deployed_commit, url;
    bool is_reused, has_lease;
    LeaseAnswer lease;
    /* What the service makes the secret of; of a queued answer its ticket; of a lease-lost one the lease that was asked for. */
    LeaseRef lease_ref;
    bool is_queued; /* OUTCOME_QUEUED */
    int64_t position, retry_after_seconds;

    Slice message; /* the original's "Stack test-1 released" */
    Slice result;  /* cancelRequest: "stored", "removed" "ended", "over" */

    /* createProject, createKey */
    Slice project_name, key, key_id;
    int key_scope;
} Answer;

/* Rows of lists, as answered. */
typedef struct StackLease {
    Slice id;
    int64_t generation, since_ms, expires_ms; /* expires_ms FIELD_ABSENT: not said */
    Slice holder_json;
} StackLease;

typedef struct StackItem {
    int64_t number, created_ms, modified_ms, requested_ms;
    Slice entity; /* "Stack" */
    Slice stack_name, state, branch, last_deployed_commit, url, note;
    bool is_available, is_quiet, has_lease;
    StackLease lease;
} StackItem;

typedef struct QueueItem {
    int64_t ticket, position, since_ms; /* position FIELD_ABSENT: passed over */
    Slice purpose, branch, holder_json;
} QueueItem;

typedef struct EventItem {
    int64_t id, at_ms, generation; /* generation FIELD_ABSENT where there is none */
    Slice
        kind; /* "granted", "joined", "deployed", "released", "forced", "cancelled", "created", "deleted", "retired", … */
    Slice stack_name, branch, commit, by, outcome, note, holder_json;
} EventItem;

typedef struct ProjectItem {
    Slice project_name, prefix, initial_commit;
    int64_t max_stacks, max_hold_seconds, expiry_grace_seconds, created_ms,
        stacks; /* max_stacks FIELD_ABSENT: unbounded */
    Slice cleaning;
} ProjectItem;

typedef struct KeyItem {
    Slice key_id, project_name, scope, label;
    int64_t created_ms, last_used_ms, revoked_ms; /* FIELD_ABSENT: never */
} KeyItem;

/* One page of a list: what the answer tables of the list operations describe. */
typedef struct ListPage {
    FieldList items;
    int64_t next; /* `after` of the next page; FIELD_ABSENT: this is the last */
} ListPage;

/* application/problem+json (RFC 9457). */
typedef struct Problem {
    Slice type, title;
    int64_t status;
    Slice detail, code, message, field, why, by, reason, holder_json;
    int64_t at_ms, generation, expires_ms;
} Problem;

extern const FieldTable holder_fields;  /* of Holder */
extern const FieldTable problem_fields; /* of Problem */
extern const FieldTable queued_fields;  /* of Answer */
extern const FieldTable stack_item_fields, queue_item_fields, event_item_fields, project_item_fields, key_item_fields;

/* Appends the holder as canonical JSON (members in declared order, absent ones left out). Into a buffer with the ceiling
 * HOLDER_MAX it fails with -EMSGSIZE for one that is too long. */
void holder_encode(const Holder *holder, Buffer *out);
/* Appends the body of any answer but a list's: the operation's answer table on OUTCOME_DONE, queued_fields on
 * OUTCOME_QUEUED, else application/problem+json. `row` may be NULL for a refusal. */
void answer_encode(const OperationRow *row, const Answer *answer, Buffer *out);
/* OUTCOME_DONE, every member absent. */
void answer_init(Answer *answer);
/* Sets outcome, detail and (may be NULL) field from static text; returns `outcome`. An absent detail is answered as the
 * outcome's title. */
Outcome answer_refuse(Answer *answer, Outcome outcome, const char *field, Slice detail);
