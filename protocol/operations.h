/*
 * The operations, declared once. Both transports, the control socket, the agent, openapi.json and the reference read this
 * table; adding an operation is one row here, its fields in commands.c and answers.c, and one function in lease/ or service/.
 */
#pragma once

#include "base/fields.h"
#include "protocol/outcome.h"

typedef enum OperationId {
    OP_REQUEST_STACK,
    OP_JOIN_REQUEST,
    OP_RENEW_LEASE,
    OP_SET_LAST_DEPLOYED_COMMIT,
    OP_RELEASE_STACK,
    OP_CANCEL_REQUEST,
    OP_LIST_STACKS,
    OP_DELETE_LAST_STACK,
    OP_LIST_QUEUE,
    OP_LIST_EVENTS,
    OP_QUARANTINE_STACK,
    OP_RESTORE_STACK,
    OP_ANNOTATE_STACK,
    OP_FORCE_RELEASE_STACK,
    OP_CREATE_PROJECT,
    OP_UPDATE_PROJECT,
    OP_LIST_PROJECTS,
    OP_DELETE_PROJECT,
    OP_CREATE_KEY,
    OP_IMPORT_KEY,
    OP_LIST_KEYS,
    OP_REVOKE_KEY,
    OP_BACKUP,
    OP_COUNT,
} OperationId;

/* Ordered: each may do what the ones before it may. SCOPE_ADMIN is the control socket alone; no key has it. */
typedef enum Scope { SCOPE_NONE, SCOPE_READ, SCOPE_AGENT, SCOPE_OPERATOR, SCOPE_ADMIN } Scope;

enum {
    OPERATION_READS = 1u << 0,             /* changes nothing: GET, HEAD; fields in the query */
    OPERATION_LEASE_OPENS = 1u << 1,       /* a lease secret in the body is enough; no key needed */
    OPERATION_RPC_NEEDS_LEASE = 1u << 2,   /* over nng, which may resend, `lease` is required */
    OPERATION_RPC_NEEDS_REQUEST = 1u << 3, /* over nng `requestId` is required */
    OPERATION_NAMES_PROJECT = 1u << 4,     /* over the control socket the body's `project` says whose */
    OPERATION_ENDS_LEASES = 1u << 5,       /* refused only when the queue is full, not at ¾ */
    OPERATION_MAY_QUEUE = 1u << 6,         /* 202 with queued_fields while its request waits */
};

typedef struct OperationRow {
    const char *name; /* "requestStack": the HTTP path without its slash, and nng's "op" */
    const char *method;
    Scope scope;
    unsigned flags;
    const FieldTable *command; /* fields of Command */
    const FieldTable *answer;  /* of the 200 answer: fields of Answer; of a list: its page struct (messages.h) */
    const Outcome *refusals;   /* what this one may answer beside common_refusals; OUTCOME_DONE ends it */
    const char *doc;           /* one or two sentences, for openapi.json and the reference */
} OperationRow;

/* operations[id]; never NULL for id < OP_COUNT. */
const OperationRow *operation_row(OperationId id);
/* OP_COUNT: no such operation. Exact, case-sensitive. */
OperationId operation_by_name(Slice name);

/* What any operation may answer; OUTCOME_DONE ends it. */
extern const Outcome common_refusals[];

extern const char *const scope_names[]; /* "none", "read", "agent", "operator", "admin"; NULL-terminated */
