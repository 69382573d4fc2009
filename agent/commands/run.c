/* run: a stack, a command with it, and the stack given back whatever became of the command. */
#include "agent/command.h"
#include "agent/work.h"

/* A command that did not get to its end, on a stack that had another commit: what is there now, nobody can say. */
static ReleaseOutcome judge(const LeaseState *asked, const LeaseState *noted, const ChildEnd *end) {
    bool is_stopped = end->is_told_to_stop || end->is_lease_lost;
    bool is_harmless = !end->is_started || (end->exit_code == 0 && !is_stopped);
    bool had_head = !slice_is_absent(asked->commit) && slice_equal(asked->commit, asked->last_deployed_commit);
    bool is_known = (had_head || noted->is_deployed) && !noted->is_deploy_needed;
    return is_harmless || is_known ? RELEASE_OK : RELEASE_DIRTY;
}

int command_run(const Agent *agent) {
    OWN(stop_signals_close) StopSignals signals = {.fd = -1};
    WorkEnd end;
    int r = stop_signals_open(&signals);
    if (r == 0)
        r = work_once(&(Work){.agent = agent, .signals = &signals, .purpose = PURPOSE_TEST, .judge = judge}, &end);
    return r == 0 ? end.exit_code : r;
}
