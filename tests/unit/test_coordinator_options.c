/* The coordinator's option table: every row parses, is told about, and has an environment twin of its own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/options.h"

#define ARGUMENTS_MAX 16

static const char *no_environment(const char *name) {
    (void)name;
    return NULL;
}

static const char *xdg_environment(const char *name) {
    return strcmp(name, "XDG_STATE_HOME") == 0 ? "/xdg" : strcmp(name, "HOME") == 0 ? "/home/me" : NULL;
}

static const char *home_environment(const char *name) {
    return strcmp(name, "HOME") == 0 ? "/home/me" : NULL;
}

static const char *twins_environment(const char *name) {
    if (strcmp(name, "STACK_COORDINATOR_DATA") == 0)
        return "/twin";
    if (strcmp(name, "STACK_COORDINATOR_NNG") == 0)
        return "tcp://127.0.0.1:1 ipc:///run/x";
    return NULL;
}

typedef struct Line {
    CoordinatorOptions options;
    Parsed parsed;
    Buffer text;
    int result;
} Line;

static void line_deinit(Line *line) {
    parsed_deinit(&line->parsed);
    buffer_deinit(&line->text);
}

/* `words` ends with NULL. */
static Line parse(const char *(*environ_get)(const char *), const char *const words[]) {
    char *argv[ARGUMENTS_MAX + 1] = {(char *)(uintptr_t) "stack-coordinator"};
    int argc = 1;
    for (size_t i = 0; words[i] != NULL; i++) {
        assert_true(argc < ARGUMENTS_MAX);
        argv[argc++] = (char *)(uintptr_t)words[i];
    }
    Line line = {.result = 0};
    buffer_init(&line.text, (size_t)1024 * 1024);
    line.result = options_parse(&coordinator_program, argc, argv, environ_get, &line.options, &line.parsed, &line.text);
    return line;
}
#define PARSE(environ_get, ...) parse((environ_get), (const char *const[]){__VA_ARGS__, NULL})

/* What may hold a secret has no flag. */
static const char *name_of(const Option *option) {
    return option->flag != NULL ? option->flag : option->environment;
}

static void every_verb_has_help_that_names_its_options(void **state) {
    (void)state;
    for (size_t i = 0; i < coordinator_program.verb_count; i++) {
        const Verb *verb = &coordinator_program.verbs[i];
        assert_int_equal(verb->id, i);
        OWN(buffer_deinit) Buffer help;
        buffer_init(&help, (size_t)1024 * 1024);
        options_help(&coordinator_program, verb, &help);
        assert_int_equal(buffer_error(&help), 0);
        assert_non_null(strstr(buffer_text(&help), verb->path));
        assert_non_null(strstr(buffer_text(&help), verb->summary));
        for (size_t at = 0; at < verb->option_count; at++)
            assert_non_null(strstr(buffer_text(&help), name_of(&verb->options[at])));
        assert_non_null(strstr(buffer_text(&help), "--data"));
    }
}

/* An option that several verbs share is one row in each; its twin must not mean another option. */
static void environment_twins_are_unique(void **state) {
    (void)state;
    const Option *seen[256];
    size_t count = 0;
    for (size_t i = 0; i <= coordinator_program.verb_count; i++) {
        bool is_common = i == coordinator_program.verb_count;
        const Option *rows = is_common ? coordinator_program.common : coordinator_program.verbs[i].options;
        size_t row_count = is_common ? coordinator_program.common_count : coordinator_program.verbs[i].option_count;
        for (size_t at = 0; at < row_count; at++) {
            assert_true(count < COUNT_OF(seen));
            for (size_t other = 0; other < count; other++) {
                bool is_same_flag = strcmp(name_of(seen[other]), name_of(&rows[at])) == 0;
                assert_true(!is_same_flag || seen[other]->offset == rows[at].offset);
                if (rows[at].environment != NULL && seen[other]->environment != NULL)
                    assert_int_equal(is_same_flag, strcmp(seen[other]->environment, rows[at].environment) == 0);
            }
            if (rows[at].environment != NULL)
                assert_int_equal(strncmp(rows[at].environment, "STACK_COORDINATOR_", 18), 0);
            seen[count++] = &rows[at];
        }
    }
}

static void serve_has_defaults(void **state) {
    (void)state;
    OWN(line_deinit) Line line = PARSE(no_environment, "serve");
    assert_int_equal(line.result, 0);
    assert_int_equal(line.parsed.verb->id, VERB_SERVE);
    assert_string_equal(line.options.http, "127.0.0.1:7878");
    assert_null(line.options.store);
    assert_null(line.options.store_environment);
    assert_null(line.options.store_file);
    assert_null(line.options.https);
    assert_null(line.options.data);
    assert_int_equal(line.options.nng.count, 0);
    assert_int_equal(line.options.max_connections, 4096);
    assert_false(line.options.is_nng_insecure);
}

static void data_may_stand_before_and_after_the_verb(void **state) {
    (void)state;
    OWN(line_deinit) Line before = PARSE(no_environment, "--data", "/d", "serve");
    OWN(line_deinit) Line after = PARSE(no_environment, "project", "create", "shop", "--data=/d");
    assert_int_equal(before.result, 0);
    assert_string_equal(before.options.data, "/d");
    assert_int_equal(after.result, 0);
    assert_string_equal(after.options.data, "/d");
    assert_int_equal(after.parsed.argument_count, 1);
    assert_string_equal(after.parsed.arguments[0], "shop");
}

static void lists_come_from_flags_or_from_the_twin(void **state) {
    (void)state;
    OWN(line_deinit) Line flags = PARSE(twins_environment, "serve", "--nng", "tcp://a:1", "--nng", "tls+tcp://b:2");
    assert_int_equal(flags.result, 0);
    assert_int_equal(flags.options.nng.count, 2);
    assert_string_equal(flags.options.nng.items[1], "tls+tcp://b:2");
    assert_string_equal(flags.options.data, "/twin");
    OWN(line_deinit) Line twin = PARSE(twins_environment, "serve");
    assert_int_equal(twin.options.nng.count, 2);
    assert_string_equal(twin.options.nng.items[1], "ipc:///run/x");
}

static void what_is_not_given_of_a_project_is_unset(void **state) {
    (void)state;
    OWN(line_deinit) Line bare = PARSE(no_environment, "project", "create", "shop");
    assert_int_equal(bare.result, 0);
    assert_true(bare.options.max_stacks == OPTION_UNSET);
    assert_true(bare.options.max_hold_seconds == OPTION_UNSET);
    assert_int_equal(bare.options.cleaning, -1);
    assert_null(bare.options.prefix);
    OWN(line_deinit)
    Line full = PARSE(no_environment, "project", "update", "shop", "--max-stacks", "0", "--max-hold", "2h",
                      "--expiry-grace", "30", "--cleaning", "on");
    assert_int_equal(full.result, 0);
    assert_int_equal(full.options.max_stacks, 0);
    assert_int_equal(full.options.max_hold_seconds, 7200);
    assert_int_equal(full.options.expiry_grace_seconds, 30);
    assert_int_equal(full.options.cleaning, 1);
}

static void keys_are_never_arguments(void **state) {
    (void)state;
    OWN(line_deinit) Line line = PARSE(no_environment, "key", "import", "shop", "sok_shop_secret");
    assert_int_equal(line.result, OPTIONS_USAGE);
}

static void wrong_lines_are_usage_errors(void **state) {
    (void)state;
    OWN(line_deinit) Line none = PARSE(no_environment, "project", "create");
    OWN(line_deinit) Line zero = PARSE(no_environment, "project", "create", "shop", "--max-stacks", "0");
    OWN(line_deinit) Line verb = PARSE(no_environment, "project", "explode");
    OWN(line_deinit) Line few = PARSE(no_environment, "serve", "--max-connections", "0");
    const Line *const lines[] = {&none, &zero, &verb, &few};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        assert_int_equal(lines[i]->result, OPTIONS_USAGE);
        assert_true(lines[i]->text.len > 0);
    }
}

static void the_data_folder_has_a_place_for_everybody(void **state) {
    (void)state;
    static const CoordinatorOptions unnamed = {.data = NULL};
    OWN(freep) char *given = options_data_dir(&(CoordinatorOptions){.data = "/given"}, 0, no_environment);
    OWN(freep) char *roots = options_data_dir(&unnamed, 0, xdg_environment);
    OWN(freep) char *fallback = options_data_dir(&unnamed, 1000, home_environment);
    OWN(freep) char *xdg = options_data_dir(&unnamed, 1000, xdg_environment);
    assert_string_equal(given, "/given");
    assert_string_equal(roots, "/var/lib/stack-coordinator");
    assert_string_equal(fallback, "/home/me/.local/state/stack-coordinator");
    assert_string_equal(xdg, "/xdg/stack-coordinator");
    assert_null(options_data_dir(&unnamed, 1000, no_environment));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_verb_has_help_that_names_its_options),
        cmocka_unit_test(environment_twins_are_unique),
        cmocka_unit_test(serve_has_defaults),
        cmocka_unit_test(data_may_stand_before_and_after_the_verb),
        cmocka_unit_test(lists_come_from_flags_or_from_the_twin),
        cmocka_unit_test(what_is_not_given_of_a_project_is_unset),
        cmocka_unit_test(keys_are_never_arguments),
        cmocka_unit_test(wrong_lines_are_usage_errors),
        cmocka_unit_test(the_data_folder_has_a_place_for_everybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
