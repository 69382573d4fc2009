/*
 * One row a verb. A table is printed in two rounds over the same cells: widths first, then text.
 */
#include "coordinator/admin_print.h"

#include <string.h>

#include "base/limits.h"
#include "base/log.h"

#define COLUMNS_MAX 8
#define COMMIT_SHOWN 12

/* --- tables --- */

/* One cell of one row. Absent text prints as nothing. */
typedef void CellText(const json_t *row, const char *member, Buffer *out);

typedef struct Column {
    const char *head;
    CellText *text;
    const char *member;
} Column;

static Slice member_text(const json_t *object, const char *name) {
    const json_t *member = json_object_get(object, name);
    if (!json_is_string(member))
        return SLICE_ABSENT;
    return (Slice){.ptr = json_string_value(member), .len = json_string_length(member)};
}

static void cell_text(const json_t *row, const char *member, Buffer *out) {
    log_add_printable(out, member_text(row, member));
}

static void cell_commit(const json_t *row, const char *member, Buffer *out) {
    Slice commit = member_text(row, member);
    if (commit.len > COMMIT_SHOWN)
        commit.len = COMMIT_SHOWN;
    log_add_printable(out, commit);
}

static void cell_number(const json_t *row, const char *member, Buffer *out) {
    const json_t *number = json_object_get(row, member);
    if (json_is_integer(number))
        buffer_add_number(out, json_integer_value(number));
}

static void cell_bound(const json_t *row, const char *member, Buffer *out) {
    if (json_is_integer(json_object_get(row, member)))
        cell_number(row, member, out);
    else
        buffer_add_text(out, "unbounded");
}

/* "2026-11-22 20:22:15" of an ISO date; always UTC. */
static void cell_time(const json_t *row, const char *member, Buffer *out) {
    static const size_t day = sizeof "2026-11-22" - 1;
    static const size_t second = sizeof "2026-11-22T20:22:15" - 1;
    Slice time = member_text(row, member);
    if (time.len < second) {
        log_add_printable(out, time);
        return;
    }
    log_add_printable(out, (Slice){.ptr = time.ptr, .len = day});
    buffer_add_char(out, ' ');
    log_add_printable(out, (Slice){.ptr = time.ptr + day + 1, .len = second - day - 1});
}

static void add_word(Buffer *out, size_t start, Slice word) {
    if (word.len == 0)
        return;
    if (out->len > start)
        buffer_add_char(out, ' ');
    log_add_printable(out, word);
}

/* Who: what people go by, first of all. */
static void add_holder(const json_t *holder, size_t start, Buffer *out) {
    static const char *const members[] = {"actor", "repository", "job", "link", "note"};
    for (size_t i = 0; i < COUNT_OF(members); i++)
        add_word(out, start, member_text(holder, members[i]));
}

static void cell_holder_and_note(const json_t *row, const char *member, Buffer *out) {
    (void)member;
    size_t start = out->len;
    add_holder(json_object_get(json_object_get(row, "lease"), "holder"), start, out);
    Slice note = member_text(row, "note");
    if (note.len > 0) {
        buffer_add_text(out, out->len > start ? " (" : "(");
        log_add_printable(out, note);
        buffer_add_char(out, ')');
    }
}

static void cell_since(const json_t *row, const char *member, Buffer *out) {
    cell_time(json_object_get(row, "lease"), member, out);
}

static void cell_circumstances(const json_t *row, const char *member, Buffer *out) {
    (void)member;
    size_t start = out->len;
    add_word(out, start, member_text(row, "outcome"));
    add_word(out, start, member_text(row, "note"));
    add_holder(json_object_get(row, "holder"), start, out);
}

/* Columns on the screen: code points, near enough for names and branches. */
static size_t width_of(const Buffer *text) {
    size_t width = 0;
    for (size_t i = 0; i < text->len; i++)
        width += ((unsigned char)text->data[i] & 0xc0) != 0x80;
    return width;
}

static void print_row(const Column *columns, size_t count, const json_t *row, const size_t *widths, Buffer *out) {
    OWN(buffer_deinit) Buffer cell;
    buffer_init(&cell, BODY_MAX);
    size_t blanks = 0; /* owed: a row has none at its end */
    for (size_t i = 0; i < count; i++) {
        buffer_clear(&cell);
        if (row == NULL)
            buffer_add_text(&cell, columns[i].head);
        else
            columns[i].text(row, columns[i].member, &cell);
        if (cell.len > 0) {
            buffer_printf(out, "%*s", (int)blanks, "");
            buffer_add_slice(out, buffer_slice(&cell));
            blanks = 0;
        }
        blanks += widths[i] - width_of(&cell) + 2;
    }
    buffer_add_char(out, '\n');
}

static void print_table(const Column *columns, size_t count, const json_t *rows, const char *empty, Buffer *out) {
    if (json_array_size(rows) == 0) {
        buffer_printf(out, "%s\n", empty);
        return;
    }
    OWN(buffer_deinit) Buffer cell;
    buffer_init(&cell, BODY_MAX);
    size_t widths[COLUMNS_MAX];
    for (size_t i = 0; i < count; i++) {
        widths[i] = strlen(columns[i].head);
        for (size_t at = 0; at < json_array_size(rows); at++) {
            buffer_clear(&cell);
            columns[i].text(json_array_get(rows, at), columns[i].member, &cell);
            if (width_of(&cell) > widths[i])
                widths[i] = width_of(&cell);
        }
    }
    print_row(columns, count, NULL, widths, out);
    for (size_t at = 0; at < json_array_size(rows); at++)
        print_row(columns, count, json_array_get(rows, at), widths, out);
}

/* --- verbs --- */

typedef struct Printed {
    const CoordinatorOptions *options;
    const char *subject;
    const json_t *body;
} Printed;
typedef void PrintAnswer(const Printed *p, Buffer *out);

static void print_message(const Printed *p, Buffer *out) {
    log_add_printable(out, member_text(p->body, "message"));
    buffer_add_char(out, '\n');
}

static void print_projects(const Printed *p, Buffer *out) {
    static const Column columns[] = {
        {"PROJECT", cell_text, "project"}, {"STACKS", cell_number, "stacks"},   {"AT MOST", cell_bound, "maxStacks"},
        {"PREFIX", cell_text, "prefix"},   {"CLEANING", cell_text, "cleaning"}, {"CREATED (UTC)", cell_time, "created"},
    };
    print_table(columns, COUNT_OF(columns), json_object_get(p->body, "projects"),
                "no projects yet: `stack-coordinator project create NAME` makes one", out);
}

static void print_keys(const Printed *p, Buffer *out) {
    static const Column columns[] = {
        {"KEY-ID", cell_text, "keyId"},          {"SCOPE", cell_text, "scope"},
        {"CREATED (UTC)", cell_time, "created"}, {"LAST USED", cell_time, "lastUsed"},
        {"REVOKED", cell_time, "revoked"},       {"LABEL", cell_text, "label"},
    };
    print_table(columns, COUNT_OF(columns), json_object_get(p->body, "keys"), "no keys", out);
}

static void print_stacks(const Printed *p, Buffer *out) {
    static const Column columns[] = {
        {"STACK", cell_text, "stackName"},    {"STATE", cell_text, "state"},
        {"BRANCH", cell_text, "branch"},      {"COMMIT", cell_commit, "lastDeployedCommit"},
        {"SINCE (UTC)", cell_since, "since"}, {"HOLDER (NOTE)", cell_holder_and_note, NULL},
    };
    print_table(columns, COUNT_OF(columns), json_object_get(p->body, "stacks"),
                "no stacks yet: the first request makes one", out);
}

static void print_events(const Printed *p, Buffer *out) {
    static const Column columns[] = {
        {"AT (UTC)", cell_time, "at"},   {"WHAT", cell_text, "kind"},       {"STACK", cell_text, "stackName"},
        {"BRANCH", cell_text, "branch"}, {"COMMIT", cell_commit, "commit"}, {"BY", cell_text, "by"},
        {"", cell_circumstances, NULL},
    };
    print_table(columns, COUNT_OF(columns), json_object_get(p->body, "events"), "nothing happened yet", out);
}

static void print_key_created(const Printed *p, Buffer *out) {
    buffer_add_text(out, "key ");
    log_add_printable(out, member_text(p->body, "keyId"));
    buffer_add_text(out, " of ");
    log_add_printable(out, slice_of(p->subject));
    buffer_add_text(out, ", scope ");
    log_add_printable(out, member_text(p->body, "scope"));
    buffer_add_text(out, ", shown this once:\n\n  ");
    log_add_printable(out, member_text(p->body, "key"));
    buffer_add_text(out, "\n\n");
}

static void print_key_imported(const Printed *p, Buffer *out) {
    buffer_add_text(out, "imported as key ");
    log_add_printable(out, member_text(p->body, "keyId"));
    buffer_add_text(out, ", scope ");
    log_add_printable(out, member_text(p->body, "scope"));
    buffer_add_char(out, '\n');
}

static const char snippets[] =
    "Put it into your CI as the secret STACK_AGENT_KEY, and this coordinator's URL into the variable STACK_AGENT_URL.\n"
    "\n"
    "GitHub, in a job's steps:\n"
    "\n"
    "  - uses: actions/checkout@v7\n"
    "  - uses: OWNER/stack-orchestrator@v1\n"
    "    id: stack\n"
    "    with: { url: \"${{ vars.STACK_AGENT_URL }}\", key: \"${{ secrets.STACK_AGENT_KEY }}\" }\n"
    "  - if: steps.stack.outputs.needs-deploy == 'true'\n"
    "    run: ./deploy.sh \"$STACK_NAME\" && stack-agent deployed\n"
    "  - run: ./e2e.sh \"$STACK_NAME\"\n"
    "\n"
    "GitLab, with stack-agent on the runner or in the image:\n"
    "\n"
    "  e2e:\n"
    "    script:\n"
    "      - stack-agent run -- sh -c './deploy.sh \"$STACK_NAME\" && stack-agent deployed && ./e2e.sh "
    "\"$STACK_NAME\"'\n";

static void print_project_created(const Printed *p, Buffer *out) {
    buffer_add_text(out, "project ");
    log_add_printable(out, member_text(p->body, "project"));
    buffer_add_text(out, " is ready. Its key, of scope agent, shown this once:\n\n  ");
    log_add_printable(out, member_text(p->body, "key"));
    buffer_add_text(out, "\n\n");
    buffer_add_text(out, snippets);
    if (p->options->max_stacks != OPTION_UNSET)
        return;
    buffer_add_text(
        out, "\nThere is no bound on its stacks: whenever none is free, a request makes one more. To set one:\n\n"
             "  stack-coordinator project update ");
    log_add_printable(out, member_text(p->body, "project"));
    buffer_add_text(out, " --max-stacks N\n");
}

static PrintAnswer *const printers[VERB_COUNT] = {
    [VERB_PROJECT_CREATE] = print_project_created,
    [VERB_PROJECT_UPDATE] = print_message,
    [VERB_PROJECT_LIST] = print_projects,
    [VERB_PROJECT_DELETE] = print_message,
    [VERB_KEY_CREATE] = print_key_created,
    [VERB_KEY_IMPORT] = print_key_imported,
    [VERB_KEY_LIST] = print_keys,
    [VERB_KEY_REVOKE] = print_message,
    [VERB_STACK_LIST] = print_stacks,
    [VERB_STACK_RELEASE] = print_message,
    [VERB_STACK_QUARANTINE] = print_message,
    [VERB_STACK_RESTORE] = print_message,
    [VERB_STACK_NOTE] = print_message,
    [VERB_HISTORY] = print_events,
    [VERB_BACKUP] = print_message,
};

void admin_print(const CoordinatorOptions *options, VerbId verb, const char *subject, const json_t *body, Buffer *out) {
    const Printed printed = {.options = options, .subject = subject, .body = body};
    printers[verb](&printed, out);
}
