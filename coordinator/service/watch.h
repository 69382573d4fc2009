/*
 * What time does to leases, grants, quiet stacks and waiting requests: the lease clock, and when something is due by it.
 *
 * The clock counts what the coordinator itself saw pass: at most WATCH_STEP_MAX_MS a tick, and only while the store
 * answers. No deadline comes from outside or from the store, so a restart, a pause, a step of wall time or a full disk
 * take at most one such step from what a holder has left, and give no lease away early.
 *
 * The watch follows rows: after each COMMIT the worker hands it what changed, and after a start all that is watched. So it
 * never knows more than what is durable; but for renewals and signs of life, which are its own and lost with the process,
 * to the holder's advantage. Belongs to the worker's thread. Private to service/.
 *
 * Of several coordinators each watches all leases. What others change is read again (watch_reread); a renewal elsewhere
 * shows in the row's count when the lease is due here: the loss is decided with the count that was seen, does not happen
 * when it is another one by now, and the watch begins anew, for the longest length asked for. A waiting request is watched
 * where it was heard of last, and by all others once that coordinator is silent.
 *
 *     grant ─► lease ─── not renewed, or maxHold ──► EXPIRED ──► quiet ──► RESTED
 *                └─ from the queue, nobody came ──► UNCOLLECTED
 *     queued ─► heard of ─── 60 s, hang-up ──► UNHEARD ─── 10 min ──► ABANDONED
 */
#pragma once

#include "lease/decide.h"

typedef struct Watch Watch;

/* `coordinator`: this one's number among several; 0: there is no other. */
int watch_new(Watch **out, int64_t coordinator) MUST_USE;
Watch *watch_free(Watch *watch);

/* Tells the time: CLOCK_BOOTTIME in ms. `is_held`: the store failed since the last tick, and no time passes. */
void watch_tick(Watch *watch, int64_t boot_ms, bool is_held);
/* The lease clock, in ms. */
int64_t watch_now(const Watch *watch);
/* Milliseconds until something is due, 0 when something is; INT64_MAX when nothing is watched. */
int64_t watch_next(const Watch *watch);

/* Before a COMMIT: makes room for following so many rows, of which at most `projects` are projects not seen yet. -ENOMEM. */
int watch_reserve(Watch *watch, size_t rows, size_t projects) MUST_USE;
/* After it. Cannot fail. A stack that is gone has the state STACK_GONE. `loaded_renewals`: the row's count before this
 * coordinator raised it; the count itself, if it did not. `is_granted`: in the transaction that left the row so. */
void watch_follow_stack(Watch *watch, const ProjectRow *project, const StackRow *row, int64_t loaded_renewals,
                        bool is_granted);
void watch_follow_request(Watch *watch, const ProjectRow *project, const RequestRow *row);
/* At a start instead of watch_follow_request: the request counts as just heard of (DUE_HEARD makes its row say so). */
void watch_start_request(Watch *watch, const ProjectRow *project, const RequestRow *row);

typedef struct WatchDue {
    Slice project; /* the watch's, for good */
    Due due;
} WatchDue;
/* What is due now, at most `max`. What is still so is told again after a second: a failed COMMIT loses nothing. */
size_t watch_due(Watch *watch, WatchDue *out, size_t max);

/* Whether a renewal needs no decision: it is bound, collected, and asks for no more than its stored length. Then *number is
 * its stack. `seconds` FIELD_ABSENT: the length it was granted with, if that is known here. */
bool watch_may_renew(const Watch *watch, Slice project, LeaseRef lease, int64_t seconds, int64_t *number);
/* What is followed from now on was changed by the commit of this number (outbox_changed). */
void watch_note_change(Watch *watch, uint64_t change);
/* The commit which that permission rests on: a light renewal says no more than what is durable. 0: none since the start. */
uint64_t watch_changed_in(const Watch *watch, Slice project, LeaseRef lease);
/* It was renewed. */
void watch_renewed(Watch *watch, Slice project, LeaseRef lease, int64_t seconds);
/* Likewise, raising the count in its row to `renewals`. */
void watch_counted(Watch *watch, Slice project, LeaseRef lease, int64_t renewals);
/* What length it was granted with, where another coordinator or an earlier process did that. */
void watch_asked(Watch *watch, Slice project, LeaseRef lease, int64_t seconds);
/* What a bound lease has left, in ms; `otherwise` when it is not watched (yet). */
int64_t watch_left(const Watch *watch, Slice project, int64_t ticket, int64_t otherwise);
/* What renewing it by `seconds` would leave. */
int64_t watch_left_renewed(const Watch *watch, Slice project, int64_t ticket, int64_t seconds);
/* Whether its maxHold is over here: what renewing it would leave is nothing. */
bool watch_has_lasted(const Watch *watch, Slice project, int64_t ticket);
/* The holder of an ended lease was told so. */
void watch_told(Watch *watch, Slice project, int64_t ticket);

/* A queued request was asked for again. */
void watch_heard(Watch *watch, Slice project, int64_t ticket);
/* A connection began or ended to wait for it. False: it is not queued (any more). */
bool watch_parked(Watch *watch, Slice project, int64_t ticket, int by);
/* The last connection that waited for it hung up. */
void watch_hung_up(Watch *watch, Slice project, int64_t ticket);
bool watch_is_queued(const Watch *watch, Slice project, int64_t ticket);
/* How many requests are queued. */
int64_t watch_queued(const Watch *watch);

/* ---- several coordinators ---- */

/* Begins to read one project anew: follow every row that LIST_WATCHED has of it, then end it. Absent: all of them, and
 * nothing that was known of renewals holds: each lease is watched anew, for its whole length. */
void watch_reread(Watch *watch, Slice project);
/* What was not followed since is over. `on_served` is told of requests that somebody waits for here and that are queued no
 * longer. After a failure it is not called, but the reading begun again. */
void watch_reread_end(Watch *watch, void (*on_served)(void *arg, Slice project, int64_t ticket), void *arg);
/* That coordinator speaks (again): whoever waits there is watched there. Nothing was heard of it for a while: they are
 * silent. It is gone, or never spoke as long as this one runs: they count as just heard of, as after a start; and so do
 * those that any other one heard of that was not told of here. */
void watch_speaks(Watch *watch, int64_t coordinator);
void watch_silent(Watch *watch, int64_t coordinator);
void watch_gone(Watch *watch, int64_t coordinator);
