/*
 * Command lines by table. Every option is one row: flag, environment twin, default, one sentence. Parsing, --help,
 * shell completions and man pages come from the same rows, so they cannot disagree.
 *
 * A program is a list of verbs; a verb has a path of one or two words ("request", "project create"), positionals and
 * options; common options are accepted before or after the verb. `--` ends the options; a verb with `takes_command`
 * leaves everything behind `--` (or from the first positional on) untouched.
 */
#pragma once

#include "base/buffer.h"

typedef enum OptionKind {
    OPTION_FLAG,     /* bool */
    OPTION_TEXT,     /* const char *; NULL when neither given nor defaulted */
    OPTION_NUMBER,   /* int64_t, min..max; OPTION_UNSET when neither given nor defaulted */
    OPTION_DURATION, /* int64_t seconds: "90", "90s", "30m", "2h", "1d"; min..max; OPTION_UNSET likewise */
    OPTION_CHOICE,   /* int: index into `choices`; -1 when neither given nor defaulted */
    OPTION_LIST,     /* OptionList: repeatable; blanks separate several in the environment */
} OptionKind;

#define OPTION_UNSET INT64_MIN
#define OPTION_LIST_MAX 16

typedef struct OptionList {
    const char *items[OPTION_LIST_MAX]; /* borrowed from argv, or from the parsed values' own memory */
    size_t count;
} OptionList;

typedef struct Option {
    const char *flag;        /* "--lease"; NULL: environment only (secrets) */
    const char *argument;    /* "DURATION" for help; NULL for flags */
    const char *environment; /* twin, or NULL. A set but empty variable counts as unset */
    const char *fallback;    /* parsed as if given, or NULL */
    OptionKind kind;
    size_t offset; /* in the program's values struct */
    int64_t min, max;
    const char *const *choices; /* NULL-terminated */
    const char *doc;            /* one sentence */
} Option;

typedef struct Verb {
    const char *path;      /* "request", "project create" */
    const char *arguments; /* "NAME", "PROJECT STACK [NOTE]", "-- CMD [ARG]…", or NULL */
    int min_arguments, max_arguments;
    bool takes_command;
    const Option *options;
    size_t option_count;
    const char *summary; /* one line */
    const char *details; /* a paragraph for --help and the man page, or NULL */
    int id;              /* the program's own */
} Verb;

typedef struct Program {
    const char *name, *version, *summary;
    const char *details; /* for the man page: what it is, files, exit codes */
    const Verb *verbs;
    size_t verb_count;
    const Option *common;
    size_t common_count;
} Program;

typedef struct Parsed {
    const Verb *verb;
    const char *const *arguments; /* positionals, borrowed from argv */
    int argument_count;
    char *memory; /* owned: environment lists cut into words; free with parsed_deinit */
} Parsed;

enum {
    OPTIONS_EXIT = 1,  /* --help or --version was printed to `text`: print it on stdout, exit 0 */
    OPTIONS_USAGE = 2, /* wrong usage: `text` says what and points at --help; print it on stderr, exit 64 */
};

/* Fills *values (zeroed by the caller) from defaults, then environment, then argv. `environ_get` is getenv or a test's.
 * 0 | OPTIONS_EXIT | OPTIONS_USAGE | -ENOMEM. A secret found in argv of an option without a flag is of course not
 * parsed. `completion bash|zsh|fish` and `man` are built-in verbs: OPTIONS_EXIT with the script or page in `text`. */
int options_parse(const Program *program, int argc, char *const argv[], const char *(*environ_get)(const char *),
                  void *values, Parsed *parsed, Buffer *text) MUST_USE;
void parsed_deinit(Parsed *parsed);

/* False: `text` is no duration; *seconds untouched. */
bool duration_parse(const char *text, int64_t *seconds);

void options_help(const Program *program, const Verb *verb, Buffer *out); /* verb NULL: the program's overview */
void options_man(const Program *program, Buffer *out);                    /* mdoc(7) */
int options_completion(const Program *program, const char *shell, Buffer *out) MUST_USE; /* 0 | OPTIONS_USAGE */
