/*
 * How many failed authentications one address may make: a token bucket each, in a table of fixed size where addresses
 * that collide share one. It only ever changes what a *failed* authentication hears (429 instead of 401), so a good key
 * never suffers from a neighbour's bad ones. Safe from any thread.
 */
#pragma once

#include "base/clock.h"
#include "base/slice.h"

typedef struct Limiter Limiter;

int limiter_new(Limiter **out, const Clock *clock) MUST_USE;
Limiter *limiter_free(Limiter *limiter);
/* Notes a failure. False: this address has had too many of late. */
bool limiter_failed(Limiter *limiter, Slice address);
