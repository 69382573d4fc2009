/*
 * A command line read from left to right, then what it left open from the environment and the defaults. Invariant: an
 * option given in argv is neither looked up in the environment nor defaulted, so its twin cannot disturb it.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/options_internal.h"

#define COMPLAINT_MAX 65536 /* bytes; one word of argv may be long */

typedef const char *(*EnvironGet)(const char *);

typedef struct Walk {
    const Program *program;
    const Verb *verb; /* NULL until it was read */
    int argc, at;
    char *const *argv;
    void *values;
    bool *is_given; /* by row: common options, then the verb's */
    const char **arguments;
    int argument_count;
    char *words; /* where the words of lists go next */
    Buffer *text;
    Buffer *complaint; /* what is wrong, without the program's name */
} Walk;

static void complain(Walk *walk, const char *what, const char *word) {
    buffer_add_text(walk->complaint, what);
    buffer_add_text(walk->complaint, " '");
    log_add_printable(walk->complaint, slice_of(word));
    buffer_add_char(walk->complaint, '\'');
}

static void suggest(Walk *walk, const Suggestion *best) {
    if (best->name != NULL)
        buffer_printf(walk->complaint, "; did you mean '%s'?", best->name);
}

/* The row `index`, common options first; NULL past the last. */
static const Option *option_at(const Walk *walk, size_t index) {
    if (index < walk->program->common_count)
        return &walk->program->common[index];
    index -= walk->program->common_count;
    return walk->verb != NULL && index < walk->verb->option_count ? &walk->verb->options[index] : NULL;
}

static const Option *find_option(const Walk *walk, Slice flag, size_t *index) {
    const Option *option;
    for (size_t i = 0; (option = option_at(walk, i)) != NULL; i++) {
        if (option->flag != NULL && slice_equal_text(flag, option->flag)) {
            *index = i;
            return option;
        }
    }
    return NULL;
}

static int refuse_option(Walk *walk, Slice flag) {
    Suggestion best = {.distance = SUGGESTION_DISTANCE_MAX + 1};
    const Option *option;
    for (size_t i = 0; (option = option_at(walk, i)) != NULL; i++)
        suggestion_consider(&best, flag, option->flag);
    buffer_add_text(walk->complaint, "unknown option '");
    log_add_printable(walk->complaint, flag);
    buffer_add_char(walk->complaint, '\'');
    suggest(walk, &best);
    return OPTIONS_USAGE;
}

/* The value behind a flag: after `=`, or the next word unless that is an option itself. */
static const char *take_value(Walk *walk, const char *after_equals) {
    if (after_equals != NULL)
        return after_equals;
    if (walk->at + 1 >= walk->argc || strncmp(walk->argv[walk->at + 1], "--", 2) == 0)
        return NULL;
    return walk->argv[++walk->at];
}

static int read_value(Walk *walk, const Option *option, size_t index, const char *after_equals) {
    if (option->kind == OPTION_FLAG) {
        if (after_equals != NULL) {
            buffer_printf(walk->complaint, "%s takes no value", option->flag);
            return OPTIONS_USAGE;
        }
        *(bool *)((char *)walk->values + option->offset) = true;
        walk->is_given[index] = true;
        return 0;
    }
    const char *value = take_value(walk, after_equals);
    if (value == NULL) {
        buffer_printf(walk->complaint, "%s needs a value: %s", option->flag,
                      option->argument != NULL ? option->argument : "VALUE");
        return OPTIONS_USAGE;
    }
    walk->is_given[index] = true;
    return option_store(option, option->flag, value, walk->values, walk->complaint);
}

static int read_option(Walk *walk) {
    Slice flag = slice_of(walk->argv[walk->at]), name = flag;
    const char *after_equals = slice_split(&flag, '=', &name) ? flag.ptr : NULL;
    if (slice_equal_text(name, "--help") || slice_equal_text(name, "-h")) {
        options_help(walk->program, walk->verb, walk->text);
        return OPTIONS_EXIT;
    }
    if (slice_equal_text(name, "--version")) {
        buffer_printf(walk->text, "%s %s\n", walk->program->name, walk->program->version);
        return OPTIONS_EXIT;
    }
    size_t index = 0;
    const Option *option = find_option(walk, name, &index);
    return option != NULL ? read_value(walk, option, index, after_equals) : refuse_option(walk, name);
}

static bool is_group(const Walk *walk, const char *word) {
    for (size_t i = 0; i < walk->program->verb_count; i++) {
        const Verb *verb = &walk->program->verbs[i];
        if (verb_has_second_word(verb) && slice_equal_text(verb_first_word(verb), word))
            return true;
    }
    return false;
}

static int refuse_group(Walk *walk, const char *group) {
    complain(walk, "behind", group);
    const char *lead = " must come one of: ";
    for (size_t i = 0; i < walk->program->verb_count; i++) {
        const Verb *verb = &walk->program->verbs[i];
        if (!verb_has_second_word(verb) || !slice_equal_text(verb_first_word(verb), group))
            continue;
        buffer_add_text(walk->complaint, lead);
        buffer_add_text(walk->complaint, strchr(verb->path, ' ') + 1);
        lead = ", ";
    }
    return OPTIONS_USAGE;
}

static int refuse_verb(Walk *walk, const char *word) {
    Suggestion best = {.distance = SUGGESTION_DISTANCE_MAX + 1};
    for (size_t i = 0; i < walk->program->verb_count; i++)
        suggestion_consider(&best, slice_of(word), walk->program->verbs[i].path);
    complain(walk, "unknown command", word);
    suggest(walk, &best);
    return OPTIONS_USAGE;
}

/* The verbs every program has: completion SHELL, man. `second` may be NULL. */
static int run_builtin(Walk *walk, const char *word, const char *second) {
    if (strcmp(word, "man") == 0) {
        options_man(walk->program, walk->text);
        return OPTIONS_EXIT;
    }
    if (strcmp(word, "completion") != 0)
        return refuse_verb(walk, word);
    if (second != NULL && options_completion(walk->program, second, walk->text) == 0)
        return OPTIONS_EXIT;
    buffer_add_text(walk->complaint, "behind 'completion' must come one of: bash, zsh, fish");
    return OPTIONS_USAGE;
}

static bool verb_is(const Verb *verb, const char *word, const char *second) {
    Slice rest = slice_of(verb->path), first = rest;
    bool has_second = slice_split(&rest, ' ', &first);
    if (!slice_equal_text(first, word))
        return false;
    return !has_second || (second != NULL && slice_equal_text(rest, second));
}

static int read_verb(Walk *walk) {
    const char *word = walk->argv[walk->at];
    const char *second = walk->at + 1 < walk->argc ? walk->argv[walk->at + 1] : NULL;
    for (size_t i = 0; i < walk->program->verb_count; i++) {
        const Verb *verb = &walk->program->verbs[i];
        if (!verb_is(verb, word, second))
            continue;
        bool has_second = verb_has_second_word(verb);
        if (walk->verb == NULL || has_second)
            walk->verb = verb; /* the longer path wins */
    }
    if (walk->verb != NULL) {
        walk->at += verb_has_second_word(walk->verb);
        return 0;
    }
    if (!is_group(walk, word))
        return run_builtin(walk, word, second);
    if (second == NULL || (strcmp(second, "--help") != 0 && strcmp(second, "-h") != 0))
        return refuse_group(walk, word);
    options_help(walk->program, NULL, walk->text);
    return OPTIONS_EXIT;
}

static void take_rest(Walk *walk) {
    while (walk->at < walk->argc)
        walk->arguments[walk->argument_count++] = walk->argv[walk->at++];
}

/* From argv[1] to the end; each turn handles one word and what belongs to it. */
static int read_words(Walk *walk) {
    bool options_ended = false;
    for (walk->at = 1; walk->at < walk->argc; walk->at++) {
        const char *word = walk->argv[walk->at];
        bool is_option = !options_ended && word[0] == '-' && word[1] != '\0';
        int result = 0;
        if (is_option && strcmp(word, "--") == 0) {
            options_ended = true;
            if (walk->verb != NULL && walk->verb->takes_command) {
                walk->at++;
                take_rest(walk);
            }
        } else if (is_option) {
            result = read_option(walk);
        } else if (walk->verb == NULL) {
            result = read_verb(walk);
        } else if (walk->verb->takes_command) {
            take_rest(walk);
        } else {
            walk->arguments[walk->argument_count++] = word;
        }
        if (result != 0)
            return result;
    }
    return 0;
}

static int check_arguments(Walk *walk) {
    const Verb *verb = walk->verb;
    if (verb == NULL) {
        buffer_add_text(walk->complaint, "a command is missing");
        return OPTIONS_USAGE;
    }
    if (walk->argument_count < verb->min_arguments) {
        buffer_printf(walk->complaint, "an argument is missing: %s %s %s", walk->program->name, verb->path,
                      verb->arguments != NULL ? verb->arguments : "");
        return OPTIONS_USAGE;
    }
    if (walk->argument_count > verb->max_arguments && !verb->takes_command) {
        complain(walk, "unexpected argument", walk->arguments[verb->max_arguments]);
        return OPTIONS_USAGE;
    }
    return 0;
}

static const char *environment_of(const Option *option, EnvironGet environ_get) {
    const char *value = option->environment != NULL ? environ_get(option->environment) : NULL;
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static int fill_gaps(Walk *walk, EnvironGet environ_get) {
    const Option *option;
    int result = 0;
    for (size_t i = 0; result == 0 && (option = option_at(walk, i)) != NULL; i++) {
        if (walk->is_given[i])
            continue;
        const char *name = option->environment;
        const char *value = environment_of(option, environ_get);
        if (value == NULL) {
            name = option->flag != NULL ? option->flag : option->environment;
            value = option->fallback;
        }
        if (value == NULL)
            continue;
        if (option->kind == OPTION_LIST)
            result = option_store_words(option, name, value, &walk->words, walk->values, walk->complaint);
        else
            result = option_store(option, name, value, walk->values, walk->complaint);
    }
    return result;
}

/* Bytes that option_store_words may need for these rows. */
static size_t words_size(const Option *options, size_t count, EnvironGet environ_get) {
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        if (options[i].kind != OPTION_LIST)
            continue;
        const char *value = environment_of(&options[i], environ_get);
        size += value != NULL ? strlen(value) + 1 : 0;
        size += options[i].fallback != NULL ? strlen(options[i].fallback) + 1 : 0;
    }
    return size;
}

/* One block: the arguments, the marks of given options, the words of lists. NULL when memory is short. */
static char *allocate(Walk *walk, EnvironGet environ_get) {
    const Program *program = walk->program;
    size_t pointers = sizeof(char *) * ((size_t)walk->argc + 1), marks = 0;
    size_t words = words_size(program->common, program->common_count, environ_get);
    for (size_t i = 0; i < program->verb_count; i++) {
        const Verb *verb = &program->verbs[i];
        marks = verb->option_count > marks ? verb->option_count : marks;
        words += words_size(verb->options, verb->option_count, environ_get);
    }
    marks += program->common_count;
    char *memory = calloc(1, pointers + marks + words);
    if (memory == NULL)
        return NULL;
    walk->arguments = (const char **)(void *)memory;
    walk->is_given = (bool *)(void *)(memory + pointers);
    walk->words = memory + pointers + marks;
    return memory;
}

/* Of all verbs, so that no reader takes another verb's zero for a value. */
static void unset_all(const Program *program, void *values) {
    for (size_t i = 0; i < program->common_count; i++)
        option_unset(&program->common[i], values);
    for (size_t i = 0; i < program->verb_count; i++) {
        for (size_t j = 0; j < program->verbs[i].option_count; j++)
            option_unset(&program->verbs[i].options[j], values);
    }
}

static void explain_usage(const Walk *walk, Buffer *text) {
    const char *name = walk->program->name;
    buffer_printf(text, "%s: ", name);
    buffer_add_slice(text, buffer_slice(walk->complaint));
    buffer_printf(text, "\nTry '%s%s%s --help'.\n", name, walk->verb != NULL ? " " : "",
                  walk->verb != NULL ? walk->verb->path : "");
}

int options_parse(const Program *program, int argc, char *const argv[], const char *(*environ_get)(const char *),
                  void *values, Parsed *parsed, Buffer *text) {
    OWN(buffer_deinit) Buffer complaint;
    buffer_init(&complaint, COMPLAINT_MAX);
    Walk walk = {
        .program = program, .argc = argc, .argv = argv, .values = values, .text = text, .complaint = &complaint};
    OWN(freep) char *memory = allocate(&walk, environ_get);
    if (memory == NULL)
        return -ENOMEM;
    unset_all(program, values);
    int result = read_words(&walk);
    if (result == 0)
        result = check_arguments(&walk);
    if (result == 0)
        result = fill_gaps(&walk, environ_get);
    if (result == OPTIONS_USAGE)
        explain_usage(&walk, text);
    if (buffer_error(text) != 0)
        return buffer_error(text);
    if (result != 0)
        return result;
    *parsed = (Parsed){.verb = walk.verb,
                       .arguments = walk.arguments,
                       .argument_count = walk.argument_count,
                       .memory = steal(&memory)};
    return 0;
}

void parsed_deinit(Parsed *parsed) {
    if (parsed == NULL)
        return;
    free(parsed->memory);
    *parsed = (Parsed){.verb = NULL};
}
