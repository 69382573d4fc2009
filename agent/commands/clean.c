/* clean: dirty stacks made as new by a command, one after the other. */
#include "agent/child.h"
#include "agent/command.h"
#include "agent/work.h"

static ReleaseOutcome judge(const LeaseState *asked, const LeaseState *noted, const ChildEnd *end) {
    (void)asked, (void)noted;
    bool is_clean = end->is_started && end->exit_code == 0 && !end->is_told_to_stop && !end->is_lease_lost;
    return is_clean ? RELEASE_OK : RELEASE_DIRTY;
}

/* A command that failed on one stack may do well on the next; one that cannot even be started will not. That none was dirty
 * for as long as one waits is no end; that one need not even wait for that answer is. */
static bool goes_on(const Agent *agent, int64_t began_ms, int r, const WorkEnd *end) {
    if (agent->options->is_once || r < 0)
        return false;
    if (r == outcome_row(OUTCOME_NONE_AVAILABLE)->exit_code) {
        int64_t wait_ms = agent->options->wait_seconds * 1000;
        return wait_ms > 0 && clock_boot_ms(agent->clock) - began_ms >= wait_ms;
    }
    return r == 0 && end->child.is_started && !end->child.is_told_to_stop;
}

int command_clean(const Agent *agent) {
    OWN(stop_signals_close) StopSignals signals = {.fd = -1};
    const Work work = {.agent = agent, .signals = &signals, .purpose = PURPOSE_CLEAN, .judge = judge};
    WorkEnd end = {0};
    int r = stop_signals_open(&signals);
    if (r != 0)
        return r;
    int64_t began_ms;
    do {
        began_ms = clock_boot_ms(agent->clock);
        r = work_once(&work, &end);
    } while (goes_on(agent, began_ms, r, &end));
    return r == 0 ? end.exit_code : r;
}
