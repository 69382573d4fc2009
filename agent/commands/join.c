/* join: the stack of another job's request, kept alive from here too. */
#include "agent/command.h"
#include "agent/give_back.h"
#include "agent/grant.h"
#include "agent/keeper.h"
#include "protocol/rules.h"

int command_join(const Agent *agent) {
    OWN(session_close) Session session = {.agent = agent};
    OWN(state_folder_close) StateFolder folder = STATE_FOLDER_CLOSED;
    OWN(stop_signals_close) StopSignals signals = {.fd = -1};
    OWN(grant_deinit) Grant grant;
    JobProcess job = {.pid = 0};
    grant_init(&grant);
    Slice request_id = slice_of(agent->options->request_id);
    if (slice_is_absent(request_id))
        return agent_fail(agent, EXIT_USAGE,
                          "join needs the other job's request: --request-id or STACK_REQUEST_ID, as its `stack-agent "
                          "request --json` printed");
    const char *wrong = rule_request_id(request_id);
    if (wrong != NULL)
        return agent_fail(agent, EXIT_USAGE, "the request id %s", wrong);
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
    if (r == 0)
        r = grant_print(agent, &grant);
    bool is_kept = r == 0 && grant.state.lease_seconds != FIELD_ABSENT; /* a plain lease needs nobody */
    return is_kept ? keeper_start(agent, &folder, &grant.state, &job) : r;
}
