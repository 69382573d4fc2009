/*
 * The end of a lease. Invariant: a file is removed only after the coordinator said that its lease or request is over.
 */
#include "agent/give_back.h"

#include <errno.h>
#include <string.h>

#include "agent/limits.h"
#include "agent/print.h"
#include "agent/stop_signals.h"

int state_open(const Agent *agent, bool is_made, StateFolder *folder) {
    OWN(buffer_deinit) Buffer path, reason;
    buffer_init(&path, URL_MAX * 4);
    buffer_init(&reason, REASON_MAX);
    int r = 0;
    if (agent->options->state_dir != NULL)
        buffer_add_text(&path, agent->options->state_dir);
    else
        r = state_folder_choose(agent->environ_get, agent->options->worktree, &path, &reason);
    const char *text = buffer_text(&path);
    if (r == 0 && text == NULL)
        r = buffer_error(&path);
    if (r == 0)
        r = state_folder_open(text, is_made, folder, &reason);
    if (r == STATE_ABSENT) {
        *folder = STATE_FOLDER_CLOSED;
        return 0;
    }
    return r == STATE_REFUSED ? agent_fail(agent, EX_SOFTWARE, "%s", buffer_text(&reason)) : r;
}

static void prepare(const LeaseState *state, GiveBack how, Command *command) {
    bool is_granted = !slice_is_absent(state->stack);
    *command = (Command){.operation = is_granted ? OP_RELEASE_STACK : OP_CANCEL_REQUEST};
    fields_clear(operation_row(command->operation)->command, command);
    command->request_id = state->request_id;
    command->stack_name = state->stack;
    command->lease = state->secret;
    command->outcome = how.outcome;
    command->note = slice_of(how.note);
}

/* A signal leaves it one short try more: this is what a cancelled job's last seconds are for. */
static int call(Session *session, const Command *command, StopSignals *signals, Reply *reply, int *signal_number) {
    SessionLimits limits = {.within_ms = RELEASE_MS, .cancel_fd = signals->fd};
    int r = session_call(session, command, limits, reply);
    if (r != -ECANCELED)
        return r;
    *signal_number = stop_signals_take(signals);
    reply_deinit(reply);
    return session_call(session, command, (SessionLimits){.within_ms = CANCEL_MS, .cancel_fd = -1}, reply);
}

static bool is_over(const Reply *reply) {
    return reply->outcome == OUTCOME_DONE || reply->outcome == OUTCOME_LEASE_LOST ||
           reply->outcome == OUTCOME_REQUEST_OVER;
}

static int conclude(const Agent *agent, const StateFolder *folder, const LeaseState *state, GiveBack how,
                    const Reply *reply) {
    bool is_granted = !slice_is_absent(state->stack);
    if (is_over(reply)) {
        int r = lease_state_remove(folder, state->request_id);
        if (r != 0)
            agent_say(agent, LOG_WARNING, "the note of a lease that is over cannot be removed from %s: %s",
                      folder->path, strerror(-r));
    }
    if (reply->outcome == OUTCOME_LEASE_LOST && how.is_abandoned) {
        agent_say(agent, LOG_INFO, "the lease that a killed run had of %.*s was over already",
                  SLICE_PRINT(state->stack));
        return 0;
    }
    /* A request that is over is what was wanted; its lease under us is not. */
    if (reply->outcome != OUTCOME_DONE && (is_granted || reply->outcome != OUTCOME_REQUEST_OVER))
        return reply_fail(agent, reply, is_granted ? "release" : "taking back a request");
    if (is_granted)
        agent_say(agent, LOG_INFO, "%.*s released (%s)", SLICE_PRINT(state->stack), release_outcome_names[how.outcome]);
    else
        agent_say(agent, LOG_INFO, "a request whose answer never came is taken back");
    return 0;
}

static void set_giving_back(LeaseState *state, const void *arg) {
    (void)arg;
    state->is_giving_back = true;
}

/* For whoever renews it and hears that it is over, before our answer comes. Without this he would call it lost; the release
 * does not depend on it. */
static void mark(const StateFolder *folder, const LeaseState *state) {
    OWN(buffer_deinit) Buffer unsaid;
    buffer_init(&unsaid, REASON_MAX);
    if (!slice_is_absent(state->secret))
        (void)(lease_state_change(folder, state->request_id, set_giving_back, NULL, &unsaid) == 0);
}

static int ask(Session *session, const Command *command, Reply *reply, int *signal_number) {
    OWN(stop_signals_close) StopSignals signals = {.fd = -1};
    int r = stop_signals_open(&signals);
    if (r == 0 && slice_is_absent(command->lease))
        r = session_load_key(session);
    return r != 0 ? r : call(session, command, &signals, reply, signal_number);
}

int give_back(const Agent *agent, const StateFolder *folder, const LeaseState *state, GiveBack how) {
    OWN(session_close) Session session = {.agent = agent};
    OWN(reply_deinit) Reply reply;
    reply_init(&reply);
    Command command;
    prepare(state, how, &command);
    int signal_number = 0;
    int r = session_open(&session, agent, state->urls, state->ca_file);
    if (r == 0)
        mark(folder, state);
    if (r == 0)
        r = ask(&session, &command, &reply, &signal_number);
    if (r == 0)
        r = conclude(agent, folder, state, how, &reply);
    return signal_number != 0 && r >= 0 ? EXIT_SIGNAL + signal_number : r;
}
