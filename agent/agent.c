/* Sentences for people, through the one logger. */
#include "agent/agent.h"

#include <stdarg.h>
#include <stdio.h>

#include "agent/limits.h"
#include "agent/workflow_command.h"
#include "base/output.h"

static void annotate(const Agent *agent, const char *command, const char *title, const char *text) {
    OWN(buffer_deinit) Buffer line;
    buffer_init(&line, REASON_MAX * 16);
    workflow_command_add(&line, command, title, slice_of(text));
    (void)output_write(agent->log.fd, buffer_slice(&line)); /* where it fails nobody is left to be told */
}

PRINTF_LIKE(3, 0)
static void say(const Agent *agent, LogLevel level, const char *format, va_list arguments) {
    char line[REASON_MAX * 2];
    (void)vsnprintf(line, sizeof line, format, arguments);
    if (agent->speaks_github && level <= LOG_WARNING && level <= agent->log.level)
        annotate(agent, level == LOG_ERROR ? "error" : "warning", agent->log.name, line);
    else
        log_write(&agent->log, level, line, NULL, 0);
}

void agent_notice(const Agent *agent, const char *title, const char *format, ...) {
    char line[REASON_MAX * 2];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (agent->speaks_github && LOG_INFO <= agent->log.level)
        annotate(agent, "notice", title, line);
    else
        agent_say(agent, LOG_INFO, "%s", line);
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
    bool is_fatal = agent->fatal_exit_code == 0 || agent->fatal_exit_code == exit_code;
    say(agent, is_fatal ? LOG_ERROR : LOG_WARNING, format, arguments);
    va_end(arguments);
    return exit_code;
}
