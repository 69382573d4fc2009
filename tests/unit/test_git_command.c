/* The git command itself, told what to do by aliases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>

#include "agent/git_command.h"
#include "agent/limits.h"

/* Runs `script` as a git command would run, in `folder`. */
static int run(const char *folder, const char *script, int64_t within_ms, Buffer *output) {
    OWN(freep) char *alias = NULL;
    assert_true(asprintf(&alias, "alias.test=!cd '%s' && %s", folder, script) > 0);
    const char *const arguments[] = {"-c", alias, "test", NULL};
    buffer_init(output, GIT_OUTPUT_MAX);
    return git_command_within(folder, false, arguments, within_ms, output);
}

static void what_it_prints_and_how_it_ends_is_told(void **state) {
    OWN(buffer_deinit) Buffer output;
    assert_int_equal(run(*state, "echo out; echo err >&2", GIT_MS, &output), 0);
    assert_string_equal(buffer_text(&output), "out\nerr\n");
    buffer_deinit(&output);
    assert_int_equal(run(*state, "exit 3", GIT_MS, &output), GIT_COMMAND_FAILED);
}

/* Its lock files would stop the job's own git. */
static void who_takes_too_long_is_told_before_he_is_killed(void **state) {
    OWN(buffer_deinit) Buffer output;
    char path[128];
    int r = run(*state, "echo > begun; trap 'echo > told; exit' TERM; while :; do sleep 0.02; done", 500, &output);
    assert_int_equal(r, -ETIMEDOUT);
    (void)snprintf(path, sizeof path, "%s/told", (const char *)*state);
    assert_int_equal(access(path, F_OK), 0);
}

static void who_does_not_hear_is_killed(void **state) {
    OWN(buffer_deinit) Buffer output;
    assert_int_equal(run(*state, "trap '' TERM; exec sleep 5", 100, &output), -ETIMEDOUT);
}

static int set_up(void **state) {
    static char folder[64];
    (void)snprintf(folder, sizeof folder, "/tmp/test-git-XXXXXX");
    *state = mkdtemp(folder);
    return *state != NULL ? 0 : -1;
}

static int tear_down(void **state) {
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", (const char *)*state);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_it_prints_and_how_it_ends_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_takes_too_long_is_told_before_he_is_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_does_not_hear_is_killed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
