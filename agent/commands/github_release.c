/*
 * github release: the last job of several that shared a stack. It knows nothing but the request's id, so it joins the request
 * to learn the lease, then releases that. Whatever became of the request before is no failure of this job.
 */
#include "agent/command.h"
#include "agent/github_step.h"
#include "agent/limits.h"
#include "agent/print.h"
#include "agent/session.h"
#include "protocol/rules.h"

typedef struct ReleaseStep {
    GithubStep github;
    Session session;
} ReleaseStep;

static void release_step_deinit(ReleaseStep *step) {
    session_close(&step->session);
    github_step_close(&step->github);
}

static int call(ReleaseStep *step, Command *command, Reply *reply) {
    return session_call(&step->session, command, (SessionLimits){.within_ms = RELEASE_MS, .cancel_fd = -1}, reply);
}

static Command command_of(OperationId operation) {
    Command command = {.operation = operation};
    fields_clear(operation_row(operation)->command, &command);
    return command;
}

/* Nobody answers: the lease runs out by itself, so the workflow does not fail for it. */
static int fail(const Agent *agent, const Reply *reply, const char *what) {
    const OutcomeRow *row = outcome_row(reply->outcome);
    if (!row->is_retryable)
        return reply_fail(agent, reply, what);
    Agent patient = *agent;
    patient.fatal_exit_code = -1;
    (void)reply_fail(&patient, reply, what);
    agent_say(agent, LOG_WARNING, "the stack stays leased until its lease runs out; nobody has to do anything");
    return 0;
}

static int say_over(const Agent *agent, const Reply *reply) {
    OWN(buffer_deinit) Buffer words;
    buffer_init(&words, REASON_MAX);
    buffer_add_slice(&words, buffer_slice(&reply->detail));
    const char *text = buffer_text(&words);
    agent_notice(agent, "Nothing to release", "the jobs' stack is not leased any more: %s",
                 text != NULL && *text != '\0' ? text : "no reason given");
    return 0;
}

/* Those who were to use it are gone before it came. */
static int cancel(ReleaseStep *step, Slice request_id) {
    const Agent *agent = &step->github.agent;
    OWN(reply_deinit) Reply reply;
    Command command = command_of(OP_CANCEL_REQUEST);
    reply_init(&reply);
    command.request_id = request_id;
    int r = call(step, &command, &reply);
    if (r != 0)
        return r;
    if (reply.outcome != OUTCOME_DONE)
        return fail(agent, &reply, "taking back the request");
    agent_notice(agent, "Nothing to release", "the jobs' request was still in line; it is taken back");
    return 0;
}

static int release(ReleaseStep *step, const Answer *joined) {
    const Agent *agent = &step->github.agent;
    const AgentOptions *options = &step->github.inputs.agent;
    OWN(reply_deinit) Reply reply;
    Command command = command_of(OP_RELEASE_STACK);
    reply_init(&reply);
    command.stack_name = joined->stack_name;
    command.lease = joined->has_lease ? joined->lease.secret : SLICE_ABSENT;
    command.outcome = options->outcome;
    int r = github_step_mask(&step->github, command.lease);
    if (r == 0)
        r = call(step, &command, &reply);
    if (r != 0)
        return r;
    if (reply.outcome == OUTCOME_LEASE_LOST)
        return say_over(agent, &reply);
    if (reply.outcome != OUTCOME_DONE)
        return fail(agent, &reply, "release");
    agent_say(agent, LOG_INFO, "%.*s released (%s)", SLICE_PRINT(joined->stack_name),
              release_outcome_names[options->outcome]);
    return 0;
}

static int join_and_release(ReleaseStep *step, Slice request_id) {
    const Agent *agent = &step->github.agent;
    OWN(reply_deinit) Reply reply;
    OWN(arena_deinit) Arena texts;
    CiJob job;
    Command command = command_of(OP_JOIN_REQUEST);
    reply_init(&reply);
    arena_init(&texts);
    int r = ci_read(agent->environ_get, &texts, &job);
    if (r != 0)
        return r;
    command.request_id = request_id;
    command.has_holder = true;
    command.holder = job.holder;
    r = call(step, &command, &reply);
    if (r != 0)
        return r;
    if (reply.outcome == OUTCOME_DONE)
        return release(step, &reply.answer);
    if (reply.outcome == OUTCOME_QUEUED)
        return cancel(step, request_id);
    if (reply.outcome == OUTCOME_REQUEST_OVER || reply.outcome == OUTCOME_UNKNOWN_REQUEST)
        return say_over(agent, &reply);
    return fail(agent, &reply, "release");
}

int command_github_release(const Agent *agent) {
    OWN(release_step_deinit) ReleaseStep step = {.session = {.agent = NULL}};
    int r = github_step_open(agent, "release", &step.github);
    const Agent *own = &step.github.agent;
    Slice request_id = slice_of(step.github.inputs.agent.request_id);
    if (r != 0)
        return r;
    if (slice_is_absent(request_id)) {
        agent_notice(own, "Nothing to release", "the input `request-id` is empty: no job has asked for a stack");
        return 0;
    }
    const char *wrong = rule_request_id(request_id);
    if (wrong != NULL)
        return agent_fail(own, EX_USAGE, "the input `request-id` %s", wrong);
    r = github_step_check_url(&step.github);
    if (r == 0)
        r = github_step_check_key(&step.github);
    if (r == 0)
        r = session_open(&step.session, own, SLICE_ABSENT, SLICE_ABSENT);
    if (r == 0)
        r = session_load_key(&step.session);
    return r == 0 ? join_and_release(&step, request_id) : r;
}
