/*
 * The service's inside of an operation: what the transports see (Operation) is its first member. Private to service/.
 */
#pragma once

#include "base/heap.h"
#include "service/secrets.h"
#include "service/service.h"
#include "service/snapshots.h"

typedef enum Credential {
    CREDENTIAL_NONE,    /* none was sent */
    CREDENTIAL_BAD,     /* malformed, unknown, revoked */
    CREDENTIAL_CLAIMED, /* well formed; the store has to be asked */
    CREDENTIAL_GOOD,
} Credential;

typedef struct MadeKey {
    char text[KEY_TEXT_SIZE]; /* shown once, in the answer; "" of an imported one */
    KeyClaim claim;
} MadeKey;

typedef struct Work {
    Operation shown;
    struct Worker *worker;
    Service *service;
    struct WorkPool *pool;
    const OperationRow *row;
    const OperationOwner *owner;
    Transport transport;
    int64_t arrived_us; /* or since its wait is over */

    Credential credential;
    KeyClaim claim;
    uint64_t key_epoch;     /* keys_epoch() when the key was judged */
    int64_t key_learned_ms; /* when what it was judged by was learned */
    char address[64];       /* the peer's, for the limit of failed authentications */
    char key_id[KEY_ID_SIZE];
    char key_project[PROJECT_NAME_MAX + 1];
    Scope key_scope;
    char project[PROJECT_NAME_MAX + 1]; /* what command.project points at */

    json_t *json; /* owned parsed body; the command borrows from it, or from texts */
    char *texts;
    Command command;
    Buffer holder;
    MadeKey *made; /* createProject, createKey, importKey */

    bool has_place;     /* in the queue */
    bool is_stranger;   /* … got before it was resolved */
    bool is_resolved;   /* who asks is known, the command is ready to be decided */
    bool is_wait_over;  /* a long poll that waited long enough, or may not wait any longer */
    bool is_again;      /* decided once more, since it was served by the transaction that told it to wait */
    bool is_draining;   /* … because the coordinator goes down */
    int64_t granted_us; /* it waited while its request was granted: since then; 0: it did not */
    struct {
        HeapItem timer;
        struct Work *next_by_id, *next_by_ticket;
        int64_t ticket;
    } parked;              /* the parking's */
    LeaseRef answered_ref; /* Answer.lease_ref */
    Outcome outcome;
    Buffer answer;      /* bytes of shown.body */
    Snapshot *snapshot; /* … or a list they are borrowed from */
} Work;

static inline Work *work_of(Operation *op) {
    return (Work *)op;
}

/* It is going to wait: lets go of what it does not need meanwhile. */
void work_shrink(Work *work);
/* Leaves the answer: encoded, status and headers set. False: memory was short (a canned 503 stands there instead). */
bool work_answer(Work *work, const Answer *answer);
void work_refuse(Work *work, Outcome outcome, const char *field, Slice detail);
/* A body that is ready: a list. */
void work_answer_snapshot(Work *work, Snapshot *snapshot); /* takes the reference over */
/* A list that every reader sees alike, and so may come from memory: all stacks, over HTTP. */
bool work_is_shared_list(const Work *work);
