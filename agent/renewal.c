/* One renewal and its place in time. */
#include "agent/renewal.h"

#include <errno.h>

#include "agent/limits.h"

int renewal_call(Session *session, Slice secret, int64_t lease_seconds, SessionLimits limits, Reply *reply) {
    Command command = {.operation = OP_RENEW_LEASE};
    fields_clear(operation_row(OP_RENEW_LEASE)->command, &command);
    command.lease = secret;
    command.lease_seconds = lease_seconds;
    return session_call(session, &command, limits, reply);
}

int64_t renewal_seconds(const Reply *reply, int64_t asked) {
    int64_t seconds = reply->answer.lease.expires_in_seconds;
    return seconds != FIELD_ABSENT ? seconds : asked;
}

void renewal_init(Renewal *renewal, Session *session, const LeaseState *state, int64_t sent_ms) {
    *renewal = (Renewal){
        .session = session, .stack = state->stack, .secret = state->secret, .lease_seconds = state->lease_seconds};
    lease_times_init(&renewal->times, state->lease_seconds, sent_ms);
    reply_init(&renewal->reply);
}

void renewal_deinit(Renewal *renewal) {
    if (renewal != NULL)
        reply_deinit(&renewal->reply);
}

static void say_failed(Renewal *renewal, int64_t now_ms) {
    const Agent *agent = renewal->session->agent;
    if (renewal->is_failing && now_ms - renewal->told_ms < REMIND_MS)
        return;
    renewal->is_failing = true;
    renewal->told_ms = now_ms;
    int64_t left_ms = lease_times_end(&renewal->times) - now_ms;
    char span[24];
    clock_format_span(left_ms / 1000, span);
    const char *why = buffer_text(&renewal->reply.detail);
    agent_say(agent, LOG_WARNING, "the lease of %.*s cannot be renewed (%s): trying again; it %s%s",
              SLICE_PRINT(renewal->stack), why != NULL && *why != '\0' ? why : "no answer",
              left_ms > 0 ? "ends in " : "should be over by now", left_ms > 0 ? span : "");
}

static void take_good(Renewal *renewal, int64_t sent_ms) {
    if (renewal->is_failing)
        agent_say(renewal->session->agent, LOG_INFO, "the lease of %.*s is renewed again", SLICE_PRINT(renewal->stack));
    renewal->is_failing = false;
    lease_times_renewed(&renewal->times, sent_ms, renewal->reply.answer.lease.expires_in_seconds);
}

static void take_failure(Renewal *renewal) {
    const Agent *agent = renewal->session->agent;
    int64_t now_ms = clock_boot_ms(agent->clock);
    uint64_t noise = 0;
    if (random_fill(agent->random, &noise, sizeof noise) != 0)
        noise = UINT64_MAX / 2;
    say_failed(renewal, now_ms);
    lease_times_failed(&renewal->times, now_ms, noise);
}

int renewal_try(Renewal *renewal, int cancel_fd) {
    Session *session = renewal->session;
    reply_deinit(&renewal->reply);
    int64_t sent_ms = clock_boot_ms(session->agent->clock);
    SessionLimits limits = {.within_ms = lease_times_try_ms(&renewal->times, sent_ms) * (int64_t)session->count,
                            .is_one_try = true,
                            .cancel_fd = cancel_fd};
    int r = renewal_call(session, renewal->secret, renewal->lease_seconds, limits, &renewal->reply);
    if (r == -ECANCELED)
        return r;
    if (r == 0 && renewal->reply.outcome == OUTCOME_LEASE_LOST)
        return RENEWAL_LOST;
    if (r == 0 && renewal->reply.outcome == OUTCOME_DONE) {
        take_good(renewal, sent_ms);
        return 0;
    }
    take_failure(renewal);
    return RENEWAL_FAILED;
}

bool renewal_was_given_back(const Renewal *renewal, const StateFolder *folder, Slice request_id) {
    if (!slice_equal_text(reply_text(renewal->reply.raw.json, "why"), "released"))
        return false;
    OWN(lease_state_deinit) LeaseState noted = LEASE_STATE_EMPTY;
    OWN(buffer_deinit) Buffer unsaid;
    buffer_init(&unsaid, REASON_MAX);
    int r = lease_state_load(folder, request_id, &noted, &unsaid);
    return r == STATE_ABSENT || (r == 0 && noted.is_giving_back);
}
