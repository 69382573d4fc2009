/* Private to lease/: the one way a lease ends, whoever ends it. */
#pragma once

#include "lease/task.h"

typedef struct Ending {
    RequestWhy why; /* WHY_RELEASED, WHY_FORCED, WHY_CANCELLED or WHY_EXPIRED */
    ReleaseOutcome outcome;
    Slice by;    /* told to whoever comes with the lease later */
    Slice note;  /* for the history; may be absent */
    bool is_now; /* an operator in a hurry: no quiet */
} Ending;

/* Ends the lease on `stack`: its request (NULL: it has none) is over, the stack goes where the outcome sends it, a
 * retiring one is gone. A bound lease that ends without its holder's word leaves the stack quiet. Opens the door for
 * whoever waits. A Decision or -ENOMEM. */
int lease_end(Task *t, StackSlot *stack, RequestSlot *request, const Ending *ending) MUST_USE;
/* Takes back a grant from the queue that nobody collected: the stack is as it was before. The request is the caller's. */
int lease_take_back(Task *t, StackSlot *stack) MUST_USE;
/* The end of a stack's quiet: a retiring one is gone. */
int lease_rest(Task *t, StackSlot *stack) MUST_USE;

/* Who ended a lease that its own secret released: a repeat of that release is answered as the first was. No key has this
 * id: they are hexadecimal. */
extern const Slice by_lease;

/* lease-lost for whose secret is genuine, and of no request that is known. */
int refuse_forgotten(Task *t) MUST_USE;
/* lease-lost for who comes with the secret of an earlier grant of this request. */
int refuse_taken_back(Task *t, const RequestRow *row) MUST_USE;
/* lease-lost for the holder of `request`, who is told by it: why, when, by whom it ended, who has the stack now. May need
 * rows. */
int refuse_lost(Task *t, const RequestSlot *request) MUST_USE;
/* request-over, likewise. */
int refuse_over(Task *t, const RequestSlot *request) MUST_USE;
/* lease-required: the bound lease on `stack` was not named. */
int refuse_without_lease(Task *t, const StackRow *stack) MUST_USE;
