/*
 * JSON lines for machines and a plain form for people; one line per event, written with a single write(2).
 * Only the edges log (service, main, agent commands). Nothing logged here is ever a secret: callers pass ids.
 */
#pragma once

#include "base/buffer.h"
#include "base/clock.h"

typedef enum LogLevel { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG } LogLevel;
extern const char *const log_level_names[]; /* by level; NULL ends them */
typedef enum LogStyle { LOG_JSON, LOG_PLAIN } LogStyle;

typedef struct Logger {
    int fd;
    LogLevel level; /* lines above it are dropped */
    LogStyle style;
    const Clock *clock;
    const char *name; /* LOG_PLAIN's prefix: "stack-agent" */
} Logger;

typedef struct LogField {
    const char *name;
    enum { LOG_FIELD_TEXT, LOG_FIELD_NUMBER, LOG_FIELD_JSON } kind;
    Slice text;
    int64_t number;
} LogField;

LogField log_text(const char *name, Slice value);
LogField log_string(const char *name, const char *value);
LogField log_number(const char *name, int64_t value);
/* Already encoded JSON (a list of URLs). */
LogField log_json(const char *name, Slice json);

/* {"time":"…Z","level":"info","msg":"…",fields…}; a field whose text is absent is left out. Control characters, ESC and
 * bidi overrides are escaped in both styles, so no outside text draws on a terminal or forges a line. */
void log_write(const Logger *log, LogLevel level, const char *message, const LogField *fields, size_t count);
#define LOG(log, level, message, ...)                                                                                  \
    log_write((log), (level), (message), (const LogField[]){__VA_ARGS__},                                              \
              sizeof((const LogField[]){__VA_ARGS__}) / sizeof(LogField))

/* Copies outside text for a terminal: C0, C1, DEL, bidi controls and invalid UTF-8 become visible escapes (\x1b, \u202e). */
void log_add_printable(Buffer *out, Slice text);
