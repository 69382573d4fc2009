/*
 * What every verb is given: main's locals.
 *
 * Verbs and what only they call return an exit code when they are ≥ 0, having said on stderr why it is not 0; negative
 * values are failures (-errno) for main to report.
 */
#pragma once

#include <sysexits.h>

#include "agent/ci.h"
#include "agent/options.h"
#include "base/log.h"
#include "base/random.h"

enum { EXIT_SIGNAL = 128 }; /* and the signal's number; the others are of sysexits(3) and of protocol/outcome.h */

typedef struct Agent {
    const AgentOptions *options;
    const char *const *arguments;
    int argument_count;
    EnvironGet environ_get;
    Logger log;
    const Clock *clock;
    Random *random;
    bool speaks_github;  /* to a runner that shows errors, warnings and notices as annotations */
    int fatal_exit_code; /* not 0: other failures are warnings, since the work goes on without */
} Agent;

/* One line on stderr. Foreign text in it has to be passed through print_foreign() before. */
void agent_say(const Agent *agent, LogLevel level, const char *format, ...) PRINTF_LIKE(3, 4);
/* What people look out for while they wait: LOG_INFO, and an annotation where there are any. */
void agent_notice(const Agent *agent, const char *title, const char *format, ...) PRINTF_LIKE(3, 4);
/* The same at LOG_ERROR; returns `exit_code`. */
int agent_fail(const Agent *agent, int exit_code, const char *format, ...) PRINTF_LIKE(3, 4);
