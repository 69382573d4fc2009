/* The composition root and the admin verbs, in one process: a coordinator on a folder of its own, asked over its socket. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/json_guard.h"
#include "coordinator/admin.h"
#include "coordinator/coordinator.h"

typedef struct Fixture {
    char folder[64], data[80], log_path[80], reason[1024];
    int log_fd;
    Logger log;
    CoordinatorOptions options;
    Coordinator *coordinator;
    /* Of the last verb. */
    char *output, *errors;
} Fixture;

static int set_up(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/test_coordinator.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->data, sizeof f->data, "%s/data", f->folder);
    (void)snprintf(f->log_path, sizeof f->log_path, "%s/log", f->folder);
    f->log_fd = open(f->log_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    f->log = (Logger){.fd = f->log_fd, .level = LOG_INFO, .style = LOG_JSON, .clock = clock_system()};
    f->options = (CoordinatorOptions){.http = "127.0.0.1:0", .max_connections = 64};
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    Fixture *f = *state;
    f->coordinator = coordinator_free(f->coordinator);
    closep(&f->log_fd);
    free(f->output);
    free(f->errors);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static int start_another(Fixture *f, Coordinator **out) {
    CoordinatorDeps deps = {.options = &f->options,
                            .data_dir = f->data,
                            .clock = clock_system(),
                            .random = random_system(),
                            .log = &f->log};
    Buffer reason;
    buffer_init(&reason, sizeof f->reason - 1);
    int error = coordinator_new(out, &deps, &reason);
    (void)snprintf(f->reason, sizeof f->reason, "%s", error != 0 ? buffer_text(&reason) : "");
    buffer_deinit(&reason);
    return error;
}

static void start(Fixture *f) {
    assert_int_equal(start_another(f, &f->coordinator), 0);
}

typedef struct Asked {
    VerbId verb;
    const char *arguments[3];
    const char *input; /* stdin */
    bool is_json;
} Asked;

/* Runs a verb; options of it are set in f->options before. Returns the exit code. */
static int ask(Fixture *f, Asked asked) {
    free(f->output);
    free(f->errors);
    size_t output_len = 0;
    size_t errors_len = 0;
    FILE *input = tmpfile();
    assert_non_null(input);
    assert_true(fputs(asked.input != NULL ? asked.input : "", input) >= 0);
    rewind(input);
    FILE *output = open_memstream(&f->output, &output_len);
    FILE *errors = open_memstream(&f->errors, &errors_len);
    int count = 0;
    while (count < (int)COUNT_OF(asked.arguments) && asked.arguments[count] != NULL)
        count++;
    f->options.is_json = asked.is_json;
    Admin admin = {.options = &f->options,
                   .verb = asked.verb,
                   .arguments = asked.arguments,
                   .argument_count = count,
                   .data_dir = f->data,
                   .input = input,
                   .output = output,
                   .errors = errors};
    int code = admin_run(&admin);
    (void)fclose(input);
    (void)fclose(output);
    (void)fclose(errors);
    return code;
}
#define ASK(f, ...) ask((f), (Asked){__VA_ARGS__})

/* What verbs leave open, as options_parse does. */
static void set_nothing(Fixture *f) {
    f->options.max_stacks = f->options.max_hold_seconds = f->options.expiry_grace_seconds = OPTION_UNSET;
    f->options.limit = OPTION_UNSET;
    f->options.cleaning = -1;
    f->options.scope = 1;
    f->options.outcome = 1;
}

/* The log's first line with this msg, parsed; NULL: there is none. */
static json_t *logged(const Fixture *f, const char *message) {
    FILE *file = fopen(f->log_path, "re");
    assert_non_null(file);
    char line[8192];
    json_t *found = NULL;
    while (found == NULL && fgets(line, sizeof line, file) != NULL) {
        json_t *json = json_loads(line, 0, NULL);
        assert_non_null(json);
        if (strcmp(json_string_value(json_object_get(json, "msg")), message) == 0)
            found = json_incref(json);
        json_decref(json);
    }
    (void)fclose(file);
    return found;
}

/* --- starting and ending --- */

static void readiness_is_logged_with_what_was_bound(void **state) {
    Fixture *f = *state;
    f->options.nng = (OptionList){.items = {"tcp://127.0.0.1:0"}, .count = 1};
    start(f);
    OWN(json_decrefp) json_t *ready = logged(f, "ready");
    assert_non_null(ready);
    int port = 0;
    assert_int_equal(sscanf(json_string_value(json_object_get(ready, "http")), "127.0.0.1:%d", &port), 1);
    assert_true(port > 0);
    const json_t *nng = json_object_get(ready, "nng");
    assert_int_equal(json_array_size(nng), 1);
    assert_int_equal(sscanf(json_string_value(json_array_get(nng, 0)), "tcp://127.0.0.1:%d", &port), 1);
    assert_true(port > 0);
    assert_null(json_object_get(ready, "https"));
    const char *control = json_string_value(json_object_get(ready, "control"));
    assert_int_equal(access(control, F_OK), 0);
    f->coordinator = coordinator_free(f->coordinator);
    assert_int_equal(access(control, F_OK), -1);
}

static void what_was_made_is_there_after_a_restart(void **state) {
    Fixture *f = *state;
    set_nothing(f);
    start(f);
    assert_int_equal(ASK(f, .verb = VERB_PROJECT_CREATE, .arguments = {"shop"}), 0);
    f->coordinator = coordinator_free(f->coordinator);
    start(f);
    assert_int_equal(ASK(f, .verb = VERB_PROJECT_LIST), 0);
    assert_non_null(strstr(f->output, "shop"));
}

static void a_folder_that_others_can_write_is_refused(void **state) {
    Fixture *f = *state;
    assert_int_equal(mkdir(f->data, 0700), 0);
    assert_int_equal(chmod(f->data, 0777), 0);
    assert_int_equal(start_another(f, &f->coordinator), -EPERM);
    assert_non_null(strstr(f->reason, f->data));
}

static void a_second_daemon_on_the_same_folder_is_refused_and_harms_nothing(void **state) {
    Fixture *f = *state;
    set_nothing(f);
    start(f);
    Coordinator *second = NULL;
    assert_int_not_equal(start_another(f, &second), 0);
    assert_null(second);
    assert_true(f->reason[0] != '\0');
    assert_int_equal(ASK(f, .verb = VERB_PROJECT_LIST), 0);
}

static void a_start_that_fails_late_leaves_nothing_behind(void **state) {
    Fixture *f = *state;
    set_nothing(f);
    f->options.nng = (OptionList){.items = {"tcp://0.0.0.0:0"}, .count = 1};
    assert_int_equal(start_another(f, &f->coordinator), -EACCES);
    assert_non_null(strstr(f->reason, "--insecure-nng"));
    f->options.nng.count = 0;
    start(f);
    assert_int_equal(ASK(f, .verb = VERB_PROJECT_LIST), 0);
}

/* --- admin verbs --- */

static void without_a_daemon_the_error_tells_how_to_start_one(void **state) {
    Fixture *f = *state;
    set_nothing(f);
    assert_int_equal(ASK(f, .verb = VERB_PROJECT_LIST), 69);
    assert_non_null(strstr(f->errors, "/data/control.sock"));
    assert_non_null(strstr(f->errors, "stack-coordinator --data"));
    assert_string_equal(f->output, "");
}

static void project_create_prints_the_key_and_what_to_paste(void **state) {
    Fixture *f = *state;
    set_nothing(f);
    start(f);
    assert_int_equal(ASK(f, .verb = VERB_PROJECT_CREATE, .arguments = {"shop"}), 0);
    assert_non_null(strstr(f->output, "sok_shop_"));
    assert_non_null(strstr(f->output, "uses:"));
    assert_non_null(strstr(f->output, "GitLab"));
    assert_non_null(strstr(f->output, "no bound"));
    f->options.max_stacks = 3;
    assert_int_equal(ASK(f, .verb = VERB_PROJECT_CREATE, .arguments = {"toys"}), 0);
    assert_null(strstr(f->output, "no bound"));
}

static void project_create_for_programs_prints_name_and_key_alone(void **state) {
    Fixture *f = *state;
    set_nothing(f);
    start(f);
    assert_int_equal(ASK(f, .verb = VERB_PROJECT_CREATE, .arguments = {"shop"}, .is_json = true), 0);
    OWN(json_decrefp) json_t *json = json_loads(f->output, 0, NULL);
    assert_int_equal(json_object_size(json), 2);
    assert_string_equal(json_string_value(json_object_get(json, "project")), "shop");
    assert_int_equal(strncmp(json_string_value(json_object_get(json, "key")), "sok_shop_", 9), 0);
}

static void refusals_carry_the_outcomes_exit_code_and_words(void **state) {
    Fixture *f = *state;
    set_nothing(f);
    start(f);
    assert_int_equal(ASK(f, .verb = VERB_PROJECT_CREATE, .arguments = {"shop"}), 0);
    assert_int_equal(ASK(f, .verb = VERB_PROJECT_CREATE, .arguments = {"shop"}), 66);
    assert_non_null(strstr(f->errors, "shop"));
    assert_int_equal(ASK(f, .verb = VERB_PROJECT_CREATE, .arguments = {"No Such Name"}), 64);
    assert_int_equal(ASK(f, .verb = VERB_KEY_LIST, .arguments = {"toys"}), 66);
    assert_int_equal(ASK(f, .verb = VERB_STACK_RELEASE, .arguments = {"shop", "test-1"}), 66);
    assert_int_equal(ASK(f, .verb = VERB_STACK_NOTE, .arguments = {"shop", "test-1", "hello"}), 66);
    assert_string_equal(f->output, "");
}

static void a_key_is_imported_from_stdin_and_revoked(void **state) {
    Fixture *f = *state;
    set_nothing(f);
    start(f);
    assert_int_equal(ASK(f, .verb = VERB_PROJECT_CREATE, .arguments = {"shop"}), 0);
    assert_int_equal(ASK(f, .verb = VERB_KEY_IMPORT, .arguments = {"shop"}), 64); /* nothing on stdin */
    assert_int_equal(
        ASK(f, .verb = VERB_KEY_IMPORT, .arguments = {"shop"}, .input = "an-old-key-of-theirs\n", .is_json = true), 0);
    OWN(json_decrefp) json_t *imported = json_loads(f->output, 0, NULL);
    const char *id = json_string_value(json_object_get(imported, "keyId"));
    assert_non_null(id);
    assert_int_equal(ASK(f, .verb = VERB_KEY_REVOKE, .arguments = {"shop", id}), 0);
    assert_int_equal(ASK(f, .verb = VERB_KEY_LIST, .arguments = {"shop"}), 0);
    assert_non_null(strstr(f->output, id));
    assert_null(strstr(f->output, "an-old-key-of-theirs"));
}

static void outside_text_cannot_draw_on_the_terminal(void **state) {
    Fixture *f = *state;
    set_nothing(f);
    start(f);
    assert_int_equal(ASK(f, .verb = VERB_KEY_LIST, .arguments = {"\x1b[31m"}), 64);
    assert_null(strchr(f->errors, '\x1b'));
}

static void a_backup_is_written_while_the_daemon_runs(void **state) {
    Fixture *f = *state;
    set_nothing(f);
    start(f);
    char path[96];
    (void)snprintf(path, sizeof path, "%s/backup.db", f->folder);
    assert_int_equal(ASK(f, .verb = VERB_BACKUP, .arguments = {path}), 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(ASK(f, .verb = VERB_BACKUP, .arguments = {path}), 66);
}

int main(void) {
    json_guard_init();
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(readiness_is_logged_with_what_was_bound),
        TEST(what_was_made_is_there_after_a_restart),
        TEST(a_folder_that_others_can_write_is_refused),
        TEST(a_second_daemon_on_the_same_folder_is_refused_and_harms_nothing),
        TEST(a_start_that_fails_late_leaves_nothing_behind),
        TEST(without_a_daemon_the_error_tells_how_to_start_one),
        TEST(project_create_prints_the_key_and_what_to_paste),
        TEST(project_create_for_programs_prints_name_and_key_alone),
        TEST(refusals_carry_the_outcomes_exit_code_and_words),
        TEST(a_key_is_imported_from_stdin_and_revoked),
        TEST(outside_text_cannot_draw_on_the_terminal),
        TEST(a_backup_is_written_while_the_daemon_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
