/*
 * One pattern is run over a path as an automaton whose states are the pattern's offsets: as many steps as the two are long,
 * multiplied, whatever is in them.
 */
#include "agent/globs.h"

#include <string.h>

typedef enum TokenKind { TOKEN_BYTE, TOKEN_ONE, TOKEN_CLASS, TOKEN_RUN, TOKEN_ANYTHING, TOKEN_FOLDERS } TokenKind;

typedef struct Token {
    TokenKind kind;
    size_t len;
} Token;

typedef struct Automaton {
    Slice pattern;
    bool states[2][GLOB_MAX + 1];
    bool *now, *next;
} Automaton;

static size_t class_length(Slice pattern, size_t at) {
    size_t end = at + 1;
    if (end < pattern.len && (pattern.ptr[end] == '!' || pattern.ptr[end] == '^'))
        end++;
    if (end < pattern.len) /* a bracket that comes first is a member */
        end++;
    while (end < pattern.len && pattern.ptr[end] != ']')
        end++;
    return end < pattern.len ? end + 1 - at : 0;
}

static Token token_at(Slice pattern, size_t at) {
    size_t stars = 0;
    while (at + stars < pattern.len && pattern.ptr[at + stars] == '*')
        stars++;
    if (stars > 1) {
        bool is_part =
            (at == 0 || pattern.ptr[at - 1] == '/') && at + stars < pattern.len && pattern.ptr[at + stars] == '/';
        return is_part ? (Token){TOKEN_FOLDERS, stars + 1} : (Token){TOKEN_ANYTHING, stars};
    }
    if (stars == 1)
        return (Token){TOKEN_RUN, 1};
    if (pattern.ptr[at] == '?')
        return (Token){TOKEN_ONE, 1};
    size_t class = pattern.ptr[at] == '[' ? class_length(pattern, at) : 0;
    if (class > 0)
        return (Token){TOKEN_CLASS, class};
    bool is_escape = pattern.ptr[at] == '\\' && at + 1 < pattern.len;
    return (Token){TOKEN_BYTE, is_escape ? 2 : 1};
}

static bool class_has(Slice class, char c) {
    size_t at = 1, end = class.len - 1;
    bool is_inverse = class.ptr[at] == '!' || class.ptr[at] == '^';
    bool is_found = false;
    at += is_inverse;
    while (at < end) {
        unsigned char low = (unsigned char)class.ptr[at], high = low;
        if (at + 2 < end && class.ptr[at + 1] == '-') {
            high = (unsigned char)class.ptr[at + 2];
            at += 2;
        }
        at++;
        is_found = is_found || ((unsigned char)c >= low && (unsigned char)c <= high);
    }
    return is_found != is_inverse;
}

/* Whatever may match nothing is stepped over at once. */
static void enter(const Automaton *a, bool *states, size_t at) {
    states[at] = true;
    while (at < a->pattern.len) {
        Token token = token_at(a->pattern, at);
        if (token.kind != TOKEN_RUN && token.kind != TOKEN_ANYTHING && token.kind != TOKEN_FOLDERS)
            return;
        at += token.len;
        states[at] = true;
    }
}

static void step_token(const Automaton *a, size_t at, Token token, char c) {
    Slice text = {.ptr = a->pattern.ptr + at, .len = token.len};
    bool is_past = false;
    switch (token.kind) {
    case TOKEN_BYTE:
        is_past = text.ptr[text.len - 1] == c;
        break;
    case TOKEN_ONE:
        is_past = c != '/';
        break;
    case TOKEN_CLASS:
        is_past = c != '/' && class_has(text, c);
        break;
    case TOKEN_RUN:
        if (c != '/')
            enter(a, a->next, at);
        break;
    case TOKEN_ANYTHING:
        enter(a, a->next, at);
        break;
    case TOKEN_FOLDERS:
        a->next[at] = true;
        if (c == '/')
            enter(a, a->next, at);
        break;
    }
    if (is_past)
        enter(a, a->next, at + token.len);
}

static void step(Automaton *a, char c) {
    memset(a->next, 0, a->pattern.len + 1);
    for (size_t at = 0; at < a->pattern.len; at++) {
        if (a->now[at])
            step_token(a, at, token_at(a->pattern, at), c);
    }
    bool *was = a->now;
    a->now = a->next;
    a->next = was;
}

/* A `*` that also stood for what is in a folder would leave nothing out. */
static bool means_folder(Slice pattern) {
    for (size_t at = pattern.len; at > 0 && pattern.ptr[at - 1] != '/'; at--) {
        if (strchr("*?[\\", pattern.ptr[at - 1]) != NULL)
            return false;
    }
    return true;
}

static bool matches(Slice pattern, Slice path) {
    Automaton a = {.pattern = pattern};
    if (pattern.len == 0 || pattern.len > GLOB_MAX)
        return false;
    a.now = a.states[0];
    a.next = a.states[1];
    bool is_folder = means_folder(pattern);
    enter(&a, a.now, 0);
    for (size_t i = 0; i < path.len; i++) {
        if (is_folder && path.ptr[i] == '/' && a.now[pattern.len])
            return true;
        step(&a, path.ptr[i]);
    }
    return a.now[pattern.len];
}

static Slice trimmed(Slice line) {
    while (line.len > 0 && strchr(" \t\r", line.ptr[line.len - 1]) != NULL)
        line.len--;
    while (line.len > 0 && strchr(" \t\r", line.ptr[0]) != NULL)
        line = (Slice){.ptr = line.ptr + 1, .len = line.len - 1};
    return line;
}

/* "./docs/" and "/docs" are "docs". */
static Slice bare(Slice pattern) {
    while (pattern.len > 0 && (pattern.ptr[0] == '/' || slice_starts_with(pattern, "./"))) {
        size_t cut = pattern.ptr[0] == '/' ? 1 : 2;
        pattern = (Slice){.ptr = pattern.ptr + cut, .len = pattern.len - cut};
    }
    while (pattern.len > 0 && pattern.ptr[pattern.len - 1] == '/')
        pattern.len--;
    return pattern;
}

static bool next_pattern(Slice *rest, Slice *pattern, bool *is_out) {
    while (rest->len > 0) {
        Slice line = *rest;
        if (!slice_split(rest, '\n', &line))
            rest->len = 0;
        line = trimmed(line);
        *is_out = slice_starts_with(line, "!");
        if (*is_out)
            line = (Slice){.ptr = line.ptr + 1, .len = line.len - 1};
        *pattern = bare(line);
        if (pattern->len > 0)
            return true;
    }
    return false;
}

bool globs_match(Slice patterns, Slice path) {
    Slice pattern;
    bool is_out = false, is_meant = true;
    for (bool is_first = true; next_pattern(&patterns, &pattern, &is_out); is_first = false) {
        if (is_first)
            is_meant = is_out;
        if (matches(pattern, path))
            is_meant = !is_out;
    }
    return is_meant;
}

const char *globs_check(Slice patterns) {
    Slice pattern;
    bool is_out;
    if (patterns.len > GLOBS_MAX)
        return "has more than 16384 bytes";
    while (next_pattern(&patterns, &pattern, &is_out)) {
        if (pattern.len > GLOB_MAX)
            return "has a pattern of more than 1024 bytes";
    }
    return NULL;
}
