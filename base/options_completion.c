/*
 * Completion scripts for bash, zsh and fish from the same tables. Invariant: every sentence that goes into a script is
 * quoted for that shell; nothing of a table is ever run.
 */
#include <ctype.h>
#include <string.h>

#include "base/options_internal.h"

/* What may follow an option. */
typedef enum ValueHint { HINT_NONE, HINT_ANY, HINT_CHOICES, HINT_FILE } ValueHint;

static ValueHint hint_of(const Option *option) {
    if (option->kind == OPTION_FLAG)
        return HINT_NONE;
    if (option->kind == OPTION_CHOICE)
        return HINT_CHOICES;
    if (option->argument != NULL && (strcmp(option->argument, "FILE") == 0 || strcmp(option->argument, "DIR") == 0))
        return HINT_FILE;
    return HINT_ANY;
}

/* Walks the options of all verbs and the common ones. */
typedef struct OptionWalk {
    const Program *program;
    size_t list, row; /* list 0: common; n: verb n - 1 */
} OptionWalk;

static const Option *next_option(OptionWalk *walk) {
    for (; walk->list <= walk->program->verb_count; walk->list++, walk->row = 0) {
        const Verb *verb = walk->list > 0 ? &walk->program->verbs[walk->list - 1] : NULL;
        const Option *options = verb != NULL ? verb->options : walk->program->common;
        size_t count = verb != NULL ? verb->option_count : walk->program->common_count;
        while (walk->row < count) {
            const Option *option = &options[walk->row++];
            if (option->flag != NULL)
                return option;
        }
    }
    return NULL;
}

/* Several verbs have options of one name; shells that look at the name alone get the first. `at` has just given
 * `option`. */
static bool is_first_of_name(const OptionWalk *at, const Option *option) {
    OptionWalk walk = {.program = at->program};
    const Option *other = next_option(&walk);
    while (strcmp(other->flag, option->flag) != 0)
        other = next_option(&walk);
    return walk.list == at->list && walk.row == at->row;
}

static void add_function_name(Buffer *out, const Program *program) {
    buffer_add_char(out, '_');
    for (const char *at = program->name; *at != '\0'; at++)
        buffer_add_char(out, isalnum((unsigned char)*at) ? *at : '_');
}

/* The inside of a single-quoted word; `quote` is how the shell writes a quote there. */
static void add_quoted(Buffer *out, const char *text, const char *quote, const char *backslash) {
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            buffer_add_text(out, quote);
        else if (*text == '\\')
            buffer_add_text(out, backslash);
        else
            buffer_add_char(out, *text == '\n' ? ' ' : *text);
    }
}

static void add_choices(Buffer *out, const Option *option) {
    for (size_t i = 0; option->choices[i] != NULL; i++)
        buffer_printf(out, "%s%s", i > 0 ? " " : "", option->choices[i]);
}

static const char *second_word(const Verb *verb) {
    const char *blank = strchr(verb->path, ' ');
    return blank != NULL ? blank + 1 : NULL;
}

/* How bash and zsh write what they have in common. */
typedef struct ShellWords {
    const char *choices_begin, *choices_end; /* around the choices of an option */
    const char *files;
    const char *rows_begin, *rows_end;
    bool has_docs;
} ShellWords;

static const ShellWords bash_words = {
    .choices_begin = "mapfile -t COMPREPLY < <(compgen -W \"",
    .choices_end = "\" -- \"$current\")",
    .files = "mapfile -t COMPREPLY < <(compgen -f -- \"$current\")",
    .rows_begin = "rows=\"",
    .rows_end = "\"",
};
static const ShellWords zsh_words = {
    .choices_begin = "compadd -- ",
    .choices_end = "",
    .files = "_files",
    .rows_begin = "rows=(",
    .rows_end = ")",
    .has_docs = true,
};

/* The patterns of all options that take a value, joined by `|`: none for a program without such. */
static void add_skip_values(Buffer *out, const Program *program) {
    OptionWalk walk = {.program = program};
    const Option *option;
    const char *lead = "            ";
    while ((option = next_option(&walk)) != NULL) {
        if (hint_of(option) == HINT_NONE || !is_first_of_name(&walk, option))
            continue;
        buffer_printf(out, "%s%s", lead, option->flag);
        lead = " | ";
    }
    if (lead[1] == '|')
        buffer_add_text(out, ") i=$((i + 1)) ;;\n");
}

static void add_value_cases(Buffer *out, const Program *program, const ShellWords *words) {
    OptionWalk walk = {.program = program};
    const Option *option;
    while ((option = next_option(&walk)) != NULL) {
        ValueHint hint = hint_of(option);
        if (hint == HINT_NONE || !is_first_of_name(&walk, option))
            continue;
        buffer_printf(out, "        %s)\n            ", option->flag);
        if (hint == HINT_CHOICES) {
            buffer_add_text(out, words->choices_begin);
            add_choices(out, option);
            buffer_add_text(out, words->choices_end);
        } else {
            buffer_add_text(out, hint == HINT_FILE ? words->files : ":");
        }
        buffer_add_text(out, "\n            return\n            ;;\n");
    }
}

static void add_candidate(Buffer *out, Slice word, const char *doc, const ShellWords *words) {
    if (!words->has_docs) {
        buffer_add_slice(out, word);
        buffer_add_char(out, ' ');
        return;
    }
    buffer_printf(out, "'%.*s", SLICE_PRINT(word));
    if (doc != NULL) {
        buffer_add_char(out, ':');
        add_quoted(out, doc, "'\\''", "\\");
    }
    buffer_add_text(out, "' ");
}

static void add_option_candidates(Buffer *out, const Option *options, size_t count, const ShellWords *words) {
    for (size_t i = 0; i < count; i++) {
        if (options[i].flag != NULL)
            add_candidate(out, slice_of(options[i].flag), options[i].doc, words);
    }
}

static void add_common_candidates(Buffer *out, const Program *program, const ShellWords *words) {
    add_option_candidates(out, program->common, program->common_count, words);
    add_candidate(out, slice_of("--help"), "Say what a command does", words);
    buffer_printf(out, "%s ;;\n", words->rows_end);
}

/* The second words of the group that `first` opens. */
static void add_group_case(Buffer *out, const Program *program, Slice first, const ShellWords *words) {
    buffer_printf(out, "        ' %.*s ') %s", SLICE_PRINT(first), words->rows_begin);
    for (size_t i = 0; i < program->verb_count; i++) {
        const Verb *verb = &program->verbs[i];
        if (second_word(verb) != NULL && slice_equal(verb_first_word(verb), first))
            add_candidate(out, slice_of(second_word(verb)), verb->summary, words);
    }
    buffer_printf(out, "%s ;;\n", words->rows_end);
}

static void add_verb_cases(Buffer *out, const Program *program, const ShellWords *words) {
    buffer_printf(out, "        ' ') %s", words->rows_begin);
    for (size_t i = 0; i < program->verb_count; i++) {
        const Verb *verb = &program->verbs[i];
        if (verb_opens_group(program, i))
            add_candidate(out, verb_first_word(verb), second_word(verb) == NULL ? verb->summary : NULL, words);
    }
    add_candidate(out, slice_of("completion"), "Print a completion script", words);
    add_candidate(out, slice_of("man"), "Print the manual page", words);
    add_candidate(out, slice_of("--version"), "Print the version", words);
    add_common_candidates(out, program, words);
    buffer_printf(out, "        ' completion ') %s", words->rows_begin);
    static const char *const shells[] = {"bash", "zsh", "fish"};
    for (size_t i = 0; i < COUNT_OF(shells); i++)
        add_candidate(out, slice_of(shells[i]), NULL, words);
    buffer_printf(out, "%s ;;\n", words->rows_end);
    for (size_t i = 0; i < program->verb_count; i++) {
        const Verb *verb = &program->verbs[i];
        if (second_word(verb) != NULL && verb_opens_group(program, i))
            add_group_case(out, program, verb_first_word(verb), words);
        buffer_printf(out, "        ' %s '*) %s", verb->path, words->rows_begin);
        add_option_candidates(out, verb->options, verb->option_count, words);
        add_common_candidates(out, program, words);
    }
}

static void add_bash(Buffer *out, const Program *program) {
    buffer_printf(out, "# bash completion for %s; read it with: source <(%s completion bash)\n", program->name,
                  program->name);
    add_function_name(out, program);
    buffer_add_text(out, "() {\n"
                         "    local current=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD - 1]}\"\n"
                         "    local verb=' ' rows='' word i\n"
                         "    COMPREPLY=()\n"
                         "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                         "        word=\"${COMP_WORDS[i]}\"\n"
                         "        case \"$word\" in\n");
    add_skip_values(out, program);
    buffer_add_text(out, "            --)\n"
                         "                mapfile -t COMPREPLY < <(compgen -c -- \"$current\")\n"
                         "                return\n"
                         "                ;;\n"
                         "            -*) ;;\n"
                         "            *) verb=\"$verb$word \" ;;\n"
                         "        esac\n"
                         "    done\n"
                         "    case \"$previous\" in\n");
    add_value_cases(out, program, &bash_words);
    buffer_add_text(out, "    esac\n    case \"$verb\" in\n");
    add_verb_cases(out, program, &bash_words);
    buffer_add_text(out, "    esac\n"
                         "    mapfile -t COMPREPLY < <(compgen -W \"$rows\" -- \"$current\")\n"
                         "}\n"
                         "complete -o default -F ");
    add_function_name(out, program);
    buffer_printf(out, " %s\n", program->name);
}

static void add_zsh(Buffer *out, const Program *program) {
    buffer_printf(out, "#compdef %s\n# zsh completion for %s; read it with: source <(%s completion zsh)\n",
                  program->name, program->name, program->name);
    add_function_name(out, program);
    buffer_add_text(out, "() {\n"
                         "    local verb=' ' word\n"
                         "    local -a rows\n"
                         "    local -i i\n"
                         "    for ((i = 2; i < CURRENT; i++)); do\n"
                         "        word=\"${words[i]}\"\n"
                         "        case \"$word\" in\n");
    add_skip_values(out, program);
    buffer_add_text(out, "            --)\n"
                         "                _command_names -e\n"
                         "                return\n"
                         "                ;;\n"
                         "            -*) ;;\n"
                         "            *) verb=\"$verb$word \" ;;\n"
                         "        esac\n"
                         "    done\n"
                         "    case \"${words[CURRENT - 1]}\" in\n");
    add_value_cases(out, program, &zsh_words);
    buffer_add_text(out, "    esac\n    case \"$verb\" in\n");
    add_verb_cases(out, program, &zsh_words);
    buffer_printf(out, "    esac\n    _describe '%s' rows\n}\n", program->name);
    buffer_add_text(out, "if [ \"${funcstack[1]}\" = \"");
    add_function_name(out, program);
    buffer_add_text(out, "\" ]; then\n    ");
    add_function_name(out, program);
    buffer_add_text(out, " \"$@\"\nelse\n    compdef ");
    add_function_name(out, program);
    buffer_printf(out, " %s\nfi\n", program->name);
}

static void add_fish_doc(Buffer *out, const char *doc) {
    if (doc != NULL) {
        buffer_add_text(out, " -d '");
        add_quoted(out, doc, "\\'", "\\\\");
        buffer_add_char(out, '\'');
    }
    buffer_add_char(out, '\n');
}

/* `condition`: when the option is offered; NULL: always. */
static void add_fish_option(Buffer *out, const Program *program, const Option *option, const char *condition) {
    if (option->flag == NULL)
        return;
    buffer_printf(out, "complete -c %s", program->name);
    if (condition != NULL)
        buffer_printf(out, " -n '%s'", condition);
    buffer_printf(out, " -l %s", option->flag + 2);
    ValueHint hint = hint_of(option);
    if (hint == HINT_FILE)
        buffer_add_text(out, " -r -F");
    else if (hint != HINT_NONE)
        buffer_add_text(out, " -x");
    if (hint == HINT_CHOICES) {
        buffer_add_text(out, " -a '");
        add_choices(out, option);
        buffer_add_char(out, '\'');
    }
    add_fish_doc(out, option->doc);
}

static void add_fish_verb(Buffer *out, const Program *program, size_t index) {
    const Verb *verb = &program->verbs[index];
    const char *second = second_word(verb);
    Slice first = verb_first_word(verb);
    OWN(buffer_deinit) Buffer seen;
    buffer_init(&seen, out->ceiling);
    buffer_printf(&seen, "__fish_seen_subcommand_from %.*s", SLICE_PRINT(first));
    if (verb_opens_group(program, index)) {
        buffer_printf(out, "complete -c %s -n __fish_use_subcommand -a %.*s", program->name, SLICE_PRINT(first));
        add_fish_doc(out, second == NULL ? verb->summary : NULL);
    }
    if (second != NULL) {
        const char *group = buffer_text(&seen);
        buffer_printf(out, "complete -c %s -n '%s' -a %s", program->name, group != NULL ? group : "", second);
        add_fish_doc(out, verb->summary);
        buffer_printf(&seen, "; and __fish_seen_subcommand_from %s", second);
    }
    const char *condition = buffer_text(&seen);
    for (size_t i = 0; i < verb->option_count; i++)
        add_fish_option(out, program, &verb->options[i], condition);
}

static void add_fish(Buffer *out, const Program *program) {
    buffer_printf(out, "# fish completion for %s; read it with: %s completion fish | source\ncomplete -c %s -f\n",
                  program->name, program->name, program->name);
    for (size_t i = 0; i < program->common_count; i++)
        add_fish_option(out, program, &program->common[i], NULL);
    buffer_printf(out,
                  "complete -c %s -l help -d 'Say what a command does'\n"
                  "complete -c %s -n __fish_use_subcommand -l version -d 'Print the version'\n"
                  "complete -c %s -n __fish_use_subcommand -a completion -d 'Print a completion script'\n"
                  "complete -c %s -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n"
                  "complete -c %s -n __fish_use_subcommand -a man -d 'Print the manual page'\n",
                  program->name, program->name, program->name, program->name, program->name);
    for (size_t i = 0; i < program->verb_count; i++)
        add_fish_verb(out, program, i);
}

int options_completion(const Program *program, const char *shell, Buffer *out) {
    static const struct {
        const char *name;
        void (*add)(Buffer *out, const Program *program);
    } shells[] = {{"bash", add_bash}, {"zsh", add_zsh}, {"fish", add_fish}};
    for (size_t i = 0; i < COUNT_OF(shells); i++) {
        if (strcmp(shell, shells[i].name) == 0) {
            shells[i].add(out, program);
            return 0;
        }
    }
    return OPTIONS_USAGE;
}
