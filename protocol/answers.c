/*
 * What operations answer: fields of struct Answer, the rows of lists, problems. Invariant: a member that is required here
 * is in every such answer; the original's members keep the original's names.
 */
#include "protocol/messages.h"
#include "protocol/tables.h"

#include "base/limits.h"

/* clang-format off */
#define TABLE(table_name, of_struct, table_rows, ...) \
    {.name = (table_name), .rows = (table_rows), .count = COUNT_OF(table_rows), .size = sizeof(of_struct), __VA_ARGS__}
#define TEXT(member_name, of_struct, member, bytes, ...) \
    {.name = (member_name), .kind = FIELD_TEXT, .offset = offsetof(of_struct, member), .max = (bytes), __VA_ARGS__}
#define INTEGER(member_name, of_struct, member, ...) \
    {.name = (member_name), .kind = FIELD_INTEGER, .offset = offsetof(of_struct, member), .fallback = FIELD_ABSENT, __VA_ARGS__}
#define BOOLEAN(member_name, of_struct, member, ...) \
    {.name = (member_name), .kind = FIELD_BOOLEAN, .offset = offsetof(of_struct, member), .is_required = true, __VA_ARGS__}
#define TIME(member_name, of_struct, member, ...) \
    {.name = (member_name), .kind = FIELD_TIME, .offset = offsetof(of_struct, member), __VA_ARGS__}
#define JSON(member_name, of_struct, member, ...) \
    {.name = (member_name), .kind = FIELD_JSON, .offset = offsetof(of_struct, member), __VA_ARGS__}
/* clang-format on */

#define WORD_MAX 64
#define DETAIL_MAX 2048 /* a sentence, and an operator's reason in it */
#define SECRET_MAX KEY_TEXT_MAX

/* ---- grants ---- */

static const Field lease_rows[] = {
    TEXT("id", LeaseAnswer, id, WORD_MAX, .is_required = true, .doc = "The lease's number, the one lists show"),
    TEXT("secret", LeaseAnswer, secret, SECRET_MAX, .is_required = true,
         .doc = "What ends and changes the lease: keep it from logs"),
    INTEGER("generation", LeaseAnswer, generation, .is_required = true,
            .doc = "The fencing number: higher than any the project gave before"),
    TIME("expires", LeaseAnswer, expires_ms, .doc = "When it ends unless renewed, for people; only of a bound lease"),
    INTEGER("expiresInSeconds", LeaseAnswer, expires_in_seconds,
            .doc = "The same for programs, who count from before they sent"),
};
static const FieldTable lease_answer_fields =
    TABLE("Lease", LeaseAnswer, lease_rows, .has_presence = true, .presence = offsetof(Answer, has_lease));

static const Field granted_rows[] = {
    TEXT("stackName", Answer, stack_name, STACK_NAME_MAX, .is_required = true, .doc = "The stack that is yours"),
    TEXT("lastDeployedCommit", Answer, last_deployed_commit, COMMIT_MAX,
         .doc = "The commit on it; absent when that is not known"),
    TEXT("url", Answer, url, URL_MAX, .doc = "Where it answers, if a deploy said so"),
    BOOLEAN("reused", Answer, is_reused, .doc = "Whether it held this branch already"),
    {.name = "lease",
     .kind = FIELD_OBJECT,
     .offset = offsetof(Answer, lease),
     .of = &lease_answer_fields,
     .doc = "Only when leaseSeconds or requestId was sent"},
};
const FieldTable granted_answer = TABLE("Granted", Answer, granted_rows);

static const Field queued_rows[] = {
    BOOLEAN("queued", Answer, is_queued, .doc = "Always true"),
    INTEGER("position", Answer, position, .is_required = true, .doc = "1 is the next to be served"),
    INTEGER("retryAfterSeconds", Answer, retry_after_seconds, .is_required = true, .doc = "When to ask again"),
};
const FieldTable queued_fields = TABLE("Queued", Answer, queued_rows);

static const Field renewed_rows[] = {
    TIME("expires", Answer, lease.expires_ms, .doc = "When it ends unless renewed, for people; only of a bound lease"),
    INTEGER("expiresInSeconds", Answer, lease.expires_in_seconds,
            .doc = "The same for programs, who count from before they sent"),
};
const FieldTable renewed_answer = TABLE("Renewed", Answer, renewed_rows);

#define MESSAGE TEXT("message", Answer, message, DETAIL_MAX, .is_required = true, .doc = "What was done, for people")

static const Field message_rows[] = {MESSAGE};
const FieldTable message_answer = TABLE("Message", Answer, message_rows);

static const Field cancelled_rows[] = {
    TEXT(
        "result", Answer, result, WORD_MAX, .is_required = true,
        .doc =
            "`stored`: unknown until now, it will never get a stack; `ended`: its lease was ended; `over`: it was over "
            "before by another cause; `removed`: it waited, and does no longer"),
    MESSAGE,
};
const FieldTable cancelled_answer = TABLE("Cancelled", Answer, cancelled_rows);

/* ---- projects and keys ---- */

#define KEY_TEXT TEXT("key", Answer, key, SECRET_MAX, .is_required = true, .doc = "The key itself, shown this once")
#define KEY_ID                                                                                                         \
    TEXT("keyId", Answer, key_id, WORD_MAX, .is_required = true, .doc = "Its name in lists and for revokeKey")
#define KEY_SCOPE                                                                                                      \
    {                                                                                                                  \
        .name = "scope", .kind = FIELD_CHOICE, .offset = offsetof(Answer, key_scope), .is_required = true,             \
        .choices = key_scope_names, .min = SCOPE_READ, .doc = "What it may do"                                         \
    }

static const Field project_created_rows[] = {
    TEXT("project", Answer, project_name, PROJECT_NAME_MAX, .is_required = true, .doc = "The new project"),
    KEY_TEXT,
};
const FieldTable project_created_answer = TABLE("ProjectCreated", Answer, project_created_rows);

static const Field key_created_rows[] = {KEY_TEXT, KEY_ID, KEY_SCOPE};
const FieldTable key_created_answer = TABLE("KeyCreated", Answer, key_created_rows);

static const Field key_imported_rows[] = {KEY_ID, KEY_SCOPE};
const FieldTable key_imported_answer = TABLE("KeyImported", Answer, key_imported_rows);

/* ---- lists ---- */

static const Field stack_lease_rows[] = {
    TEXT("id", StackLease, id, WORD_MAX, .is_required = true, .doc = "The lease's number"),
    INTEGER("generation", StackLease, generation, .is_required = true, .doc = "Its fencing number"),
    JSON("holder", StackLease, holder_json, .doc = "Who asked for it, as sent (Holder)"),
    TIME("since", StackLease, since_ms, .is_required = true, .doc = "When it was granted"),
    TIME("expires", StackLease, expires_ms, .doc = "When it ends unless renewed"),
};
static const FieldTable stack_lease_fields =
    TABLE("StackLease", StackLease, stack_lease_rows, .has_presence = true, .presence = offsetof(StackItem, has_lease));

/* The original's members first. */
static const Field stack_item_rows[] = {
    TIME("created", StackItem, created_ms, .is_required = true, .doc = "When it was made"),
    TIME("modified", StackItem, modified_ms, .is_required = true, .doc = "When anything about it last changed"),
    TEXT("entity", StackItem, entity, WORD_MAX, .is_required = true, .doc = "Always `Stack`"),
    TEXT("stackName", StackItem, stack_name, STACK_NAME_MAX, .is_required = true, .doc = "Its name: prefix and number"),
    BOOLEAN("isAvailable", StackItem, is_available, .doc = "Whether a request may get it now: available and not quiet"),
    TEXT("branch", StackItem, branch, BRANCH_MAX, .doc = "The branch it was last given to"),
    TEXT("lastDeployedCommit", StackItem, last_deployed_commit, COMMIT_MAX, .doc = "The commit on it, if one is known"),
    INTEGER("number", StackItem, number, .is_required = true, .doc = "Its number"),
    TEXT("state", StackItem, state, WORD_MAX, .is_required = true, .doc = "See the states"),
    BOOLEAN("quiet", StackItem, is_quiet, .doc = "Whether it still rests: its lease was lost or ended by an operator"),
    TIME("requested", StackItem, requested_ms, .is_required = true, .doc = "When it was last given to somebody"),
    TEXT("url", StackItem, url, URL_MAX, .doc = "Where it answers"),
    TEXT("note", StackItem, note, NOTE_MAX, .doc = "What people should know about it"),
    {.name = "lease",
     .kind = FIELD_OBJECT,
     .offset = offsetof(StackItem, lease),
     .of = &stack_lease_fields,
     .doc = "The lease it is held under; absent when nobody has it"},
};
const FieldTable stack_item_fields = TABLE("Stack", StackItem, stack_item_rows);

static const Field queue_item_rows[] = {
    INTEGER("ticket", QueueItem, ticket, .is_required = true, .doc = "Its place in the order of arrival"),
    INTEGER("position", QueueItem, position,
            .doc = "1 is the next to be served; absent: not heard of for a while, and passed over"),
    TEXT("purpose", QueueItem, purpose, WORD_MAX, .is_required = true, .doc = "test or clean, each a queue of its own"),
    TEXT("branch", QueueItem, branch, BRANCH_MAX, .doc = "The branch it wants"),
    TIME("since", QueueItem, since_ms, .is_required = true, .doc = "When it came"),
    JSON("holder", QueueItem, holder_json, .doc = "Who asks, as sent (Holder)"),
};
const FieldTable queue_item_fields = TABLE("QueueItem", QueueItem, queue_item_rows);

static const Field event_item_rows[] = {
    INTEGER("id", EventItem, id, .is_required = true, .doc = "1, 2, … in the project"),
    TIME("at", EventItem, at_ms, .is_required = true, .doc = "When"),
    TEXT("kind", EventItem, kind, WORD_MAX, .is_required = true,
         .doc =
             "queued, granted, joined, deployed, released, expired, forced, cancelled, abandoned, uncollected, rested, "
             "deleted, retired, quarantined, restored, annotated, "
             "project-created, project-updated, project-deleted, key-created, key-revoked"),
    TEXT("stackName", EventItem, stack_name, STACK_NAME_MAX, .doc = "The stack; absent when it is about the project"),
    INTEGER("generation", EventItem, generation, .doc = "The fencing number of the lease it is about"),
    TEXT("branch", EventItem, branch, BRANCH_MAX, .doc = "The branch"),
    TEXT("commit", EventItem, commit, COMMIT_MAX, .doc = "The commit"),
    TEXT("by", EventItem, by, KEY_TEXT_MAX,
         .doc =
             "Who did it: a key's id, `lease`, `control`, `coordinator` for what time and the queue do, or `import`"),
    TEXT("outcome", EventItem, outcome, WORD_MAX, .doc = "Of a release: ok, dirty, broken"),
    TEXT("note", EventItem, note, NOTE_MAX,
         .doc = "The note or reason that was given, or the coordinator's own words: created, waited 2s"),
    JSON("holder", EventItem, holder_json, .doc = "Who asked, as sent (Holder)"),
};
const FieldTable event_item_fields = TABLE("Event", EventItem, event_item_rows);

static const Field project_item_rows[] = {
    TEXT("project", ProjectItem, project_name, PROJECT_NAME_MAX, .is_required = true, .doc = "Its name"),
    TEXT("prefix", ProjectItem, prefix, PREFIX_MAX, .is_required = true, .doc = "What its stacks' names start with"),
    TEXT("initialCommit", ProjectItem, initial_commit, COMMIT_MAX,
         .doc = "The commit told for stacks nobody deployed to"),
    INTEGER("maxStacks", ProjectItem, max_stacks, .doc = "At most so many stacks; absent: unbounded"),
    INTEGER("maxHoldSeconds", ProjectItem, max_hold_seconds, .is_required = true,
            .doc = "How long a bound lease may last"),
    INTEGER("expiryGraceSeconds", ProjectItem, expiry_grace_seconds, .is_required = true,
            .doc = "How long a lost stack rests"),
    TEXT("cleaning", ProjectItem, cleaning, WORD_MAX, .is_required = true, .doc = "off or on"),
    INTEGER("stacks", ProjectItem, stacks, .is_required = true, .doc = "How many it has, in all states"),
    TIME("created", ProjectItem, created_ms, .is_required = true, .doc = "When it was made"),
};
const FieldTable project_item_fields = TABLE("Project", ProjectItem, project_item_rows);

static const Field key_item_rows[] = {
    TEXT("keyId", KeyItem, key_id, WORD_MAX, .is_required = true, .doc = "Its name"),
    TEXT("project", KeyItem, project_name, PROJECT_NAME_MAX, .is_required = true, .doc = "The project it opens"),
    TEXT("scope", KeyItem, scope, WORD_MAX, .is_required = true, .doc = "read, agent or operator"),
    TEXT("label", KeyItem, label, LABEL_MAX, .doc = "What people call it"),
    TIME("created", KeyItem, created_ms, .is_required = true, .doc = "When it was made or imported"),
    TIME("lastUsed", KeyItem, last_used_ms, .doc = "About when it was last used; absent: never"),
    TIME("revoked", KeyItem, revoked_ms, .doc = "When it was revoked"),
};
const FieldTable key_item_fields = TABLE("Key", KeyItem, key_item_rows);

#define ITEMS(member_name, table)                                                                                      \
    {                                                                                                                  \
        .name = (member_name), .kind = FIELD_LIST, .offset = offsetof(ListPage, items), .is_required = true,           \
        .of = &(table)                                                                                                 \
    }
#define NEXT INTEGER("next", ListPage, next, .doc = "There is more: send it as `after`")

static const Field stack_page_rows[] = {ITEMS("stacks", stack_item_fields), NEXT};
static const Field queue_page_rows[] = {ITEMS("queue", queue_item_fields), NEXT};
static const Field event_page_rows[] = {ITEMS("events", event_item_fields), NEXT};
static const Field project_page_rows[] = {ITEMS("projects", project_item_fields)};
static const Field key_page_rows[] = {ITEMS("keys", key_item_fields)};
const FieldTable stack_page = TABLE("StackPage", ListPage, stack_page_rows);
const FieldTable queue_page = TABLE("QueuePage", ListPage, queue_page_rows);
const FieldTable event_page = TABLE("EventPage", ListPage, event_page_rows);
const FieldTable project_page = TABLE("ProjectList", ListPage, project_page_rows);
const FieldTable key_page = TABLE("KeyList", ListPage, key_page_rows);

/* ---- problems ---- */

static const Field problem_rows[] = {
    TEXT("type", Problem, type, KEY_TEXT_MAX, .is_required = true,
         .doc = "`urn:stack-orchestrator:problem:` and the code"),
    TEXT("title", Problem, title, KEY_TEXT_MAX, .is_required = true,
         .doc = "What went wrong, the same for every such problem"),
    INTEGER("status", Problem, status, .is_required = true, .doc = "The HTTP status, on nng too"),
    TEXT("detail", Problem, detail, DETAIL_MAX, .is_required = true,
         .doc = "What went wrong this time, and the way out"),
    TEXT("code", Problem, code, WORD_MAX, .is_required = true, .doc = "What programs look at: see the outcomes"),
    TEXT("message", Problem, message, DETAIL_MAX, .is_required = true,
         .doc = "The detail again, for clients that print this"),
    TEXT("field", Problem, field, KEY_TEXT_MAX, .doc = "The field at fault, if one is: `holder.link`"),
    TEXT("why", Problem, why, WORD_MAX,
         .doc = "Of a 410: released, expired, forced, cancelled, abandoned or uncollected"),
    TIME("at", Problem, at_ms, .doc = "Of a 410: when it ended"),
    TEXT("by", Problem, by, KEY_TEXT_MAX,
         .doc = "Of a 410: who ended it: a key's id, `lease`, `control`, or `coordinator` where time did"),
    TEXT("reason", Problem, reason, NOTE_MAX, .doc = "Of a 410: the operator's, if one was given"),
    JSON("holder", Problem, holder_json, .doc = "Who has the stack now, if known (Holder)"),
    INTEGER("generation", Problem, generation, .doc = "The fencing number it is held under now"),
    TIME("expires", Problem, expires_ms, .doc = "Of `lease-required`: when that lease ends, unless it is renewed"),
};
const FieldTable problem_fields = TABLE("Problem", Problem, problem_rows);
