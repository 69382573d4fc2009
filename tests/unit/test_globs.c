/* Which paths a list of patterns means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/globs.h"

typedef struct Row {
    const char *patterns, *path;
    bool is_meant;
} Row;

static void patterns_mean_paths(void **state) {
    (void)state;
    static const Row rows[] = {
        {"", "anything/at/all", true},
        {"\n  \r\n", "anything", true},
        {"a", "a", true},
        {"a", "b", false},
        {"*", "a", true},
        {"*", "a/b", false},
        {"**", "a/b/c", true},
        {"*.md", "README.md", true},
        {"*.md", "docs/README.md", false},
        {"**.md", "docs/README.md", true},
        {"**/*.md", "docs/deep/README.md", true},
        {"**/*.md", "README.md", true},
        {"docs/**", "docs/a/b", true},
        {"docs/**", "docs", false},
        {"docs/**/x", "docs/x", true},
        {"docs/**/x", "docs/a/b/x", true},
        {"docs/**/x", "docs/a/bx", false},
        {"**/x/**", "a/x/b", true},
        {"**/x/**", "ax/b", false},
        {"docs", "docs/a/b", true},
        {"docs/", "docs/a", true},
        {"./docs", "docs/a", true},
        {"/docs", "docs/a", true},
        {"docs", "docs2/a", false},
        {"docs", "a/docs/b", false},
        {"packages/*/src", "packages/web/src/x.c", true},
        {"packages/*/src", "packages/web/deep/src/x.c", false},
        {"a?c", "abc", true},
        {"a?c", "a/c", false},
        {"a[bx-z]c", "ayc", true},
        {"a[bx-z]c", "adc", false},
        {"a[!b]c", "adc", true},
        {"a[!b]c", "abc", false},
        {"a[!b]c", "a/c", false},
        {"a[]]c", "a]c", true},
        {"a[b", "a[b", true},
        {"a\\*c", "a*c", true},
        {"a\\*c", "abc", false},
        {"a\\", "a\\", true},
        {"**\n!docs", "docs/a", false},
        {"**\n!docs", "src/a", true},
        {"!docs", "docs/a", false},
        {"!docs", "src/a", true},
        {"!docs\ndocs/api", "docs/api/x", true},
        {"**\n!*.md\nREADME.md", "README.md", true},
        {"src\r\nweb\r\n", "web/x", true},
        {"$(id)", "$(id)", true},
        {"a b", "a b", true},
        {"\xff*", "\xff\xfe", true},
        {"***", "a/b", true},
        {"**/**/x", "x", true},
        {"*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
        {".", "docs/a", true},
        {"./", "docs/a", true},
        {"./.", "docs/a", true},
        {"/", "docs/a", true},
        {"docs\n.", "src/a", true},
        {"**\n!.", "src/a", false},
        {"!", "src/a", true},
        {"caf?", "café", true},
        {"caf??", "café", false},
        {"caf[é]", "café", true},
        {"caf[à-ü]", "café", true},
        {"caf[!é]", "café", false},
        {"caf[!a]", "café", true},
        {"caf\\é", "café", true},
        {"?", "\xe9", true},
        {"{{name}}/**", "{{name}}/a", true},
        {"app/\\[id\\]", "app/[id]/page", true},
        {"app/[id]", "app/i/page", false},
        {"a*/docs", "ab/docs/x", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (globs_match(slice_of(rows[i].patterns), slice_of(rows[i].path), false) != rows[i].is_meant)
            fail_msg("'%s' on '%s'", rows[i].patterns, rows[i].path);
    }
}

/* Of a submodule and a symbolic link only the path itself is known to have changed. */
static void what_may_hold_more_is_meant_by_what_reaches_into_it(void **state) {
    (void)state;
    static const Row rows[] = {
        {"web", "web", true},          {"web/**", "web", true},          {"web/src/*.js", "web", true},
        {"**/*.js", "web", true},      {"libs/*/src", "libs/web", true}, {"*.js", "web", false},
        {"web2/**", "web", false},     {"src/**", "web", false},         {"**\n!web", "web", false},
        {"**\n!web/**", "web", false}, {"**\n!web/*.md", "web", true},   {"**\n!web/**/*.md", "web", true},
        {"!web/docs", "web", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (globs_match(slice_of(rows[i].patterns), slice_of(rows[i].path), true) != rows[i].is_meant)
            fail_msg("'%s' on '%s'", rows[i].patterns, rows[i].path);
    }
}

static void long_ones_end_soon(void **state) {
    (void)state;
    char pattern[GLOB_MAX + 1], path[4097];
    for (size_t i = 0; i + 1 < sizeof pattern; i++)
        pattern[i] = i % 2 == 0 ? '*' : 'a';
    pattern[sizeof pattern - 1] = '\0';
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_true(globs_match(slice_of(pattern), slice_of(path), false));
    path[sizeof path - 2] = 'b';
    assert_false(globs_match(slice_of(pattern), slice_of(path), false));
}

static void what_cannot_be_used_is_said(void **state) {
    (void)state;
    OWN(freep) char *text = calloc(1, GLOBS_MAX + 2);
    assert_non_null(text);
    memset(text, 'a', GLOB_MAX);
    assert_null(globs_check(slice_of(text)));
    memset(text, 'a', GLOB_MAX + 1);
    assert_string_equal(globs_check(slice_of(text)), "has a pattern of more than 1024 bytes");
    assert_false(globs_match(slice_of(text), slice_of(text), false));
    memset(text, '\n', GLOBS_MAX + 1);
    assert_string_equal(globs_check(slice_of(text)), "has more than 16384 bytes");
}

static void what_others_understand_in_another_way_is_refused(void **state) {
    (void)state;
    static const char *const refused[][2] = {
        {"src/**/*.{ts,tsx}", "braces"},
        {"docs\n{a,b}", "braces"},
        {"{{a},b}", "braces"},
        {"src/ docs/", "several patterns"},
        {"src/** docs/**", "several patterns"},
        {"*.md\t*.txt", "several patterns"},
        {"../other", "out of the repository"},
        {"web/../..", "out of the repository"},
        {"..", "out of the repository"},
        {"# all but the docs\n!docs/**", "a comment"},
        {"services/*/", "behind a wildcard"},
        {"!**/", "behind a wildcard"},
        {"src//lib", "no path has"},
        {"src/./lib", "no path has"},
        {"services/web/.", "no path has"},
        {"src\\lib", "separated by /"},
    };
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        const char *said = globs_check(slice_of(refused[i][0]));
        if (said == NULL || strstr(said, refused[i][1]) == NULL)
            fail_msg("'%s': %s", refused[i][0], said != NULL ? said : "will do");
    }
    static const char *const will_do[] = {"{{cookiecutter.name}}/**",
                                          "\\{a,b}",
                                          "a{b}c,d",
                                          "my docs/a b/**",
                                          "a/b\\ c/d",
                                          "a..b/...",
                                          "a b",
                                          "$(id -u)",
                                          "apps/My App/src",
                                          "a/b c/",
                                          "./a/",
                                          "/",
                                          "!.",
                                          "\\#a",
                                          "app/\\[id\\]"};
    for (size_t i = 0; i < COUNT_OF(will_do); i++) {
        const char *said = globs_check(slice_of(will_do[i]));
        if (said != NULL)
            fail_msg("'%s': %s", will_do[i], said);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_mean_paths),
        cmocka_unit_test(what_may_hold_more_is_meant_by_what_reaches_into_it),
        cmocka_unit_test(long_ones_end_soon),
        cmocka_unit_test(what_cannot_be_used_is_said),
        cmocka_unit_test(what_others_understand_in_another_way_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
