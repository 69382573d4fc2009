/*
 * Private to lease/: who waits. One queue per project and purpose, in order of tickets; those not heard of for a while are
 * passed over. Capacity has one door: whatever may let somebody be served opens it, and lease_serve (decide.h) lets in
 * whoever is first, before anything else is decided.
 */
#pragma once

#include "lease/task.h"

/* Somebody may be served now: both queues are looked at. Free when nobody waits. */
void queue_open(WorkingSet *set);
/* The first live request of the purpose; *out NULL: nobody waits. */
int queue_head(WorkingSet *set, int purpose, RequestSlot **out) MUST_USE;
/* 1 + the live ones before `request`; NULL: before a newcomer of the purpose. */
int queue_position(Task *t, int purpose, const RequestSlot *request, int64_t *out) MUST_USE;
/* Ends a queued request: `why` WHY_CANCELLED or WHY_ABANDONED. */
int queue_remove(Task *t, RequestSlot *request, RequestWhy why) MUST_USE;
/* Puts a request back whose grant nobody collected: at its place, passed over until it is heard of again. */
void queue_put_back(Task *t, RequestSlot *request);
/* Marks a queued request as heard of. */
void queue_hear(Task *t, RequestSlot *request);
