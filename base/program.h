/*
 * What every program of ours does before its verb, in one place: descriptors, signals, JSON, the command line. Called first
 * in main, before any library starts a thread.
 */
#pragma once

#include <sysexits.h> /* the exit codes before an operation was asked for */

#include "base/options.h"

enum { PROGRAM_ENDED = 1 };

/* 0: run parsed->verb. PROGRAM_ENDED: --help, --version or a wrong usage was answered; main returns *exit_code. */
int program_start(const Program *program, int argc, char *const argv[], void *values, Parsed *parsed, int *exit_code)
    MUST_USE;
/* Closes every descriptor from `first` on: what the caller had open (a lock, a pipe that somebody reads to its end) is not a
 * lasting process's to keep open. Safe in a signal handler. */
void program_close_from(int first);
/* getenv(3), in the shape that options_parse and its like take. */
const char *program_environment(const char *name);
