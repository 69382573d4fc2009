/*
 * Several things to wait for as one descriptor, a point in time among them: what a loop sleeps on, and what cuts a call short
 * that is under way.
 */
#pragma once

#include <stdint.h>

#include "base/cleanup.h"

typedef struct Wake {
    int fd;       /* readable: something has come */
    int timer_fd; /* by CLOCK_BOOTTIME, so that a suspended machine is late by nothing when it resumes */
} Wake;

#define WAKE_CLOSED ((Wake){.fd = -1, .timer_fd = -1})
/* 0 | -errno. */
int wake_open(Wake *wake) MUST_USE;
void wake_close(Wake *wake);
/* Until it is closed; a negative `fd` is left out. 0 | -errno. */
int wake_add(Wake *wake, int fd) MUST_USE;
/* Wakes at that time and from then on; CLOCK_FOREVER: at none. */
void wake_at(Wake *wake, int64_t boot_ms);
/* Sleeps until something has come, or `also_fd` (−1: none) is readable. 0 | -errno. */
int wake_wait(const Wake *wake, int also_fd) MUST_USE;
