/* Field rules: what a branch, a commit, a name may hold, by vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "protocol/rules.h"

typedef const char *Rule(Slice);

typedef struct Vector {
    Rule *rule;
    Slice text;
    bool is_right;
} Vector;

static void check(const Vector *vectors, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *wrong = vectors[i].rule(vectors[i].text);
        if ((wrong == NULL) != vectors[i].is_right)
            fail_msg("vector %zu '%.*s': %s", i, SLICE_PRINT(vectors[i].text), wrong != NULL ? wrong : "was accepted");
        if (wrong != NULL && strncmp(wrong, "must ", 5) != 0)
            fail_msg("'%s' does not go on after the field's name", wrong);
    }
}

static void branches_and_notes_are_one_line_of_utf8(void **state) {
    (void)state;
    static const struct {
        Slice text;
        bool is_right;
    } texts[] = {
        {SLICE_LITERAL("main"), true},
        {SLICE_LITERAL("feat/x y"), true},
        {SLICE_LITERAL("feat/\xC3\xA9\xF0\x9F\x9A\x80"), true},
        {SLICE_LITERAL("a\xE2\x80\xAE"
                       "b"),
         true}, /* bidi override: kept, printers escape it */
        {SLICE_LITERAL("a\xC2\xA0"
                       "b"),
         true}, /* U+00A0, right behind C1 */
        {SLICE_LITERAL("~"), true},
        {SLICE_LITERAL("a\nb"), false},
        {SLICE_LITERAL("a\0b"), false},
        {SLICE_LITERAL("\x1b[31m"), false},
        {SLICE_LITERAL("\x1f"), false},
        {SLICE_LITERAL("\x7f"), false},
        {SLICE_LITERAL("a\xC2\x80"), false}, /* U+0080 */
        {SLICE_LITERAL("a\xC2\x9B"
                       "31m"),
         false},                             /* U+009B, CSI */
        {SLICE_LITERAL("a\xC2\x9F"), false}, /* U+009F */
        {SLICE_LITERAL("a\xFF"), false},
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const Vector both[] = {{rule_branch, texts[i].text, texts[i].is_right},
                               {rule_one_line, texts[i].text, texts[i].is_right}};
        check(both, COUNT_OF(both));
    }
}

static void names_hold_what_the_protocol_says(void **state) {
    (void)state;
    static const char sixty_three[] = "abcdefghijklmnopqrstuvwxyz0123456789-abcdefghijklmnopqrstuvwxyz";
    static const char sixty_four[] = "abcdefghijklmnopqrstuvwxyz0123456789-abcdefghijklmnopqrstuvwxyz-";
    assert_int_equal(strlen(sixty_three), PROJECT_NAME_MAX);
    const Vector vectors[] = {
        {rule_commit, SLICE_LITERAL("3f2c1a9"), true},
        {rule_commit, SLICE_LITERAL("v1.0!~"), true},
        {rule_commit, SLICE_LITERAL("3f 2c"), false},
        {rule_commit, SLICE_LITERAL("3f\t"), false},
        {rule_commit, SLICE_LITERAL("caf\xC3\xA9"), false},
        {rule_commit, SLICE_LITERAL("a\0b"), false},
        {rule_commit, SLICE_LITERAL("\x7f"), false},
        {rule_project, SLICE_LITERAL("web-2"), true},
        {rule_project, SLICE_LITERAL("-"), true},
        {rule_project, SLICE_LITERAL(""), false},
        {rule_project, SLICE_LITERAL("Web"), false},
        {rule_project, SLICE_LITERAL("a_b"), false},
        {rule_project, SLICE_LITERAL("a.b"), false},
        {rule_project, SLICE_LITERAL("a\0"), false},
        {rule_project, SLICE_LITERAL(sixty_three), true},
        {rule_project, SLICE_LITERAL(sixty_four), false},
        {rule_prefix, SLICE_LITERAL("test-"), true},
        {rule_prefix, SLICE_LITERAL("T"), true},
        {rule_prefix, SLICE_LITERAL("e2e_"), true},
        {rule_prefix, SLICE_LITERAL("v1.2-x"), true},
        {rule_prefix, SLICE_LITERAL(""), false},
        {rule_prefix, SLICE_LITERAL("e2"), false},
        {rule_prefix, SLICE_LITERAL("2e-"), false},
        {rule_prefix, SLICE_LITERAL("-x"), false},
        {rule_prefix, SLICE_LITERAL("a/"), false},
        {rule_prefix, SLICE_LITERAL(sixty_three), true},
        {rule_prefix, SLICE_LITERAL(sixty_four), false},
        {rule_stack_name, SLICE_LITERAL("test-1"), true},
        {rule_stack_name, SLICE_LITERAL("nope"), true},
        {rule_stack_name, SLICE_LITERAL("1test"), false},
        {rule_stack_name, SLICE_LITERAL("test 1"), false},
        {rule_stack_name, SLICE_LITERAL("../1"), false},
        {rule_stack_name, SLICE_LITERAL(""), false},
        {rule_request_id, SLICE_LITERAL("0123456789abcdef"), true},
        {rule_request_id, SLICE_LITERAL("run:12-3_4.5-ABCD"), true},
        {rule_request_id, SLICE_LITERAL("0123456789abcde"), false},
        {rule_request_id, SLICE_LITERAL("0123456789abcde/"), false},
        {rule_request_id, SLICE_LITERAL("0123456789abcde\0"), false},
        {rule_link, SLICE_LITERAL("https://a"), true},
        {rule_link, SLICE_LITERAL("http://a/b?c=d#e"), true},
        {rule_link, SLICE_LITERAL("https://"), false},
        {rule_link, SLICE_LITERAL("http://"), false},
        {rule_link, SLICE_LITERAL("HTTP://a"), false},
        {rule_link, SLICE_LITERAL("javascript:alert(1)"), false},
        {rule_link, SLICE_LITERAL("https://a b"), false},
        {rule_link, SLICE_LITERAL("https://\xC3\xA9"), false},
        {rule_link, SLICE_LITERAL("https://a\n"), false},
        {rule_link, SLICE_LITERAL(""), false},
        {rule_path, SLICE_LITERAL("/var/backups/a b.db"), true},
        {rule_path, SLICE_LITERAL("relative"), false},
        {rule_path, SLICE_LITERAL(""), false},
        {rule_path, SLICE_LITERAL("/a\0b"), false},
        {rule_path, SLICE_LITERAL("/a\n"), false},
        {rule_key_text, SLICE_LITERAL("0123abcd"), true},
        {rule_key_text, SLICE_LITERAL("0123 abcd"), false},
        {rule_key_text, SLICE_LITERAL("0123\nabcd"), false},
        {rule_key_id, SLICE_LITERAL("9f86d081884c7d65"), true},
        {rule_key_id, SLICE_LITERAL("9F"), false},
        {rule_key_id, SLICE_LITERAL(""), false},
    };
    check(vectors, COUNT_OF(vectors));
}

static void a_request_id_ends_at_128(void **state) {
    (void)state;
    char text[REQUEST_ID_MAX + 1];
    memset(text, 'a', sizeof text);
    assert_null(rule_request_id((Slice){.ptr = text, .len = REQUEST_ID_MAX}));
    assert_non_null(rule_request_id((Slice){.ptr = text, .len = REQUEST_ID_MAX + 1}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches_and_notes_are_one_line_of_utf8),
        cmocka_unit_test(names_hold_what_the_protocol_says),
        cmocka_unit_test(a_request_id_ends_at_128),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
