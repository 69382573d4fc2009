/*
 * Aligned text for people. Whatever came from outside passes print_foreign(), so that it draws nothing on a terminal and is
 * no command to a CI system that reads our output (::set-output::, ##[group]).
 */
#pragma once

#include "base/buffer.h"

/* Control characters, bidi controls and invalid UTF-8 become visible escapes, and so does what would start a command. */
void print_foreign(Buffer *out, Slice text);

/* A table of lines: texts are added cell by cell, columns aligned when it is rendered. */
enum { TABLE_COLUMNS_MAX = 8 };
typedef enum Colour { COLOUR_NONE, COLOUR_BOLD, COLOUR_GREEN, COLOUR_YELLOW, COLOUR_RED } Colour;

typedef struct TextTable {
    size_t column_count;
    Buffer text, cells; /* cells: TextCell after TextCell */
} TextTable;

void text_table_init(TextTable *table, size_t column_count);
void text_table_deinit(TextTable *table);
/* Foreign text; an absent one is an empty cell. */
void text_table_add(TextTable *table, Slice text, Colour colour);
/* A failure of any call before shows in `out`. */
void text_table_render(const TextTable *table, bool has_colours, Buffer *out);
