/*
 * What is a time ends in Ms: milliseconds since 1970. What may be absent is a text, or leaseSeconds of a request. A member
 * that a version adds makes a new version of the format: nothing is read over.
 */
#include "transfer/lines.h"

#include "base/json_guard.h"
#include "base/limits.h"
#include "protocol/rules.h"

const char *const transfer_kind_names[] = {
    [STORED_PROJECT] = "project", [STORED_KEY] = "key",     [STORED_STACK] = "stack",
    [STORED_REQUEST] = "request", [STORED_EVENT] = "event", [STORED_KINDS] = NULL,
};

/* A choice is read and written as an int. */
_Static_assert(sizeof(StackState) == sizeof(int) && sizeof(RequestState) == sizeof(int) &&
                   sizeof(RequestWhy) == sizeof(int) && sizeof(StoredKind) == sizeof(int),
               "enumerations are ints");

/* It goes into answers as it is. */
static const char *check_holder(Slice text) {
    OWN(json_decrefp) json_t *holder = NULL;
    JsonProblem problem;
    bool is_object = json_parse(text, JSON_DEPTH_MAX, &holder, &problem) == 0 && json_is_object(holder);
    return is_object ? NULL : "must be a JSON object";
}

/* clang-format off */
#define MEMBER(member_name, member_kind, member, ...) \
    {.name = (member_name), .kind = (member_kind), .offset = offsetof(StoredRow, member), __VA_ARGS__}
#define TEXT(member_name, member, bytes, rule) MEMBER(member_name, FIELD_TEXT, member, .max = (bytes), .check = (rule))
#define NAME(member_name, member, bytes, rule) \
    MEMBER(member_name, FIELD_TEXT, member, .is_required = true, .min = 1, .max = (bytes), .check = (rule))
#define NUMBER(member_name, member, least, most) \
    MEMBER(member_name, FIELD_INTEGER, member, .is_required = true, .min = (least), .max = (most))
#define COUNT(member_name, member) NUMBER(member_name, member, 0, ROW_NUMBER_MAX)
#define EXACT(member_name, member) NUMBER(member_name, member, 0, EXACT_NUMBER_MAX)
#define FLAG(member_name, member) MEMBER(member_name, FIELD_BOOLEAN, member, .is_required = true)
#define CHOICE(member_name, member, names) \
    MEMBER(member_name, FIELD_CHOICE, member, .is_required = true, .choices = (names))
#define HASH(member_name, member) MEMBER(member_name, FIELD_HEX, member, .is_required = true, .max = 32)
#define HOLDER(member) TEXT("holder", member, HOLDER_MAX, check_holder)
#define ROW CHOICE("row", kind, transfer_kind_names), NAME("project", project, PROJECT_NAME_MAX, rule_project)
/* clang-format on */

static const Field project_rows[] = {
    ROW,
    FLAG("isDeleted", as.project.is_deleted),
    NAME("prefix", as.project.prefix, PREFIX_MAX, rule_prefix),
    TEXT("initialCommit", as.project.initial_commit, COMMIT_MAX, rule_commit),
    COUNT("maxStacks", as.project.max_stacks),
    COUNT("maxHoldSeconds", as.project.max_hold_seconds),
    COUNT("expiryGraceSeconds", as.project.expiry_grace_seconds),
    FLAG("isCleaning", as.project.is_cleaning),
    HASH("leaseKey", as.project.lease_key),
    EXACT("createdMs", as.project.created_ms),
    COUNT("stackCount", as.project.stack_count),
    COUNT("leasedCount", as.project.leased_count),
    COUNT("queuedCount", as.project.queued_count),
    COUNT("firstUnused", as.project.first_unused),
    EXACT("lastGeneration", as.project.last_generation),
    COUNT("lastTicket", as.project.last_ticket),
    COUNT("lastEvent", as.project.last_event),
};

static const Field key_rows[] = {
    ROW,
    NAME("id", as.key.id, KEY_TEXT_MAX, rule_key_id),
    CHOICE("scope", as.key.scope, key_scope_names),
    HASH("hash", as.key.hash),
    TEXT("label", as.key.label, LABEL_MAX, rule_one_line),
    EXACT("createdMs", as.key.created_ms),
    EXACT("lastUsedMs", as.key.last_used_ms),
    EXACT("revokedMs", as.key.revoked_ms),
};

static const Field stack_rows[] = {
    ROW,
    NUMBER("number", as.stack.number, 1, ROW_NUMBER_MAX),
    NAME("stackName", as.stack.name, STACK_NAME_MAX, rule_stack_name),
    CHOICE("state", as.stack.state, stack_state_names),
    TEXT("branch", as.stack.branch, BRANCH_MAX, rule_branch),
    TEXT("lastDeployedCommit", as.stack.last_commit, COMMIT_MAX, rule_commit),
    FLAG("isContentUnknown", as.stack.is_content_unknown),
    EXACT("requested", as.stack.requested),
    EXACT("requestedMs", as.stack.requested_ms),
    EXACT("createdMs", as.stack.created_ms),
    EXACT("modifiedMs", as.stack.modified_ms),
    TEXT("url", as.stack.url, URL_MAX, rule_link),
    TEXT("note", as.stack.note, NOTE_MAX, rule_one_line),
    COUNT("ticket", as.stack.ticket),
    EXACT("generation", as.stack.generation),
    COUNT("leaseSeconds", as.stack.lease_seconds),
    EXACT("sinceMs", as.stack.since_ms),
    FLAG("isCollected", as.stack.is_collected),
    TEXT("beforeBranch", as.stack.before.branch, BRANCH_MAX, rule_branch),
    EXACT("beforeRequested", as.stack.before.requested),
    EXACT("beforeRequestedMs", as.stack.before.requested_ms),
    CHOICE("purpose", as.stack.purpose, purpose_names),
    HOLDER(as.stack.holder_json),
    EXACT("quietUntilMs", as.stack.quiet_until_ms),
    COUNT("quietSeconds", as.stack.quiet_seconds),
    COUNT("quietUntoldSeconds", as.stack.quiet_untold_seconds),
    COUNT("quietTicket", as.stack.quiet_ticket),
    EXACT("dirtySince", as.stack.dirty_since),
    COUNT("cleanFailures", as.stack.clean_failures),
};

static const Field request_rows[] = {
    ROW,
    NUMBER("ticket", as.request.ticket, 1, ROW_NUMBER_MAX),
    TEXT("requestId", as.request.request_id, REQUEST_ID_MAX, rule_request_id),
    CHOICE("state", as.request.state, request_state_names),
    FLAG("isHeard", as.request.is_heard),
    CHOICE("why", as.request.why, request_why_names),
    TEXT("branch", as.request.branch, BRANCH_MAX, rule_branch),
    TEXT("commit", as.request.commit, COMMIT_MAX, rule_commit),
    MEMBER("leaseSeconds", FIELD_INTEGER, as.request.lease_seconds, .min = 0, .max = ROW_NUMBER_MAX,
           .fallback = FIELD_ABSENT),
    CHOICE("purpose", as.request.purpose, purpose_names),
    HOLDER(as.request.holder_json),
    EXACT("createdMs", as.request.created_ms),
    COUNT("stackNumber", as.request.stack_number),
    TEXT("stackName", as.request.stack_name, STACK_NAME_MAX, rule_stack_name),
    EXACT("generation", as.request.generation),
    FLAG("isReused", as.request.is_reused),
    FLAG("fromQueue", as.request.from_queue),
    FLAG("isJoined", as.request.is_joined),
    EXACT("endedMs", as.request.ended_ms),
    TEXT("endedBy", as.request.ended_by, FIELD_TEXT_MAX, rule_one_line),
    TEXT("endedReason", as.request.ended_reason, NOTE_MAX, rule_one_line),
    CHOICE("outcome", as.request.outcome, release_outcome_names),
};

static const Field event_rows[] = {
    ROW,
    NUMBER("id", as.event.id, 1, ROW_NUMBER_MAX),
    EXACT("atMs", as.event.at_ms),
    CHOICE("kind", as.event.kind, event_kind_names),
    COUNT("stackNumber", as.event.stack_number),
    TEXT("stackName", as.event.stack_name, STACK_NAME_MAX, rule_stack_name),
    EXACT("generation", as.event.generation),
    TEXT("branch", as.event.branch, BRANCH_MAX, rule_branch),
    TEXT("commit", as.event.commit, COMMIT_MAX, rule_commit),
    TEXT("by", as.event.by, FIELD_TEXT_MAX, rule_one_line),
    TEXT("outcome", as.event.outcome, FIELD_TEXT_MAX, rule_one_line),
    TEXT("note", as.event.note, FIELD_TEXT_MAX, rule_one_line),
    HOLDER(as.event.holder_json),
};

#define TABLE(table_name, table_rows)                                                                                  \
    {                                                                                                                  \
        .name = (table_name), .rows = (table_rows), .count = COUNT_OF(table_rows), .size = sizeof(StoredRow),          \
        .refuses_unknown = true                                                                                        \
    }
const FieldTable transfer_row_fields[STORED_KINDS] = {
    [STORED_PROJECT] = TABLE("project", project_rows), [STORED_KEY] = TABLE("key", key_rows),
    [STORED_STACK] = TABLE("stack", stack_rows),       [STORED_REQUEST] = TABLE("request", request_rows),
    [STORED_EVENT] = TABLE("event", event_rows),
};

static const Field header_rows[] = {
    {.name = "format",
     .kind = FIELD_TEXT,
     .offset = offsetof(TransferHeader, format),
     .is_required = true,
     .max = FIELD_TEXT_MAX},
    {.name = "version", .kind = FIELD_INTEGER, .offset = offsetof(TransferHeader, version), .is_required = true},
    {.name = "program", .kind = FIELD_TEXT, .offset = offsetof(TransferHeader, program), .check = rule_one_line},
};
const FieldTable transfer_header_fields = {
    .name = "header", .rows = header_rows, .count = COUNT_OF(header_rows), .size = sizeof(TransferHeader)};

#define TOTAL(member_name, stored)                                                                                     \
    {                                                                                                                  \
        .name = (member_name), .kind = FIELD_INTEGER, .offset = offsetof(TransferCounts, rows[stored]),                \
        .is_required = true                                                                                            \
    }
static const Field end_rows[] = {
    TOTAL("projects", STORED_PROJECT), TOTAL("keys", STORED_KEY),     TOTAL("stacks", STORED_STACK),
    TOTAL("requests", STORED_REQUEST), TOTAL("events", STORED_EVENT),
};
const FieldTable transfer_end_fields = {
    .name = "end", .rows = end_rows, .count = COUNT_OF(end_rows), .size = sizeof(TransferCounts)};
