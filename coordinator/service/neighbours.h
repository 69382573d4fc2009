/*
 * The other coordinators that use the same store: what they changed, and which of them live. Nobody leads; each looks once
 * a second, and does what all of them do. Belongs to the worker's thread. Private to service/.
 *
 *     look ─┬─ projects they changed ──► what is watched of them is read again; who waits here and was served hears it
 *           └─ who of them lives ──────► who waits at one that does not is passed over until heard of again
 */
#pragma once

#include "service/metrics.h"
#include "service/store_clock.h"
#include "service/waiters.h"

typedef struct Neighbour {
    int64_t coordinator, beats, since_ms; /* lease clock: when the beats were seen first */
    bool was_heard;                       /* they were seen to begin, or to go on */
    bool is_silent, is_there;
} Neighbour;

typedef struct Neighbours {
    Store *store; /* borrowed, as all the others */
    Watch *watch;
    Waiters *waiters;
    Metrics *metrics;
    StoreClock *clock;
    void (*tick)(void *arg); /* tells the watch the time */
    void *tick_arg;
    bool is_alone; /* nobody else can use the store: all that follows is idle */
    int64_t horizon, look_at_ms, count_at_ms;
    Arena arena;     /* of one look */
    Slice lost_call; /* what the last one told of that; borrowed from it */
    Neighbour known[NEIGHBOURS_MAX];
    size_t known_count;
    bool has_looked;
} Neighbours;

/* Takes what is borrowed from `with`. */
void neighbours_init(Neighbours *neighbours, const Neighbours *with);
void neighbours_deinit(Neighbours *neighbours);
/* When it is time for a look, on CLOCK_BOOTTIME; CLOCK_FOREVER. */
int64_t neighbours_next(const Neighbours *neighbours);
/* Looks, if it is time. The first look, before anything is decided, reads all that is watched, of a store that nobody
 * shares too. 0 or a store result: then nothing is lost, the next look sees it. */
int neighbours_look(Neighbours *neighbours, int64_t boot_ms) MUST_USE;
