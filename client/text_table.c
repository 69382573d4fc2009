/* Escaping and aligning. */
#include "client/text_table.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"

#define TABLE_TEXT_MAX ((size_t)6 * ANSWER_MAX) /* each byte of a list may become an escape of six */

typedef struct TextCell {
    size_t start, len, columns; /* in `text`; columns on a terminal */
    Colour colour;
} TextCell;

/* GitHub's runner takes `##[name]` anywhere in a line and `::name::` after blanks at its start for commands. */
static void add_disarmed(Buffer *out, Slice text) {
    size_t i = 0;
    while (i < text.len && text.ptr[i] == ' ')
        i++;
    bool starts_command = text.len - i >= 2 && text.ptr[i] == ':' && text.ptr[i + 1] == ':';
    for (size_t at = 0; at < text.len; at++) {
        Slice rest = {.ptr = text.ptr + at, .len = text.len - at};
        bool is_old_command =
            slice_starts_with(rest, "[") && at >= 2 && text.ptr[at - 1] == '#' && text.ptr[at - 2] == '#';
        if (is_old_command || (starts_command && at == i))
            buffer_add_text(out, is_old_command ? "\\x5b" : "\\x3a");
        else
            buffer_add_char(out, text.ptr[at]);
    }
}

void print_foreign(Buffer *out, Slice text) {
    OWN(buffer_deinit) Buffer printable;
    buffer_init(&printable, out->ceiling);
    log_add_printable(&printable, text);
    add_disarmed(out, buffer_slice(&printable));
}

void text_table_init(TextTable *table, size_t column_count) {
    table->column_count = column_count;
    buffer_init(&table->text, TABLE_TEXT_MAX);
    buffer_init(&table->cells, TABLE_TEXT_MAX);
}

void text_table_deinit(TextTable *table) {
    buffer_deinit(&table->text);
    buffer_deinit(&table->cells);
}

/* Code points; wide characters are rare in what is shown here. */
static size_t columns_of(Slice text) {
    size_t columns = 0;
    for (size_t i = 0; i < text.len; i++)
        columns += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    return columns;
}

void text_table_add(TextTable *table, Slice text, Colour colour) {
    TextCell cell = {.start = table->text.len, .colour = colour};
    print_foreign(&table->text, text);
    cell.len = table->text.len - cell.start;
    if (buffer_error(&table->text) == 0 && cell.len > 0)
        cell.columns = columns_of((Slice){.ptr = table->text.data + cell.start, .len = cell.len});
    buffer_add(&table->cells, &cell, sizeof cell);
}

static TextCell cell_at(const TextTable *table, size_t index) {
    TextCell cell;
    memcpy(&cell, table->cells.data + index * sizeof cell, sizeof cell);
    return cell;
}

static void add_cell(const TextTable *table, TextCell cell, bool has_colours, Buffer *out) {
    static const char *const codes[] = {
        [COLOUR_NONE] = NULL, [COLOUR_BOLD] = "1", [COLOUR_GREEN] = "32", [COLOUR_YELLOW] = "33", [COLOUR_RED] = "31"};
    const char *code = has_colours ? codes[cell.colour] : NULL;
    if (code != NULL)
        buffer_printf(out, "\x1b[%sm", code);
    if (cell.len > 0)
        buffer_add(out, table->text.data + cell.start, cell.len);
    if (code != NULL)
        buffer_add_text(out, "\x1b[0m");
}

void text_table_render(const TextTable *table, bool has_colours, Buffer *out) {
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    size_t count = table->cells.len / sizeof(TextCell);
    if (buffer_error(&table->text) != 0 || buffer_error(&table->cells) != 0) {
        out->error = -ENOMEM;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        size_t columns = cell_at(table, i).columns;
        size_t *width = &widths[i % table->column_count];
        *width = columns > *width ? columns : *width;
    }
    size_t blanks = 0; /* owed before the next text, so that no line ends with any */
    for (size_t i = 0; i < count; i++) {
        TextCell cell = cell_at(table, i);
        for (; cell.len > 0 && blanks > 0; blanks--)
            buffer_add_char(out, ' ');
        add_cell(table, cell, has_colours && cell.len > 0, out);
        blanks += widths[i % table->column_count] - cell.columns + 2;
        if ((i + 1) % table->column_count == 0) {
            buffer_add_char(out, '\n');
            blanks = 0;
        }
    }
}
