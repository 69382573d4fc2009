/* One row a verb. */
#include "coordinator/admin_print.h"

#include "base/log.h"

static Slice member_text(const json_t *object, const char *name) {
    const json_t *member = json_object_get(object, name);
    return (Slice){.ptr = json_string_value(member), .len = json_string_length(member)};
}

typedef struct Printed {
    const CoordinatorOptions *options;
    const ViewStyle *style;
    const char *subject;
    const json_t *body;
} Printed;
typedef void PrintAnswer(const Printed *p, Buffer *out);

static void print_message(const Printed *p, Buffer *out) {
    log_add_printable(out, member_text(p->body, "message"));
    buffer_add_char(out, '\n');
}

static void print_projects(const Printed *p, Buffer *out) {
    view_projects(json_object_get(p->body, "projects"), p->style, out);
}

static void print_keys(const Printed *p, Buffer *out) {
    view_keys(json_object_get(p->body, "keys"), p->style, out);
}

static void print_stacks(const Printed *p, Buffer *out) {
    view_stacks(json_object_get(p->body, "stacks"), p->style, out);
}

static void print_queue(const Printed *p, Buffer *out) {
    view_queue(json_object_get(p->body, "queue"), p->style, out);
}

static void print_events(const Printed *p, Buffer *out) {
    view_events(json_object_get(p->body, "events"), p->style, out);
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
    [VERB_QUEUE] = print_queue,
    [VERB_HISTORY] = print_events,
    [VERB_BACKUP] = print_message,
};

void admin_print(const CoordinatorOptions *options, const ViewStyle *style, VerbId verb, const char *subject,
                 const json_t *body, Buffer *out) {
    const Printed printed = {.options = options, .style = style, .subject = subject, .body = body};
    printers[verb](&printed, out);
}
