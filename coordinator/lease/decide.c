#include "lease/decide.h"

#include "lease/task.h"

/* Every operation that has rules. `want` says what its rows are before anything is known of them. */
static const struct {
    int (*want)(WorkingSet *set, const Command *command);
    int (*decide)(Task *t);
    bool makes_project; /* all others refuse an unknown one */
} rules[OP_COUNT] = {
    [OP_REQUEST_STACK] = {want_request_stack, decide_request_stack, false},
    [OP_JOIN_REQUEST] = {want_request, decide_join_request, false},
    [OP_RENEW_LEASE] = {want_lease, decide_renew_lease, false},
    [OP_SET_LAST_DEPLOYED_COMMIT] = {want_stack_and_lease, decide_set_last_deployed_commit, false},
    [OP_RELEASE_STACK] = {want_stack_and_lease, decide_release_stack, false},
    [OP_CANCEL_REQUEST] = {want_request, decide_cancel_request, false},
    [OP_DELETE_LAST_STACK] = {want_highest, decide_delete_last_stack, false},
    [OP_QUARANTINE_STACK] = {want_stack_and_lease, decide_quarantine_stack, false},
    [OP_RESTORE_STACK] = {want_stack_and_lease, decide_restore_stack, false},
    [OP_ANNOTATE_STACK] = {want_stack_and_lease, decide_annotate_stack, false},
    [OP_FORCE_RELEASE_STACK] = {want_stack_and_lease, decide_force_release_stack, false},
    [OP_CREATE_PROJECT] = {want_key, decide_create_project, true},
    [OP_UPDATE_PROJECT] = {want_project, decide_update_project, false},
    [OP_DELETE_PROJECT] = {want_keys, decide_delete_project, false},
    [OP_CREATE_KEY] = {want_key, decide_create_key, false},
    [OP_IMPORT_KEY] = {want_key, decide_create_key, false},
    [OP_REVOKE_KEY] = {want_key, decide_revoke_key, false},
};

bool lease_decides(OperationId operation) {
    return operation < OP_COUNT && rules[operation].decide != NULL;
}

int lease_want(WorkingSet *set, const Command *command) {
    return rules[command->operation].want(set, command);
}

static bool is_project_there(const WorkingSet *set) {
    return !set->is_project_missing && !set->project.is_deleted;
}

int lease_decide(WorkingSet *set, const Command *command, const Moment *moment, Answer *answer) {
    Task t = {.set = set, .command = command, .moment = moment, .answer = answer};
    if (!set->is_project_loaded && !set->is_project_missing)
        return DECISION_NEEDS_ROWS;
    if (!rules[command->operation].makes_project && !is_project_there(set))
        return task_refuse(&t, OUTCOME_UNKNOWN_PROJECT, "project",
                           arena_printf(set->arena, "there is no project %.*s; `project list` shows the ones there are",
                                        SLICE_PRINT(set->project_name)));
    int r = rules[command->operation].decide(&t);
    if (r == DECISION_DONE)
        answer->outcome = answer->is_queued ? OUTCOME_QUEUED : OUTCOME_DONE;
    return r;
}
