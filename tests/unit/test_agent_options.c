/* The agent's command line as people and CI systems write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/options.h"
#include "protocol/messages.h"

static const char *const no_variables[] = {NULL};
static const char *const *environment = no_variables; /* NAME, VALUE, …, NULL */

static const char *lookup(const char *name) {
    for (const char *const *at = environment; *at != NULL; at += 2) {
        if (strcmp(at[0], name) == 0)
            return at[1];
    }
    return NULL;
}

typedef struct Parse {
    AgentOptions options;
    Parsed parsed;
    Buffer text;
    int result;
} Parse;

static void parse_deinit(Parse *p) {
    parsed_deinit(&p->parsed);
    buffer_deinit(&p->text);
}

static Parse parse(const char *const *variables, int argc, const char *const *argv) {
    Parse p = {.result = 0};
    environment = variables != NULL ? variables : no_variables;
    buffer_init(&p.text, (size_t)1024 * 1024);
    p.result =
        options_parse(&agent_program, argc, (char *const *)(uintptr_t)argv, lookup, &p.options, &p.parsed, &p.text);
    return p;
}
#define PARSE(variables, ...)                                                                                          \
    parse((variables), (int)COUNT_OF(((const char *[]){"stack-agent", __VA_ARGS__})),                                  \
          (const char *[]){"stack-agent", __VA_ARGS__, NULL})

static void request_has_the_promised_defaults(void **state) {
    (void)state;
    OWN(parse_deinit) Parse p = PARSE(NULL, "request");
    assert_int_equal(p.result, 0);
    assert_int_equal(p.parsed.verb->id, VERB_REQUEST);
    assert_int_equal(p.options.lease_seconds, 300);
    assert_int_equal(p.options.wait_seconds, 3600);
    assert_int_equal(p.options.urls.count, 0);
    assert_null(p.options.branch);
    assert_null(p.options.commit);
    assert_string_equal(p.options.worktree, ".");
    assert_false(p.options.is_json);
}

static void urls_come_from_flags_or_words_of_the_environment(void **state) {
    (void)state;
    static const char *const variables[] = {"STACK_AGENT_URL", "http://a  tcp://b", NULL};
    OWN(parse_deinit) Parse from_environment = PARSE(variables, "list");
    assert_int_equal(from_environment.options.urls.count, 2);
    assert_string_equal(from_environment.options.urls.items[1], "tcp://b");
    OWN(parse_deinit) Parse from_flags = PARSE(variables, "--url", "https://c", "list", "--url", "https://d");
    assert_int_equal(from_flags.options.urls.count, 2);
    assert_string_equal(from_flags.options.urls.items[0], "https://c");
    assert_string_equal(from_flags.options.urls.items[1], "https://d");
}

static void the_key_is_no_argument(void **state) {
    (void)state;
    static const char *const variables[] = {"STACK_AGENT_KEY", "sok_x", NULL};
    OWN(parse_deinit) Parse p = PARSE(variables, "list");
    assert_string_equal(p.options.key, "sok_x");
    OWN(parse_deinit) Parse wrong = PARSE(NULL, "list", "--key", "sok_x");
    assert_int_equal(wrong.result, OPTIONS_USAGE);
}

static void run_leaves_the_command_alone(void **state) {
    (void)state;
    OWN(parse_deinit) Parse p = PARSE(NULL, "run", "--branch", "x", "--", "make", "--json", "-j4");
    assert_int_equal(p.result, 0);
    assert_int_equal(p.parsed.argument_count, 3);
    assert_string_equal(p.parsed.arguments[1], "--json");
    assert_null(p.parsed.arguments[3]); /* as posix_spawn wants it */
    OWN(parse_deinit) Parse none = PARSE(NULL, "run", "--");
    assert_int_equal(none.result, OPTIONS_USAGE);
}

static void release_is_ok_unless_told_otherwise(void **state) {
    (void)state;
    OWN(parse_deinit) Parse p = PARSE(NULL, "release");
    assert_int_equal(p.options.outcome, RELEASE_OK);
    OWN(parse_deinit) Parse broken = PARSE(NULL, "release", "test-1", "--outcome", "broken", "--note", "disk full");
    assert_int_equal(broken.options.outcome, RELEASE_BROKEN);
    assert_string_equal(broken.parsed.arguments[0], "test-1");
    OWN(parse_deinit) Parse wrong = PARSE(NULL, "release", "--outcome", "fine");
    assert_int_equal(wrong.result, OPTIONS_USAGE);
}

static void lengths_out_of_bounds_are_refused(void **state) {
    (void)state;
    OWN(parse_deinit) Parse short_lease = PARSE(NULL, "request", "--lease", "1s");
    assert_int_equal(short_lease.result, OPTIONS_USAGE);
    OWN(parse_deinit) Parse long_lease = PARSE(NULL, "request", "--lease", "25h");
    assert_int_equal(long_lease.result, OPTIONS_USAGE);
    OWN(parse_deinit) Parse no_wait = PARSE(NULL, "request", "--wait", "0");
    assert_int_equal(no_wait.result, 0);
    assert_int_equal(no_wait.options.wait_seconds, 0);
}

static void every_verb_has_help_and_the_pages_render(void **state) {
    (void)state;
    for (size_t i = 0; i < agent_program.verb_count; i++) {
        char words[32]; /* a path is of one word or of two */
        (void)snprintf(words, sizeof words, "%s", agent_program.verbs[i].path);
        char *second = strchr(words, ' ');
        if (second != NULL)
            *second++ = '\0';
        OWN(parse_deinit)
        Parse p = second != NULL ? PARSE(NULL, words, second, "--help") : PARSE(NULL, words, "--help");
        assert_int_equal(agent_program.verbs[i].id, i);
        assert_int_equal(p.result, OPTIONS_EXIT);
        assert_non_null(strstr(buffer_text(&p.text), agent_program.verbs[i].summary));
    }
    OWN(parse_deinit) Parse man = PARSE(NULL, "man");
    assert_int_equal(man.result, OPTIONS_EXIT);
    OWN(parse_deinit) Parse completion = PARSE(NULL, "completion", "bash");
    assert_int_equal(completion.result, OPTIONS_EXIT);
    OWN(parse_deinit) Parse version = PARSE(NULL, "--version");
    assert_int_equal(version.result, OPTIONS_EXIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_has_the_promised_defaults),
        cmocka_unit_test(urls_come_from_flags_or_words_of_the_environment),
        cmocka_unit_test(the_key_is_no_argument),
        cmocka_unit_test(run_leaves_the_command_alone),
        cmocka_unit_test(release_is_ok_unless_told_otherwise),
        cmocka_unit_test(lengths_out_of_bounds_are_refused),
        cmocka_unit_test(every_verb_has_help_and_the_pages_render),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
