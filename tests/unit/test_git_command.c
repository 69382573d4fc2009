/* What is called git, told what to do by scripts of that name. */
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
#include <sys/stat.h>

#include "agent/git_command.h"
#include "agent/limits.h"

typedef struct Place {
    char folder[64], git[96], path[4096];
} Place;

/* Runs `script` as git, in the folder. */
static int run(const Place *p, const char *script, int64_t within_ms, Buffer *output) {
    static const char *const arguments[] = {"status", NULL};
    FILE *file = fopen(p->git, "we");
    assert_non_null(file);
    assert_true(fprintf(file, "#!/bin/sh\ncd '%s'\n%s\n", p->folder, script) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(p->git, 0700), 0);
    buffer_init(output, GIT_OUTPUT_MAX);
    return git_command_within(p->folder, false, arguments, within_ms, output);
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
    const Place *p = *state;
    OWN(buffer_deinit) Buffer output;
    char path[128];
    buffer_init(&output, GIT_OUTPUT_MAX);
    (void)snprintf(path, sizeof path, "%s/told", p->folder);
    const char *script = "trap 'echo > told; exit' TERM; echo begun; while :; do sleep 0.02; done";
    int64_t within_ms = 200;
    do { /* on a busy machine it may not have begun by then */
        buffer_deinit(&output);
        assert_int_equal(run(p, script, within_ms, &output), -ETIMEDOUT);
        within_ms *= 2;
    } while (output.len == 0);
    assert_int_equal(access(path, F_OK), 0);
}

/* Else these would last. */
static void who_does_not_hear_is_killed(void **state) {
    OWN(buffer_deinit) Buffer output;
    assert_int_equal(run(*state, "trap '' TERM; exec sleep 3600", 100, &output), -ETIMEDOUT);
    buffer_deinit(&output);
    assert_int_equal(run(*state, "trap '' TERM; exec sleep 3600 >&- 2>&-", GIT_MS, &output), -ETIMEDOUT);
}

static int set_up(void **state) {
    static Place p;
    const char *path = getenv("PATH");
    (void)snprintf(p.folder, sizeof p.folder, "/tmp/test-git-XXXXXX");
    if (path == NULL || mkdtemp(p.folder) == NULL)
        return -1;
    (void)snprintf(p.git, sizeof p.git, "%s/git", p.folder);
    (void)snprintf(p.path, sizeof p.path, "%s", path);
    *state = &p;
    OWN(freep) char *more = NULL;
    return asprintf(&more, "%s:%s", p.folder, path) > 0 ? setenv("PATH", more, 1) : -1;
}

static int tear_down(void **state) {
    const Place *p = *state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", p->folder);
    return setenv("PATH", p->path, 1) == 0 ? system(command) : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_it_prints_and_how_it_ends_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_takes_too_long_is_told_before_he_is_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_does_not_hear_is_killed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
