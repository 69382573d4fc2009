/*
 * Each in a folder of its own within the job's, so that `deployed` within the command means this lease, and so that what a
 * killed `run` left is told from what a living one uses.
 */
#include "agent/work.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/environment.h"
#include "agent/give_back.h"
#include "agent/limits.h"

typedef struct Shift {
    const Work *work;
    StateFolder folder, own; /* the job's, and in it this one's */
    Session session;         /* for the request and the renewals */
    Grant grant;
    Renewal renewal;
} Shift;

static void shift_deinit(Shift *shift) {
    renewal_deinit(&shift->renewal);
    if (shift->own.fd >= 0)
        state_folder_end_run(&shift->folder, shift->grant.request_id, &shift->own);
    state_folder_close(&shift->folder);
    grant_deinit(&shift->grant);
    session_close(&shift->session);
}

static int open_folders(Shift *shift) {
    const Agent *agent = shift->work->agent;
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, REASON_MAX);
    int r = state_open(agent, true, &shift->folder);
    if (r == 0)
        r = state_folder_open_run(&shift->folder, shift->grant.request_id, &shift->own, &reason);
    return r == STATE_REFUSED ? agent_fail(agent, EX_SOFTWARE, "%s", buffer_text(&reason)) : r;
}

static int request(Shift *shift) {
    const Agent *agent = shift->work->agent;
    Grant *grant = &shift->grant;
    int r = session_open(&shift->session, agent, SLICE_ABSENT, SLICE_ABSENT);
    if (r == 0)
        r = session_load_key(&shift->session);
    if (r == 0)
        r = shift->work->purpose == PURPOSE_CLEAN ? grant_prepare_clean(agent, grant) : grant_prepare(agent, grant);
    if (r == 0)
        r = open_folders(shift);
    if (r == 0)
        r = grant_request(&shift->session, &shift->own, shift->work->signals, grant);
    if (r == 0)
        renewal_init(&shift->renewal, &shift->session, &grant->state, grant->sent_ms);
    return r;
}

static int run_command(Shift *shift, ChildEnd *end) {
    const LeaseState *state = &shift->grant.state;
    const Agent *agent = shift->work->agent;
    char generation[24] = "";
    if (state->generation != FIELD_ABSENT)
        (void)snprintf(generation, sizeof generation, "%" PRId64, state->generation);
    OWN(freep) char *stack = slice_dup(state->stack);
    OWN(freep) char *commit = slice_dup(state->last_deployed_commit);
    if (stack == NULL || commit == NULL)
        return -ENOMEM;
    const EnvironmentChange changes[] = {
        {"STACK_NAME", stack},
        {"STACK_GENERATION", generation[0] != '\0' ? generation : NULL},
        {"STACK_LAST_DEPLOYED_COMMIT", commit[0] != '\0' ? commit : NULL},
        {"STACK_AGENT_STATE_DIR", shift->own.path},
        {"STACK_AGENT_KEY", NULL},
    };
    OWN(environment_freep) char **environment = environment_with(changes, COUNT_OF(changes));
    if (environment == NULL)
        return -ENOMEM;
    const ChildLease lease = {.renewal = &shift->renewal, .folder = &shift->own, .request_id = shift->grant.request_id};
    return child_run(agent, shift->work->signals, &lease, environment, end);
}

/* 0 | an exit code, said | -errno */
static int release(const Shift *shift, const ChildEnd *end) {
    const Work *work = shift->work;
    OWN(buffer_deinit) Buffer reason;
    OWN(lease_state_deinit) LeaseState noted = LEASE_STATE_EMPTY;
    buffer_init(&reason, REASON_MAX);
    int r = lease_state_load(&shift->own, shift->grant.request_id, &noted, &reason);
    if (r == STATE_ABSENT)
        return 0; /* the command released it itself */
    if (r == STATE_REFUSED)
        return agent_fail(work->agent, EX_SOFTWARE, "%s; the stack is not released", buffer_text(&reason));
    GiveBack how = {.outcome = (int)work->judge(&shift->grant.state, &noted, end)};
    return r != 0 ? r : give_back(work->agent, &shift->own, &noted, how);
}

int work_once(const Work *work, WorkEnd *end) {
    const int lost = outcome_row(OUTCOME_LEASE_LOST)->exit_code;
    OWN(shift_deinit)
    Shift shift = {.work = work, .folder = STATE_FOLDER_CLOSED, .own = STATE_FOLDER_CLOSED};
    *end = (WorkEnd){0};
    grant_init(&shift.grant);
    int r = request(&shift);
    if (r != 0)
        return r;
    agent_say(work->agent, LOG_INFO, "%.*s is ours", SLICE_PRINT(shift.grant.state.stack));
    r = run_command(&shift, &end->child);
    if (r != 0) {
        end->child = (ChildEnd){.exit_code = EX_SOFTWARE};
        (void)agent_fail(work->agent, EX_SOFTWARE, "the command cannot be run: %s", strerror(-r));
    }
    r = release(&shift, &end->child);
    end->exit_code = end->child.exit_code;
    if (r > EXIT_SIGNAL) { /* a signal that came after the command */
        end->child.is_told_to_stop = true;
        end->exit_code = end->exit_code == 0 ? r : end->exit_code;
    }
    /* That the lease was lost under the command counts more than how it ended. */
    if (end->child.is_lease_lost || r == lost)
        end->exit_code = lost;
    return 0;
}
