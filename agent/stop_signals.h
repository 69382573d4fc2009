/*
 * INT, TERM and HUP as something to poll, so that a wait for the coordinator or for a child ends at once and in order.
 */
#pragma once

#include <signal.h>

#include "base/cleanup.h"

typedef struct StopSignals {
    int fd;       /* readable: one has come */
    sigset_t old; /* the mask before; a child gets it back */
} StopSignals;

/* Blocks them from here on; those that were ignored (nohup, `&` in a script) stay so. 0 | -errno. */
int stop_signals_open(StopSignals *signals) MUST_USE;
/* The next one, 0: none. */
int stop_signals_take(StopSignals *signals);
void stop_signals_close(StopSignals *signals);
