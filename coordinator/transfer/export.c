/* See the header. One line is in memory at a time. */
#include "transfer/export.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"

typedef struct Writer {
    FILE *out;
    Buffer line;
    TransferCounts counts;
} Writer;

static int end_line(Writer *w) {
    buffer_add_char(&w->line, '\n');
    int r = buffer_error(&w->line);
    errno = EIO;
    if (r == 0 && fwrite(w->line.data, 1, w->line.len, w->out) != w->line.len)
        r = -errno;
    buffer_clear(&w->line);
    return r;
}

static int write_row(void *arg, const StoredRow *row) {
    Writer *w = arg;
    fields_encode(&transfer_row_fields[row->kind], row, &w->line);
    w->counts.rows[row->kind]++;
    return end_line(w);
}

static int write_header(Writer *w, const char *program) {
    const TransferHeader header = {
        .format = slice_of(TRANSFER_FORMAT), .version = TRANSFER_VERSION, .program = slice_of(program)};
    fields_encode(&transfer_header_fields, &header, &w->line);
    return end_line(w);
}

static int write_end(Writer *w) {
    OWN(buffer_deinit) Buffer totals;
    buffer_init(&totals, TRANSFER_LINE_MAX);
    fields_encode(&transfer_end_fields, &w->counts, &totals);
    const char *members = buffer_text(&totals);
    if (members == NULL)
        return -ENOMEM;
    buffer_printf(&w->line, "{\"row\":\"" TRANSFER_END "\",%s", members + 1);
    int r = end_line(w);
    if (r == 0 && fflush(w->out) != 0)
        r = -errno;
    return r;
}

int export_write(Store *store, FILE *out, const char *program, TransferCounts *counts, Buffer *reason) {
    Writer w = {.out = out};
    buffer_init(&w.line, TRANSFER_LINE_MAX);
    int r = write_header(&w, program);
    if (r == 0)
        r = store_dump(store, write_row, &w);
    if (r == 0)
        r = write_end(&w);
    buffer_deinit(&w.line);
    if (r < 0)
        buffer_add_text(reason, strerror(-r));
    else if (r > 0)
        buffer_add_text(reason, store_reason(store));
    else
        *counts = w.counts;
    return r;
}
