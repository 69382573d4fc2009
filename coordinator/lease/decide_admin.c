/* What the control socket may do: projects and keys. */
#include <inttypes.h>

#include "lease/grant.h"
#include "lease/queue.h"

int want_project(WorkingSet *set, const Command *command) {
    (void)set; /* every set has its project's row */
    (void)command;
    return 0;
}

int want_key(WorkingSet *set, const Command *command) {
    return working_set_want(set, (RowWant){.query = ROWS_KEY_BY_ID, .text = command->key_id, .limit = 1});
}

int want_keys(WorkingSet *set, const Command *command) {
    (void)command;
    return working_set_want(set, (RowWant){.query = ROWS_KEYS, .limit = UINT32_MAX});
}

/* ---- Keys ---- */

/* *out NULL: no key has this id, in any project. */
static int find_key(Task *t, KeySlot **out) {
    RowWant want = {.query = ROWS_KEY_BY_ID, .text = t->command->key_id, .limit = 1};
    KeySlot *key = working_set_key(t->set, want.text);
    if (key == NULL && working_set_loaded(t->set, want) == NULL)
        return task_need(t, want);
    *out = key;
    return DECISION_DONE;
}

static int check_key_is_new(Task *t) {
    KeySlot *key = NULL;
    int r = find_key(t, &key);
    if (r != DECISION_DONE || key == NULL)
        return r;
    return task_refuse(t, OUTCOME_EXISTS, NULL,
                       arena_printf(t->set->arena,
                                    "a key with the id %.*s exists already; a revoked one does not come back: "
                                    "make a new one",
                                    SLICE_PRINT(t->command->key_id)));
}

static int record_key(Task *t, EventKind kind, const KeyRow *row) {
    bool is_labelled = !slice_is_absent(row->label);
    Slice note = arena_printf(t->set->arena, "%s key %.*s%s%.*s", scope_names[row->scope], SLICE_PRINT(row->id),
                              is_labelled ? ": " : "", SLICE_PRINT(row->label));
    return task_record(t, (EventRow){.kind = (int)kind, .note = note});
}

static int add_key(Task *t, Scope scope) {
    const Command *command = t->command;
    KeyRow row = {.project = t->set->project_name, .scope = (int)scope, .created_ms = t->moment->wall_ms};
    for (size_t i = 0; i < sizeof(row.hash); i++)
        row.hash[i] = command->key_hash[i];
    KeySlot *key = NULL;
    int r = task_keep(t, command->key_id, &row.id);
    if (r == 0)
        r = task_keep(t, command->label, &row.label);
    if (r == 0)
        r = working_set_add_key(t->set, &row, &key);
    if (r < 0)
        return r;
    t->answer->project_name = row.project;
    t->answer->key_id = row.id;
    t->answer->key_scope = row.scope;
    return record_key(t, EVENT_KEY_CREATED, &row);
}

int decide_create_key(Task *t) {
    int r = check_key_is_new(t);
    return r != DECISION_DONE ? r : add_key(t, (Scope)t->command->key_scope);
}

static int revoke_key(Task *t, KeySlot *key) {
    key->row.revoked_ms = t->moment->wall_ms;
    key_slot_changed(key);
    return record_key(t, EVENT_KEY_REVOKED, &key->row);
}

int decide_revoke_key(Task *t) {
    KeySlot *key = NULL;
    int r = find_key(t, &key);
    if (r != DECISION_DONE)
        return r;
    if (key == NULL || !slice_equal(key->row.project, t->set->project_name))
        return task_refuse(t, OUTCOME_UNKNOWN_KEY, "keyId",
                           arena_printf(t->set->arena,
                                        "project %.*s has no key %.*s; `key list` shows the ones there are",
                                        SLICE_PRINT(t->set->project_name), SLICE_PRINT(t->command->key_id)));
    if (key->row.revoked_ms == 0)
        r = revoke_key(t, key);
    return r < 0 ? r : task_say(t, arena_printf(t->set->arena, "Key %.*s revoked", SLICE_PRINT(key->row.id)));
}

/* ---- Projects ---- */

/* Takes over what the command sets; an empty initial commit takes the old one away. */
static int apply_settings(Task *t, ProjectRow *project) {
    const Command *command = t->command;
    int r = 0;
    if (!slice_is_absent(command->prefix))
        r = task_keep(t, command->prefix, &project->prefix);
    if (r == 0 && !slice_is_absent(command->initial_commit))
        r = task_keep(t, command->initial_commit.len != 0 ? command->initial_commit : SLICE_ABSENT,
                      &project->initial_commit);
    if (command->max_stacks != FIELD_ABSENT)
        project->max_stacks = command->max_stacks;
    if (command->max_hold_seconds != FIELD_ABSENT)
        project->max_hold_seconds = command->max_hold_seconds;
    if (command->expiry_grace_seconds != FIELD_ABSENT)
        project->expiry_grace_seconds = command->expiry_grace_seconds;
    if (command->cleaning != SWITCH_UNSET)
        project->is_cleaning = command->cleaning == SWITCH_ON;
    return r;
}

/* The history of a project says what it was set to, not only that it was. */
static int record_project(Task *t, EventKind kind) {
    const ProjectRow *project = &t->set->project;
    bool has_commit = !slice_is_absent(project->initial_commit);
    Slice bound =
        project->max_stacks != 0 ? arena_printf(t->set->arena, "%" PRId64, project->max_stacks) : slice_of("unbounded");
    Slice note = arena_printf(t->set->arena,
                              "prefix %.*s, max stacks %.*s, max hold %" PRId64 " s, expiry grace %" PRId64
                              " s, cleaning %s%s%.*s",
                              SLICE_PRINT(project->prefix), SLICE_PRINT(bound), project->max_hold_seconds,
                              project->expiry_grace_seconds, project->is_cleaning ? "on" : "off",
                              has_commit ? ", initial commit " : "", SLICE_PRINT(project->initial_commit));
    return task_record(t, (EventRow){.kind = (int)kind, .note = note});
}

int decide_create_project(Task *t) {
    WorkingSet *set = t->set;
    bool is_new = set->is_project_missing;
    if (!is_new && !set->project.is_deleted)
        return task_refuse(t, OUTCOME_EXISTS, "project",
                           arena_printf(set->arena, "project %.*s exists already; `project update` changes it",
                                        SLICE_PRINT(set->project_name)));
    int r = check_key_is_new(t);
    if (r != DECISION_DONE)
        return r;
    /* A deleted project's row is taken over, its counters go on: generations never come again. */
    ProjectRow project = project_row_new(set->project_name, t->moment->wall_ms);
    project.last_generation = set->project.last_generation;
    project.last_ticket = set->project.last_ticket;
    project.last_event = set->project.last_event;
    for (size_t i = 0; i < sizeof(project.lease_key); i++)
        project.lease_key[i] = t->command->lease_key[i];
    r = apply_settings(t, &project);
    if (r < 0)
        return r;
    set->project = project;
    set->is_project_missing = false;
    set->is_project_loaded = true;
    set->project_change = is_new ? ROW_NEW : ROW_CHANGED;
    r = record_project(t, EVENT_PROJECT_CREATED);
    return r < 0 ? r : add_key(t, SCOPE_AGENT);
}

/* A dirty stack waits for a cleaner, which a project without cleaning has no more: whoever switches it off hears of that. */
static int find_left_dirty(Task *t, const ProjectRow *project, Slice *words) {
    Choice choice;
    *words = slice_of("");
    if (project->is_cleaning || !t->set->project.is_cleaning || project->stack_count == 0)
        return DECISION_DONE;
    int r = grant_choose(t->set, PURPOSE_CLEAN, NULL, &choice);
    if (r == CHOICE_NONE) { /* but it may rest after a loss, or be in a cleaner's hands */
        *words = slice_of("; a stack that is being cleaned, or rests, may still come to be dirty: then "
                          "nobody gets it before `stack restore`, or a last `stack-agent clean`");
        return DECISION_DONE;
    }
    if (r != 0)
        return r == CHOICE_NEEDS_ROWS ? DECISION_NEEDS_ROWS : r;
    *words = arena_printf(t->set->arena,
                          "; %.*s is dirty still, as others may be, and nobody gets it before `stack restore`, or a "
                          "last `stack-agent clean`",
                          SLICE_PRINT(choice.slot->row.name));
    return DECISION_DONE;
}

int decide_update_project(Task *t) {
    WorkingSet *set = t->set;
    ProjectRow project = set->project;
    int r = apply_settings(t, &project);
    if (r < 0)
        return r;
    if (project.stack_count > 0 && !slice_equal(project.prefix, set->project.prefix))
        return task_refuse(t, OUTCOME_IN_USE, "prefix",
                           arena_printf(set->arena,
                                        "the prefix is part of the names of %" PRId64
                                        " stacks: delete them first, by `stack-agent delete-last`",
                                        project.stack_count));
    Slice left_dirty;
    r = find_left_dirty(t, &project, &left_dirty);
    if (r != DECISION_DONE)
        return r;
    set->project = project;
    working_set_project_changed(set);
    queue_open(set);
    r = record_project(t, EVENT_PROJECT_UPDATED);
    return r < 0 ? r
                 : task_say(t, arena_printf(set->arena, "Project %.*s updated%.*s", SLICE_PRINT(set->project_name),
                                            SLICE_PRINT(left_dirty)));
}

static int check_project_is_empty(Task *t) {
    const ProjectRow *project = &t->set->project;
    if (project->leased_count > 0)
        return task_refuse(t, OUTCOME_IN_USE, "project",
                           arena_printf(t->set->arena,
                                        "%" PRId64 " of the project's stacks are leased: wait for their jobs, or "
                                        "end the leases by `stack release --now`",
                                        project->leased_count));
    if (project->queued_count > 0)
        return task_refuse(t, OUTCOME_IN_USE, "project",
                           arena_printf(t->set->arena,
                                        "requests wait in the project's queue (%" PRId64
                                        "): cancel their jobs; those nobody asks for "
                                        "any more are over after ten minutes",
                                        project->queued_count));
    if (project->stack_count > 0)
        return task_refuse(t, OUTCOME_IN_USE, "project",
                           arena_printf(t->set->arena,
                                        "the project has %" PRId64 " stacks: take their environments down and "
                                        "delete them first, by `stack-agent delete-last`",
                                        project->stack_count));
    return DECISION_DONE;
}

int decide_delete_project(Task *t) {
    WorkingSet *set = t->set;
    int r = check_project_is_empty(t);
    if (r != DECISION_DONE)
        return r;
    RowWant want = {.query = ROWS_KEYS, .limit = UINT32_MAX};
    if (working_set_loaded(set, want) == NULL)
        return task_need(t, want);
    for (size_t i = 0; i < set->key_count && r == DECISION_DONE; i++) {
        KeySlot *key = set->keys[i];
        if (key->row.revoked_ms == 0 && slice_equal(key->row.project, set->project_name))
            r = revoke_key(t, key);
    }
    if (r < 0)
        return r;
    r = task_record(t, (EventRow){.kind = EVENT_PROJECT_DELETED});
    set->project.is_deleted = true;
    working_set_project_changed(set);
    return r < 0 ? r : task_say(t, arena_printf(set->arena, "Project %.*s deleted", SLICE_PRINT(set->project_name)));
}
