/* Command lines by table: order of precedence, mistakes explained, and the texts made of the same rows. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/options.h"

typedef struct Values {
    const char *data, *key, *branch;
    bool json;
    OptionList urls;
    int64_t lease_seconds, stack_count, wait_seconds;
    int cleaning;
} Values;

static const char *const cleaning_names[] = {"on", "off", NULL};
static const Option common_rows[] = {
    {.flag = "--data",
     .argument = "DIR",
     .environment = "DEMO_DATA",
     .fallback = "/var/lib/demo",
     .kind = OPTION_TEXT,
     .offset = offsetof(Values, data),
     .doc = "Where it's kept: a 'quoted' C:\\path."},
    {.flag = "--json",
     .kind = OPTION_FLAG,
     .environment = "DEMO_JSON",
     .offset = offsetof(Values, json),
     .doc = "Print JSON."},
    {.environment = "DEMO_KEY", .kind = OPTION_TEXT, .offset = offsetof(Values, key), .doc = "The key."},
    {.flag = "--url",
     .argument = "URL",
     .environment = "DEMO_URL",
     .kind = OPTION_LIST,
     .offset = offsetof(Values, urls),
     .doc = "A coordinator; repeatable."},
};
static const Option request_rows[] = {
    {.flag = "--branch",
     .argument = "NAME",
     .kind = OPTION_TEXT,
     .offset = offsetof(Values, branch),
     .doc = ".branch."},
    {.flag = "--lease",
     .argument = "DURATION",
     .environment = "DEMO_LEASE",
     .fallback = "5m",
     .kind = OPTION_DURATION,
     .offset = offsetof(Values, lease_seconds),
     .min = 2,
     .max = 86400,
     .doc = "How long a lease lasts without renewal, which is a sentence long enough to be wrapped in help."},
    {.flag = "--wait",
     .argument = "DURATION",
     .kind = OPTION_DURATION,
     .offset = offsetof(Values, wait_seconds),
     .doc = "W."},
};
static const Option create_rows[] = {
    {.flag = "--max-stacks",
     .argument = "N",
     .kind = OPTION_NUMBER,
     .offset = offsetof(Values, stack_count),
     .min = 1,
     .max = 100,
     .doc = "The most stacks."},
    {.flag = "--cleaning",
     .argument = "on|off",
     .kind = OPTION_CHOICE,
     .offset = offsetof(Values, cleaning),
     .choices = cleaning_names,
     .doc = "Whether lost stacks are cleaned."},
};
enum { REQUEST, RUN, CREATE, LIST, NOTE };
static const Verb verbs[] = {
    {.path = "request",
     .options = request_rows,
     .option_count = COUNT_OF(request_rows),
     .summary = "Ask for a stack",
     .details = "First paragraph.\n\n  verbatim \\ line\n\n'Last' one…",
     .id = REQUEST},
    {.path = "run",
     .arguments = "-- CMD [ARG]…",
     .min_arguments = 1,
     .takes_command = true,
     .options = request_rows,
     .option_count = COUNT_OF(request_rows),
     .summary = "Run a command with a stack",
     .id = RUN},
    {.path = "project create",
     .arguments = "NAME",
     .min_arguments = 1,
     .max_arguments = 1,
     .options = create_rows,
     .option_count = COUNT_OF(create_rows),
     .summary = "Make a project",
     .id = CREATE},
    {.path = "project list", .summary = "Show projects", .id = LIST},
    {.path = "stack note",
     .arguments = "STACK [NOTE]",
     .min_arguments = 1,
     .max_arguments = 2,
     .summary = "Say it",
     .id = NOTE},
};
static const Program program = {
    .name = "demo-agent",
    .version = "1.2.3",
    .summary = "asks for stacks",
    .details = "It asks.\n\n.Xr is no macro here.",
    .verbs = verbs,
    .verb_count = COUNT_OF(verbs),
    .common = common_rows,
    .common_count = COUNT_OF(common_rows),
};

static const char *no_environment(const char *name) {
    (void)name;
    return NULL;
}

static const char *full_environment(const char *name) {
    static const char *const pairs[][2] = {
        {"DEMO_DATA", "/env"}, {"DEMO_JSON", "yes"}, {"DEMO_KEY", "sok_secret"}, {"DEMO_URL", " http://a  http://b\t"},
        {"DEMO_LEASE", "2h"},
    };
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        if (strcmp(pairs[i][0], name) == 0)
            return pairs[i][1];
    }
    return NULL;
}

static const char *empty_environment(const char *name) {
    (void)name;
    return "";
}

static const char *wrong_environment(const char *name) {
    return strcmp(name, "DEMO_LEASE") == 0 ? "soon" : NULL;
}

static const char *crowded_environment(const char *name) {
    return strcmp(name, "DEMO_URL") == 0 ? "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17" : NULL;
}

/* Splits `line` at blanks into an argv and parses it. */
typedef struct Run {
    char line[512];
    char *argv[64];
    int argc, result;
    Values values;
    Parsed parsed;
    Buffer text;
} Run;

static void run_deinit(Run *run) {
    parsed_deinit(&run->parsed);
    buffer_deinit(&run->text);
}

static void parse(Run *run, const char *line, const char *(*environ_get)(const char *)) {
    char *rest = NULL;
    memset(run, 0, sizeof *run);
    buffer_init(&run->text, 1024 * 1024);
    (void)snprintf(run->line, sizeof run->line, "demo-agent %s", line);
    for (char *word = strtok_r(run->line, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        run->argv[run->argc++] = word;
    run->result = options_parse(&program, run->argc, run->argv, environ_get, &run->values, &run->parsed, &run->text);
}

static void expect_parsed(Run *run, const char *line, int id) {
    parse(run, line, no_environment);
    if (run->result != 0)
        fail_msg("%s", buffer_text(&run->text));
    assert_int_equal(run->parsed.verb->id, id);
}

static void expect_usage_with(const char *(*environ_get)(const char *), const char *line, const char *complaint,
                              const char *help) {
    OWN(run_deinit) Run run;
    char expected[512];
    parse(&run, line, environ_get);
    assert_int_equal(run.result, OPTIONS_USAGE);
    assert_null(run.parsed.memory);
    (void)snprintf(expected, sizeof expected, "demo-agent: %s\nTry 'demo-agent%s --help'.\n", complaint, help);
    assert_string_equal(buffer_text(&run.text), expected);
}

static void expect_usage(const char *line, const char *complaint, const char *help) {
    expect_usage_with(no_environment, line, complaint, help);
}

static void expect_exit(const char *line, const char *excerpt) {
    OWN(run_deinit) Run run;
    parse(&run, line, no_environment);
    assert_int_equal(run.result, OPTIONS_EXIT);
    const char *text = buffer_text(&run.text);
    if (strstr(text, excerpt) == NULL)
        fail_msg("'%s' is not in:\n%s", excerpt, text);
}

static void defaults_hold_when_nothing_is_given(void **state) {
    (void)state;
    OWN(run_deinit) Run run;
    expect_parsed(&run, "request", REQUEST);
    assert_string_equal(run.values.data, "/var/lib/demo");
    assert_int_equal(run.values.lease_seconds, 300);
    assert_true(run.values.wait_seconds == OPTION_UNSET);
    assert_null(run.values.branch);
    assert_null(run.values.key);
    assert_false(run.values.json);
    assert_int_equal(run.values.urls.count, 0);
    assert_int_equal(run.parsed.argument_count, 0);
    /* The options of other verbs too are unset, not zero. */
    assert_int_equal(run.values.cleaning, -1);
    assert_true(run.values.stack_count == OPTION_UNSET);
}

static void the_environment_beats_defaults(void **state) {
    (void)state;
    OWN(run_deinit) Run run;
    parse(&run, "request", full_environment);
    assert_int_equal(run.result, 0);
    assert_string_equal(run.values.data, "/env");
    assert_string_equal(run.values.key, "sok_secret");
    assert_true(run.values.json);
    assert_int_equal(run.values.lease_seconds, 7200);
    assert_int_equal(run.values.urls.count, 2);
    assert_string_equal(run.values.urls.items[0], "http://a");
    assert_string_equal(run.values.urls.items[1], "http://b");
}

static void the_command_line_beats_the_environment(void **state) {
    (void)state;
    OWN(run_deinit) Run run;
    parse(&run, "request --data=/argv --url http://c --lease 9", full_environment);
    assert_int_equal(run.result, 0);
    assert_string_equal(run.values.data, "/argv");
    assert_int_equal(run.values.lease_seconds, 9);
    assert_int_equal(run.values.urls.count, 1); /* replaced, not joined */
    assert_string_equal(run.values.urls.items[0], "http://c");
}

static void an_empty_variable_counts_as_unset(void **state) {
    (void)state;
    OWN(run_deinit) Run run;
    parse(&run, "request", empty_environment);
    assert_int_equal(run.result, 0);
    assert_string_equal(run.values.data, "/var/lib/demo");
    assert_null(run.values.key);
    assert_int_equal(run.values.urls.count, 0);
}

static void a_wrong_variable_is_named_unless_overridden(void **state) {
    (void)state;
    expect_usage_with(wrong_environment, "request", "DEMO_LEASE must be a duration such as 90, 90s, 30m, 2h or 1d",
                      " request");
    OWN(run_deinit) Run run;
    parse(&run, "request --lease 9", wrong_environment);
    assert_int_equal(run.result, 0);
}

static void common_options_stand_on_either_side_of_the_verb(void **state) {
    (void)state;
    OWN(run_deinit) Run before, behind, between;
    expect_parsed(&before, "--data /a --json project create demo", CREATE);
    expect_parsed(&behind, "project create demo --data=/a --json", CREATE);
    expect_parsed(&between, "--json project create --data /a demo", CREATE);
    assert_string_equal(before.values.data, "/a");
    assert_string_equal(behind.values.data, "/a");
    assert_string_equal(between.values.data, "/a");
    assert_true(before.values.json && behind.values.json && between.values.json);
    assert_string_equal(between.parsed.arguments[0], "demo");
}

static void the_last_of_several_values_counts(void **state) {
    (void)state;
    OWN(run_deinit) Run run;
    expect_parsed(&run, "--data /a request --data /b --branch=x --branch=", REQUEST);
    assert_string_equal(run.values.data, "/b");
    assert_string_equal(run.values.branch, ""); /* given, though empty */
}

static void an_option_of_the_verb_does_not_stand_before_it(void **state) {
    (void)state;
    expect_usage("--lease 5m request", "unknown option '--lease'", "");
}

static void verbs_of_two_words_are_found(void **state) {
    (void)state;
    OWN(run_deinit) Run list, note;
    expect_parsed(&list, "project list", LIST);
    expect_parsed(&note, "stack note test-1 --json broken", NOTE);
    assert_int_equal(note.parsed.argument_count, 2);
    assert_string_equal(note.parsed.arguments[0], "test-1");
    assert_string_equal(note.parsed.arguments[1], "broken");
}

static void half_a_verb_names_its_other_halves(void **state) {
    (void)state;
    expect_usage("project", "behind 'project' must come one of: create, list", "");
    expect_usage("project delete", "behind 'project' must come one of: create, list", "");
    expect_exit("project --help", "project create");
}

static void mistakes_point_at_help_and_suggest(void **state) {
    (void)state;
    expect_usage("", "a command is missing", "");
    expect_usage("--json", "a command is missing", "");
    expect_usage("requets", "unknown command 'requets'; did you mean 'request'?", "");
    expect_usage("frobnicate", "unknown command 'frobnicate'", "");
    expect_usage("request --leese 5m", "unknown option '--leese'; did you mean '--lease'?", " request");
    expect_usage("request --frobnicate=1", "unknown option '--frobnicate'", " request");
    expect_usage("request -x", "unknown option '-x'", " request");
    expect_usage("request extra", "unexpected argument 'extra'", " request");
    expect_usage("project create", "an argument is missing: demo-agent project create NAME", " project create");
    expect_usage("project create a b", "unexpected argument 'b'", " project create");
    expect_usage("request --json=yes", "--json takes no value", " request");
    expect_usage("request --branch", "--branch needs a value: NAME", " request");
    expect_usage("request --branch --json", "--branch needs a value: NAME", " request");
}

static void outside_words_are_shown_printable(void **state) {
    (void)state;
    expect_usage("\x1b[31m", "unknown command '\\x1b[31m'", "");
    expect_usage("request --\xFF", "unknown option '--\\xff'", " request");
}

static void values_are_checked_against_their_row(void **state) {
    (void)state;
    expect_usage("request --lease 1", "--lease must be 2s to 1d", " request");
    expect_usage("request --lease 2d", "--lease must be 2s to 1d", " request");
    expect_usage("request --lease=", "--lease must be a duration such as 90, 90s, 30m, 2h or 1d", " request");
    expect_usage("project create a --max-stacks 0", "--max-stacks must be 1 to 100", " project create");
    expect_usage("project create a --max-stacks 1x", "--max-stacks must be a whole number", " project create");
    expect_usage("project create a --max-stacks -1", "--max-stacks must be 1 to 100", " project create");
    expect_usage("project create a --cleaning yes", "--cleaning must be one of: on, off", " project create");
    OWN(run_deinit) Run run;
    expect_parsed(&run, "project create a --max-stacks 100 --cleaning off", CREATE);
    assert_int_equal(run.values.stack_count, 100);
    assert_int_equal(run.values.cleaning, 1);
}

static void a_row_without_bounds_takes_any_duration(void **state) {
    (void)state;
    OWN(run_deinit) Run none, long_one;
    expect_parsed(&none, "request --wait 0", REQUEST);
    assert_int_equal(none.values.wait_seconds, 0);
    expect_parsed(&long_one, "request --wait 1000d", REQUEST);
    assert_int_equal(long_one.values.wait_seconds, 86400000);
}

static void durations_have_one_unit(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } right[] = {{"0", 0}, {"90", 90}, {"90s", 90}, {"30m", 1800}, {"2h", 7200}, {"1d", 86400}};
    static const char *const wrong[] = {"",    "s",   "-1",  "+1", "1.5h", "1h30m",
                                        "1 m", "1ms", "05m", "1M", "1w",   "106751991167301d"};
    int64_t seconds = -7;
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(duration_parse(wrong[i], &seconds));
    assert_int_equal(seconds, -7);
    for (size_t i = 0; i < COUNT_OF(right); i++) {
        assert_true(duration_parse(right[i].text, &seconds));
        assert_int_equal(seconds, right[i].seconds);
    }
    assert_true(duration_parse("106751991167300d", &seconds)); /* the last day below 2^63 s */
}

static void two_dashes_end_the_options(void **state) {
    (void)state;
    OWN(run_deinit) Run run;
    expect_parsed(&run, "stack note test-1 -- --json", NOTE);
    assert_int_equal(run.parsed.argument_count, 2);
    assert_string_equal(run.parsed.arguments[1], "--json");
    assert_false(run.values.json);
}

static void one_dash_is_an_argument(void **state) {
    (void)state;
    OWN(run_deinit) Run run;
    expect_parsed(&run, "project create -", CREATE);
    assert_string_equal(run.parsed.arguments[0], "-");
}

static void a_command_is_left_untouched(void **state) {
    (void)state;
    OWN(run_deinit) Run dashes, bare, nested;
    expect_parsed(&dashes, "run --lease 5m -- make --json -- --help", RUN);
    assert_int_equal(dashes.parsed.argument_count, 4);
    assert_string_equal(dashes.parsed.arguments[0], "make");
    assert_string_equal(dashes.parsed.arguments[2], "--");
    assert_string_equal(dashes.parsed.arguments[3], "--help");
    assert_false(dashes.values.json);
    expect_parsed(&bare, "run --json make --version", RUN);
    assert_int_equal(bare.parsed.argument_count, 2);
    assert_true(bare.values.json);
    expect_parsed(&nested, "run make -- x", RUN);
    assert_int_equal(nested.parsed.argument_count, 3);
    assert_null(nested.parsed.arguments[3]); /* ready for execvp */
    expect_usage("run --", "an argument is missing: demo-agent run -- CMD [ARG]…", " run");
}

static void a_list_past_its_ceiling_is_a_usage_error(void **state) {
    (void)state;
    OWN(run_deinit) Run run;
    OWN(buffer_deinit) Buffer line;
    buffer_init(&line, 400);
    buffer_add_text(&line, "request");
    for (int i = 0; i < OPTION_LIST_MAX; i++)
        buffer_add_text(&line, " --url u");
    expect_parsed(&run, buffer_text(&line), REQUEST);
    assert_int_equal(run.values.urls.count, OPTION_LIST_MAX);
    buffer_add_text(&line, " --url u");
    expect_usage(buffer_text(&line), "--url is given more than 16 times", " request");
    expect_usage_with(crowded_environment, "request", "DEMO_URL is given more than 16 times", " request");
}

static void a_secret_is_no_flag(void **state) {
    (void)state;
    expect_usage("request --key sok_x", "unknown option '--key'", " request");
}

static void version_and_help_end_the_program(void **state) {
    (void)state;
    expect_exit("--version", "demo-agent 1.2.3\n");
    expect_exit("request --version", "demo-agent 1.2.3\n");
    expect_exit("--help", "project create");
    expect_exit("-h", "--data DIR");
    expect_exit("request --help", "usage: demo-agent request [OPTION]…\n");
    expect_exit("project create --help", "usage: demo-agent project create [OPTION]… NAME\n");
    expect_exit("run --help", "usage: demo-agent run [OPTION]… -- CMD [ARG]…\n");
}

static void help_shows_every_row_within_80_columns(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer help;
    buffer_init(&help, 100000);
    options_help(&program, &verbs[REQUEST], &help);
    const char *text = buffer_text(&help);
    static const char *const excerpts[] = {
        "--branch NAME", "--lease DURATION", "5m; DEMO_LEASE)",          "--data DIR",           "--json",
        "--help",        "--version",        "Environment:\n  DEMO_KEY", "  verbatim \\ line\n", "First paragraph.\n",
        "'Last' one…\n"};
    for (size_t i = 0; i < COUNT_OF(excerpts); i++) {
        if (strstr(text, excerpts[i]) == NULL)
            fail_msg("'%s' is not in:\n%s", excerpts[i], text);
    }
    size_t column = 0;
    for (const char *at = text; *at != '\0'; at++) {
        column = *at == '\n' ? 0 : column + (((unsigned char)*at & 0xC0) != 0x80);
        if (column > 79)
            fail_msg("a line is too long:\n%s", text);
    }
}

static void the_text_past_its_ceiling_is_a_failure(void **state) {
    (void)state;
    Values values = {.data = NULL};
    Parsed parsed = {.verb = NULL};
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, 10);
    char *argv[] = {(char[]){"demo-agent"}, (char[]){"--help"}, NULL};
    assert_true(options_parse(&program, 2, argv, no_environment, &values, &parsed, &text) < 0);
}

/* Runs `command` with `input` on its stdin; its exit status, 127 when there is no such program. */
static int run_checker(const char *command, const char *input) {
    FILE *pipe = popen(command, "w");
    assert_non_null(pipe);
    (void)fputs(input, pipe);
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static void expect_checked(const char *command, const char *input) {
    int status = run_checker(command, input);
    if (status == 127)
        print_message("not checked, no such program: %s\n", command);
    else if (status != 0)
        fail_msg("%s: status %d on\n%s", command, status, input);
}

#define RENDERED "{ command -v mandoc && command -v col; } >/dev/null || exit 127; mandoc -Tutf8 | col -b"

static void the_man_page_is_clean_mdoc(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer man;
    buffer_init(&man, 100000);
    options_man(&program, &man);
    const char *text = buffer_text(&man);
    for (const char *at = text; *at != '\0'; at++)
        assert_true((unsigned char)*at < 0x7F);
    expect_checked("mandoc -Tlint -W warning", text);
    expect_checked(RENDERED " | grep -q -e '--lease DURATION'", text);
    expect_checked(RENDERED " | grep -q -F '.Xr is no macro here.'", text);
    expect_checked(RENDERED " | grep -q -F \"Where it's kept: a 'quoted' C:\\path.\"", text);
    expect_exit("man", ".Dt DEMO-AGENT 1\n");
}

static void completion_scripts_parse_in_their_shells(void **state) {
    (void)state;
    static const char *const checks[][2] = {
        {"bash", "bash -n"}, {"zsh", "zsh -n /dev/stdin"}, {"fish", "fish --no-execute"}};
    for (size_t i = 0; i < COUNT_OF(checks); i++) {
        OWN(buffer_deinit) Buffer script;
        char command[64];
        buffer_init(&script, 100000);
        assert_int_equal(options_completion(&program, checks[i][0], &script), 0);
        const char *text = buffer_text(&script);
        assert_non_null(strstr(text, "demo-agent"));
        (void)snprintf(command, sizeof command, "%s 2>&1", checks[i][1]);
        expect_checked(command, text);
    }
    OWN(buffer_deinit) Buffer none;
    buffer_init(&none, 1000);
    assert_int_equal(options_completion(&program, "csh", &none), OPTIONS_USAGE);
    expect_usage("completion", "behind 'completion' must come one of: bash, zsh, fish", "");
    expect_usage("completion csh", "behind 'completion' must come one of: bash, zsh, fish", "");
    expect_exit("completion bash", "complete -o default -F _demo_agent demo-agent\n");
}

/* What bash offers behind `words` (an array's body, the last word being completed). */
static void expect_offered(const char *words, const char *expected) {
    OWN(buffer_deinit) Buffer script;
    buffer_init(&script, 100000);
    assert_int_equal(options_completion(&program, "bash", &script), 0);
    buffer_printf(&script, "COMP_WORDS=(demo-agent %s)\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_demo_agent\n", words);
    buffer_printf(&script, "[ \"${COMPREPLY[*]}\" = '%s' ] || { echo \"offered: ${COMPREPLY[*]}\" >&2; exit 1; }\n",
                  expected);
    expect_checked("bash", buffer_text(&script));
}

static void bash_offers_what_fits_the_place(void **state) {
    (void)state;
    expect_offered("r", "request run");
    expect_offered("project ''", "create list");
    expect_offered("--data request project c", "create");
    expect_offered("request --l", "--lease");
    expect_offered("project create --m", "--max-stacks");
    expect_offered("project create --cleaning ''", "on off");
    expect_offered("request --data=x --j", "--json");
    expect_offered("completion z", "zsh");
    expect_offered("run -- compge", "compgen");
}

int main(void) {
    (void)signal(SIGPIPE, SIG_IGN); /* of a checker that is not there */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold_when_nothing_is_given),
        cmocka_unit_test(the_environment_beats_defaults),
        cmocka_unit_test(the_command_line_beats_the_environment),
        cmocka_unit_test(an_empty_variable_counts_as_unset),
        cmocka_unit_test(a_wrong_variable_is_named_unless_overridden),
        cmocka_unit_test(common_options_stand_on_either_side_of_the_verb),
        cmocka_unit_test(the_last_of_several_values_counts),
        cmocka_unit_test(an_option_of_the_verb_does_not_stand_before_it),
        cmocka_unit_test(verbs_of_two_words_are_found),
        cmocka_unit_test(half_a_verb_names_its_other_halves),
        cmocka_unit_test(mistakes_point_at_help_and_suggest),
        cmocka_unit_test(outside_words_are_shown_printable),
        cmocka_unit_test(values_are_checked_against_their_row),
        cmocka_unit_test(a_row_without_bounds_takes_any_duration),
        cmocka_unit_test(durations_have_one_unit),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(one_dash_is_an_argument),
        cmocka_unit_test(a_command_is_left_untouched),
        cmocka_unit_test(a_list_past_its_ceiling_is_a_usage_error),
        cmocka_unit_test(a_secret_is_no_flag),
        cmocka_unit_test(version_and_help_end_the_program),
        cmocka_unit_test(help_shows_every_row_within_80_columns),
        cmocka_unit_test(the_text_past_its_ceiling_is_a_failure),
        cmocka_unit_test(the_man_page_is_clean_mdoc),
        cmocka_unit_test(completion_scripts_parse_in_their_shells),
        cmocka_unit_test(bash_offers_what_fits_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
