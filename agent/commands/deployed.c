/* deployed: this commit is on the stack now. */
#include <errno.h>
#include <string.h>

#include "agent/command.h"
#include "agent/commit.h"
#include "agent/lease_choice.h"
#include "agent/limits.h"
#include "agent/print.h"
#include "agent/session.h"
#include "agent/worktree.h"

/* --commit, else the worktree's HEAD, now: the checkout may have moved on since the request. */
static int choose_commit(const Agent *agent, Worktree *worktree, Slice *commit) {
    OWN(arena_deinit) Arena texts;
    OWN(buffer_deinit) Buffer reason;
    arena_init(&texts);
    buffer_init(&reason, REASON_MAX);
    *commit = slice_of(agent->options->commit);
    if (!slice_is_absent(*commit))
        return commit_check(agent, *commit);
    CiJob job;
    int r = ci_read(agent->environ_get, &texts, &job);
    if (r == 0)
        r = worktree_read(agent->options->worktree, job.workspace, agent->environ_get, worktree, &reason);
    if (r < 0)
        return r;
    if (r == WORKTREE_UNREADABLE)
        return agent_fail(agent, EX_NOINPUT, "%s", buffer_text(&reason));
    if (r == WORKTREE_NONE || worktree->commit[0] == '\0')
        return agent_fail(agent, EX_NOINPUT,
                          "the deployed commit is not known (there is no commit here): name it with --commit, or the "
                          "worktree with --worktree");
    *commit = slice_of(worktree->commit);
    return 0;
}

static int tell(const Agent *agent, const LeaseState *lease, Slice commit) {
    OWN(session_close) Session session = {.agent = agent};
    OWN(reply_deinit) Reply reply;
    reply_init(&reply);
    Command command = {.operation = OP_SET_LAST_DEPLOYED_COMMIT};
    fields_clear(operation_row(OP_SET_LAST_DEPLOYED_COMMIT)->command, &command);
    command.stack_name = lease->stack;
    command.lease = lease->secret;
    command.last_deployed_commit = commit;
    command.url = slice_of(agent->options->stack_url);
    int r = session_open(&session, agent, lease->urls, lease->ca_file);
    if (r == 0 && slice_is_absent(lease->secret))
        r = session_load_key(&session);
    if (r == 0)
        r = session_call(&session, &command, (SessionLimits){.within_ms = CALL_MS, .cancel_fd = -1}, &reply);
    if (r == 0 && reply.outcome != OUTCOME_DONE)
        r = reply_fail(agent, &reply, "deployed");
    return r;
}

/* Changed in place: the keeper may have noted something too. */
static void note_deployed(LeaseState *lease, const void *arg) {
    const Slice *commit = arg;
    lease->last_deployed_commit = *commit;
    lease->is_deployed = true;
    lease->is_deploy_needed = false;
}

/* For programs: {"stackName", "commit", "url"}. */
static int print_deployed(const Agent *agent, const LeaseState *lease, Slice commit) {
    OWN(json_decrefp)
    json_t *json = json_pack("{s:s%, s:s%, s:s*}", "stackName", lease->stack.ptr, lease->stack.len, "commit",
                             commit.ptr, commit.len, "url", agent->options->stack_url);
    return json != NULL ? print_json(agent, json) : -ENOMEM;
}

static int deploy(const Agent *agent, const StateFolder *folder, const LeaseState *lease) {
    OWN(worktree_deinit) Worktree worktree = {.branch = NULL};
    OWN(buffer_deinit) Buffer reason;
    Slice commit = SLICE_ABSENT;
    buffer_init(&reason, REASON_MAX);
    int r = choose_commit(agent, &worktree, &commit);
    if (r == 0)
        r = tell(agent, lease, commit);
    if (r != 0)
        return r;
    agent_say(agent, LOG_INFO, "%.*s has %.*s", SLICE_PRINT(lease->stack), SLICE_PRINT(commit));
    r = lease_state_change(folder, lease->request_id, note_deployed, &commit, &reason);
    if (r != 0)
        agent_say(agent, LOG_WARNING, "this cannot be noted in %s: %s", folder->path,
                  r < 0            ? strerror(-r)
                  : reason.len > 0 ? buffer_text(&reason)
                                   : "the lease's file is gone");
    return agent->options->is_json ? print_deployed(agent, lease, commit) : 0;
}

int command_deployed(const Agent *agent) {
    OWN(state_folder_close) StateFolder folder = STATE_FOLDER_CLOSED;
    OWN(lease_states_deinit) LeaseStates leases = {.count = 0};
    const LeaseState *chosen = NULL;
    int r = lease_choice_open(agent, &folder, &leases, &chosen);
    return r == 0 ? deploy(agent, &folder, chosen) : r;
}
