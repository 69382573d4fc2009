/* Private to lease/: the one way a lease ends, whoever ends it. */
#pragma once

#include "lease/task.h"

typedef struct Ending {
    RequestWhy why; /* WHY_RELEASED, WHY_FORCED or WHY_CANCELLED */
    ReleaseOutcome outcome;
    Slice by;   /* told to whoever comes with the lease later */
    Slice note; /* for the history; may be absent */
} Ending;

/* Ends the lease on `stack`: its request (NULL: it has none) is over, the stack goes where the outcome sends it, a
 * retiring one is gone. A Decision or -ENOMEM. */
int lease_end(Task *t, StackSlot *stack, RequestSlot *request, const Ending *ending) MUST_USE;

/* Who ended a lease that its own secret released: a repeat of that release is answered as the first was. No key has this
 * id: they are hexadecimal. */
extern const Slice by_lease;

/* lease-lost for the holder of `request` (NULL: no longer known): why, when, by whom it ended, who has the stack now. */
int refuse_lost(Task *t, const RequestSlot *request) MUST_USE;
/* request-over, likewise. */
int refuse_over(Task *t, const RequestSlot *request) MUST_USE;
/* lease-required: the bound lease on `stack` was not named. */
int refuse_without_lease(Task *t, const StackRow *stack) MUST_USE;
