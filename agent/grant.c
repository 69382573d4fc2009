/*
 * A request has to end as a stack in our hands, or as nothing in nobody's. Invariant: from before the first send until a
 * refusal or a cancelRequest was answered there is a file that names the request, so that whatever happens to this
 * process, `release` can take it back.
 */
#include "agent/grant.h"

#include <errno.h>
#include <string.h>

#include "agent/limits.h"
#include "agent/print.h"
#include "base/json_guard.h"
#include "protocol/rules.h"

void grant_init(Grant *grant) {
    *grant = (Grant){.state = LEASE_STATE_EMPTY};
    arena_init(&grant->texts);
    reply_init(&grant->reply);
}

void grant_deinit(Grant *grant) {
    if (grant == NULL)
        return;
    reply_deinit(&grant->reply);
    worktree_deinit(&grant->worktree);
    free(grant->root);
    arena_deinit(&grant->texts);
}

static int make_request_id(const Agent *agent, Grant *grant) {
    unsigned char bits[REQUEST_ID_DIGITS / 2];
    int r = random_fill(agent->random, bits, sizeof bits);
    if (r != 0)
        return r;
    char *text = arena_alloc(&grant->texts, REQUEST_ID_DIGITS + 1);
    if (text == NULL)
        return -ENOMEM;
    hex_encode(bits, sizeof bits, text);
    grant->request_id = slice_of(text);
    return 0;
}

static int read_who(const Agent *agent, Grant *grant) {
    int r = ci_read(agent->environ_get, &grant->texts, &grant->job);
    if (r != 0)
        return r;
    grant->job.holder.note = slice_of(agent->options->holder_note);
    ci_fit_holder(&grant->job.holder);
    grant->root = worktree_root(agent->options->worktree);
    return 0;
}

/* What git says, as far as it is needed. 0 | an exit code, said | -errno */
static int read_git(const Agent *agent, Grant *grant) {
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, REASON_MAX);
    int r =
        worktree_read(agent->options->worktree, grant->job.workspace, agent->environ_get, &grant->worktree, &reason);
    bool is_branch_known = agent->options->branch != NULL || !slice_is_absent(grant->job.branch);
    if (r == 0 || r == WORKTREE_NONE || r < 0)
        return r < 0 ? r : 0;
    if (is_branch_known) {
        agent_say(agent, LOG_WARNING, "%s; going on without a commit", buffer_text(&reason));
        return 0;
    }
    return agent_fail(agent, EXIT_NO_INPUT, "%s", buffer_text(&reason));
}

static int check_text(const Agent *agent, Slice text, size_t longest, const char *(*rule)(Slice), const char *what,
                      const char *flag) {
    const char *wrong = rule(text);
    OWN(buffer_deinit) Buffer printable;
    buffer_init(&printable, REASON_MAX);
    if (text.len > 0 && text.len <= longest && wrong == NULL)
        return 0;
    print_foreign(&printable, text);
    return agent_fail(agent, EXIT_USAGE, "the %s '%s' %s: give another with %s", what,
                      buffer_error(&printable) == 0 ? buffer_text(&printable) : "…",
                      wrong != NULL ? wrong : "is empty or too long", flag);
}

static int choose_branch(const Agent *agent, Grant *grant) {
    Slice branch = slice_of(agent->options->branch);
    if (slice_is_absent(branch))
        branch = grant->job.branch;
    if (slice_is_absent(branch))
        branch = slice_of(grant->worktree.branch);
    if (slice_is_absent(branch))
        return agent_fail(
            agent, EXIT_USAGE,
            "the branch is not known (no CI variable names it, and git has no branch checked out here): name "
            "it with --branch or STACK_AGENT_BRANCH");
    grant->branch = branch;
    return check_text(agent, branch, BRANCH_MAX, rule_branch, "branch", "--branch");
}

static int choose_commit(const Agent *agent, Grant *grant) {
    Slice commit = slice_of(agent->options->commit);
    if (slice_is_absent(commit) && grant->worktree.commit[0] != '\0')
        commit = slice_of(grant->worktree.commit);
    grant->state.commit = commit;
    return slice_is_absent(commit) ? 0 : check_text(agent, commit, COMMIT_MAX, rule_commit, "commit", "--commit");
}

int grant_prepare(const Agent *agent, Grant *grant) {
    int r = read_who(agent, grant);
    bool needs_git =
        agent->options->commit == NULL || (agent->options->branch == NULL && slice_is_absent(grant->job.branch));
    if (r == 0 && needs_git)
        r = read_git(agent, grant);
    if (r == 0)
        r = choose_branch(agent, grant);
    if (r == 0)
        r = choose_commit(agent, grant);
    return r != 0 ? r : make_request_id(agent, grant);
}

int grant_prepare_join(const Agent *agent, Slice request_id, Grant *grant) {
    int r = read_who(agent, grant);
    grant->request_id = request_id;
    if (r == 0 && agent->options->commit == NULL && !slice_is_absent(grant->job.branch))
        r = read_git(agent, grant);
    return r != 0 ? r : choose_commit(agent, grant);
}

static int note(const Agent *agent, const StateFolder *folder, Session *session, Grant *grant) {
    LeaseState *state = &grant->state;
    state->request_id = grant->request_id;
    state->urls = slice_of(session->urls);
    state->ca_file = slice_of(session->ca_file);
    state->worktree = slice_of(grant->root);
    int r = lease_state_save(folder, state);
    if (r == 0 || r == -ENOMEM)
        return r;
    return agent_fail(agent, EXIT_BROKEN, "%s cannot be written: %s; --state-dir names another folder", folder->path,
                      strerror(-r));
}

static void take_answer(Grant *grant) {
    const Answer *answer = &grant->reply.answer;
    grant->state.stack = answer->stack_name;
    grant->state.last_deployed_commit = answer->last_deployed_commit;
    grant->state.secret = answer->has_lease ? answer->lease.secret : SLICE_ABSENT;
    grant->state.generation = answer->has_lease ? answer->lease.generation : FIELD_ABSENT;
}

/* After a failure that leaves open whether the stack was given to us. */
static bool is_unknown(const Reply *reply) {
    const OutcomeRow *row = outcome_row(reply->outcome);
    return row->http_status == 0 || row->http_status >= 500 || reply->outcome == OUTCOME_QUEUED;
}

/* Takes the request back, if it ever arrived. The file stays when that could not be made sure. */
static bool take_back(Session *session, const StateFolder *folder, const Grant *grant) {
    Command command = {.operation = OP_CANCEL_REQUEST};
    OWN(reply_deinit) Reply reply;
    reply_init(&reply);
    fields_clear(operation_row(OP_CANCEL_REQUEST)->command, &command);
    command.request_id = grant->request_id;
    int r = session_call(session, &command, (SessionLimits){.within_ms = CANCEL_MS, .cancel_fd = -1}, &reply);
    if (r != 0 || reply.outcome != OUTCOME_DONE)
        return false;
    return lease_state_remove(folder, grant->request_id) == 0;
}

static int stop(Session *session, const StateFolder *folder, StopSignals *signals, const Grant *grant) {
    int number = stop_signals_take(signals);
    bool is_taken_back = take_back(session, folder, grant);
    agent_say(session->agent, LOG_WARNING, "stopped by signal %d: the request %s", number,
              is_taken_back ? "is taken back" : "could not be taken back; `stack-agent release` tries again");
    return EXIT_SIGNAL + number;
}

/* A refusal holds nothing; silence may. */
static int refused(Session *session, const StateFolder *folder, const Grant *grant) {
    const Agent *agent = session->agent;
    int exit_code = reply_fail(agent, &grant->reply, "request");
    if (!is_unknown(&grant->reply) || !grant->reply.raw.is_sent)
        return lease_state_remove(folder, grant->request_id) == 0 ? exit_code : EXIT_BROKEN;
    if (!take_back(session, folder, grant))
        agent_say(agent, LOG_WARNING, "whether a stack was given is not known: `stack-agent release` takes it back");
    return exit_code;
}

int grant_request(Session *session, const StateFolder *folder, StopSignals *signals, Grant *grant) {
    const Agent *agent = session->agent;
    int r = note(agent, folder, session, grant);
    if (r != 0)
        return r;
    Command command = {.operation = OP_REQUEST_STACK};
    fields_clear(operation_row(OP_REQUEST_STACK)->command, &command);
    command.branch = grant->branch;
    command.commit = grant->state.commit;
    command.request_id = grant->request_id;
    command.lease_seconds = agent->options->lease_seconds;
    command.if_none = IF_NONE_FAIL;
    command.has_holder = true;
    command.holder = grant->job.holder;
    SessionLimits limits = {.within_ms = agent->options->wait_seconds * 1000, .cancel_fd = signals->fd};
    r = session_call(session, &command, limits, &grant->reply);
    if (r == -ECANCELED)
        return stop(session, folder, signals, grant);
    if (r != 0)
        return r;
    if (grant->reply.outcome != OUTCOME_DONE)
        return refused(session, folder, grant);
    take_answer(grant);
    return note(agent, folder, session, grant);
}

int grant_join(Session *session, const StateFolder *folder, Grant *grant) {
    Command command = {.operation = OP_JOIN_REQUEST};
    fields_clear(operation_row(OP_JOIN_REQUEST)->command, &command);
    command.request_id = grant->request_id;
    command.has_holder = true;
    command.holder = grant->job.holder;
    int r = session_call(session, &command, (SessionLimits){.within_ms = CALL_MS, .cancel_fd = -1}, &grant->reply);
    if (r != 0)
        return r;
    if (grant->reply.outcome != OUTCOME_DONE)
        return reply_fail(session->agent, &grant->reply, "join");
    take_answer(grant);
    return note(session->agent, folder, session, grant);
}

static int set_text(json_t *object, const char *name, Slice text) {
    if (slice_is_absent(text))
        return 0;
    json_t *value = json_stringn(text.ptr, text.len);
    return json_object_set_new(object, name, value != NULL ? value : json_null());
}

int grant_print(const Agent *agent, const Grant *grant) {
    OWN(buffer_deinit) Buffer line;
    buffer_init(&line, REASON_MAX);
    if (!agent->options->is_json) {
        buffer_add_slice(&line, grant->state.stack); /* its rule allows nothing that could be a command or an escape */
        buffer_add_char(&line, '\n');
        return print_out(agent, &line);
    }
    /* The answer as it came, so that what a newer coordinator says is shown too; but the secret is the state file's: what is
     * printed in a CI job stands in its log. */
    OWN(json_decrefp) json_t *json = json_deep_copy(grant->reply.raw.json);
    json_t *lease = json_object_get(json, "lease");
    if (lease != NULL)
        (void)json_object_del(lease, "secret");
    int r = set_text(json, "requestId", grant->request_id);
    if (r == 0)
        r = set_text(json, "branch", grant->branch);
    if (r == 0)
        r = set_text(json, "commit", grant->state.commit);
    return r == 0 ? print_json(agent, json) : -ENOMEM;
}
