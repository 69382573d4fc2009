/*
 * A request has to end as a stack in our hands, or as nothing in nobody's. Invariant: from before the first send until a
 * refusal or a cancelRequest was answered there is a file that names the request, so that whatever happens to this
 * process, `release` can take it back.
 */
#include "agent/grant.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "agent/commit.h"
#include "agent/dotenv.h"
#include "agent/limits.h"
#include "agent/line.h"
#include "agent/print.h"
#include "agent/renewal.h"
#include "base/hex.h"
#include "base/json_guard.h"
#include "protocol/rules.h"

void grant_init(Grant *grant) {
    *grant = (Grant){.state = LEASE_STATE_EMPTY, .asking_fd = -1};
    arena_init(&grant->texts);
    reply_init(&grant->reply);
}

void grant_deinit(Grant *grant) {
    if (grant == NULL)
        return;
    closep(&grant->asking_fd);
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
    return agent_fail(agent, EX_NOINPUT, "%s", buffer_text(&reason));
}

static int check_text(const Agent *agent, Slice text, size_t longest, const char *(*rule)(Slice), const char *what,
                      const char *flag) {
    const char *wrong = rule(text);
    OWN(buffer_deinit) Buffer printable;
    buffer_init(&printable, REASON_MAX);
    if (text.len > 0 && text.len <= longest && wrong == NULL)
        return 0;
    print_foreign(&printable, text);
    return agent_fail(agent, EX_USAGE, "the %s '%s' %s: give another with %s", what,
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
            agent, EX_USAGE,
            "the branch is not known (no CI variable names it, and git has no branch checked out here): name "
            "it with --branch or STACK_AGENT_BRANCH");
    grant->branch = branch;
    return check_text(agent, branch, BRANCH_MAX, rule_branch, "branch", "--branch");
}

static int choose_commit(const Agent *agent, Grant *grant) {
    Slice commit = slice_of(agent->options->commit);
    bool is_named = !slice_is_absent(commit);
    if (!is_named && grant->worktree.commit[0] != '\0')
        commit = slice_of(grant->worktree.commit);
    grant->state.commit = commit;
    return is_named ? commit_check(agent, commit) : 0;
}

static int cannot_write_dotenv(const Agent *agent, int error) {
    OWN(buffer_deinit) Buffer name;
    buffer_init(&name, REASON_MAX);
    print_foreign(&name, slice_of(agent->options->dotenv));
    return agent_fail(agent, EX_SOFTWARE, "%s cannot be written: %s (--dotenv)", buffer_text(&name), strerror(-error));
}

int grant_forget_dotenv(const Agent *agent) {
    int r = agent->options->dotenv != NULL ? dotenv_remove(agent->options->dotenv) : 0;
    return r != 0 ? cannot_write_dotenv(agent, r) : 0;
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

int grant_prepare_clean(const Agent *agent, Grant *grant) {
    int r = read_who(agent, grant);
    grant->purpose = PURPOSE_CLEAN;
    return r != 0 ? r : make_request_id(agent, grant);
}

int grant_prepare_join(const Agent *agent, Slice request_id, Grant *grant) {
    int r = read_who(agent, grant);
    grant->request_id = request_id;
    if (r == 0 && agent->options->commit == NULL && !slice_is_absent(grant->job.branch))
        r = read_git(agent, grant);
    return r != 0 ? r : choose_commit(agent, grant);
}

static int cannot_write(const Agent *agent, const StateFolder *folder, int error) {
    return agent_fail(agent, EX_SOFTWARE, "%s cannot be written: %s; --state-dir names another folder", folder->path,
                      strerror(-error));
}

static int note(const Agent *agent, const StateFolder *folder, Session *session, Grant *grant) {
    LeaseState *state = &grant->state;
    state->request_id = grant->request_id;
    state->urls = slice_of(session->urls);
    state->ca_file = slice_of(session->ca_file);
    state->worktree = slice_of(grant->root);
    int r = lease_state_save(folder, state);
    return r == 0 || r == -ENOMEM ? r : cannot_write(agent, folder, r);
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

static bool is_none_free(const Reply *reply) {
    return reply->outcome == OUTCOME_NONE_AVAILABLE || reply->outcome == OUTCOME_QUEUED;
}

static void say_who_has_them(Session *session, const Line *line) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, REASON_MAX);
    const char *words = line_look(session, line, &text) == 0 ? buffer_text(&text) : NULL;
    if (words != NULL && *words != '\0')
        agent_say(session->agent, LOG_INFO, "%s", words);
}

/* Queued at the end of the patience: the last answer is no refusal, so what it means is said here. */
static void say_time_is_up(const Agent *agent, Reply *reply) {
    char span[24];
    clock_format_span(agent->options->wait_seconds, span);
    if (reply->outcome != OUTCOME_QUEUED)
        return;
    buffer_clear(&reply->detail);
    buffer_printf(&reply->detail, "no stack was free within %s (--wait)", span);
}

/* What has been in line may be so still, unless this is about the request itself; what was sent without an answer may even
 * arrive later. */
static bool may_hold(const Line *line, const Reply *reply) {
    if (reply->outcome == OUTCOME_REQUEST_OVER || (reply->outcome == OUTCOME_NONE_AVAILABLE && !line->is_unsure))
        return false;
    return line->is_met || line->is_unsure || (is_unknown(reply) && reply->raw.is_sent);
}

static int refused(Session *session, const StateFolder *folder, const Line *line, const Grant *grant) {
    const Agent *agent = session->agent;
    if (is_none_free(&grant->reply))
        say_who_has_them(session, line);
    int exit_code = reply_fail(agent, &grant->reply, "request");
    if (!may_hold(line, &grant->reply))
        return lease_state_remove(folder, grant->request_id) == 0 ? exit_code : EX_SOFTWARE;
    if (!take_back(session, folder, grant))
        agent_say(agent, LOG_WARNING, "whether a stack was given is not known: `stack-agent release` takes it back");
    return exit_code;
}

static Line line_of(const Agent *agent, const StopSignals *signals) {
    int64_t now_ms = clock_boot_ms(agent->clock);
    return (Line){.deadline_ms = now_ms + agent->options->wait_seconds * 1000,
                  .is_one_try = agent->options->wait_seconds == 0,
                  .cancel_fd = signals->fd,
                  .began_ms = now_ms,
                  .position = FIELD_ABSENT,
                  .told_position = FIELD_ABSENT};
}

/* A project's maxHold may end it before the length that was asked for: what is timed is what there is. By a renewal, which
 * asks for all of it; the answer to a repeated request tells what the first one has left. */
static void heed_end(Grant *grant, const Answer *renewed) {
    int64_t left = renewed->lease.expires_in_seconds;
    int64_t *seconds = &grant->state.lease_seconds;
    if (left != FIELD_ABSENT && *seconds != FIELD_ABSENT && left + 1 < *seconds) /* told in whole seconds */
        *seconds = left > LEASE_SECONDS_MIN ? left : LEASE_SECONDS_MIN;
}

enum { GRANT_UNCOLLECTED = INT_MIN }; /* no errno */

/*
 * The renewal that collects a grant from the queue (any may be one: a proxy that repeats a request hands on the answer to
 * its second arrival), and tells whether a joined lease lives. 0: it is ours | an exit code, said | -errno |
 * GRANT_UNCOLLECTED: this came too late, so what the request is now has to be asked again.
 */
static int collect(Session *session, const Line *line, Grant *grant, const char *what) {
    const Agent *agent = session->agent;
    OWN(reply_deinit) Reply reply;
    reply_init(&reply);
    grant->sent_ms = clock_boot_ms(agent->clock);
    const SessionLimits limits = {.within_ms = COLLECT_MS, .cancel_fd = line->cancel_fd};
    int r = renewal_call(session, grant->state.secret, grant->state.lease_seconds, limits, &reply);
    if (r != 0)
        return r;
    if (reply.outcome == OUTCOME_LEASE_LOST && grant->sent_ms < line->deadline_ms)
        return GRANT_UNCOLLECTED;
    if (reply.outcome != OUTCOME_DONE)
        return reply_fail(agent, &reply, what);
    heed_end(grant, &reply.answer);
    if (grant->state.is_joined && reply.answer.lease.expires_in_seconds == FIELD_ABSENT)
        grant->state.lease_seconds = FIELD_ABSENT; /* a plain one: its request was not this program's */
    return 0;
}

/* 0 | GRANT_UNCOLLECTED: back in line | an exit code, said | -errno */
static int take_grant(Session *session, const StateFolder *folder, StopSignals *signals, const Line *line,
                      Grant *grant) {
    take_answer(grant);
    grant->sent_ms = line->sent_ms;
    int r = note(session->agent, folder, session, grant);
    bool is_plain = slice_is_absent(grant->state.secret);
    if (r == 0 && !is_plain)
        r = collect(session, line, grant, "request");
    if (r == 0 && !is_plain)
        r = note(session->agent, folder, session, grant); /* the keeper goes by it */
    if (r == 0 || r == GRANT_UNCOLLECTED)
        return r;
    if (r == -ECANCELED)
        return stop(session, folder, signals, grant);
    /* What a lost lease leaves behind is known; else taking the request back ends it, whatever it is. */
    bool is_lost = r == outcome_row(OUTCOME_LEASE_LOST)->exit_code;
    bool is_settled = is_lost ? lease_state_remove(folder, grant->request_id) == 0 : take_back(session, folder, grant);
    if (!is_settled)
        agent_say(session->agent, LOG_WARNING, "`stack-agent release` gives the stack back");
    return r;
}

static int ask(Session *session, const StateFolder *folder, StopSignals *signals, Grant *grant) {
    const Agent *agent = session->agent;
    Command command = {.operation = OP_REQUEST_STACK};
    fields_clear(operation_row(OP_REQUEST_STACK)->command, &command);
    command.branch = grant->branch;
    command.commit = grant->state.commit;
    command.request_id = grant->request_id;
    command.lease_seconds = agent->options->lease_seconds;
    command.purpose = (int)grant->purpose;
    command.has_holder = true;
    command.holder = grant->job.holder;
    Line line = line_of(agent, signals);
    command.if_none = line.is_one_try ? IF_NONE_FAIL : IF_NONE_WAIT;
    int r;
    do {
        r = line_wait(session, &command, &line, &grant->reply);
        if (r == -ECANCELED)
            return stop(session, folder, signals, grant);
        if (r != 0)
            return r;
        say_time_is_up(agent, &grant->reply);
        if (grant->reply.outcome != OUTCOME_DONE)
            return refused(session, folder, &line, grant);
        r = take_grant(session, folder, signals, &line, grant);
    } while (r == GRANT_UNCOLLECTED);
    return r;
}

int grant_request(Session *session, const StateFolder *folder, StopSignals *signals, Grant *grant) {
    grant->state.lease_seconds = session->agent->options->lease_seconds;
    grant->asking_fd = lease_asking_begin(folder, grant->request_id);
    if (grant->asking_fd < 0)
        return cannot_write(session->agent, folder, grant->asking_fd);
    int r = note(session->agent, folder, session, grant);
    if (r == 0)
        r = ask(session, folder, signals, grant);
    lease_asking_end(folder, grant->request_id, &grant->asking_fd);
    return r;
}

/* This job's lease, if its folder has it already: joining again must not make it somebody else's, nor forget what was done
 * with it. 0 | -ENOMEM */
static int take_noted(const StateFolder *folder, Grant *grant) {
    OWN(lease_state_deinit) LeaseState noted = LEASE_STATE_EMPTY;
    OWN(buffer_deinit) Buffer unsaid;
    LeaseState *state = &grant->state;
    buffer_init(&unsaid, REASON_MAX);
    bool is_noted = lease_state_load(folder, grant->request_id, &noted, &unsaid) == 0;
    state->is_joined = !is_noted || noted.is_joined;
    if (!is_noted)
        return 0;
    state->is_deployed = noted.is_deployed;
    state->is_deploy_needed = noted.is_deploy_needed;
    int r = arena_copy(&grant->texts, noted.paths, &state->paths);
    return r == 0 ? arena_copy(&grant->texts, noted.commit, &state->commit) : r;
}

int grant_join(Session *session, const StateFolder *folder, StopSignals *signals, Grant *grant) {
    const Agent *agent = session->agent;
    Command command = {.operation = OP_JOIN_REQUEST};
    fields_clear(operation_row(OP_JOIN_REQUEST)->command, &command);
    command.request_id = grant->request_id;
    command.has_holder = true;
    command.holder = grant->job.holder;
    Line line = line_of(agent, signals);
    int r;
    if (take_noted(folder, grant) != 0)
        return -ENOMEM;
    do {
        r = line_wait(session, &command, &line, &grant->reply);
        if (r == 0 && grant->reply.outcome != OUTCOME_DONE) {
            say_time_is_up(agent, &grant->reply);
            if (is_none_free(&grant->reply))
                say_who_has_them(session, &line);
            return reply_fail(agent, &grant->reply, "join");
        }
        take_answer(grant);
        grant->state.lease_seconds = agent->options->lease_seconds;
        if (r == 0)
            r = collect(session, &line, grant, "join");
    } while (r == GRANT_UNCOLLECTED);
    if (r == -ECANCELED)
        return EXIT_SIGNAL + stop_signals_take(signals);
    if (r != 0)
        return r;
    return note(agent, folder, session, grant);
}

static int set_text(json_t *object, const char *name, Slice text) {
    if (slice_is_absent(text))
        return 0;
    json_t *value = json_stringn(text.ptr, text.len);
    return json_object_set_new(object, name, value != NULL ? value : json_null());
}

static int write_dotenv(const Agent *agent, const Grant *grant) {
    int r = agent->options->dotenv != NULL ? dotenv_write(agent->options->dotenv, &grant->state) : 0;
    return r == 0 || r == -ENOMEM ? r : cannot_write_dotenv(agent, r);
}

int grant_print(const Agent *agent, const Grant *grant) {
    OWN(buffer_deinit) Buffer line;
    buffer_init(&line, REASON_MAX);
    int dotenv = write_dotenv(agent, grant);
    if (dotenv != 0)
        return dotenv;
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
