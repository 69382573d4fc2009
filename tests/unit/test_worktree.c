/* Real repositories of every kind that CI makes, and git's own answer beside ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "agent/limits.h"
#include "agent/worktree.h"

/* Runs in a folder of its own, $D, with no configuration but what a script says. */
static char folder[64];

static int shell(const char *script) {
    OWN(freep) char *command = NULL;
    assert_true(
        asprintf(&command, "cd '%s' && D='%s' && set -e && ( %s ) >%s/log 2>&1", folder, folder, script, folder) > 0);
    return system(command);
}

static void run(const char *script) {
    if (shell(script) != 0) {
        (void)shell("cat $D/log >&2");
        fail_msg("%s", script);
    }
}

/* The one line that a command prints, "" when it fails. */
static void output_of(const char *script, char out[256]) {
    OWN(freep) char *command = NULL;
    out[0] = '\0';
    assert_true(asprintf(&command, "cd '%s' && (%s) 2>/dev/null", folder, script) > 0);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    if (fgets(out, 256, pipe) == NULL)
        out[0] = '\0';
    (void)pclose(pipe);
    out[strcspn(out, "\n")] = '\0';
}

static int make_folder(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test_worktree_XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)setenv("HOME", folder, 1);
    (void)setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
    (void)setenv("GIT_AUTHOR_NAME", "a", 1);
    (void)setenv("GIT_AUTHOR_EMAIL", "a@example.org", 1);
    (void)setenv("GIT_COMMITTER_NAME", "a", 1);
    (void)setenv("GIT_COMMITTER_EMAIL", "a@example.org", 1);
    run("git init -q -b main origin && cd origin && echo 1 > f && git add f && git commit -q -m 1 && echo 2 > f && "
        "git commit -q -am 2 && git config uploadpack.allowFilter true && git config uploadpack.allowAnySHA1InWant "
        "true");
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    OWN(freep) char *command = NULL;
    return asprintf(&command, "rm -rf '%s'", folder) > 0 ? system(command) : -1;
}

static const char *plain_environment(const char *name) {
    return strncmp(name, "GIT_", 4) == 0 ? NULL : getenv(name);
}

typedef struct Reading {
    Worktree worktree;
    Buffer reason;
    int result;
} Reading;

static void reading_deinit(Reading *r) {
    worktree_deinit(&r->worktree);
    buffer_deinit(&r->reason);
}

static Reading read_at(const char *path, const char *workspace) {
    Reading r = {.result = 0};
    OWN(freep) char *full = NULL, *full_workspace = NULL;
    assert_true(asprintf(&full, "%s/%s", folder, path) > 0);
    assert_true(asprintf(&full_workspace, "%s/%s", folder, workspace != NULL ? workspace : "") > 0);
    buffer_init(&r.reason, REASON_MAX);
    r.result =
        worktree_read(full, workspace != NULL ? full_workspace : NULL, plain_environment, &r.worktree, &r.reason);
    return r;
}

static void assert_as_git_says(const char *path) {
    char script[256], branch[256], commit[256];
    OWN(reading_deinit) Reading r = read_at(path, NULL);
    (void)snprintf(script, sizeof script, "git -C %s symbolic-ref -q --short HEAD", path);
    output_of(script, branch);
    (void)snprintf(script, sizeof script, "git -C %s rev-parse -q --verify HEAD", path);
    output_of(script, commit);
    if (r.result != 0)
        print_message("%s: %s\n", path, buffer_text(&r.reason));
    assert_int_equal(r.result, 0);
    assert_string_equal(r.worktree.branch != NULL ? r.worktree.branch : "", branch);
    assert_string_equal(r.worktree.commit, commit);
}

static const struct {
    const char *what, *script, *path;
} kinds[] = {
    {"a branch", "git clone -q origin plain", "plain"},
    {"a folder within", "mkdir -p plain/a/b", "plain/a/b"},
    {"a branch with slashes", "git clone -q origin slashes && git -C slashes checkout -q -b feat/a/b", "slashes"},
    {"packed references", "git clone -q origin packed && git -C packed pack-refs --all", "packed"},
    {"a detached head", "git clone -q origin detached && git -C detached checkout -q HEAD~1", "detached"},
    {"an annotated tag", "git clone -q origin tagged && cd tagged && git tag -a -m t v1 && git checkout -q v1",
     "tagged"},
    {"shallow, as CI clones", "git clone -q --depth=1 file://$D/origin shallow", "shallow"},
    {"shallow and detached", "git clone -q --depth=1 file://$D/origin both && git -C both checkout -q --detach",
     "both"},
    {"a pull request's merge, as actions/checkout makes it",
     "git init -q pr && cd pr && git fetch -q --depth=1 file://$D/origin "
     "+$(git -C $D/origin rev-parse HEAD):refs/remotes/pull/7/merge && git checkout -q refs/remotes/pull/7/merge",
     "pr"},
    {"partial", "git clone -q --filter=blob:none file://$D/origin partial", "partial"},
    {"sparse", "git clone -q --sparse file://$D/origin sparse", "sparse"},
    {"sparse with a configuration of its own",
     "git clone -q origin cone && git -C cone sparse-checkout init --cone && git -C cone config "
     "extensions.worktreeConfig true && git -C cone config core.repositoryformatversion 1",
     "cone"},
    {"a linked worktree", "git clone -q origin main1 && git -C main1 worktree add -q -b other ../linked", "linked"},
    {"a detached linked worktree", "git -C main1 worktree add -q --detach ../linked2 HEAD~1", "linked2"},
    {"a submodule",
     "git clone -q origin super && git -C super -c protocol.file.allow=always submodule --quiet add "
     "$D/origin sub",
     "super/sub"},
    {"bare", "git clone -q --bare origin bare.git", "bare.git"},
    {"a branch without a commit", "git init -q -b fresh unborn", "unborn"},
    {"an orphan branch", "git clone -q origin orphan && git -C orphan checkout -q --orphan new", "orphan"},
    {"SHA-256", "git init -q --object-format=sha256 -b main long && cd long && git commit -q --allow-empty -m 1",
     "long"},
    {"SHA-256 without a commit", "git init -q --object-format=sha256 -b first long0", "long0"},
    {"SHA-256 and detached", "cp -r long long1 && git -C long1 checkout -q --detach", "long1"},
    {"within a merge",
     "git clone -q origin merging && cd merging && git checkout -q -b x HEAD~1 && echo 3 > f && "
     "git commit -q -am 3 && (git merge -q main || true)",
     "merging"},
    {"within a rebase",
     "git clone -q origin rebasing && cd rebasing && git checkout -q -b y HEAD~1 && echo 3 > f && "
     "git commit -q -am 3 && (git rebase -q main || true)",
     "rebasing"},
    {"a head that is a link",
     "git clone -q origin linkhead && cd linkhead/.git && rm HEAD && ln -s refs/heads/main HEAD", "linkhead"},
};

static void every_kind_of_repository_is_read_as_git_does(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        print_message("%s\n", kinds[i].what);
        run(kinds[i].script);
        assert_as_git_says(kinds[i].path);
    }
}

static void a_hundred_thousand_references_are_no_burden(void **state) {
    (void)state;
    run("git clone -q origin many && cd many && h=$(git rev-parse HEAD) && seq -f \"$h refs/remotes/origin/b%06g\" "
        "100000 > "
        "refs && (echo '# pack-refs with: peeled fully-peeled sorted '; cat refs) > .git/packed-refs");
    assert_as_git_says("many");
}

static void no_repository_is_none(void **state) {
    (void)state;
    run("mkdir -p nothing/here");
    OWN(reading_deinit) Reading r = read_at("nothing/here", NULL);
    assert_int_equal(r.result, WORKTREE_NONE);
    OWN(reading_deinit) Reading missing = read_at("not/there", NULL);
    assert_int_equal(missing.result, WORKTREE_UNREADABLE);
}

static void a_damaged_repository_is_named_with_the_way_out(void **state) {
    (void)state;
    static const char *const scripts[] = {
        "git clone -q origin broken0 && echo garbage > broken0/.git/HEAD",
        "git clone -q origin broken1 && : > broken1/.git/HEAD",
        "git clone -q origin broken2 && rm broken2/.git/HEAD",
        "git clone -q origin broken3 && git -C broken3 config core.repositoryformatversion 9",
        ("git clone -q origin broken4 && cd broken4 && printf '[extensions]\\nmystery=x\\n[core]\\n"
         "repositoryformatversion=1\\n' >> .git/config"),
        "mkdir broken5 && echo 'gitdir: /nowhere' > broken5/.git",
    };
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "broken%zu", i);
        run(scripts[i]);
        OWN(reading_deinit) Reading r = read_at(name, NULL);
        assert_int_equal(r.result, WORKTREE_UNREADABLE);
        assert_non_null(strstr(buffer_text(&r.reason), "--branch"));
    }
}

static void another_users_repository_is_read_only_where_it_is_meant_so(void **state) {
    (void)state;
    if (geteuid() != 0)
        skip();
    run("mkdir jobs && git clone -q origin jobs/foreign && chown -R 12345:12345 jobs/foreign");
    {
        OWN(reading_deinit) Reading r = read_at("jobs/foreign", NULL);
        assert_int_equal(r.result, WORKTREE_UNREADABLE);
        assert_non_null(strstr(buffer_text(&r.reason), "safe.directory"));
        assert_non_null(strstr(buffer_text(&r.reason), "--branch"));
    }
    {
        OWN(reading_deinit) Reading r = read_at("jobs/foreign", "jobs/foreign");
        assert_int_equal(r.result, 0);
        assert_string_equal(r.worktree.branch, "main");
    }
    {
        OWN(reading_deinit) Reading r = read_at("jobs/foreign", "jobs");
        assert_int_equal(r.result, 0);
    }
    {
        run("mkdir elsewhere");
        OWN(reading_deinit) Reading r = read_at("jobs/foreign", "elsewhere");
        assert_int_equal(r.result, WORKTREE_UNREADABLE);
    }
    run("git config --global --add safe.directory $D/jobs/foreign");
    assert_as_git_says("jobs/foreign");
    run("git config --global --replace-all safe.directory '*'");
    assert_as_git_says("jobs/foreign");
    run("git config --global --unset-all safe.directory");
}

static void without_git_a_newer_kind_is_named_with_the_way_out(void **state) {
    (void)state;
    const char *present = getenv("PATH");
    assert_non_null(present);
    char *path = strdup(present);
    (void)setenv("PATH", "/nowhere", 1);
    OWN(reading_deinit) Reading r = read_at("long", NULL);
    (void)setenv("PATH", path, 1);
    free(path);
    assert_int_equal(r.result, WORKTREE_UNREADABLE);
    assert_non_null(strstr(buffer_text(&r.reason), "install git"));
    assert_non_null(strstr(buffer_text(&r.reason), "--commit"));
}

static void the_root_is_where_git_is(void **state) {
    (void)state;
    char expected[128], inner[128];
    (void)snprintf(expected, sizeof expected, "%s/plain", folder);
    (void)snprintf(inner, sizeof inner, "%s/plain/a/b", folder);
    OWN(freep) char *root = worktree_root(inner);
    assert_string_equal(root, expected);
    OWN(freep) char *none = worktree_root("/");
    assert_string_equal(none, "/");
    assert_null(worktree_root("/not/there"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_repository_is_read_as_git_does),
        cmocka_unit_test(a_hundred_thousand_references_are_no_burden),
        cmocka_unit_test(no_repository_is_none),
        cmocka_unit_test(a_damaged_repository_is_named_with_the_way_out),
        cmocka_unit_test(another_users_repository_is_read_only_where_it_is_meant_so),
        cmocka_unit_test(without_git_a_newer_kind_is_named_with_the_way_out),
        cmocka_unit_test(the_root_is_where_git_is),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
