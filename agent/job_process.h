/*
 * The process that stands for the job: while it lives the keeper renews, and no longer. Read from /proc, so that a test can
 * give another one.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef struct JobProcess {
    pid_t pid;                  /* 0: none is known */
    unsigned long long started; /* in the kernel's ticks: tells it from a later process of the same number */
} JobProcess;

enum { JOB_PROCESS_NONE = 1 };

/* Starts at `from`, the caller's parent. The nearest Runner.Worker above it (GitHub's; it lives as long as the job); else
 * the calling process itself, which is a shell mostly, after climbing past what is not the job: programs that only start
 * another one (timeout, sudo), and the shell's own subshells, which end with their `$(…)`. `is_ci`: a process that was put
 * into a container from outside gives the container instead, since there each step is another such process.
 * 0 | JOB_PROCESS_NONE. */
int job_process_find(const char *proc, pid_t from, bool is_ci, JobProcess *out) MUST_USE;
/* The process of that number. 0 | JOB_PROCESS_NONE: there is none, or it has ended. */
int job_process_read(const char *proc, pid_t pid, JobProcess *out) MUST_USE;
bool job_process_is_alive(const char *proc, const JobProcess *job);
/* A pidfd: readable once it has ended. -errno: this kernel has none, or it has ended already. */
int job_process_open(const JobProcess *job) MUST_USE;
