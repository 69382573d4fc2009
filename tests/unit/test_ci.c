/* CI systems as tables of environment variables → branch and holder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "agent/ci.h"
#include "base/limits.h"

typedef struct Variable {
    const char *name, *value;
} Variable;

static const Variable *environment; /* the test's; ends with a NULL name */

static const char *lookup(const char *name) {
    for (const Variable *v = environment; v->name != NULL; v++) {
        if (strcmp(v->name, name) == 0)
            return v->value;
    }
    return NULL;
}

static void assert_text(Slice text, const char *expected) {
    if (expected == NULL) {
        assert_true(slice_is_absent(text));
        return;
    }
    OWN(freep) char *copy = slice_dup(text);
    assert_non_null(text.ptr);
    assert_string_equal(copy, expected);
}

/* Writes an event's payload and returns its path. */
static const char *event_file(const char *json) {
    static char path[64];
    (void)snprintf(path, sizeof path, "/tmp/test_ci_event_XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, json, strlen(json)), strlen(json));
    assert_int_equal(close(fd), 0);
    return path;
}

static const struct {
    const char *what;
    Variable variables[8];
    const char *event; /* the payload, or NULL */
    const char *provider, *branch;
} cases[] = {
    {"push",
     {{"GITHUB_ACTIONS", "true"},
      {"GITHUB_EVENT_NAME", "push"},
      {"GITHUB_REF", "refs/heads/feat/a"},
      {"GITHUB_REF_NAME", "feat/a"}},
     NULL,
     "github",
     "feat/a"},
    {"tag",
     {{"GITHUB_ACTIONS", "true"},
      {"GITHUB_EVENT_NAME", "push"},
      {"GITHUB_REF", "refs/tags/v1"},
      {"GITHUB_REF_TYPE", "tag"},
      {"GITHUB_REF_NAME", "v1"}},
     NULL,
     "github",
     "v1"},
    {"schedule",
     {{"GITHUB_ACTIONS", "true"},
      {"GITHUB_EVENT_NAME", "schedule"},
      {"GITHUB_REF", "refs/heads/main"},
      {"GITHUB_REF_NAME", "main"}},
     NULL,
     "github",
     "main"},
    {"no ref name", {{"GITHUB_ACTIONS", "true"}, {"GITHUB_REF", "refs/heads/a/b"}}, NULL, "github", "a/b"},
    {"pull request",
     {{"GITHUB_ACTIONS", "true"},
      {"GITHUB_EVENT_NAME", "pull_request"},
      {"GITHUB_HEAD_REF", "feat/b"},
      {"GITHUB_BASE_REF", "main"},
      {"GITHUB_REF", "refs/pull/7/merge"},
      {"GITHUB_REF_NAME", "7/merge"}},
     NULL,
     "github",
     "feat/b"},
    {"pull_request_target",
     {{"GITHUB_ACTIONS", "true"},
      {"GITHUB_EVENT_NAME", "pull_request_target"},
      {"GITHUB_HEAD_REF", "feat/c"},
      {"GITHUB_REF", "refs/heads/main"},
      {"GITHUB_REF_NAME", "main"}},
     NULL,
     "github",
     "feat/c"},
    {"review, the head in the payload",
     {{"GITHUB_ACTIONS", "true"},
      {"GITHUB_EVENT_NAME", "pull_request_review"},
      {"GITHUB_REF", "refs/pull/7/merge"},
      {"GITHUB_REF_NAME", "7/merge"}},
     "{\"pull_request\":{\"head\":{\"ref\":\"feat/d\"}}}",
     "github",
     "feat/d"},
    {"a pull request's ref alone is no branch",
     {{"GITHUB_ACTIONS", "true"}, {"GITHUB_REF", "refs/pull/7/merge"}, {"GITHUB_REF_NAME", "7/merge"}},
     NULL,
     "github",
     NULL},
    {"damaged payload",
     {{"GITHUB_ACTIONS", "true"}, {"GITHUB_REF", "refs/pull/7/merge"}},
     "{\"pull_request\":",
     "github",
     NULL},
    {"merge queue, payload",
     {{"GITHUB_ACTIONS", "true"},
      {"GITHUB_EVENT_NAME", "merge_group"},
      {"GITHUB_REF", "refs/heads/gh-readonly-queue/main/pr-7-abc"}},
     "{\"merge_group\":{\"base_ref\":\"refs/heads/release/1\"}}",
     "github",
     "release/1"},
    {"merge queue, ref",
     {{"GITHUB_ACTIONS", "true"},
      {"GITHUB_EVENT_NAME", "merge_group"},
      {"GITHUB_REF", "refs/heads/gh-readonly-queue/release/pr-1/pr-7-abc"}},
     NULL,
     "github",
     "release/pr-1"},
    {"gitlab branch",
     {{"GITLAB_CI", "true"}, {"CI_COMMIT_REF_NAME", "feat/a"}, {"CI_COMMIT_BRANCH", "feat/a"}},
     NULL,
     "gitlab",
     "feat/a"},
    {"gitlab merge request",
     {{"GITLAB_CI", "true"},
      {"CI_COMMIT_REF_NAME", "refs/merge-requests/1/merge"},
      {"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "feat/b"}},
     NULL,
     "gitlab",
     "feat/b"},
    {"gitlab tag",
     {{"GITLAB_CI", "true"}, {"CI_COMMIT_REF_NAME", "v1"}, {"CI_COMMIT_TAG", "v1"}},
     NULL,
     "gitlab",
     "v1"},
    {"gitlab-ci-local", {{"GITLAB_CI", "false"}, {"CI_COMMIT_REF_NAME", "main"}}, NULL, "gitlab", "main"},
    {"jenkins pull request",
     {{"JENKINS_URL", "https://j/"}, {"BRANCH_NAME", "PR-3"}, {"CHANGE_BRANCH", "feat/a"}},
     NULL,
     "jenkins",
     "feat/a"},
    {"jenkins git plugin", {{"JENKINS_URL", "https://j/"}, {"GIT_BRANCH", "origin/feat/a"}}, NULL, "jenkins", "feat/a"},
    {"jenkins long", {{"JENKINS_URL", "https://j/"}, {"GIT_BRANCH", "refs/remotes/origin/x"}}, NULL, "jenkins", "x"},
    {"circle", {{"CIRCLECI", "true"}, {"CIRCLE_BRANCH", "feat/a"}}, NULL, "circleci", "feat/a"},
    {"circle tag", {{"CIRCLECI", "true"}, {"CIRCLE_TAG", "v2"}}, NULL, "circleci", "v2"},
    {"empty variables are unset",
     {{"GITHUB_ACTIONS", ""},
      {"GITLAB_CI", "true"},
      {"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", ""},
      {"CI_COMMIT_REF_NAME", "m"}},
     NULL,
     "gitlab",
     "m"},
    {"a shell", {{"USER", "anna"}}, NULL, "local", NULL},
};

static void the_branch_is_the_one_people_work_on(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Variable variables[COUNT_OF(cases[0].variables) + 2];
        size_t count = 0;
        while (count < COUNT_OF(cases[i].variables) && cases[i].variables[count].name != NULL) {
            variables[count] = cases[i].variables[count];
            count++;
        }
        if (cases[i].event != NULL)
            variables[count++] = (Variable){"GITHUB_EVENT_PATH", event_file(cases[i].event)};
        variables[count] = (Variable){NULL, NULL};
        environment = variables;
        OWN(arena_deinit) Arena arena;
        arena_init(&arena);
        CiJob job;
        print_message("%s\n", cases[i].what);
        assert_int_equal(ci_read(lookup, &arena, &job), 0);
        assert_string_equal(job.provider, cases[i].provider);
        assert_text(job.branch, cases[i].branch);
        if (cases[i].event != NULL)
            assert_int_equal(unlink(variables[count - 1].value), 0);
    }
}

static void a_payload_that_is_a_fifo_or_missing_is_passed_over(void **state) {
    (void)state;
    char fifo[] = "/tmp/test_ci_fifo_XXXXXX";
    int fd = mkstemp(fifo);
    assert_int_equal(close(fd) + unlink(fifo) + mkfifo(fifo, 0600), 0);
    const char *const paths[] = {"/nowhere/at/all", fifo, "/tmp"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        const Variable variables[] = {{"GITHUB_ACTIONS", "true"},
                                      {"GITHUB_REF", "refs/pull/1/merge"},
                                      {"GITHUB_EVENT_PATH", paths[i]},
                                      {NULL, NULL}};
        OWN(arena_deinit) Arena arena;
        arena_init(&arena);
        CiJob job;
        environment = variables;
        (void)alarm(5);
        assert_int_equal(ci_read(lookup, &arena, &job), 0);
        (void)alarm(0);
        assert_true(slice_is_absent(job.branch));
    }
    assert_int_equal(unlink(fifo), 0);
}

static void github_tells_who_we_are(void **state) {
    (void)state;
    static const Variable variables[] = {{"GITHUB_ACTIONS", "true"},
                                         {"GITHUB_REPOSITORY", "acme/shop"},
                                         {"GITHUB_RUN_ID", "42"},
                                         {"GITHUB_RUN_ATTEMPT", "2"},
                                         {"GITHUB_JOB", "e2e"},
                                         {"GITHUB_ACTOR", "bot"},
                                         {"GITHUB_TRIGGERING_ACTOR", "anna"},
                                         {"GITHUB_SERVER_URL", "https://github.com"},
                                         {"GITHUB_WORKSPACE", "/w"},
                                         {NULL, NULL}};
    OWN(arena_deinit) Arena arena;
    arena_init(&arena);
    CiJob job;
    environment = variables;
    assert_int_equal(ci_read(lookup, &arena, &job), 0);
    assert_text(job.holder.provider, "github");
    assert_text(job.holder.repository, "acme/shop");
    assert_text(job.holder.run, "42");
    assert_text(job.holder.attempt, "2");
    assert_text(job.holder.job, "e2e");
    assert_text(job.holder.actor, "anna");
    assert_text(job.holder.link, "https://github.com/acme/shop/actions/runs/42");
    assert_string_equal(job.workspace, "/w");
}

static void gitlab_tells_who_we_are(void **state) {
    (void)state;
    static const Variable variables[] = {{"GITLAB_CI", "true"},
                                         {"CI_PROJECT_PATH", "acme/shop"},
                                         {"CI_PIPELINE_ID", "42"},
                                         {"CI_JOB_NAME", "e2e"},
                                         {"GITLAB_USER_LOGIN", "anna"},
                                         {"CI_JOB_URL", "https://gitlab/j/1"},
                                         {"CI_PROJECT_DIR", "/builds/acme/shop"},
                                         {NULL, NULL}};
    OWN(arena_deinit) Arena arena;
    arena_init(&arena);
    CiJob job;
    environment = variables;
    assert_int_equal(ci_read(lookup, &arena, &job), 0);
    assert_text(job.holder.repository, "acme/shop");
    assert_text(job.holder.run, "42");
    assert_text(job.holder.job, "e2e");
    assert_text(job.holder.actor, "anna");
    assert_text(job.holder.link, "https://gitlab/j/1");
    assert_string_equal(job.workspace, "/builds/acme/shop");
}

static void what_does_not_fit_the_protocol_is_cut_or_left_out(void **state) {
    (void)state;
    char job[400], link[2000], note[2000];
    memset(job, 'a', sizeof job);
    memcpy(job + 254, "\xC3\xA9", 2); /* the cut at 255 bytes falls into this letter */
    memset(link, 'b', sizeof link);
    memcpy(link, "https://", 8);
    memset(note, 'c', sizeof note);
    Holder holder = {.provider = slice_of("github"),
                     .actor = slice_of("an\x1b[31mna"),
                     .run = slice_of(""),
                     .job = {.ptr = job, .len = sizeof job},
                     .link = {.ptr = link, .len = sizeof link},
                     .note = {.ptr = note, .len = sizeof note}};
    ci_fit_holder(&holder);
    assert_text(holder.provider, "github");
    assert_true(slice_is_absent(holder.actor));
    assert_true(slice_is_absent(holder.run));
    assert_int_equal(holder.job.len, 254);
    assert_true(slice_is_absent(holder.link));
    OWN(buffer_deinit) Buffer encoded;
    buffer_init(&encoded, HOLDER_MAX);
    holder_encode(&holder, &encoded);
    assert_int_equal(buffer_error(&encoded), 0);
}

static void a_holder_too_large_in_all_loses_its_least_needed_parts(void **state) {
    (void)state;
    char quotes[1024];
    memset(quotes, '"', sizeof quotes); /* each takes two bytes on the wire */
    Holder holder = {
        .provider = slice_of("local"), .actor = slice_of("anna"), .note = {.ptr = quotes, .len = sizeof quotes}};
    ci_fit_holder(&holder);
    OWN(buffer_deinit) Buffer encoded;
    buffer_init(&encoded, HOLDER_MAX);
    holder_encode(&holder, &encoded);
    assert_int_equal(buffer_error(&encoded), 0);
    assert_text(holder.actor, "anna");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_branch_is_the_one_people_work_on),
        cmocka_unit_test(a_payload_that_is_a_fifo_or_missing_is_passed_over),
        cmocka_unit_test(github_tells_who_we_are),
        cmocka_unit_test(gitlab_tells_who_we_are),
        cmocka_unit_test(what_does_not_fit_the_protocol_is_cut_or_left_out),
        cmocka_unit_test(a_holder_too_large_in_all_loses_its_least_needed_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
