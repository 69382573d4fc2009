/* Private to lease/: giving a stack to a request, one that just came or one that waited. */
#pragma once

#include "lease/choice.h"
#include "lease/task.h"

/* What a purpose gets: by choice.h's order for tests, the stack dirty longest for a cleaner. `request` says the branch and
 * the commit. 0 | CHOICE_NONE | CHOICE_NEEDS_ROWS | -ENOMEM. */
int grant_choose(WorkingSet *set, int purpose, const RequestRow *request, Choice *out) MUST_USE;
/* Adds the rows that needs. 0 | -ENOMEM. */
int grant_want(WorkingSet *set, int purpose, Slice branch, Slice commit) MUST_USE;

/* The request of t->command as a row, its texts in the arena; not in the set yet, without a ticket. 0 | -ENOMEM. */
int grant_request_of(Task *t, RequestRow *out) MUST_USE;
/* Grants it at once. The row enters the set if it can be asked for again (requestId or leaseSeconds). Answers. */
int grant_now(Task *t, const RequestRow *request, const Choice *choice) MUST_USE;
/* Grants a request of the queue: to be collected, and until then as if it had not been. */
int grant_queued(Task *t, RequestSlot *request, const Choice *choice) MUST_USE;
