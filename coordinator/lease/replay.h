/*
 * Private to lease/: exactly once. A requestId that is known gets the answer its request has today, whoever repeats it,
 * over any transport, before or after a restart.
 */
#pragma once

#include "lease/task.h"

/* The request that command->request_id names; *out NULL: nobody asked under it yet. */
int replay_find(Task *t, RequestSlot **out) MUST_USE;
/* Whether the command asks for what the request asked for; else request-mismatch. */
int replay_compare(Task *t, const RequestSlot *request) MUST_USE;

/* Fills what a grant is told as: the stack, what is deployed on it now and, with a request, the lease. Also the first time.
 * `request` may be NULL. */
int answer_grant(Task *t, const StackRow *stack, const RequestRow *request, bool is_reused) MUST_USE;
