/*
 * --help: the tables as text of 80 columns. Invariant: every row of a table appears, in the table's order.
 */
#include <string.h>

#include "base/options_internal.h"

#define TEXT_COLUMNS 79
#define TERM_COLUMNS 26 /* the left column; a longer term gets a line of its own */
#define TERM_MAX 256

/* Columns a text takes on a terminal: its code points, our texts having no wide ones. */
static size_t columns_of(Slice text) {
    size_t columns = 0;
    for (size_t i = 0; i < text.len; i++)
        columns += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    return columns;
}

static void add_blanks(Buffer *out, size_t count) {
    while (count-- > 0)
        buffer_add_char(out, ' ');
}

/* Words filled into lines that begin at column `indent`, where the cursor already is. */
static void add_filled(Buffer *out, Slice text, size_t indent) {
    size_t column = indent;
    while (text.len > 0) {
        size_t len = 0;
        while (len < text.len && text.ptr[len] != ' ' && text.ptr[len] != '\n')
            len++;
        Slice word = {.ptr = text.ptr, .len = len};
        size_t columns = columns_of(word);
        if (columns > 0 && column > indent) {
            bool fits = column + 1 + columns <= TEXT_COLUMNS;
            buffer_add_char(out, fits ? ' ' : '\n');
            add_blanks(out, fits ? 0 : indent);
            column = fits ? column + 1 : indent;
        }
        buffer_add_slice(out, word);
        column += columns;
        size_t used = len < text.len ? len + 1 : len;
        text = (Slice){.ptr = text.ptr + used, .len = text.len - used};
    }
    buffer_add_char(out, '\n');
}

static void add_paragraphs(Buffer *out, const char *text) {
    Slice rest = slice_of(text), paragraph = SLICE_ABSENT;
    while (next_paragraph(&rest, &paragraph)) {
        buffer_add_char(out, '\n');
        if (slice_starts_with(paragraph, " ")) {
            buffer_add_slice(out, paragraph);
            buffer_add_char(out, '\n');
        } else {
            add_filled(out, paragraph, 0);
        }
    }
}

static void add_row(Buffer *out, Slice term, Slice sentence) {
    size_t columns = columns_of(term) + 2;
    buffer_add_text(out, "  ");
    buffer_add_slice(out, term);
    if (columns + 2 > TERM_COLUMNS) {
        buffer_add_char(out, '\n');
        columns = 0;
    }
    add_blanks(out, TERM_COLUMNS - columns);
    add_filled(out, sentence, TERM_COLUMNS);
}

static void add_option(Buffer *out, const Option *option) {
    OWN(buffer_deinit) Buffer term, sentence, origins;
    buffer_init(&term, TERM_MAX);
    buffer_init(&sentence, out->ceiling);
    buffer_init(&origins, out->ceiling);
    buffer_add_text(&term, option->flag != NULL ? option->flag : option->environment);
    if (option->flag != NULL && option->argument != NULL)
        buffer_printf(&term, " %s", option->argument);
    if (option->doc != NULL)
        buffer_add_text(&sentence, option->doc);
    option_add_origins(option, &origins);
    Slice origin = buffer_slice(&origins);
    if (origin.len > 0)
        buffer_printf(&sentence, " (%.*s)", SLICE_PRINT(origin));
    add_row(out, buffer_slice(&term), buffer_slice(&sentence));
}

/* The options with a flag, or those that only the environment sets. *heading is written before the first, once. */
static void add_options(Buffer *out, const char **heading, const Option *options, size_t count, bool has_flag) {
    for (size_t i = 0; i < count; i++) {
        if ((options[i].flag != NULL) != has_flag)
            continue;
        if (*heading != NULL)
            buffer_printf(out, "\n%s:\n", *heading);
        *heading = NULL;
        add_option(out, &options[i]);
    }
}

static void add_environment(Buffer *out, const Program *program, const Verb *verb) {
    const char *heading = "Environment";
    if (verb != NULL)
        add_options(out, &heading, verb->options, verb->option_count, false);
    add_options(out, &heading, program->common, program->common_count, false);
}

static void add_general_options(Buffer *out, const Program *program) {
    const char *none = NULL;
    buffer_add_text(out, "\nGeneral options:\n");
    add_options(out, &none, program->common, program->common_count, true);
    add_row(out, slice_of("--help"), slice_of("Say what a command and its options do."));
    add_row(out, slice_of("--version"), slice_of("Print the version."));
}

static void add_overview(Buffer *out, const Program *program) {
    buffer_printf(out, "%s: ", program->name);
    add_filled(out, slice_of(program->summary), 0);
    buffer_printf(out, "\nusage: %s [OPTION]… COMMAND [ARGUMENT]…\n\nCommands:\n", program->name);
    for (size_t i = 0; i < program->verb_count; i++)
        add_row(out, slice_of(program->verbs[i].path), slice_of(program->verbs[i].summary));
    add_row(out, slice_of("completion SHELL"), slice_of("Print a completion script for bash, zsh or fish."));
    add_row(out, slice_of("man"), slice_of("Print the manual page, to be piped into `man -l -`."));
    add_general_options(out, program);
    add_environment(out, program, NULL);
    buffer_printf(out, "\n'%s COMMAND --help' tells more.\n", program->name);
}

void options_help(const Program *program, const Verb *verb, Buffer *out) {
    if (verb == NULL) {
        add_overview(out, program);
        return;
    }
    buffer_printf(out, "usage: %s %s [OPTION]…%s%s\n\n", program->name, verb->path, verb->arguments != NULL ? " " : "",
                  verb->arguments != NULL ? verb->arguments : "");
    add_filled(out, slice_of(verb->summary), 0);
    if (verb->details != NULL)
        add_paragraphs(out, verb->details);
    const char *heading = "Options";
    add_options(out, &heading, verb->options, verb->option_count, true);
    add_general_options(out, program);
    add_environment(out, program, verb);
}
