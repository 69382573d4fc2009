/*
 * One pattern is run over a path as an automaton whose states are the pattern's offsets: as many steps as the two are long,
 * multiplied, whatever is in them.
 */
#include "agent/globs.h"

#include <ctype.h>
#include <string.h>

#include "base/utf8.h"

typedef enum TokenKind { TOKEN_PLAIN, TOKEN_ONE, TOKEN_CLASS, TOKEN_RUN, TOKEN_ANYTHING, TOKEN_FOLDERS } TokenKind;

typedef struct Token {
    TokenKind kind;
    size_t len;
} Token;

typedef struct Automaton {
    Slice pattern;
    bool states[2][GLOB_MAX + 1];
    bool *now, *next;
} Automaton;

/* A code point of UTF-8; of what is none, one byte. */
static Slice character_at(Slice text, size_t at) {
    uint32_t code_point;
    size_t len = utf8_read(text.ptr + at, text.len - at, &code_point);
    return (Slice){.ptr = text.ptr + at, .len = len > 0 ? len : 1};
}

/* In the order of which a class has its ranges. Bytes that are no text come last. */
static uint32_t rank_of(Slice character) {
    uint32_t code_point;
    enum { PAST_UNICODE = 0x110000 };
    bool is_text = utf8_read(character.ptr, character.len, &code_point) == character.len;
    return is_text ? code_point : PAST_UNICODE + (uint32_t)(unsigned char)character.ptr[0];
}

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
    return (Token){TOKEN_PLAIN, is_escape ? 1 + character_at(pattern, at + 1).len : character_at(pattern, at).len};
}

static bool class_has(Slice class, Slice character) {
    size_t at = 1, end = class.len - 1;
    bool is_inverse = class.ptr[at] == '!' || class.ptr[at] == '^';
    bool is_found = false;
    uint32_t rank = rank_of(character);
    at += is_inverse;
    while (at < end) {
        Slice low = character_at(class, at), high = low;
        at += low.len;
        if (at + 1 < end && class.ptr[at] == '-') {
            high = character_at(class, at + 1);
            at += 1 + high.len;
        }
        is_found = is_found || (rank >= rank_of(low) && rank <= rank_of(high));
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

/* The character that a plain token stands for, without the backslash before it. */
static Slice plain(Slice token) {
    size_t escape = token.ptr[0] == '\\' && token.len > 1 ? 1 : 0;
    return (Slice){.ptr = token.ptr + escape, .len = token.len - escape};
}

static void step_token(const Automaton *a, size_t at, Token token, Slice character) {
    Slice text = {.ptr = a->pattern.ptr + at, .len = token.len};
    bool is_past = false, is_slash = slice_equal_text(character, "/");
    switch (token.kind) {
    case TOKEN_PLAIN:
        is_past = slice_equal(plain(text), character);
        break;
    case TOKEN_ONE:
        is_past = !is_slash;
        break;
    case TOKEN_CLASS:
        is_past = !is_slash && class_has(text, character);
        break;
    case TOKEN_RUN:
        if (!is_slash)
            enter(a, a->next, at);
        break;
    case TOKEN_ANYTHING:
        enter(a, a->next, at);
        break;
    case TOKEN_FOLDERS:
        a->next[at] = true;
        if (is_slash)
            enter(a, a->next, at);
        break;
    }
    if (is_past)
        enter(a, a->next, at + token.len);
}

static void step(Automaton *a, Slice character) {
    memset(a->next, 0, a->pattern.len + 1);
    for (size_t at = 0; at < a->pattern.len; at++) {
        if (a->now[at])
            step_token(a, at, token_at(a->pattern, at), character);
    }
    bool *was = a->now;
    a->now = a->next;
    a->next = was;
}

/* The last part is a plain name: a `*` that also stood for what is in a folder would leave nothing out. */
static bool means_folder(Slice pattern) {
    bool is_plain = true;
    Token token;
    for (size_t at = 0; at < pattern.len; at += token.len) {
        token = token_at(pattern, at);
        if (token.kind == TOKEN_FOLDERS || pattern.ptr[at] == '/')
            is_plain = true;
        else if (token.kind != TOKEN_PLAIN)
            is_plain = false;
    }
    return is_plain;
}

typedef enum Reach { REACH_NONE, REACH_SOME_WITHIN, REACH_ALL } Reach;

/* Of a path that stands for what is in it a pattern may reach some: should web be a submodule, "web/src" does. */
static Reach reach_within(Automaton *a) {
    size_t len = a->pattern.len;
    step(a, slice_of("/"));
    if (a->now[len] && len >= 2 && memcmp(a->pattern.ptr + len - 2, "**", 2) == 0)
        return REACH_ALL;
    for (size_t at = 0; at <= len; at++)
        if (a->now[at])
            return REACH_SOME_WITHIN;
    return REACH_NONE;
}

static Reach reach(Slice pattern, Slice path, bool is_container) {
    Automaton a = {.pattern = pattern};
    if (pattern.len == 0 || pattern.len > GLOB_MAX)
        return REACH_NONE;
    a.now = a.states[0];
    a.next = a.states[1];
    bool is_folder = means_folder(pattern);
    enter(&a, a.now, 0);
    for (size_t i = 0; i < path.len;) {
        Slice character = character_at(path, i);
        if (is_folder && path.ptr[i] == '/' && a.now[pattern.len])
            return REACH_ALL;
        step(&a, character);
        i += character.len;
    }
    if (a.now[pattern.len])
        return REACH_ALL;
    return is_container ? reach_within(&a) : REACH_NONE;
}

/* "./docs/" and "/docs" are "docs"; "." and "/" are everything. */
static Slice bare(Slice pattern) {
    while (pattern.len > 0 && (pattern.ptr[0] == '/' || slice_starts_with(pattern, "./"))) {
        size_t cut = pattern.ptr[0] == '/' ? 1 : 2;
        pattern = (Slice){.ptr = pattern.ptr + cut, .len = pattern.len - cut};
    }
    while (pattern.len > 0 && pattern.ptr[pattern.len - 1] == '/')
        pattern.len--;
    return pattern.len == 0 || slice_equal_text(pattern, ".") ? slice_of("**") : pattern;
}

/* As it was written, without the `!`. */
static bool next_written(Slice *rest, Slice *pattern, bool *is_out) {
    while (rest->len > 0) {
        Slice line = *rest;
        if (!slice_split(rest, '\n', &line))
            rest->len = 0;
        line = slice_trimmed(line);
        *is_out = slice_starts_with(line, "!");
        if (*is_out)
            line = (Slice){.ptr = line.ptr + 1, .len = line.len - 1};
        *pattern = line;
        if (line.len > 0)
            return true;
    }
    return false;
}

static bool next_pattern(Slice *rest, Slice *pattern, bool *is_out) {
    if (!next_written(rest, pattern, is_out))
        return false;
    *pattern = bare(*pattern);
    return true;
}

bool globs_match(Slice patterns, Slice path, bool is_container) {
    Slice pattern;
    bool is_out = false, is_meant = true;
    for (bool is_first = true; next_pattern(&patterns, &pattern, &is_out); is_first = false) {
        if (is_first)
            is_meant = is_out;
        Reach found = reach(pattern, path, is_container);
        if (found == REACH_ALL || (found == REACH_SOME_WITHIN && !is_out))
            is_meant = !is_out;
    }
    return is_meant;
}

/* "{a,b}", of which others make two patterns. */
static bool has_braces(Slice pattern) {
    size_t open = SIZE_MAX, comma = SIZE_MAX;
    for (size_t at = 0; at < pattern.len; at += token_at(pattern, at).len) {
        char c = pattern.ptr[at];
        if (c == '{')
            open = at;
        if (c == ',' && open != SIZE_MAX)
            comma = at;
        if (c == '}' && comma != SIZE_MAX && comma > open)
            return true;
    }
    return false;
}

/* "src/ docs/": every word of it is a folder or has a star. */
static bool has_several(Slice pattern) {
    size_t words = 1;
    bool has_star = false;
    char before = ' ';
    for (size_t at = 0; at < pattern.len; at += token_at(pattern, at).len) {
        char c = pattern.ptr[at];
        if (c == ' ' || c == '\t') {
            if (!has_star && before != '/')
                return false;
            words++;
            has_star = false;
        }
        has_star |= c == '*';
        before = c;
    }
    return words > 1 && (has_star || before == '/');
}

typedef bool PartIs(Slice part);

static bool any_part(Slice pattern, PartIs *is) {
    Slice part = pattern;
    while (slice_split(&pattern, '/', &part))
        if (is(part))
            return true;
    return is(pattern);
}

static bool leads_out(Slice part) {
    return slice_equal_text(part, "..");
}

static bool leads_nowhere(Slice part) {
    return part.len == 0 || slice_equal_text(part, ".");
}

/* "src\lib", which would be "srclib". */
static bool has_backslash(Slice pattern) {
    for (size_t at = 0; at < pattern.len; at += token_at(pattern, at).len)
        if (pattern.ptr[at] == '\\' && at + 1 < pattern.len && isalnum((unsigned char)pattern.ptr[at + 1]))
            return true;
    return false;
}

/* A star before the last slash: what is in any folder of src, or those folders? */
static bool has_vague_end(Slice written) {
    bool is_folder = written.len > 1 && written.ptr[written.len - 1] == '/';
    return is_folder && !means_folder((Slice){.ptr = written.ptr, .len = written.len - 1});
}

const char *globs_check(Slice patterns) {
    Slice pattern;
    bool is_out;
    if (patterns.len > GLOBS_MAX)
        return "has more than 16384 bytes";
    while (next_written(&patterns, &pattern, &is_out)) {
        if (pattern.len > GLOB_MAX)
            return "has a pattern of more than 1024 bytes";
        if (has_braces(pattern))
            return "has braces, as in {a,b}: write one pattern a line, or \\{ for a name that has a brace";
        if (has_several(pattern))
            return "has several patterns in a line: write one a line, or ? for a blank in a name";
        if (any_part(pattern, leads_out))
            return "leads out of the repository: paths start at its root, without ..";
        if (pattern.ptr[0] == '#')
            return "has a comment, which would be a pattern: leave it out, or write \\# for a name that begins so";
        if (has_backslash(pattern))
            return "has a \\ before a letter or digit: folders are separated by /";
        if (has_vague_end(pattern))
            return "has a / behind a wildcard: write /** for all in those folders";
        if (any_part(bare(pattern), leads_nowhere))
            return "has // or /./ in it, which no path has";
    }
    return NULL;
}
