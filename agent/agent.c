/* Sentences for people, through the one logger. */
#include "agent/agent.h"

#include <stdarg.h>
#include <stdio.h>

#include "agent/limits.h"

PRINTF_LIKE(3, 0)
static void say(const Agent *agent, LogLevel level, const char *format, va_list arguments) {
    char line[REASON_MAX * 2];
    (void)vsnprintf(line, sizeof line, format, arguments);
    log_write(&agent->log, level, line, NULL, 0);
}

void agent_say(const Agent *agent, LogLevel level, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(agent, level, format, arguments);
    va_end(arguments);
}

int agent_fail(const Agent *agent, int exit_code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(agent, LOG_ERROR, format, arguments);
    va_end(arguments);
    return exit_code;
}
