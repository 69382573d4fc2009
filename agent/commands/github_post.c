/*
 * github post: the job has ended, whatever way. Gives back what this step got and nothing else, or hands it over to the jobs
 * that share it. Only a lease that was lost under the job is a failure: the job's results are worth nothing then. Everything
 * else is a warning, since what the job was for is done.
 */
#include <string.h>

#include "agent/command.h"
#include "agent/github_step.h"
#include "agent/give_back.h"
#include "agent/limits.h"
#include "agent/print.h"
#include "agent/renewal.h"
#include "protocol/rules.h"

typedef struct PostStep {
    GithubStep github;
    StateFolder folder;
    LeaseState lease;
} PostStep;

static void post_step_deinit(PostStep *step) {
    lease_state_deinit(&step->lease);
    state_folder_close(&step->folder);
    github_step_close(&step->github);
}

static bool state_is(const PostStep *step, const char *name, const char *value) {
    const char *said = ci_variable(step->github.agent.environ_get, name);
    return said != NULL && strcmp(said, value) == 0;
}

static bool has_failed(const PostStep *step) {
    const char *status = step->github.inputs.job_status;
    return status == NULL || strcmp(status, "success") != 0;
}

/* A stack is as new only when its cleaning is known to have gone well: the job did, and main came to its end. */
static GiveBack judge_cleaning(const PostStep *step) {
    bool has_begun = state_is(step, "STATE_ready", "true");
    if (has_begun && !has_failed(step))
        return (GiveBack){.outcome = RELEASE_OK};
    bool is_broken = step->github.inputs.on_failure == GITHUB_OUTCOME_BROKEN;
    return (GiveBack){.outcome = is_broken ? RELEASE_BROKEN : RELEASE_DIRTY,
                      .note = has_begun ? "the cleaning job failed" : "the cleaning did not begin"};
}

static GiveBack judge(const PostStep *step) {
    const GithubInputs *inputs = &step->github.inputs;
    if (inputs->purpose == PURPOSE_CLEAN)
        return judge_cleaning(step);
    if (!has_failed(step))
        return (GiveBack){.outcome = RELEASE_OK};
    switch ((GithubOutcome)inputs->on_failure) {
    case GITHUB_OUTCOME_OK:
        return (GiveBack){.outcome = RELEASE_OK};
    case GITHUB_OUTCOME_DIRTY:
        return (GiveBack){.outcome = RELEASE_DIRTY, .note = "the job failed"};
    case GITHUB_OUTCOME_BROKEN:
        return (GiveBack){.outcome = RELEASE_BROKEN, .note = "the job failed"};
    case GITHUB_OUTCOME_AUTO:
        break;
    }
    /* Between the beginning of a deploy and its end nobody can say what is on the stack. Where the need was never found,
     * main ended before a deploy could begin. */
    if (step->lease.is_deploy_needed)
        return (GiveBack){.outcome = RELEASE_DIRTY, .note = "the job ended before its deploy did"};
    return (GiveBack){.outcome = RELEASE_OK};
}

/* ---- the two ways ---- */

static void say_left(const PostStep *step) {
    char span[24];
    int64_t seconds = step->lease.lease_seconds;
    clock_format_span(seconds != FIELD_ABSENT ? seconds : 0, span);
    if (seconds == FIELD_ABSENT)
        agent_say(&step->github.agent, LOG_WARNING, "%.*s stays leased: somebody has to release it",
                  SLICE_PRINT(step->lease.stack));
    else
        agent_say(&step->github.agent, LOG_WARNING,
                  "%.*s stays leased until its lease runs out, %s after this job has ended; nobody has to do anything",
                  SLICE_PRINT(step->lease.stack), span);
}

static int release(PostStep *step, GiveBack how) {
    const Agent *agent = &step->github.agent;
    bool is_granted = !slice_is_absent(step->lease.stack);
    if (is_granted && !has_failed(step) && step->lease.is_deploy_needed && step->github.inputs.purpose == PURPOSE_TEST)
        agent_say(agent, LOG_WARNING,
                  "a deploy was needed, but `stack-agent deployed` was not called: for the next job %.*s is as it was "
                  "before. Call it once the deploy is done",
                  SLICE_PRINT(step->lease.stack));
    int r = give_back(agent, &step->folder, &step->lease, how);
    if (r != 0 && is_granted && r != agent->fatal_exit_code)
        say_left(step);
    return r;
}

static int call_hold(PostStep *step, Reply *reply) {
    const Agent *agent = &step->github.agent;
    OWN(session_close) Session session = {.agent = agent};
    int r = session_open(&session, agent, step->lease.urls, step->lease.ca_file);
    if (r == 0)
        r = renewal_call(&session, step->lease.secret, step->github.inputs.agent.hold_seconds,
                         (SessionLimits){.within_ms = RELEASE_MS, .cancel_fd = -1}, reply);
    return r;
}

static int hold(PostStep *step) {
    const Agent *agent = &step->github.agent;
    OWN(reply_deinit) Reply reply;
    char span[24];
    reply_init(&reply);
    int r = call_hold(step, &reply);
    if (r == 0 && reply.outcome != OUTCOME_DONE)
        r = reply_fail(agent, &reply, reply.outcome == OUTCOME_LEASE_LOST ? "LOST: hand-over" : "hand-over");
    if (r != 0 && r != agent->fatal_exit_code)
        say_left(step);
    if (r != 0 && r != agent->fatal_exit_code)
        return r;
    int removed = lease_state_remove(&step->folder, step->lease.request_id); /* which ends the keeper too */
    if (r != 0 || removed != 0)
        return r != 0 ? r : removed;
    clock_format_span(renewal_seconds(&reply, step->github.inputs.agent.hold_seconds), span);
    agent_say(agent, LOG_INFO, "%.*s is held for %s for the jobs that share it", SLICE_PRINT(step->lease.stack), span);
    return 0;
}

static int end(PostStep *step) {
    const Agent *agent = &step->github.agent;
    GiveBack how = judge(step);
    bool is_granted = !slice_is_absent(step->lease.stack);
    if (state_is(step, "STATE_joined", "true") && !step->lease.is_joined) {
        agent_say(agent, LOG_INFO, "%.*s is left to the step that got it", SLICE_PRINT(step->lease.stack));
        return 0;
    }
    if (step->lease.is_joined && is_granted)
        return hold(step);
    if (step->github.inputs.release == GITHUB_RELEASE_ALWAYS || !is_granted)
        return release(step, how);
    if (how.outcome == RELEASE_OK)
        return hold(step);
    agent_notice(agent, "Not handed over",
                 "%.*s is given back now: the job failed, so what is on it is not what the jobs that share it are to "
                 "test",
                 SLICE_PRINT(step->lease.stack));
    return release(step, how);
}

/* ---- what there is ---- */

/* 0 | STATE_ABSENT: nothing is held | an exit code, said | -errno */
static int find_lease(PostStep *step) {
    Agent *agent = &step->github.agent;
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, REASON_MAX);
    Slice request_id = slice_of(ci_variable(agent->environ_get, "STATE_request_id"));
    const char *state_dir = ci_variable(agent->environ_get, "STATE_state_dir");
    if (slice_is_absent(request_id) || rule_request_id(request_id) != NULL)
        return STATE_ABSENT;
    if (state_dir != NULL)
        step->github.inputs.agent.state_dir = state_dir;
    int r = state_open(agent, false, &step->folder);
    if (r != 0 || step->folder.fd < 0)
        return r != 0 ? r : STATE_ABSENT;
    r = lease_state_load(&step->folder, request_id, &step->lease, &reason);
    return r == STATE_REFUSED ? agent_fail(agent, EX_SOFTWARE, "%s", buffer_text(&reason)) : r;
}

int command_github_post(const Agent *agent) {
    OWN(post_step_deinit) PostStep step = {.folder = STATE_FOLDER_CLOSED, .lease = LEASE_STATE_EMPTY};
    const int lost = outcome_row(OUTCOME_LEASE_LOST)->exit_code;
    Agent *own = &step.github.agent;
    if (ci_variable(agent->environ_get, "STATE_request_id") == NULL)
        return 0; /* main asked for nothing, and has said why */
    int r = github_step_open(agent, "post", &step.github);
    if (r != 0)
        return r;
    own->fatal_exit_code = lost;
    r = find_lease(&step);
    if (r == STATE_ABSENT) {
        agent_say(own, LOG_INFO, "there is no stack to give back");
        return 0;
    }
    if (r == 0)
        r = end(&step);
    if (r < 0)
        agent_say(own, LOG_WARNING, "the stack cannot be given back: %s", strerror(-r));
    return r == lost || r > EXIT_SIGNAL ? r : 0;
}
