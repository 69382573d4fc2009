/* See the header. One line is in memory at a time, and the rows that wait to be put. */
#include "transfer/import.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "transfer/filling.h"

typedef struct Reader {
    FILE *in;
    Buffer *reason;
    char *text; /* getline's */
    size_t capacity;
    Slice line; /* without its end */
    int64_t number;
} Reader;

enum { READER_END = 1 }; /* of next_line: there is none */

static int refuse(Reader *reader, const char *words) {
    buffer_printf(reader->reason, "line %" PRId64 ": %s", reader->number, words);
    return TRANSFER_REFUSED;
}

static int next_line(Reader *reader) {
    errno = 0;
    ssize_t length = getline(&reader->text, &reader->capacity, reader->in);
    reader->number++;
    if (length < 0 && !feof(reader->in)) {
        int error = errno != 0 ? errno : EIO;
        buffer_add_text(reader->reason, strerror(error));
        return -error;
    }
    if (length < 0)
        return READER_END;
    if (length > TRANSFER_LINE_MAX)
        return refuse(reader, "it is longer than any row is");
    reader->line = (Slice){.ptr = reader->text, .len = (size_t)length};
    if (length > 0 && reader->text[length - 1] == '\n')
        reader->line.len--;
    return 0;
}

/* The line as JSON, an object. */
static int parse_line(Reader *reader, json_t **out) {
    JsonProblem problem;
    int r = json_parse(reader->line, JSON_DEPTH_MAX, out, &problem);
    if (r == -ENOMEM) {
        buffer_add_text(reader->reason, strerror(ENOMEM));
        return r;
    }
    if (r != 0)
        return refuse(reader, problem.detail);
    return json_is_object(*out) && reader->line.len > 0 ? 0 : refuse(reader, "it is no JSON object");
}

static int decode_line(Reader *reader, const FieldTable *table, const json_t *line, void *out) {
    FieldProblem problem;
    int r = fields_decode(table, line, FIELDS_FROM_JSON, out, &problem);
    return r == 0 ? 0 : refuse(reader, problem.detail);
}

static int read_header(Reader *reader) {
    OWN(json_decrefp) json_t *line = NULL;
    TransferHeader header = {.version = 0};
    FieldProblem problem;
    int r = next_line(reader);
    if (r == READER_END)
        return refuse(reader, "the file is empty");
    if (r == 0)
        r = parse_line(reader, &line);
    if (r != 0)
        return r;
    if (fields_decode(&transfer_header_fields, line, FIELDS_FROM_JSON, &header, &problem) != 0 ||
        !slice_equal_text(header.format, TRANSFER_FORMAT))
        return refuse(reader, "this is no export of stack-coordinator, which begins with its format and version; the "
                              "table of the original is read by --from-original");
    if (header.version == TRANSFER_VERSION)
        return 0;
    buffer_printf(reader->reason,
                  "line 1: version %" PRId64 " of the format, written by %.*s; this program reads version %d: run one "
                  "that is as new as that",
                  header.version, SLICE_PRINT(header.program), TRANSFER_VERSION);
    return TRANSFER_REFUSED;
}

/* STORED_KINDS: the last line. */
static int read_kind(Reader *reader, const json_t *line, StoredKind *kind) {
    const char *name = json_string_value(json_object_get(line, "row"));
    for (int i = 0; name != NULL && i < STORED_KINDS; i++)
        if (strcmp(name, transfer_kind_names[i]) == 0) {
            *kind = (StoredKind)i;
            return 0;
        }
    if (name == NULL || strcmp(name, TRANSFER_END) != 0)
        return refuse(reader, "row must be one of: project, key, stack, request, event, end");
    *kind = STORED_KINDS;
    return 0;
}

static int add_row(Reader *reader, Filling *filling, StoredKind kind, const json_t *line) {
    StoredRow row;
    memset(&row, 0, sizeof row);
    int r = decode_line(reader, &transfer_row_fields[kind], line, &row);
    if (r != 0)
        return r;
    r = filling_add(filling, &row);
    if (r == TRANSFER_REFUSED)
        return refuse(reader, buffer_text(filling->reason));
    if (r != 0)
        buffer_printf(reader->reason, "the lines before line %" PRId64 ": %s", reader->number + 1,
                      buffer_text(filling->reason));
    return r;
}

static int read_end(Reader *reader, const Filling *filling, const json_t *line) {
    TransferCounts said;
    int r = decode_line(reader, &transfer_end_fields, line, &said);
    if (r != 0)
        return r;
    for (int kind = 0; kind < STORED_KINDS; kind++)
        if (said.rows[kind] != filling->counts.rows[kind]) {
            buffer_printf(reader->reason,
                          "line %" PRId64 ": %ss are said to be %" PRId64 ", and %" PRId64 " came: lines are missing, "
                          "or were added",
                          reader->number, transfer_kind_names[kind], said.rows[kind], filling->counts.rows[kind]);
            return TRANSFER_REFUSED;
        }
    r = next_line(reader);
    return r == READER_END ? 0 : r != 0 ? r : refuse(reader, "something follows the last line");
}

/* Lines up to the last one. */
static int read_rows(Reader *reader, Filling *filling) {
    for (;;) {
        OWN(json_decrefp) json_t *line = NULL;
        StoredKind kind = STORED_KINDS;
        int r = next_line(reader);
        if (r == READER_END)
            return refuse(reader, "the last line is missing: the file was cut off");
        if (r == 0)
            r = parse_line(reader, &line);
        if (r == 0)
            r = read_kind(reader, line, &kind);
        if (r == 0 && kind == STORED_KINDS)
            return read_end(reader, filling, line);
        if (r == 0)
            r = add_row(reader, filling, kind, line);
        if (r != 0)
            return r;
    }
}

int import_read(Store *store, FILE *in, TransferCounts *counts, Buffer *reason) {
    OWN(buffer_deinit) Buffer words;
    buffer_init(&words, BODY_MAX);
    Reader reader = {.in = in, .reason = reason};
    Filling filling;
    int r = filling_begin(&filling, store, &words);
    if (r == 0)
        r = read_header(&reader);
    if (r == 0)
        r = read_rows(&reader, &filling);
    if (r == 0)
        r = filling_end(&filling, counts);
    if (r != 0 && reason->len == 0)
        buffer_add_slice(reason, buffer_slice(&words));
    filling_deinit(&filling);
    free(reader.text);
    return r;
}
