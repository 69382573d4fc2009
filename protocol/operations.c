/*
 * The operations. Invariant: one row each, in the order of the enum, which is also the order of every document.
 */
#include "protocol/operations.h"

#include <assert.h>

#include "protocol/tables.h"

#define REFUSALS(...) ((const Outcome[]){__VA_ARGS__, OUTCOME_DONE})
#define NO_REFUSALS ((const Outcome[]){OUTCOME_DONE})

const char *const scope_names[] = {"none", "read", "agent", "operator", "admin", NULL};

const Outcome common_refusals[] = {
    OUTCOME_VALIDATION,   OUTCOME_UNAUTHENTICATED, OUTCOME_FORBIDDEN, OUTCOME_TOO_LARGE,         OUTCOME_BAD_JSON,
    OUTCOME_RATE_LIMITED, OUTCOME_INTERNAL,        OUTCOME_DRAINING,  OUTCOME_STORE_UNAVAILABLE, OUTCOME_DONE,
};

static const OperationRow operations[OP_COUNT] = {
    [OP_REQUEST_STACK] = {"requestStack", "POST", SCOPE_AGENT, OPERATION_RPC_NEEDS_REQUEST | OPERATION_MAY_QUEUE,
                          &request_stack_command, &granted_answer,
                          REFUSALS(OUTCOME_NONE_AVAILABLE, OUTCOME_REQUEST_OVER, OUTCOME_REQUEST_MISMATCH),
                          "Gives you a stack for a branch: one that holds the branch already, else the one least "
                          "recently requested, else "
                          "a new one. Repeating it with the same requestId never takes a second stack."},
    [OP_JOIN_REQUEST] = {"joinRequest", "POST", SCOPE_AGENT, OPERATION_MAY_QUEUE, &join_request_command,
                         &granted_answer, REFUSALS(OUTCOME_UNKNOWN_REQUEST, OUTCOME_REQUEST_OVER),
                         "Answers what requestStack answers now for a requestId: how the other jobs of a workflow "
                         "share one stack, and how "
                         "a restarted client finds its own again. Never takes a stack."},
    [OP_RENEW_LEASE] =
        {"renewLease", "POST", SCOPE_AGENT, OPERATION_LEASE_OPENS | OPERATION_ENDS_LEASES, &renew_lease_command,
         &renewed_answer, REFUSALS(OUTCOME_LEASE_LOST),
         "Keeps a bound lease: it then ends at the later of its present end and leaseSeconds from now, so "
         "several jobs may renew one lease. Collects a grant that was made from the queue."},
    [OP_SET_LAST_DEPLOYED_COMMIT] = {"setLastDeployedCommit", "POST", SCOPE_AGENT,
                                     OPERATION_LEASE_OPENS | OPERATION_RPC_NEEDS_LEASE | OPERATION_ENDS_LEASES,
                                     &set_last_deployed_commit_command, &message_answer,
                                     REFUSALS(OUTCOME_UNKNOWN_STACK, OUTCOME_LEASE_REQUIRED, OUTCOME_WRONG_STATE,
                                              OUTCOME_LEASE_LOST),
                                     "Notes which commit is on the stack now. Unknown fields are refused."},
    [OP_RELEASE_STACK] = {"releaseStack", "POST", SCOPE_AGENT,
                          OPERATION_LEASE_OPENS | OPERATION_RPC_NEEDS_LEASE | OPERATION_ENDS_LEASES,
                          &release_stack_command, &message_answer,
                          REFUSALS(OUTCOME_UNKNOWN_STACK, OUTCOME_LEASE_REQUIRED, OUTCOME_LEASE_LOST),
                          "Gives the stack back. Again by the same lease: the same answer, and the first outcome "
                          "counts. By name, of a stack "
                          "nobody holds: the same answer, and nothing changes."},
    [OP_CANCEL_REQUEST] =
        {"cancelRequest", "POST", SCOPE_AGENT, OPERATION_ENDS_LEASES, &cancel_request_command, &cancelled_answer,
         NO_REFUSALS,
         "Makes sure that a request has no stack and will get none, whether or not the coordinator has heard of it."},
    [OP_LIST_STACKS] = {"listStacks", "GET", SCOPE_READ, OPERATION_READS | OPERATION_NAMES_PROJECT,
                        &list_stacks_command, &stack_page, NO_REFUSALS, "Lists the stacks of the project by number."},
    [OP_DELETE_LAST_STACK] =
        {"deleteLastStack", "POST", SCOPE_AGENT, 0, &delete_last_stack_command, &message_answer, NO_REFUSALS,
         "Deletes the stack with the highest number. While somebody holds it, it only retires: still listed, gone once "
         "released."},
    [OP_LIST_QUEUE] =
        {"listQueue", "GET", SCOPE_READ, OPERATION_READS | OPERATION_NAMES_PROJECT, &list_queue_command, &queue_page,
         NO_REFUSALS,
         "Lists the requests that wait, in the order they will be served in; those that were not heard of "
         "for a while are passed over and have no position."},
    [OP_LIST_EVENTS] =
        {"listEvents", "GET", SCOPE_READ, OPERATION_READS | OPERATION_NAMES_PROJECT, &list_events_command, &event_page,
         NO_REFUSALS,
         "Lists what happened in the project, oldest first: grants, deploys, releases and operators' acts."},
    [OP_QUARANTINE_STACK] = {"quarantineStack", "POST", SCOPE_OPERATOR, OPERATION_NAMES_PROJECT, &change_stack_command,
                             &message_answer, REFUSALS(OUTCOME_UNKNOWN_STACK, OUTCOME_WRONG_STATE),
                             "Takes a stack out of use until restoreStack. A lease on it ends at once; the stack rests "
                             "until its holder has "
                             "stopped. Refused of a retiring stack."},
    [OP_RESTORE_STACK] =
        {"restoreStack", "POST", SCOPE_OPERATOR, OPERATION_NAMES_PROJECT, &change_stack_command, &message_answer,
         REFUSALS(OUTCOME_UNKNOWN_STACK, OUTCOME_WRONG_STATE),
         "Puts a quarantined or dirty stack back into use, `now: true` also one that still rests. Refused while it "
         "is leased."},
    [OP_ANNOTATE_STACK] = {"annotateStack", "POST", SCOPE_OPERATOR, OPERATION_NAMES_PROJECT, &annotate_stack_command,
                           &message_answer, REFUSALS(OUTCOME_UNKNOWN_STACK),
                           "Sets the note that lists show beside a stack."},
    [OP_FORCE_RELEASE_STACK] =
        {"forceReleaseStack", "POST", SCOPE_OPERATOR, OPERATION_NAMES_PROJECT | OPERATION_ENDS_LEASES,
         &force_release_stack_command, &message_answer, REFUSALS(OUTCOME_UNKNOWN_STACK, OUTCOME_WRONG_STATE),
         "Ends the lease of a stack against its holder's will. Nobody gets the stack before the holder must have "
         "stopped, unless `now` is true."},
    [OP_CREATE_PROJECT] = {"createProject", "POST", SCOPE_ADMIN, OPERATION_NAMES_PROJECT, &create_project_command,
                           &project_created_answer, REFUSALS(OUTCOME_EXISTS),
                           "Makes a project and its first key, of scope `agent`."},
    [OP_UPDATE_PROJECT] = {"updateProject", "POST", SCOPE_ADMIN, OPERATION_NAMES_PROJECT, &update_project_command,
                           &message_answer, REFUSALS(OUTCOME_UNKNOWN_PROJECT, OUTCOME_IN_USE),
                           "Changes what is sent of a project."},
    [OP_LIST_PROJECTS] = {"listProjects", "GET", SCOPE_ADMIN, OPERATION_READS, &list_projects_command, &project_page,
                          NO_REFUSALS, "Lists all projects by name."},
    [OP_DELETE_PROJECT] = {"deleteProject", "POST", SCOPE_ADMIN, OPERATION_NAMES_PROJECT, &project_command,
                           &message_answer, REFUSALS(OUTCOME_UNKNOWN_PROJECT, OUTCOME_IN_USE),
                           "Deletes a project without stacks and without requests that wait; its keys stop working. "
                           "One made again under its "
                           "name goes on with its history."},
    [OP_CREATE_KEY] = {"createKey", "POST", SCOPE_ADMIN, OPERATION_NAMES_PROJECT, &create_key_command,
                       &key_created_answer, REFUSALS(OUTCOME_UNKNOWN_PROJECT), "Makes a key."},
    [OP_IMPORT_KEY] = {"importKey", "POST", SCOPE_ADMIN, OPERATION_NAMES_PROJECT, &import_key_command,
                       &key_imported_answer, REFUSALS(OUTCOME_UNKNOWN_PROJECT, OUTCOME_EXISTS),
                       "Accepts a key that clients have already, from the original say. Only its SHA-256 is kept."},
    [OP_LIST_KEYS] = {"listKeys", "GET", SCOPE_ADMIN, OPERATION_READS | OPERATION_NAMES_PROJECT, &project_command,
                      &key_page, REFUSALS(OUTCOME_UNKNOWN_PROJECT),
                      "Lists a project's keys, never the keys themselves."},
    [OP_REVOKE_KEY] = {"revokeKey", "POST", SCOPE_ADMIN, OPERATION_NAMES_PROJECT, &revoke_key_command, &message_answer,
                       REFUSALS(OUTCOME_UNKNOWN_PROJECT, OUTCOME_UNKNOWN_KEY),
                       "Makes a key worthless. Leases taken with it live on."},
    [OP_BACKUP] = {"backup", "POST", SCOPE_ADMIN, 0, &backup_command, &message_answer, REFUSALS(OUTCOME_EXISTS),
                   "Copies the database to a new file while the coordinator runs."},
};

const OperationRow *operation_row(OperationId id) {
    assert(id >= 0 && id < OP_COUNT);
    return &operations[id];
}

OperationId operation_by_name(Slice name) {
    for (int id = 0; id < OP_COUNT; id++) {
        if (slice_equal_text(name, operations[id].name))
            return (OperationId)id;
    }
    return OP_COUNT;
}
