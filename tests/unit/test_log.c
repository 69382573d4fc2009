/* One event, one line: outside text neither forges a line nor draws on a terminal. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/log.h"

static int64_t fixed_wall_ms(const Clock *clock) {
    (void)clock;
    return 1042;
}
static const ClockVtable fixed_vtable = {.wall_ms = fixed_wall_ms};
static const Clock fixed_clock = {.vtable = &fixed_vtable};

typedef struct Lines {
    int read_end;
    Logger log;
    char text[64 * 1024 + 1];
} Lines;

static int open_lines(void **state) {
    int ends[2];
    Lines *lines = calloc(1, sizeof *lines);
    if (lines == NULL || pipe(ends) != 0)
        return -1;
    lines->read_end = ends[0];
    lines->log = (Logger){.fd = ends[1], .level = LOG_INFO, .style = LOG_JSON, .clock = &fixed_clock, .name = "agent"};
    *state = lines;
    return 0;
}

static int close_lines(void **state) {
    Lines *lines = *state;
    closep(&lines->read_end);
    closep(&lines->log.fd);
    free(lines);
    return 0;
}

/* All that was logged; closes the pipe's end, so call it once. */
static const char *logged(Lines *lines) {
    size_t len = 0;
    closep(&lines->log.fd);
    for (;;) {
        ssize_t got = read(lines->read_end, lines->text + len, sizeof lines->text - 1 - len);
        assert_true(got >= 0);
        if (got == 0)
            break;
        len += (size_t)got;
    }
    lines->text[len] = '\0';
    return lines->text;
}

static void json_lines_carry_time_level_message_and_fields(void **state) {
    Lines *lines = *state;
    LOG(&lines->log, LOG_INFO, "ready", log_string("http", "127.0.0.1:1"), log_number("count", -3),
        log_json("nng", slice_of("[\"tcp://x\"]")), log_string("absent", NULL), log_string("empty", ""));
    assert_string_equal(logged(lines), "{\"time\":\"1970-01-01T00:00:01.042Z\",\"level\":\"info\",\"msg\":\"ready\","
                                       "\"http\":\"127.0.0.1:1\",\"count\":-3,\"nng\":[\"tcp://x\"],\"empty\":\"\"}\n");
}

static void a_line_without_fields_is_fine(void **state) {
    Lines *lines = *state;
    LOG(&lines->log, LOG_ERROR, "stopping");
    assert_string_equal(logged(lines),
                        "{\"time\":\"1970-01-01T00:00:01.042Z\",\"level\":\"error\",\"msg\":\"stopping\"}\n");
}

static void lines_above_the_level_are_dropped(void **state) {
    Lines *lines = *state;
    lines->log.level = LOG_WARNING;
    lines->log.style = LOG_PLAIN;
    LOG(&lines->log, LOG_DEBUG, "no");
    LOG(&lines->log, LOG_INFO, "no");
    LOG(&lines->log, LOG_WARNING, "yes");
    assert_string_equal(logged(lines), "agent: warning: yes\n");
}

static void plain_lines_quote_what_would_run_together(void **state) {
    Lines *lines = *state;
    lines->log.style = LOG_PLAIN;
    LOG(&lines->log, LOG_INFO, "granted", log_string("stack", "test-1"), log_string("note", "say \"hi\" a=b"),
        log_string("empty", ""), log_number("seconds", 9));
    assert_string_equal(logged(lines),
                        "agent: granted stack=test-1 note=\"say \\\"hi\\\" a=b\" empty=\"\" seconds=9\n");
}

static void no_outside_text_forges_a_line_or_draws(void **state) {
    Lines *lines = *state;
    Slice evil = slice_of("a\n{\"msg\":\"x\"}\x1b[2J\x7F\xC2\x9B\xE2\x80\xAE\xFF");
    LOG(&lines->log, LOG_INFO, "json", log_text("branch", evil),
        log_json("raw", slice_of("[1,\n\"\xE2\x80\xAE\xFF\"]")));
    lines->log.style = LOG_PLAIN;
    LOG(&lines->log, LOG_INFO, "plain\n", log_text("branch", evil), log_json("raw", slice_of("[\n]")));
    const char *text = logged(lines);
    size_t line_count = 0;
    for (const char *at = text; *at != '\0'; at++) {
        line_count += *at == '\n';
        assert_true(*at == '\n' || (*at >= 0x20 && *at < 0x7F) || (unsigned char)*at >= 0x80);
    }
    assert_int_equal(line_count, 2);
    assert_null(strstr(text, "\xE2\x80\xAE"));
    assert_null(strstr(text, "\xC2\x9B"));
    assert_null(strstr(text, "\xFF"));
    assert_non_null(strstr(
        text, "plain\\x0a branch=\"a\\x0a{\\\"msg\\\":\\\"x\\\"}\\x1b[2J\\x7f\\u009b\\u202e\\xff\" raw=[\\x0a]"));
    json_t *first = json_loadb(text, (size_t)(strchr(text, '\n') - text), 0, NULL);
    assert_non_null(first);
    assert_string_equal(json_string_value(json_array_get(json_object_get(first, "raw"), 1)),
                        "\xE2\x80\xAE\xEF\xBF\xBD");
    json_decref(first);
}

static void a_line_past_the_ceiling_is_cut_to_its_message(void **state) {
    Lines *lines = *state;
    static char large[40 * 1024];
    memset(large, 'x', sizeof large - 1);
    lines->log.style = LOG_PLAIN;
    LOG(&lines->log, LOG_INFO, "big", log_string("note", large));
    assert_string_equal(logged(lines), "agent: big cut=true\n");
}

static void errno_survives_and_a_closed_log_is_no_failure(void **state) {
    Lines *lines = *state;
    Logger nowhere = lines->log;
    nowhere.fd = -1;
    errno = ENOENT;
    LOG(&nowhere, LOG_INFO, "lost");
    assert_int_equal(errno, ENOENT);
}

static void printable_text_is_left_as_it_is(void **state) {
    (void)state;
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, 100);
    log_add_printable(&out, slice_of("feat/\xC3\xA9t\xC3\xA9 \xF0\x9F\x98\x80"));
    assert_string_equal(buffer_text(&out), "feat/\xC3\xA9t\xC3\xA9 \xF0\x9F\x98\x80");
    log_add_printable(&out, SLICE_ABSENT);
    assert_int_equal(buffer_error(&out), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(json_lines_carry_time_level_message_and_fields, open_lines, close_lines),
        cmocka_unit_test_setup_teardown(a_line_without_fields_is_fine, open_lines, close_lines),
        cmocka_unit_test_setup_teardown(lines_above_the_level_are_dropped, open_lines, close_lines),
        cmocka_unit_test_setup_teardown(plain_lines_quote_what_would_run_together, open_lines, close_lines),
        cmocka_unit_test_setup_teardown(no_outside_text_forges_a_line_or_draws, open_lines, close_lines),
        cmocka_unit_test_setup_teardown(a_line_past_the_ceiling_is_cut_to_its_message, open_lines, close_lines),
        cmocka_unit_test_setup_teardown(errno_survives_and_a_closed_log_is_no_failure, open_lines, close_lines),
        cmocka_unit_test(printable_text_is_left_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
