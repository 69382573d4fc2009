/* The runner undoes %0D, %0A and %25 in a command's text, and %3A and %2C in its properties. */
#include "agent/workflow_command.h"

#include <string.h>

#include "base/log.h"

static void add_escaped(Buffer *out, Slice text, const char *special) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '\0' && strchr(special, text.ptr[i]) != NULL)
            buffer_printf(out, "%%%02X", (unsigned char)text.ptr[i]);
        else
            buffer_add_char(out, text.ptr[i]);
    }
}

void workflow_command_add(Buffer *out, const char *command, const char *title, Slice text) {
    OWN(buffer_deinit) Buffer printable;
    buffer_init(&printable, out->ceiling);
    log_add_printable(&printable, text);
    buffer_printf(out, "::%s", command);
    if (title != NULL) {
        buffer_add_text(out, " title=");
        add_escaped(out, slice_of(title), "%\r\n:,");
    }
    buffer_add_text(out, "::");
    add_escaped(out, buffer_slice(&printable), "%\r\n");
    buffer_add_char(out, '\n');
}

static void mask(Buffer *out, Slice text) {
    if (text.len == 0)
        return;
    buffer_add_text(out, "::add-mask::");
    add_escaped(out, text, "%\r\n");
    buffer_add_char(out, '\n');
}

void workflow_command_mask(Buffer *out, Slice secret) {
    mask(out, secret);
    Slice line = SLICE_ABSENT;
    bool has_lines = secret.len > 0 && memchr(secret.ptr, '\n', secret.len) != NULL;
    while (has_lines && slice_split(&secret, '\n', &line))
        mask(out, line);
    if (has_lines)
        mask(out, secret);
}
