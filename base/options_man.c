/*
 * The manual page in mdoc(7). Invariant: no text of the tables is read as a macro or an escape; all is ASCII, since roff
 * programs disagree on encodings.
 */
#include <string.h>

#include "base/log.h"
#include "base/options_internal.h"
#include "base/utf8.h"

/* A fixed date, so that one source always makes one page. */
#define MANUAL_DATE "November 22, 2026"

static void add_escaped_byte(Buffer *out, char c) {
    switch (c) {
    case '\\':
        buffer_add_text(out, "\\e");
        break;
    case '"':
        buffer_add_text(out, "\\(dq");
        break;
    case '`':
        buffer_add_text(out, "\\(ga");
        break;
    case '\'':
        buffer_add_text(out, "\\(aq");
        break;
    case '-':
        buffer_add_text(out, "\\-");
        break;
    case '~':
        buffer_add_text(out, "\\(ti");
        break;
    case '^':
        buffer_add_text(out, "\\(ha");
        break;
    default:
        buffer_add_char(out, c);
        break;
    }
}

/* mdoc wants a new line for a new sentence: at a blank behind a full stop and before a capital. */
static bool ends_sentence(Slice text, size_t at) {
    return text.ptr[at] == ' ' && at > 0 && text.ptr[at - 1] == '.' && at + 1 < text.len && text.ptr[at + 1] >= 'A' &&
           text.ptr[at + 1] <= 'Z';
}

static void add_escaped(Buffer *out, Slice text) {
    for (size_t at = 0; at < text.len;) {
        uint32_t code_point = 0;
        size_t size = utf8_read(text.ptr + at, text.len - at, &code_point);
        bool begins_line = at == 0 || text.ptr[at - 1] == '\n';
        if (begins_line && text.ptr[at] == '.')
            buffer_add_text(out, "\\&");
        if (size > 1)
            buffer_printf(out, "\\[u%04X]", (unsigned)code_point);
        else if (size == 1)
            add_escaped_byte(out, text.ptr[at]);
        at += size > 0 ? size : 1;
    }
}

static void add_line(Buffer *out, Slice text) {
    for (size_t at = 0; at < text.len; at++) {
        if (!ends_sentence(text, at))
            continue;
        add_escaped(out, (Slice){.ptr = text.ptr, .len = at});
        buffer_add_char(out, '\n');
        text = (Slice){.ptr = text.ptr + at + 1, .len = text.len - at - 1};
        at = 0;
    }
    add_escaped(out, text);
    buffer_add_char(out, '\n');
}

static void add_paragraphs(Buffer *out, const char *text) {
    Slice rest = slice_of(text), paragraph = SLICE_ABSENT;
    while (next_paragraph(&rest, &paragraph)) {
        bool is_verbatim = slice_starts_with(paragraph, " ");
        buffer_add_text(out, is_verbatim ? ".Bd -literal\n" : ".Pp\n");
        add_line(out, paragraph);
        if (is_verbatim)
            buffer_add_text(out, ".Ed\n");
    }
}

/* One argument of a macro, whatever its words look like. */
static void add_quoted(Buffer *out, const char *macro, const char *text) {
    buffer_printf(out, " %s \"", macro);
    add_escaped(out, slice_of(text));
    buffer_add_char(out, '"');
}

static void add_option(Buffer *out, const Option *option) {
    buffer_add_text(out, ".It");
    if (option->flag != NULL)
        add_quoted(out, "Fl", option->flag + 1);
    else
        add_quoted(out, "Ev", option->environment);
    if (option->flag != NULL && option->argument != NULL)
        add_quoted(out, "Ar", option->argument);
    buffer_add_char(out, '\n');
    if (option->doc != NULL)
        add_line(out, slice_of(option->doc));

    OWN(buffer_deinit) Buffer origins;
    buffer_init(&origins, out->ceiling);
    option_add_origins(option, &origins);
    Slice origin = buffer_slice(&origins);
    if (origin.len == 0)
        return;
    buffer_add_char(out, '(');
    add_escaped(out, origin);
    buffer_add_text(out, ")\n");
}

static void add_options(Buffer *out, const Option *options, size_t count) {
    if (count == 0)
        return;
    buffer_add_text(out, ".Bl -tag -width Ds\n");
    for (size_t i = 0; i < count; i++)
        add_option(out, &options[i]);
    buffer_add_text(out, ".El\n");
}

static void add_verb(Buffer *out, const Verb *verb) {
    buffer_add_text(out, ".Ss ");
    add_escaped(out, slice_of(verb->path));
    if (verb->arguments != NULL) {
        buffer_add_char(out, ' ');
        add_escaped(out, slice_of(verb->arguments));
    }
    buffer_add_char(out, '\n');
    add_line(out, slice_of(verb->summary));
    if (verb->details != NULL)
        add_paragraphs(out, verb->details);
    add_options(out, verb->options, verb->option_count);
}

static void add_title(Buffer *out, const char *name) {
    buffer_add_text(out, ".Dd " MANUAL_DATE "\n.Dt ");
    for (const char *at = name; *at != '\0'; at++)
        buffer_add_char(out, *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at);
    buffer_add_text(out, " 1\n.Os\n");
}

void options_man(const Program *program, Buffer *out) {
    add_title(out, program->name);
    buffer_printf(out, ".Sh NAME\n.Nm %s\n.Nd ", program->name);
    add_line(out, slice_of(program->summary));
    buffer_add_text(out, ".Sh SYNOPSIS\n.Nm\n.Op Ar option ...\n.Ar command\n.Op Ar argument ...\n"
                         ".Nm\n.Cm completion\n.Cm bash | zsh | fish\n.Nm\n.Cm man\n.Sh DESCRIPTION\n");
    buffer_add_text(out, ".Nm\ntakes a command with its options and arguments.\n");
    if (program->details != NULL)
        add_paragraphs(out, program->details);
    buffer_add_text(out, ".Sh OPTIONS\nThese may stand before or behind the command.\n.Bl -tag -width Ds\n");
    for (size_t i = 0; i < program->common_count; i++)
        add_option(out, &program->common[i]);
    buffer_add_text(out, ".It Fl -help\nSay what a command and its options do.\n"
                         ".It Fl -version\nPrint the version.\n.El\n.Sh COMMANDS\n");
    for (size_t i = 0; i < program->verb_count; i++)
        add_verb(out, &program->verbs[i]);
}
