/* join: the stack of another job's request, kept alive from here too. */
#include "agent/command.h"
#include "agent/give_back.h"
#include "agent/grant.h"
#include "agent/keeper.h"
#include "protocol/rules.h"

/* A job that is not told the name, or that keeps nothing alive, has not joined: nothing is left that `check` would believe. */
static int hand_out(const Agent *agent, const StateFolder *folder, const Grant *grant, const JobProcess *job) {
    int r = grant_print(agent, grant);
    if (r == 0 && grant->state.lease_seconds != FIELD_ABSENT) /* a plain lease needs nobody */
        r = keeper_start(agent, folder, &grant->state, job);
    if (r != 0 && grant->state.is_joined)
        (void)(lease_state_remove(folder, grant->request_id) == 0); /* that it failed is said already */
    return r;
}

int command_join(const Agent *agent) {
    OWN(session_close) Session session = {.agent = agent};
    OWN(state_folder_close) StateFolder folder = STATE_FOLDER_CLOSED;
    OWN(stop_signals_close) StopSignals signals = {.fd = -1};
    OWN(grant_deinit) Grant grant;
    JobProcess job = {.pid = 0};
    grant_init(&grant);
    Slice request_id = slice_of(agent->options->request_id);
    if (slice_is_absent(request_id))
        return agent_fail(agent, EX_USAGE,
                          "join needs the other job's request: --request-id or STACK_REQUEST_ID, as its `stack-agent "
                          "request --json` printed");
    const char *wrong = rule_request_id(request_id);
    if (wrong != NULL)
        return agent_fail(agent, EX_USAGE, "the request id %s", wrong);
    int r = session_open(&session, agent, SLICE_ABSENT, SLICE_ABSENT);
    if (r == 0)
        r = session_load_key(&session);
    if (r == 0)
        r = grant_prepare_join(agent, request_id, &grant);
    if (r == 0)
        r = keeper_find_job(agent, &grant.job, &job);
    if (r == 0)
        r = state_open(agent, true, &folder);
    if (r == 0)
        r = stop_signals_open(&signals);
    if (r == 0)
        r = grant_join(&session, &folder, &signals, &grant);
    return r == 0 ? hand_out(agent, &folder, &grant, &job) : r;
}
