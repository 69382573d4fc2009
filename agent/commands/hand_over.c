/* hand-over: the stack stays leased for the jobs that join it, and this one has nothing to do with it any more. */
#include <errno.h>
#include <string.h>

#include "agent/command.h"
#include "agent/lease_choice.h"
#include "agent/limits.h"
#include "agent/print.h"
#include "agent/renewal.h"

static int hold(const Agent *agent, const LeaseState *lease, Reply *reply) {
    OWN(session_close) Session session = {.agent = agent};
    int r = session_open(&session, agent, lease->urls, lease->ca_file);
    if (r == 0)
        r = renewal_call(&session, lease->secret, agent->options->hold_seconds,
                         (SessionLimits){.within_ms = CALL_MS, .cancel_fd = -1}, reply);
    return r;
}

/* For programs: {"stackName", "requestId", "expiresInSeconds"}. */
static int print_held(const Agent *agent, const LeaseState *lease, int64_t seconds) {
    OWN(json_decrefp)
    json_t *json = json_pack("{s:s%, s:s%, s:I}", "stackName", lease->stack.ptr, lease->stack.len, "requestId",
                             lease->request_id.ptr, lease->request_id.len, "expiresInSeconds", (json_int_t)seconds);
    return json != NULL ? print_json(agent, json) : -ENOMEM;
}

int command_hand_over(const Agent *agent) {
    OWN(state_folder_close) StateFolder folder = STATE_FOLDER_CLOSED;
    OWN(lease_states_deinit) LeaseStates leases = {.count = 0};
    OWN(reply_deinit) Reply reply;
    const LeaseState *lease = NULL;
    reply_init(&reply);
    int r = lease_choice_open(agent, &folder, &leases, &lease);
    if (r == 0)
        r = hold(agent, lease, &reply);
    if (r != 0)
        return r;
    if (reply.outcome != OUTCOME_DONE)
        return reply_fail(agent, &reply, reply.outcome == OUTCOME_LEASE_LOST ? "LOST: hand-over" : "hand-over");
    /* With its file the lease is nobody's here: that is what ends the keeper. */
    r = lease_state_remove(&folder, lease->request_id);
    if (r != 0)
        return agent_fail(agent, EX_SOFTWARE, "%s cannot be changed, so the lease goes on being renewed: %s",
                          folder.path, strerror(-r));
    char span[24];
    int64_t seconds = renewal_seconds(&reply, agent->options->hold_seconds);
    clock_format_span(seconds, span);
    agent_say(agent, LOG_INFO, "%.*s is held for %s: jobs that use it `join` the request %.*s",
              SLICE_PRINT(lease->stack), span, SLICE_PRINT(lease->request_id));
    return agent->options->is_json ? print_held(agent, lease, seconds) : 0;
}
