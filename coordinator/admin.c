/*
 * Arguments → body → control socket → answer. One row a verb: which operation it is and how its body is made.
 */
#include "coordinator/admin.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/json_guard.h"
#include "base/limits.h"
#include "base/log.h"
#include "client/rpc_client.h"
#include "coordinator/admin_print.h"
#include "protocol/operations.h"
#include "protocol/outcome.h"

#define CALL_TIMEOUT_MS 30000
#define BACKUP_TIMEOUT_MS (3600 * 1000) /* the answer comes when the copy is complete */
#define ANSWER_DEPTH_MAX (JSON_DEPTH_MAX + 4)
#define REASON_MAX 4096
#define PAGES_MAX 1000

/* --- bodies --- */

static void add_name(Buffer *body, const char *name) {
    buffer_add_char(body, body->len == 0 ? '{' : ',');
    buffer_add_json_text(body, slice_of(name));
    buffer_add_char(body, ':');
}

static void add_text(Buffer *body, const char *name, const char *value) {
    if (value == NULL)
        return;
    add_name(body, name);
    buffer_add_json_text(body, slice_of(value));
}

static void add_number(Buffer *body, const char *name, int64_t value) {
    if (value == OPTION_UNSET)
        return;
    add_name(body, name);
    buffer_add_number(body, value);
}

static void add_choice(Buffer *body, const char *name, const char *const *names, int choice) {
    if (choice >= 0)
        add_text(body, name, names[choice]);
}

/* 0 | an exit code, told. */
typedef int BuildBody(const Admin *admin, Buffer *body);

static int build_nothing(const Admin *admin, Buffer *body) {
    (void)admin;
    (void)body;
    return 0;
}

static int build_project_named(const Admin *admin, Buffer *body) {
    add_text(body, "project", admin->arguments[0]);
    return 0;
}

static void add_settings(const Admin *admin, Buffer *body) {
    const CoordinatorOptions *o = admin->options;
    add_text(body, "prefix", o->prefix);
    add_text(body, "initialCommit", o->initial_commit);
    add_number(body, "maxStacks", o->max_stacks);
    add_number(body, "maxHoldSeconds", o->max_hold_seconds);
    add_number(body, "expiryGraceSeconds", o->expiry_grace_seconds);
    add_choice(body, "cleaning", option_switches, o->cleaning);
}

static int build_project(const Admin *admin, Buffer *body) {
    (void)build_project_named(admin, body);
    add_settings(admin, body);
    return 0;
}

static int build_update(const Admin *admin, Buffer *body) {
    (void)build_project_named(admin, body);
    size_t before = body->len;
    add_settings(admin, body);
    if (body->len > before || buffer_error(body) != 0)
        return 0;
    (void)fprintf(admin->errors, "%s: nothing is to be changed: `project update --help` tells what can be\n",
                  coordinator_program.name);
    return EX_USAGE;
}

static int build_key(const Admin *admin, Buffer *body) {
    add_text(body, "project", admin->arguments[0]);
    add_choice(body, "scope", option_scopes, admin->options->scope);
    add_text(body, "label", admin->options->label);
    return 0;
}

/* Up to its end, and what came along: nobody waits for more, which a pipe that stays open would not bring. */
static Slice read_first_line(FILE *input, char *text, size_t size) {
    size_t len = 0;
    while (len + 1 < size && memchr(text, '\n', len) == NULL) {
        ssize_t got = read(fileno(input), text + len, size - 1 - len);
        if (got == 0 || (got < 0 && errno != EINTR))
            break;
        len += got > 0 ? (size_t)got : 0;
    }
    return (Slice){.ptr = text, .len = len};
}

/* The key comes by stdin: arguments can be read by everybody on the machine. */
static int build_imported_key(const Admin *admin, Buffer *body) {
    if (isatty(fileno(admin->input)) == 1)
        (void)fputs("The key, then Enter: ", admin->errors);
    char text[4096] = "";
    Slice rest = read_first_line(admin->input, text, sizeof text), line = rest;
    if (slice_split(&rest, '\n', &line) && slice_trimmed(rest).len > 0) {
        (void)fprintf(admin->errors, "%s: there is more than one line on stdin: one key is imported at a time\n",
                      coordinator_program.name);
        return EX_USAGE;
    }
    line = slice_trimmed(line);
    if (line.len == 0) {
        (void)fprintf(admin->errors, "%s: no key came on stdin: `key import PROJECT < FILE`\n",
                      coordinator_program.name);
        return EX_USAGE;
    }
    if (memchr(line.ptr, '\0', line.len) != NULL) {
        (void)fprintf(admin->errors, "%s: the key on stdin has a NUL in it: it is no text\n", coordinator_program.name);
        return EX_USAGE;
    }
    text[line.ptr - text + (ptrdiff_t)line.len] = '\0';
    (void)build_key(admin, body);
    add_text(body, "secret", line.ptr);
    return 0;
}

static int build_revoked_key(const Admin *admin, Buffer *body) {
    add_text(body, "project", admin->arguments[0]);
    add_text(body, "keyId", admin->arguments[1]);
    return 0;
}

static int build_stack(const Admin *admin, Buffer *body) {
    add_text(body, "project", admin->arguments[0]);
    add_text(body, "stackName", admin->arguments[1]);
    add_text(body, "reason", admin->options->reason);
    return 0;
}

static int build_change(const Admin *admin, Buffer *body) {
    (void)build_stack(admin, body);
    if (admin->options->is_now) {
        add_name(body, "now");
        buffer_add_text(body, "true");
    }
    return 0;
}

static int build_release(const Admin *admin, Buffer *body) {
    static const char *const outcomes[] = {"ok", "dirty", "broken"};
    (void)build_change(admin, body);
    add_choice(body, "outcome", outcomes, admin->options->outcome);
    return 0;
}

static int build_note(const Admin *admin, Buffer *body) {
    (void)build_stack(admin, body);
    add_text(body, "note", admin->arguments[2]);
    return 0;
}

static int build_history(const Admin *admin, Buffer *body) {
    add_text(body, "project", admin->arguments[0]);
    add_text(body, "stackName", admin->argument_count > 1 ? admin->arguments[1] : NULL);
    add_number(body, "limit", admin->options->limit);
    add_number(body, "after", admin->options->after);
    return 0;
}

/* The daemon's working folder is not ours. */
static int build_backup(const Admin *admin, Buffer *body) {
    char folder[PATH_MAX];
    OWN(freep) char *path = NULL;
    const char *file = admin->arguments[0];
    if (file[0] == '/')
        path = strdup(file);
    else if (getcwd(folder, sizeof folder) == NULL || asprintf(&path, "%s/%s", folder, file) < 0)
        path = NULL;
    if (path == NULL) {
        (void)fprintf(admin->errors, "%s: %s\n", coordinator_program.name, strerror(errno));
        return EX_SOFTWARE;
    }
    add_text(body, "path", path);
    return 0;
}

static const struct {
    OperationId operation;
    BuildBody *build;
} verbs[VERB_COUNT] = {
    [VERB_PROJECT_CREATE] = {OP_CREATE_PROJECT, build_project},
    [VERB_PROJECT_UPDATE] = {OP_UPDATE_PROJECT, build_update},
    [VERB_PROJECT_LIST] = {OP_LIST_PROJECTS, build_nothing},
    [VERB_PROJECT_DELETE] = {OP_DELETE_PROJECT, build_project_named},
    [VERB_KEY_CREATE] = {OP_CREATE_KEY, build_key},
    [VERB_KEY_IMPORT] = {OP_IMPORT_KEY, build_imported_key},
    [VERB_KEY_LIST] = {OP_LIST_KEYS, build_project_named},
    [VERB_KEY_REVOKE] = {OP_REVOKE_KEY, build_revoked_key},
    [VERB_STACK_LIST] = {OP_LIST_STACKS, build_project_named},
    [VERB_STACK_RELEASE] = {OP_FORCE_RELEASE_STACK, build_release},
    [VERB_STACK_QUARANTINE] = {OP_QUARANTINE_STACK, build_change},
    [VERB_STACK_RESTORE] = {OP_RESTORE_STACK, build_change},
    [VERB_STACK_NOTE] = {OP_ANNOTATE_STACK, build_note},
    [VERB_QUEUE] = {OP_LIST_QUEUE, build_project_named},
    [VERB_HISTORY] = {OP_LIST_EVENTS, build_history},
    [VERB_BACKUP] = {OP_BACKUP, build_backup},
};

/* --- the call --- */

int admin_complain(const Admin *admin, int code, Slice text) {
    OWN(buffer_deinit) Buffer printable;
    buffer_init(&printable, BODY_MAX);
    log_add_printable(&printable, text);
    const char *words = buffer_text(&printable);
    (void)fprintf(admin->errors, "%s: %s\n", coordinator_program.name, words != NULL ? words : "out of memory");
    return code;
}

/* Nothing came back: what to do about it. */
static int explain_silence(const Admin *admin, const char *socket, int error, const Buffer *reason) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, BODY_MAX);
    Outcome outcome = error == -EACCES ? OUTCOME_FORBIDDEN : OUTCOME_UNREACHABLE;
    if (error == -ENOENT || error == -ECONNREFUSED)
        buffer_printf(
            &text, "no coordinator runs at %s; start one with `%s --data %s serve`, or say with --data where one runs",
            socket, coordinator_program.name, admin->data_dir);
    else if (error == -EACCES)
        buffer_printf(&text, "%s may not be opened by this user: be root, the daemon's user, or a member of its group",
                      socket);
    else
        buffer_add_slice(&text, buffer_slice(reason));
    return admin_complain(admin, outcome_row(outcome)->exit_code, buffer_slice(&text));
}

static int explain_problem(const Admin *admin, const json_t *body) {
    const char *code = json_string_value(json_object_get(body, "code"));
    const char *detail = json_string_value(json_object_get(body, "detail"));
    Outcome outcome = outcome_by_code(slice_of(code != NULL ? code : ""));
    int exit_code = outcome != OUTCOME_COUNT ? outcome_row(outcome)->exit_code : EX_SOFTWARE;
    return admin_complain(admin, exit_code,
                          slice_of(detail != NULL ? detail : "the coordinator refused, and did not say why"));
}

/* 0 with the answer's body | an exit code, told. */
static int call(const Admin *admin, Slice body, json_t **out) {
    OWN(freep) char *url = NULL;
    OWN(freep) char *folder = realpath(admin->data_dir, NULL); /* NULL: not there, and so is no daemon */
    if (asprintf(&url, "ipc://%s/control.sock", folder != NULL ? folder : admin->data_dir) < 0)
        return admin_complain(admin, EX_SOFTWARE, slice_of("out of memory"));
    const char *socket = url + strlen("ipc://");
    OWN(buffer_deinit) Buffer message, answer, reason;
    buffer_init(&message, BODY_MAX);
    buffer_init(&answer, ANSWER_MAX);
    buffer_init(&reason, REASON_MAX);
    buffer_printf(&message, "{\"op\":\"%s\",\"body\":", operation_row(verbs[admin->verb].operation)->name);
    buffer_add_slice(&message, body);
    buffer_add_char(&message, '}');
    if (buffer_error(&message) != 0)
        return admin_complain(admin, EX_USAGE, slice_of("the arguments are too long"));

    const RpcTarget target = {.url = url, .answer_max = ANSWER_MAX};
    int64_t timeout_ms = admin->verb == VERB_BACKUP ? BACKUP_TIMEOUT_MS : CALL_TIMEOUT_MS;
    int error = rpc_call(&target, buffer_slice(&message), timeout_ms, -1, &answer, &reason);
    if (error != 0)
        return explain_silence(admin, socket, error, &reason);

    OWN(json_decrefp) json_t *envelope = NULL;
    JsonProblem problem;
    if (json_parse(buffer_slice(&answer), ANSWER_DEPTH_MAX, &envelope, &problem) != 0)
        return admin_complain(admin, EX_SOFTWARE, slice_of("the coordinator's answer cannot be read"));
    json_t *content = json_object_get(envelope, "body");
    if (json_integer_value(json_object_get(envelope, "status")) != 200)
        return explain_problem(admin, content);
    *out = json_incref(content);
    return 0;
}

/* The lists that may be cut; NULL: the verb's answer is none. */
static const char *list_member(VerbId verb) {
    return verb == VERB_STACK_LIST ? "stacks" : verb == VERB_QUEUE ? "queue" : NULL;
}

/* A list that was cut says `next`: goes on from there until all of it is in *list. */
static int call_for_rest(const Admin *admin, const char *member, json_t *list) {
    json_t *all = json_object_get(list, member);
    for (int page = 0; page < PAGES_MAX; page++) {
        const json_t *next = json_object_get(list, "next");
        if (!json_is_integer(next))
            return 0;
        OWN(buffer_deinit) Buffer body;
        buffer_init(&body, BODY_MAX);
        add_text(&body, "project", admin->arguments[0]);
        add_number(&body, "after", json_integer_value(next));
        buffer_add_char(&body, '}');
        OWN(json_decrefp) json_t *more = NULL;
        int code = call(admin, buffer_slice(&body), &more);
        if (code != 0)
            return code;
        if (json_array_extend(all, json_object_get(more, member)) != 0)
            return admin_complain(admin, EX_SOFTWARE, slice_of("out of memory"));
        (void)json_object_del(list, "next");
        json_t *further = json_object_get(more, "next");
        if (further != NULL && json_object_set(list, "next", further) != 0)
            return admin_complain(admin, EX_SOFTWARE, slice_of("out of memory"));
    }
    return 0;
}

/* Colours for a terminal that wants them (no-color.org). */
static ViewStyle style_of(FILE *output) {
    const char *terminal = getenv("TERM");
    return (ViewStyle){.has_colours = isatty(fileno(output)) == 1 && getenv("NO_COLOR") == NULL && terminal != NULL &&
                                      strcmp(terminal, "dumb") != 0,
                       .now_ms = clock_wall_ms(clock_system())};
}

static int put_out(const Admin *admin, const Buffer *out) {
    if (out->len == 0 || buffer_error(out) != 0)
        return admin_complain(admin, EX_SOFTWARE, slice_of("out of memory"));
    if (fwrite(out->data, 1, out->len, admin->output) != out->len || fflush(admin->output) != 0)
        return admin_complain(admin, EX_SOFTWARE, slice_of(strerror(errno)));
    return 0;
}

static void add_json(const json_t *body, Buffer *out) {
    OWN(freep) char *text = json_dumps(body, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (text != NULL)
        buffer_printf(out, "%s\n", text);
}

int admin_print_result(const Admin *admin, const json_t *body, Slice text) {
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, ANSWER_MAX);
    if (admin->options->is_json)
        add_json(body, &out);
    else
        buffer_add_slice(&out, text);
    return put_out(admin, &out);
}

static int print(const Admin *admin, const json_t *body) {
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, 2 * (size_t)ANSWER_MAX);
    if (admin->options->is_json) {
        add_json(body, &out);
    } else {
        const ViewStyle style = style_of(admin->output);
        const char *subject = admin->argument_count > 0 ? admin->arguments[0] : NULL;
        admin_print(admin->options, &style, admin->verb, subject, body, &out);
    }
    return put_out(admin, &out);
}

int admin_ask(const Admin *admin, json_t **answer) {
    OWN(buffer_deinit) Buffer body;
    buffer_init(&body, BODY_MAX);
    int code = verbs[admin->verb].build(admin, &body);
    if (code != 0)
        return code;
    if (body.len == 0)
        buffer_add_char(&body, '{');
    buffer_add_char(&body, '}');
    if (buffer_error(&body) != 0)
        return admin_complain(admin, EX_USAGE, slice_of("the arguments are too long"));
    return call(admin, buffer_slice(&body), answer);
}

int admin_run(const Admin *admin) {
    OWN(json_decrefp) json_t *answer = NULL;
    int code = admin_ask(admin, &answer);
    if (code == 0 && list_member(admin->verb) != NULL)
        code = call_for_rest(admin, list_member(admin->verb), answer);
    if (code == 0 && admin->verb == VERB_BACKUP && access(admin->arguments[0], F_OK) != 0 && errno == ENOENT)
        return admin_complain(
            admin, EX_SOFTWARE,
            slice_of("the daemon has written the backup where only the daemon sees it (PrivateTmp= or a "
                     "container): name a folder that both see, or `export`, which writes from here"));
    return code == 0 ? print(admin, answer) : code;
}
