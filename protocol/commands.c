/*
 * What each operation may be asked with: fields of struct Command, with their bounds. Invariant: a text that goes on to
 * lease/ has passed its rule and fits its column.
 */
#include "base/limits.h"
#include "protocol/messages.h"
#include "protocol/rules.h"
#include "protocol/tables.h"

#define KEY_ID_MAX 64
#define IMPORTED_KEY_MAX 200
#define PATH_BYTES_MAX 1024

/* clang-format off */
#define TABLE(table_name, table_rows, ...) \
    {.name = (table_name), .rows = (table_rows), .count = COUNT_OF(table_rows), .size = sizeof(Command), __VA_ARGS__}
#define TEXT(member_name, member, ...) {.name = (member_name), .kind = FIELD_TEXT, .offset = offsetof(Command, member), __VA_ARGS__}
#define INTEGER(member_name, member, ...) \
    {.name = (member_name), .kind = FIELD_INTEGER, .offset = offsetof(Command, member), .fallback = FIELD_ABSENT, __VA_ARGS__}
#define CHOICE(member_name, member, names, ...) \
    {.name = (member_name), .kind = FIELD_CHOICE, .offset = offsetof(Command, member), .choices = (names), __VA_ARGS__}
/* clang-format on */

/* Fields that several operations share. */
#define PROJECT(...)                                                                                                   \
    TEXT("project", project_name, .min = 1, .max = PROJECT_NAME_MAX, .check = rule_project, __VA_ARGS__)
#define WHOSE_PROJECT                                                                                                  \
    PROJECT(.doc = "Over the control socket: whose. With a key it is the key's project, and this is ignored")
#define STACK_NAME(...)                                                                                                \
    TEXT("stackName", stack_name, .min = 1, .max = STACK_NAME_MAX, .check = rule_stack_name, __VA_ARGS__)
#define REQUEST_ID(...)                                                                                                \
    TEXT("requestId", request_id, .min = REQUEST_ID_MIN, .max = REQUEST_ID_MAX, .check = rule_request_id, __VA_ARGS__)
#define COMMIT(member_name, member, ...)                                                                               \
    TEXT(member_name, member, .min = 1, .max = COMMIT_MAX, .check = rule_commit, __VA_ARGS__)
#define REASON                                                                                                         \
    TEXT("reason", reason, .max = NOTE_MAX, .check = rule_one_line,                                                    \
         .doc = "Why, for the history and for whose lease it ends")
#define LEASE                                                                                                          \
    TEXT("lease", lease, .min = 1, .max = KEY_TEXT_MAX, .doc = "The secret of the lease; with it no key is needed")
#define LABEL TEXT("label", label, .max = LABEL_MAX, .check = rule_one_line, .doc = "What people call the key")
#define KEY_SCOPE                                                                                                      \
    CHOICE("scope", key_scope, key_scope_names, .min = SCOPE_READ, .fallback = SCOPE_AGENT,                            \
           .doc = "What the key may do")

const char *const if_none_names[] = {"default", "wait", "fail", NULL};
const char *const purpose_names[] = {"test", "clean", NULL};
const char *const release_outcome_names[] = {"ok", "dirty", "broken", NULL};
const char *const switch_names[] = {"unset", "off", "on", NULL};
const char *const key_scope_names[] = {"none", "read", "agent", "operator", NULL};

/* ---- holder ---- */

#define HOLDER_TEXT(member, bytes, words)                                                                              \
    {                                                                                                                  \
        .name = #member, .kind = FIELD_TEXT, .offset = offsetof(Holder, member), .max = (bytes),                       \
        .check = rule_one_line, .doc = (words)                                                                         \
    }

static const Field holder_rows[] = {
    HOLDER_TEXT(provider, 64, "Where the job runs: github, gitlab, shell"),
    HOLDER_TEXT(repository, 255, "Its repository"),
    HOLDER_TEXT(run, 128, "Its workflow run or pipeline"),
    HOLDER_TEXT(attempt, 32, "Which attempt of that run"),
    HOLDER_TEXT(job, 255, "The job"),
    HOLDER_TEXT(actor, 128, "Who started it"),
    {.name = "link",
     .kind = FIELD_TEXT,
     .offset = offsetof(Holder, link),
     .min = 1,
     .max = URL_MAX,
     .check = rule_link,
     .doc = "Where to look at it: http or https"},
    HOLDER_TEXT(note, NOTE_MAX, "Anything else worth telling"),
};
const FieldTable holder_fields = {.name = "Holder",
                                  .rows = holder_rows,
                                  .count = COUNT_OF(holder_rows),
                                  .size = sizeof(Holder),
                                  .has_presence = true,
                                  .presence = offsetof(Command, has_holder)};
#define HOLDER                                                                                                         \
    {                                                                                                                  \
        .name = "holder", .kind = FIELD_OBJECT, .offset = offsetof(Command, holder), .of = &holder_fields,             \
        .doc = "Who asks, shown to people; at most 2048 bytes in all"                                                  \
    }

/* ---- requests and leases ---- */

static const Field request_stack_rows[] = {
    TEXT("branch", branch, .min = 1, .max = BRANCH_MAX, .check = rule_branch,
         .doc = "The branch to deploy; `main` when absent"),
    COMMIT("commit", commit,
           .doc = "The commit to deploy: of several stacks with the branch, the one that has it is chosen"),
    REQUEST_ID(.doc = "A random name of this request, which makes repeating it safe"),
    INTEGER("leaseSeconds", lease_seconds, .min = LEASE_SECONDS_MIN, .max = LEASE_SECONDS_MAX,
            .doc = "Asks for a bound lease: it ends unless it is renewed within so many seconds"),
    INTEGER("waitSeconds", wait_seconds, .min = 0, .max = WAIT_SECONDS_MAX,
            .doc = "How long the answer may take while no stack is free (long poll)"),
    CHOICE(
        "ifNone", if_none, if_none_names, .min = IF_NONE_WAIT, .fallback = IF_NONE_DEFAULT,
        .doc =
            "What to do when no stack is free: `wait` in the queue, which needs a requestId, or `fail`. Absent: `wait` "
            "when requestId and waitSeconds > 0 are sent, else `fail`"),
    CHOICE("purpose", purpose, purpose_names, .fallback = PURPOSE_TEST,
           .doc = "`clean` asks for a dirty stack to clean: the one dirty longest"),
    HOLDER,
};
const FieldTable request_stack_command = TABLE("RequestStack", request_stack_rows);

static const Field join_request_rows[] = {
    REQUEST_ID(.is_required = true, .doc = "The request to join"),
    HOLDER,
};
const FieldTable join_request_command = TABLE("JoinRequest", join_request_rows);

static const Field renew_lease_rows[] = {
    TEXT("lease", lease, .min = 1, .max = KEY_TEXT_MAX, .is_required = true, .doc = "The secret of the lease"),
    INTEGER("leaseSeconds", lease_seconds, .min = LEASE_SECONDS_MIN, .max = LEASE_SECONDS_MAX,
            .doc = "The lease then lasts at least so long from now; absent: the length it was asked for with"),
};
const FieldTable renew_lease_command = TABLE("RenewLease", renew_lease_rows);

static const Field set_last_deployed_commit_rows[] = {
    STACK_NAME(.is_required = true, .doc = "The stack that was deployed"),
    COMMIT("lastDeployedCommit", last_deployed_commit, .is_required = true, .doc = "The commit that is on it now"),
    LEASE,
    TEXT("url", url, .min = 1, .max = URL_MAX, .check = rule_link, .doc = "Where the stack answers: http or https"),
};
const FieldTable set_last_deployed_commit_command =
    TABLE("SetLastDeployedCommit", set_last_deployed_commit_rows, .refuses_unknown = true);

static const Field release_stack_rows[] = {
    STACK_NAME(.is_required = true, .doc = "The stack to give back"),
    LEASE,
    CHOICE("outcome", outcome, release_outcome_names, .fallback = RELEASE_OK,
           .doc = "How the holder leaves it: `broken` takes it out of use until an operator restores it"),
    TEXT("note", note, .max = NOTE_MAX, .check = rule_one_line, .doc = "A word for the history"),
};
const FieldTable release_stack_command = TABLE("ReleaseStack", release_stack_rows);

static const Field cancel_request_rows[] = {
    REQUEST_ID(.is_required = true, .doc = "The request that is not wanted any more"),
};
const FieldTable cancel_request_command = TABLE("CancelRequest", cancel_request_rows);

/* ---- stacks ---- */

static const Field list_stacks_rows[] = {
    INTEGER("after", after, .min = 0, .max = EXACT_NUMBER_MAX, .doc = "Only stacks with a higher number"),
    INTEGER("limit", limit, .min = 1, .max = STACK_COUNT_MAX, .doc = "At most so many; all when absent"),
    WHOSE_PROJECT,
};
const FieldTable list_stacks_command = TABLE("ListStacks", list_stacks_rows);

const FieldTable delete_last_stack_command = {.name = "DeleteLastStack", .size = sizeof(Command)};

static const Field list_queue_rows[] = {
    INTEGER("after", after, .min = 0, .max = EXACT_NUMBER_MAX, .doc = "Only requests with a higher ticket"),
    INTEGER("limit", limit, .min = 1, .max = STACK_COUNT_MAX, .doc = "At most so many; all when absent"),
    WHOSE_PROJECT,
};
const FieldTable list_queue_command = TABLE("ListQueue", list_queue_rows);

static const Field list_events_rows[] = {
    INTEGER("after", after, .min = 0, .max = EXACT_NUMBER_MAX,
            .doc = "Only events with a higher id; absent: the latest ones"),
    INTEGER("limit", limit, .min = 1, .max = EVENT_PAGE_MAX, .doc = "At most so many; 200 when absent"),
    STACK_NAME(.doc = "Only events of this stack"),
    WHOSE_PROJECT,
};
const FieldTable list_events_command = TABLE("ListEvents", list_events_rows);

static const Field change_stack_rows[] = {
    STACK_NAME(.is_required = true, .doc = "Which stack"),
    {.name = "now",
     .kind = FIELD_BOOLEAN,
     .offset = offsetof(Command, now),
     .doc = "It rests no longer, whatever its last holder is doing"},
    REASON,
    WHOSE_PROJECT,
};
const FieldTable change_stack_command = TABLE("ChangeStack", change_stack_rows);

static const Field annotate_stack_rows[] = {
    STACK_NAME(.is_required = true, .doc = "Which stack"),
    TEXT("note", note, .is_required = true, .max = NOTE_MAX, .check = rule_one_line,
         .doc = "What people should know about it; empty clears it"),
    WHOSE_PROJECT,
};
const FieldTable annotate_stack_command = TABLE("AnnotateStack", annotate_stack_rows);

static const Field force_release_stack_rows[] = {
    STACK_NAME(.is_required = true, .doc = "Which stack"),
    CHOICE("outcome", outcome, release_outcome_names, .fallback = RELEASE_DIRTY,
           .doc = "In what shape it is presumed to be"),
    {.name = "now",
     .kind = FIELD_BOOLEAN,
     .offset = offsetof(Command, now),
     .doc = "The stack is free at once, whatever its holder is doing. Else it rests until the holder has stopped"},
    REASON,
    WHOSE_PROJECT,
};
const FieldTable force_release_stack_command = TABLE("ForceReleaseStack", force_release_stack_rows);

/* ---- control socket ---- */

#define PREFIX                                                                                                         \
    TEXT("prefix", prefix, .min = 1, .max = PREFIX_MAX, .check = rule_prefix,                                          \
         .doc = "What its stacks' names start with; `test-` for a new project. Fixed while stacks exist")
#define MAX_HOLD                                                                                                       \
    INTEGER("maxHoldSeconds", max_hold_seconds, .min = HOLD_SECONDS_MIN, .max = HOLD_SECONDS_MAX,                      \
            .doc = "How long a bound lease may last in all; 86400 for a new project")
#define EXPIRY_GRACE                                                                                                   \
    INTEGER("expiryGraceSeconds", expiry_grace_seconds, .min = 0, .max = GRACE_SECONDS_MAX,                            \
            .doc = "How long a lost stack stays quiet; 15 for a new project")
#define CLEANING                                                                                                       \
    CHOICE("cleaning", cleaning, switch_names, .min = SWITCH_OFF, .fallback = SWITCH_UNSET,                            \
           .doc = "Whether dirty stacks wait for a cleaner; `off` for a new project")

static const Field create_project_rows[] = {
    PROJECT(.is_required = true, .doc = "Its name, for ever"),
    PREFIX,
    COMMIT("initialCommit", initial_commit,
           .doc = "What requestStack tells as the commit of a stack nobody deployed to"),
    INTEGER("maxStacks", max_stacks, .min = 1, .max = STACK_COUNT_MAX,
            .doc = "At most so many stacks; unbounded when absent"),
    MAX_HOLD,
    EXPIRY_GRACE,
    CLEANING,
};
const FieldTable create_project_command = TABLE("CreateProject", create_project_rows);

static const Field update_project_rows[] = {
    PROJECT(.is_required = true, .doc = "Which project; what else is absent stays as it is"),
    PREFIX,
    TEXT("initialCommit", initial_commit, .max = COMMIT_MAX, .check = rule_commit,
         .doc = "What requestStack tells as the commit of a stack nobody deployed to; empty takes it away"),
    INTEGER("maxStacks", max_stacks, .min = 0, .max = STACK_COUNT_MAX,
            .doc = "At most so many stacks; 0 for unbounded. Present stacks stay"),
    MAX_HOLD,
    EXPIRY_GRACE,
    CLEANING,
};
const FieldTable update_project_command = TABLE("UpdateProject", update_project_rows);

const FieldTable list_projects_command = {.name = "ListProjects", .size = sizeof(Command)};

static const Field project_rows[] = {PROJECT(.is_required = true, .doc = "Which project")};
const FieldTable project_command = TABLE("NameProject", project_rows);

static const Field create_key_rows[] = {
    PROJECT(.is_required = true, .doc = "The project it opens"),
    KEY_SCOPE,
    LABEL,
};
const FieldTable create_key_command = TABLE("CreateKey", create_key_rows);

static const Field import_key_rows[] = {
    PROJECT(.is_required = true, .doc = "The project it opens"),
    TEXT("secret", key_secret, .is_required = true, .min = KEY_TEXT_MIN, .max = IMPORTED_KEY_MAX,
         .check = rule_key_text, .doc = "The whole text of a key that clients have already"),
    KEY_SCOPE,
    LABEL,
};
const FieldTable import_key_command = TABLE("ImportKey", import_key_rows);

static const Field revoke_key_rows[] = {
    PROJECT(.is_required = true, .doc = "Whose key"),
    TEXT("keyId", key_id, .is_required = true, .min = 1, .max = KEY_ID_MAX, .check = rule_key_id, .doc = "Which key"),
};
const FieldTable revoke_key_command = TABLE("RevokeKey", revoke_key_rows);

static const Field backup_rows[] = {
    TEXT("path", path, .is_required = true, .min = 1, .max = PATH_BYTES_MAX, .check = rule_path,
         .doc = "Where the copy goes, on the coordinator's machine; must not exist"),
};
const FieldTable backup_command = TABLE("Backup", backup_rows);
