/* Cuts the input into words, parses them, looks at every option of the verb that was found. */
#include "fuzz/command_line.h"

#include <string.h>

#include "fuzz/require.h"

#define WORDS_MAX 64
#define TEXT_MAX (4 * 1024 * 1024)

/* The environment of the present input: options_parse takes a function, as getenv is one. */
static char *variables[WORDS_MAX];
static size_t variable_count;

static const char *variable(const char *name) {
    size_t len = strlen(name);
    for (size_t i = 0; i < variable_count; i++) {
        if (strncmp(variables[i], name, len) == 0 && variables[i][len] == '=')
            return variables[i] + len + 1;
    }
    return NULL;
}

static bool is_variable(const char *word) {
    size_t len = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return len > 0 && word[len] == '=';
}

static void check_value(const Option *option, const char *values) {
    const void *member = values + option->offset;
    int64_t number;
    size_t choices = 0;
    switch (option->kind) {
    case OPTION_FLAG:
        REQUIRE(*(const unsigned char *)member <= 1);
        break;
    case OPTION_TEXT:
        REQUIRE(*(const char *const *)member != NULL || option->fallback == NULL);
        if (*(const char *const *)member != NULL)
            REQUIRE(strlen(*(const char *const *)member) <= TEXT_MAX);
        break;
    case OPTION_NUMBER:
    case OPTION_DURATION:
        number = *(const int64_t *)member;
        REQUIRE(number == OPTION_UNSET ? option->fallback == NULL : number >= option->min && number <= option->max);
        break;
    case OPTION_CHOICE:
        while (option->choices[choices] != NULL)
            choices++;
        REQUIRE(*(const int *)member < (int)choices);
        REQUIRE(*(const int *)member >= (option->fallback == NULL ? -1 : 0));
        break;
    case OPTION_LIST:
        REQUIRE(((const OptionList *)member)->count <= OPTION_LIST_MAX);
        for (size_t i = 0; i < ((const OptionList *)member)->count; i++)
            REQUIRE(strlen(((const OptionList *)member)->items[i]) <= TEXT_MAX);
        break;
    }
}

static void check_parsed(const Program *program, const Parsed *parsed, const char *values) {
    const Verb *verb = parsed->verb;
    REQUIRE(verb != NULL && verb >= program->verbs && verb < program->verbs + program->verb_count);
    REQUIRE(parsed->argument_count >= verb->min_arguments);
    REQUIRE(parsed->argument_count <= verb->max_arguments || verb->takes_command);
    for (int i = 0; i < parsed->argument_count; i++)
        REQUIRE(strlen(parsed->arguments[i]) <= TEXT_MAX);
    for (size_t i = 0; i < program->common_count; i++)
        check_value(&program->common[i], values);
    for (size_t i = 0; i < verb->option_count; i++)
        check_value(&verb->options[i], values);
}

/* Whatever was typed, it cannot draw on the terminal that shows the complaint. */
static void check_complaint(const Program *program, Slice text) {
    REQUIRE(slice_starts_with(text, program->name));
    REQUIRE(text.len > strlen(program->name) && text.ptr[text.len - 1] == '\n');
    REQUIRE(memmem(text.ptr, text.len, "--help", 6) != NULL);
    for (size_t i = 0; i < text.len; i++)
        REQUIRE((unsigned char)text.ptr[i] >= 0x20 || text.ptr[i] == '\n');
}

static void try_words(const Program *program, size_t values_size, int argc, char *const argv[]) {
    OWN(freep) char *values = calloc(1, values_size);
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, TEXT_MAX);
    REQUIRE(values != NULL);
    Parsed parsed = {.verb = NULL};
    int result = options_parse(program, argc, argv, variable, values, &parsed, &text);
    REQUIRE(result == 0 || result == OPTIONS_EXIT || result == OPTIONS_USAGE);
    if (result == 0)
        check_parsed(program, &parsed, values);
    else
        REQUIRE(parsed.memory == NULL && buffer_slice(&text).len > 0);
    if (result == OPTIONS_USAGE)
        check_complaint(program, buffer_slice(&text));
    parsed_deinit(&parsed);
}

void command_line_try(const Program *program, size_t values_size, const uint8_t *data, size_t size) {
    OWN(freep) char *input = slice_dup((Slice){.ptr = (const char *)data, .len = size});
    REQUIRE(input != NULL);
    char *argv[WORDS_MAX + 2] = {(char *)(uintptr_t)program->name};
    int argc = 1;
    variable_count = 0;
    for (size_t at = 0; at < size && argc + (int)variable_count < WORDS_MAX; at += strlen(input + at) + 1) {
        if (argc == 1 && is_variable(input + at))
            variables[variable_count++] = input + at;
        else
            argv[argc++] = input + at;
    }
    try_words(program, values_size, argc, argv);
}
