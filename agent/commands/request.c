/* request: a stack for this branch, its name on stdout, and a process that keeps it ours. */
#include "agent/command.h"
#include "agent/give_back.h"
#include "agent/grant.h"
#include "agent/keeper.h"

/* A signal that came while the answer did: nobody will read the name any more. */
static int check_signal(StopSignals *signals) {
    int number = stop_signals_take(signals);
    return number != 0 ? EXIT_SIGNAL + number : 0;
}

/* The stack is ours. A job that is not told its name, or whose lease nobody keeps, does not use it. */
static int hand_out(const Agent *agent, const StateFolder *folder, StopSignals *signals, const Grant *grant,
                    const JobProcess *job) {
    int r = check_signal(signals);
    if (r == 0)
        r = grant_print(agent, grant);
    if (r == 0)
        r = keeper_start(agent, folder, &grant->state, job);
    if (r == 0)
        return 0;
    int given_back = give_back(agent, folder, &grant->state, (GiveBack){.outcome = RELEASE_OK});
    return given_back < 0 ? given_back : r;
}

int command_request(const Agent *agent) {
    OWN(session_close) Session session = {.agent = agent};
    OWN(state_folder_close) StateFolder folder = STATE_FOLDER_CLOSED;
    OWN(stop_signals_close) StopSignals signals = {.fd = -1};
    OWN(grant_deinit) Grant grant;
    JobProcess job = {.pid = 0};
    grant_init(&grant);
    int r = grant_forget_dotenv(agent);
    if (r == 0)
        r = session_open(&session, agent, SLICE_ABSENT, SLICE_ABSENT);
    if (r == 0)
        r = session_load_key(&session);
    if (r == 0)
        r = grant_prepare(agent, &grant);
    if (r == 0)
        r = keeper_find_job(agent, &grant.job, &job);
    if (r == 0)
        r = state_open(agent, true, &folder);
    if (r == 0)
        r = stop_signals_open(&signals);
    if (r == 0)
        r = grant_request(&session, &folder, &signals, &grant);
    return r == 0 ? hand_out(agent, &folder, &signals, &grant, &job) : r;
}
