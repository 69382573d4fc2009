/* check: whether the stack is still this job's; asked of the coordinator, since it alone knows. */
#include <errno.h>

#include "agent/command.h"
#include "agent/keeper.h"
#include "agent/lease_choice.h"
#include "agent/limits.h"
#include "agent/print.h"
#include "agent/renewal.h"

static int ask(const Agent *agent, const LeaseState *lease, Reply *reply) {
    OWN(session_close) Session session = {.agent = agent};
    int r = session_open(&session, agent, lease->urls, lease->ca_file);
    if (r == 0)
        r = renewal_call(&session, lease->secret, lease->lease_seconds,
                         (SessionLimits){.within_ms = CALL_MS, .cancel_fd = -1}, reply);
    return r;
}

static int print_held(const Agent *agent, const LeaseState *lease, const Reply *reply) {
    OWN(buffer_deinit) Buffer line;
    buffer_init(&line, REASON_MAX);
    int64_t left = reply->answer.lease.expires_in_seconds;
    char span[24] = "";
    if (left != FIELD_ABSENT)
        clock_format_span(left, span);
    buffer_add_slice(&line, lease->stack);
    buffer_printf(&line, " is ours%s%s\n", left != FIELD_ABSENT ? ", for " : "", span);
    return print_out(agent, &line);
}

/* For programs: {"stackName", "held", …the answer}. */
static int print_answer(const Agent *agent, const LeaseState *lease, const Reply *reply) {
    OWN(json_decrefp) json_t *json = reply->raw.json != NULL ? json_deep_copy(reply->raw.json) : json_object();
    bool is_held = reply->outcome == OUTCOME_DONE;
    bool is_made = json_object_set_new(json, "stackName", json_stringn(lease->stack.ptr, lease->stack.len)) == 0 &&
                   json_object_set_new(json, "held", json_boolean(is_held)) == 0 &&
                   (lease->generation == FIELD_ABSENT || !is_held ||
                    json_object_set_new(json, "generation", json_integer(lease->generation)) == 0);
    return is_made ? print_json(agent, json) : -ENOMEM;
}

/* No answer now, but the keeper had one. */
static int tell_noted_loss(const Agent *agent, const LeaseState *lease) {
    OWN(buffer_deinit) Buffer line;
    buffer_init(&line, REASON_MAX);
    const Slice parts[] = {lease->lost_why, lease->lost_at, lease->lost_by};
    static const char *const leads[] = {"", " at ", " by "};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (parts[i].len == 0)
            continue;
        buffer_add_text(&line, leads[i]);
        print_foreign(&line, parts[i]);
    }
    return agent_fail(agent, outcome_row(OUTCOME_LEASE_LOST)->exit_code,
                      "LOST: %.*s is not ours any more (%s); stop working on it", SLICE_PRINT(lease->stack),
                      buffer_text(&line));
}

static int conclude(const Agent *agent, const StateFolder *folder, const LeaseState *lease, const Reply *reply) {
    bool is_known = reply->outcome == OUTCOME_DONE || reply->outcome == OUTCOME_LEASE_LOST;
    int r = agent->options->is_json && is_known ? print_answer(agent, lease, reply) : 0;
    if (r != 0)
        return r;
    if (!is_known && !slice_is_absent(lease->lost_why))
        return tell_noted_loss(agent, lease);
    if (reply->outcome != OUTCOME_DONE)
        return reply_fail(agent, reply, is_known ? "LOST: check" : "check");
    if (keeper_has_ended(folder, lease->request_id))
        agent_say(agent, LOG_WARNING, "nobody renews the lease of %.*s any more: its keeper has ended, see %s",
                  SLICE_PRINT(lease->stack), folder->path);
    return agent->options->is_json ? 0 : print_held(agent, lease, reply);
}

int command_check(const Agent *agent) {
    OWN(state_folder_close) StateFolder folder = STATE_FOLDER_CLOSED;
    OWN(lease_states_deinit) LeaseStates leases = {.count = 0};
    OWN(reply_deinit) Reply reply;
    const LeaseState *lease = NULL;
    reply_init(&reply);
    int r = lease_choice_open(agent, &folder, &leases, &lease);
    if (r == 0)
        r = ask(agent, lease, &reply);
    return r == 0 ? conclude(agent, &folder, lease, &reply) : r;
}
