/* changed: whether this job's stack has to be deployed to. What goes wrong is a yes: deploying once too often is safe. */
#include <errno.h>
#include <string.h>

#include "agent/command.h"
#include "agent/deploy_need.h"
#include "agent/give_back.h"
#include "agent/globs.h"
#include "agent/lease_choice.h"
#include "agent/limits.h"
#include "agent/print.h"

enum { EXIT_CHANGED = 0, EXIT_UNCHANGED = 1 };

static int set_text(json_t *object, const char *name, Slice text) {
    return text.len == 0 ? 0 : json_object_set_new(object, name, json_stringn(text.ptr, text.len));
}

static json_t *file_list(const Difference *difference) {
    json_t *files = json_array();
    Slice rest = buffer_slice(&difference->files), name;
    for (size_t i = 0; i < difference->named; i++) {
        name = rest;
        (void)slice_split(&rest, '\n', &name);
        (void)json_array_append_new(files, json_stringn(name.ptr, name.len));
    }
    return files;
}

static int print_need(const Agent *agent, const LeaseState *lease, DeployNeed *need) {
    OWN(json_decrefp) json_t *json = json_object();
    (void)json_object_set_new(json, "changed", json_boolean(need->is_needed));
    (void)json_object_set_new(json, "reason", json_string(buffer_text(&need->reason)));
    (void)set_text(json, "commit", slice_of(need->worktree.commit));
    (void)set_text(json, "stackName", lease != NULL ? lease->stack : SLICE_ABSENT);
    (void)set_text(json, "lastDeployedCommit", lease != NULL ? lease->last_deployed_commit : SLICE_ABSENT);
    if (need->is_compared) {
        (void)json_object_set_new(json, "fileCount", json_integer((json_int_t)need->difference.count));
        (void)json_object_set_new(json, "files", file_list(&need->difference));
    }
    return print_json(agent, json);
}

static int tell(const Agent *agent, const LeaseState *lease, DeployNeed *need) {
    const char *reason = buffer_text(&need->reason);
    agent_say(agent, LOG_INFO, "%s: %s", need->is_needed ? "changed" : "unchanged",
              reason != NULL ? reason : "the reason is too long to be told");
    if (agent->options->is_json && print_need(agent, lease, need) != 0)
        return EXIT_CHANGED;
    return need->is_needed ? EXIT_CHANGED : EXIT_UNCHANGED;
}

static int join_globs(const Agent *agent, Buffer *globs) {
    const OptionList *paths = &agent->options->paths;
    for (size_t i = 0; i < paths->count; i++)
        buffer_printf(globs, "%s\n", paths->items[i]);
    const char *wrong = buffer_error(globs) != 0 ? "is too long" : globs_check(buffer_slice(globs));
    return wrong != NULL ? agent_fail(agent, EX_USAGE, "--paths %s", wrong) : 0;
}

/* 0, *lease NULL: there is none that is known, and `why` says so | EX_USAGE, said */
static int find_lease(const Agent *agent, StateFolder *folder, LeaseStates *leases, const LeaseState **lease,
                      Buffer *why) {
    Slice name = agent->argument_count > 0 ? slice_of(agent->arguments[0]) : SLICE_ABSENT;
    int r = state_open(agent, false, folder);
    if (r == 0 && folder->fd >= 0)
        r = lease_choice_load(agent, folder, leases);
    if (r == 0)
        r = lease_choice_find(agent, leases, name, lease);
    if (r == EX_USAGE)
        return r;
    if (*lease == NULL)
        buffer_add_text(why, "this job has no stack that is known here: `stack-agent request` gets one");
    return 0;
}

int command_changed(const Agent *agent) {
    OWN(state_folder_close) StateFolder folder = STATE_FOLDER_CLOSED;
    OWN(lease_states_deinit) LeaseStates leases = {.count = 0};
    OWN(deploy_need_deinit) DeployNeed need;
    OWN(buffer_deinit) Buffer globs;
    const LeaseState *lease = NULL;
    deploy_need_init(&need);
    buffer_init(&globs, GLOBS_MAX);
    int r = join_globs(agent, &globs);
    if (r == 0)
        r = find_lease(agent, &folder, &leases, &lease, &need.reason);
    if (r == 0 && lease != NULL)
        r = deploy_need_find(agent, lease->last_deployed_commit, globs.len > 0 ? buffer_slice(&globs) : lease->paths,
                             &need);
    if (r < 0) {
        need.is_needed = true;
        buffer_clear(&need.reason);
        buffer_add_text(&need.reason, strerror(-r));
    }
    if (r == EX_USAGE)
        return r;
    if (need.is_needed && lease != NULL)
        (void)deploy_need_note(agent, &folder, lease->request_id); /* a no would skip the deploy */
    return tell(agent, lease, &need);
}
