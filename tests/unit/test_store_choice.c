/* Where the URL of the store may come from, and what is refused there. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "coordinator/store_choice.h"

#define URL "postgres://ann@db.example/stacks"
#define URL_WITH_PASSWORD "postgres://ann:s3cret@db.example/stacks"

/* The result; *url as store_choose left it, the sentence in `says`. */
static int choose(CoordinatorOptions options, char **url, char says[1024]) {
    Buffer reason;
    buffer_init(&reason, 1000);
    *url = NULL;
    int r = store_choose(&options, url, &reason);
    (void)snprintf(says, 1024, "%s", buffer_text(&reason));
    buffer_deinit(&reason);
    return r;
}

static void assert_chosen(CoordinatorOptions options, const char *expected) {
    char says[1024], *url;
    assert_int_equal(choose(options, &url, says), 0);
    if (expected == NULL)
        assert_null(url);
    else
        assert_string_equal(url, expected);
    assert_string_equal(says, "");
    free(url);
}

static void assert_refused(CoordinatorOptions options, int expected, const char *sentence) {
    char says[1024], *url;
    assert_int_equal(choose(options, &url, says), expected);
    assert_null(url);
    assert_non_null(strstr(says, sentence));
    assert_null(strstr(says, "s3cret"));
}

static void rows_are_in_a_file_unless_it_is_said(void **state) {
    (void)state;
    assert_chosen((CoordinatorOptions){.store = NULL}, NULL);
    assert_chosen((CoordinatorOptions){.store = "sqlite"}, NULL);
    assert_chosen((CoordinatorOptions){.store_environment = "sqlite"}, NULL);
}

static void command_line_comes_before_the_environment_and_that_before_a_file(void **state) {
    (void)state;
    assert_chosen((CoordinatorOptions){.store = URL}, URL);
    assert_chosen((CoordinatorOptions){.store = "postgresql://h/d"}, "postgresql://h/d");
    assert_chosen((CoordinatorOptions){.store = URL, .store_environment = "sqlite", .store_file = "/nowhere"}, URL);
    assert_chosen((CoordinatorOptions){.store_environment = URL_WITH_PASSWORD, .store_file = "/nowhere"},
                  URL_WITH_PASSWORD);
}

static void password_in_a_command_line_is_refused(void **state) {
    static const char *const urls[] = {
        URL_WITH_PASSWORD, "postgres://db.example/stacks?user=ann&password=s3cret",
        "postgres://db.example/stacks?sslpassword=s3cret",
        "postgres://ann:s3cret%ZZ@db.example/stacks", /* nobody can read it, and it may well be one */
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(urls); i++)
        assert_refused((CoordinatorOptions){.store = urls[i]}, -EINVAL, "password");
}

static void other_stores_are_refused(void **state) {
    (void)state;
    assert_refused((CoordinatorOptions){.store = "mysql://h/d"}, -EINVAL, "neither sqlite nor postgres://");
    assert_refused((CoordinatorOptions){.store = "host=h dbname=d"}, -EINVAL, "neither sqlite nor postgres://");
    assert_refused((CoordinatorOptions){.store_environment = "mysql://u:s3cret@h/d"}, -EINVAL, "neither sqlite");
    assert_refused((CoordinatorOptions){.store_file = "/nowhere/url"}, -ENOENT, "/nowhere/url");
}

static void file_holds_the_url(void **state) {
    char path[] = "/tmp/store_choice.XXXXXX";
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    const char *text = "\n  " URL_WITH_PASSWORD " \r\n";
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_chosen((CoordinatorOptions){.store_file = path}, URL_WITH_PASSWORD);
    for (int i = 0; i < 200; i++)
        assert_int_equal(write(fd, URL, strlen(URL)), strlen(URL));
    assert_refused((CoordinatorOptions){.store_file = path}, -EINVAL, "longer than a URL");
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_refused((CoordinatorOptions){.store_file = path}, -EINVAL, "neither sqlite");
    (void)close(fd);
    (void)unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_in_a_file_unless_it_is_said),
        cmocka_unit_test(command_line_comes_before_the_environment_and_that_before_a_file),
        cmocka_unit_test(password_in_a_command_line_is_refused),
        cmocka_unit_test(other_stores_are_refused),
        cmocka_unit_test(file_holds_the_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
