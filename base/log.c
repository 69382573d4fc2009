/*
 * One event, one line, one write(2). Invariant: no byte from outside reaches the line but printable or escaped; a line
 * longer than LINE_MAX_BYTES is replaced by its message alone, marked as cut.
 */
#include "base/log.h"

#include <errno.h>
#include <string.h>

#include "base/output.h"
#include "base/utf8.h"

#define LINE_MAX_BYTES ((size_t)32 * 1024)

const char *const log_level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug", NULL};

LogField log_text(const char *name, Slice value) {
    return (LogField){.name = name, .kind = LOG_FIELD_TEXT, .text = value};
}

LogField log_string(const char *name, const char *value) {
    return log_text(name, slice_of(value));
}

LogField log_number(const char *name, int64_t value) {
    return (LogField){.name = name, .kind = LOG_FIELD_NUMBER, .number = value};
}

LogField log_json(const char *name, Slice json) {
    return (LogField){.name = name, .kind = LOG_FIELD_JSON, .text = json};
}

static void add_hex(Buffer *out, char letter, uint32_t value, unsigned digit_count) {
    static const char digits[] = "0123456789abcdef";
    buffer_add_char(out, '\\');
    buffer_add_char(out, letter);
    while (digit_count-- > 0)
        buffer_add_char(out, digits[value >> (4 * digit_count) & 15]);
}

static inline bool is_printable_ascii(char c) {
    return c >= 0x20 && c < 0x7F;
}

void log_add_printable(Buffer *out, Slice text) {
    for (size_t at = 0; at < text.len;) {
        size_t start = at;
        while (at < text.len && is_printable_ascii(text.ptr[at]))
            at++;
        buffer_add(out, text.ptr + start, at - start);
        if (at == text.len)
            return;
        uint32_t code_point = 0;
        size_t size = utf8_read(text.ptr + at, text.len - at, &code_point);
        if (size == 0)
            add_hex(out, 'x', (unsigned char)text.ptr[at], 2);
        else if (!utf8_is_control(code_point))
            buffer_add(out, text.ptr + at, size);
        else if (code_point < 0x80)
            add_hex(out, 'x', code_point, 2);
        else
            add_hex(out, 'u', code_point, 4);
        at += size > 0 ? size : 1;
    }
}

/* JSON on one line: controls can only be blanks between its tokens, or stand in strings, where \uXXXX means the same. */
static void add_json(Buffer *out, Slice json) {
    for (size_t at = 0; at < json.len;) {
        uint32_t code_point = 0;
        size_t size = utf8_read(json.ptr + at, json.len - at, &code_point);
        if (size == 0)
            add_hex(out, 'u', 0xFFFD, 4);
        else if (!utf8_is_control(code_point))
            buffer_add(out, json.ptr + at, size);
        else if (code_point < 0x20)
            buffer_add_char(out, ' ');
        else
            add_hex(out, 'u', code_point, 4);
        at += size > 0 ? size : 1;
    }
}

static bool is_left_out(const LogField *field) {
    return field->kind != LOG_FIELD_NUMBER && slice_is_absent(field->text);
}

static void render_json(const Logger *log, LogLevel level, const char *message, const LogField *fields, size_t count,
                        Buffer *out) {
    char time[CLOCK_ISO_SIZE];
    clock_format_iso(clock_wall_ms(log->clock), time);
    buffer_add_text(out, "{\"time\":\"");
    buffer_add_text(out, time);
    buffer_add_text(out, "\",\"level\":\"");
    buffer_add_text(out, log_level_names[level]);
    buffer_add_text(out, "\",\"msg\":");
    buffer_add_json_text(out, slice_of(message));
    for (size_t i = 0; i < count; i++) {
        if (is_left_out(&fields[i]))
            continue;
        buffer_add_char(out, ',');
        buffer_add_json_text(out, slice_of(fields[i].name));
        buffer_add_char(out, ':');
        if (fields[i].kind == LOG_FIELD_NUMBER)
            buffer_add_number(out, fields[i].number);
        else if (fields[i].kind == LOG_FIELD_JSON)
            add_json(out, fields[i].text);
        else
            buffer_add_json_text(out, fields[i].text);
    }
    buffer_add_text(out, "}\n");
}

/* Texts that would run into their neighbours are quoted. */
static bool needs_quotes(Slice text) {
    return text.len == 0 || memchr(text.ptr, ' ', text.len) != NULL || memchr(text.ptr, '"', text.len) != NULL ||
           memchr(text.ptr, '=', text.len) != NULL;
}

static void add_plain_text(Buffer *out, Slice text) {
    if (!needs_quotes(text)) {
        log_add_printable(out, text);
        return;
    }
    Slice part = SLICE_ABSENT;
    buffer_add_char(out, '"');
    while (slice_split(&text, '"', &part)) {
        log_add_printable(out, part);
        buffer_add_text(out, "\\\"");
    }
    log_add_printable(out, text);
    buffer_add_char(out, '"');
}

static void render_plain(const Logger *log, LogLevel level, const char *message, const LogField *fields, size_t count,
                         Buffer *out) {
    if (log->name != NULL) {
        buffer_add_text(out, log->name);
        buffer_add_text(out, ": ");
    }
    if (level != LOG_INFO) {
        buffer_add_text(out, log_level_names[level]);
        buffer_add_text(out, ": ");
    }
    log_add_printable(out, slice_of(message));
    for (size_t i = 0; i < count; i++) {
        if (is_left_out(&fields[i]))
            continue;
        buffer_add_char(out, ' ');
        buffer_add_text(out, fields[i].name);
        buffer_add_char(out, '=');
        if (fields[i].kind == LOG_FIELD_NUMBER)
            buffer_add_number(out, fields[i].number);
        else if (fields[i].kind == LOG_FIELD_JSON)
            log_add_printable(out, fields[i].text);
        else
            add_plain_text(out, fields[i].text);
    }
    buffer_add_char(out, '\n');
}

static void render(const Logger *log, LogLevel level, const char *message, const LogField *fields, size_t count,
                   Buffer *out) {
    if (log->style == LOG_JSON)
        render_json(log, level, message, fields, count, out);
    else
        render_plain(log, level, message, fields, count, out);
}

void log_write(const Logger *log, LogLevel level, const char *message, const LogField *fields, size_t count) {
    if (level > log->level)
        return;
    int saved_errno = errno;
    OWN(buffer_deinit) Buffer line;
    buffer_init(&line, LINE_MAX_BYTES);
    render(log, level, message, fields, count, &line);
    if (buffer_error(&line) != 0) {
        const LogField cut = log_json("cut", slice_of("true"));
        buffer_clear(&line);
        render(log, level, message, &cut, 1, &line);
    }
    (void)output_write(log->fd, buffer_slice(&line)); /* where it fails nobody is left to be told */
    errno = saved_errno;
}
