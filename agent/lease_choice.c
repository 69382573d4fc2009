/* Requests without an answer have no stack and are never meant. */
#include "agent/lease_choice.h"

#include "agent/give_back.h"
#include "agent/limits.h"
#include "agent/print.h"

int lease_choice_load(const Agent *agent, const StateFolder *folder, LeaseStates *out) {
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, REASON_MAX);
    int r = lease_states_load(folder, out, &reason);
    if (r == 0 && out->refused_count > 0)
        agent_say(agent, LOG_WARNING, "%s", buffer_text(&reason));
    return r;
}

static int ask_for_name(const Agent *agent, const LeaseStates *leases) {
    OWN(buffer_deinit) Buffer names;
    buffer_init(&names, REASON_MAX);
    for (size_t i = 0; i < leases->count; i++) {
        if (slice_is_absent(leases->items[i].stack))
            continue;
        buffer_add_text(&names, names.len > 0 ? ", " : "");
        print_foreign(&names, leases->items[i].stack);
    }
    return agent_fail(agent, EXIT_USAGE, "this job has several stacks: name one of %s", buffer_text(&names));
}

int lease_choice_find(const Agent *agent, const LeaseStates *leases, Slice name, const LeaseState **chosen) {
    const LeaseState *found = NULL;
    for (size_t i = 0; i < leases->count; i++) {
        const LeaseState *lease = &leases->items[i];
        bool is_meant = slice_is_absent(name) || slice_equal(lease->stack, name);
        if (slice_is_absent(lease->stack) || !is_meant)
            continue;
        bool is_same = found != NULL && slice_equal(lease->stack, found->stack);
        if (is_same && !slice_is_absent(lease->lost_why))
            continue; /* what a lost lease left behind is not meant where the stack was got again */
        bool was_lost = is_same && !slice_is_absent(found->lost_why);
        if (found != NULL && !was_lost && slice_is_absent(name))
            return ask_for_name(agent, leases);
        found = lease;
    }
    *chosen = found;
    return 0;
}

int lease_choice_open(const Agent *agent, StateFolder *folder, LeaseStates *leases, const LeaseState **chosen) {
    Slice name = agent->argument_count > 0 ? slice_of(agent->arguments[0]) : SLICE_ABSENT;
    *chosen = NULL;
    int r = state_open(agent, false, folder);
    if (r == 0 && folder->fd >= 0)
        r = lease_choice_load(agent, folder, leases);
    if (r == 0)
        r = lease_choice_find(agent, leases, name, chosen);
    if (r != 0 || *chosen != NULL)
        return r;
    OWN(buffer_deinit) Buffer stack;
    buffer_init(&stack, REASON_MAX);
    print_foreign(&stack, name);
    return agent_fail(
        agent, EXIT_NO_INPUT,
        "this job has no stack%s%s: `stack-agent request` gets one; if it did, give its --state-dir here too",
        slice_is_absent(name) ? "" : " ", buffer_text(&stack));
}
