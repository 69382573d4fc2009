/* run: a stack, a command with it, and the stack given back whatever became of the command. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/child.h"
#include "agent/command.h"
#include "agent/environment.h"
#include "agent/give_back.h"
#include "agent/grant.h"
#include "agent/limits.h"

typedef struct Run {
    const Agent *agent;
    StateFolder folder, own; /* the job's, and in it this run's: `deployed` within the command means this lease */
    StopSignals signals;
    Grant grant;
} Run;

static void run_deinit(Run *run) {
    stop_signals_close(&run->signals);
    if (run->own.fd >= 0)
        state_folder_end_run(&run->folder, run->grant.request_id, &run->own);
    state_folder_close(&run->folder);
    grant_deinit(&run->grant);
}

static int open_folders(Run *run) {
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, REASON_MAX);
    int r = state_open(run->agent, true, &run->folder);
    if (r == 0)
        r = state_folder_open_run(&run->folder, run->grant.request_id, &run->own, &reason);
    return r == STATE_REFUSED ? agent_fail(run->agent, EXIT_BROKEN, "%s", buffer_text(&reason)) : r;
}

static int request(Run *run) {
    OWN(session_close) Session session = {.agent = run->agent};
    int r = session_open(&session, run->agent, SLICE_ABSENT, SLICE_ABSENT);
    if (r == 0)
        r = session_load_key(&session);
    if (r == 0)
        r = grant_prepare(run->agent, &run->grant);
    if (r == 0)
        r = open_folders(run);
    if (r == 0)
        r = stop_signals_open(&run->signals, SIGCHLD);
    if (r == 0)
        r = grant_request(&session, &run->own, &run->signals, &run->grant);
    /* What the state borrowed from the session is read back from the file when it is needed. */
    run->grant.state.urls = run->grant.state.ca_file = SLICE_ABSENT;
    return r;
}

static int run_command(Run *run, ChildEnd *end) {
    const LeaseState *state = &run->grant.state;
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
        {"STACK_AGENT_STATE_DIR", run->own.path},
        {"STACK_AGENT_KEY", NULL},
    };
    OWN(environment_freep) char **environment = environment_with(changes, COUNT_OF(changes));
    if (environment == NULL)
        return -ENOMEM;
    return child_run(run->agent, &run->signals, run->agent->arguments, environment, end);
}

/* A command that did not get to its end, on a stack that had another commit: what is there now, nobody can say. */
static ReleaseOutcome outcome_of(const Run *run, const ChildEnd *end, const LeaseState *noted) {
    const LeaseState *asked = &run->grant.state;
    bool is_harmless = !end->is_started || (end->exit_code == 0 && !end->is_told_to_stop);
    bool had_head = !slice_is_absent(asked->commit) && slice_equal(asked->commit, asked->last_deployed_commit);
    return is_harmless || had_head || noted->is_deployed ? RELEASE_OK : RELEASE_DIRTY;
}

/* 0 | an exit code, said | -errno */
static int release(const Run *run, const ChildEnd *end) {
    OWN(buffer_deinit) Buffer reason;
    OWN(lease_state_deinit) LeaseState noted = LEASE_STATE_EMPTY;
    buffer_init(&reason, REASON_MAX);
    int r = lease_state_load(&run->own, run->grant.request_id, &noted, &reason);
    if (r == STATE_ABSENT)
        return 0; /* the command released it itself */
    if (r == STATE_REFUSED)
        return agent_fail(run->agent, EXIT_BROKEN, "%s; the stack is not released", buffer_text(&reason));
    return r != 0 ? r
                  : give_back(run->agent, &run->own, &noted, (GiveBack){.outcome = (int)outcome_of(run, end, &noted)});
}

int command_run(const Agent *agent) {
    OWN(run_deinit)
    Run run = {.agent = agent, .folder = STATE_FOLDER_CLOSED, .own = STATE_FOLDER_CLOSED, .signals = {.fd = -1}};
    ChildEnd end = {.exit_code = 0};
    grant_init(&run.grant);
    int r = request(&run);
    if (r != 0)
        return r;
    agent_say(agent, LOG_INFO, "%.*s is ours", SLICE_PRINT(run.grant.state.stack));
    r = run_command(&run, &end);
    if (r != 0) {
        end = (ChildEnd){.exit_code = EXIT_BROKEN};
        (void)agent_fail(agent, EXIT_BROKEN, "the command cannot be run: %s", strerror(-r));
    }
    r = release(&run, &end);
    /* That the lease was lost under the command counts more than how it ended. */
    return r == outcome_row(OUTCOME_LEASE_LOST)->exit_code ? r : end.exit_code;
}
