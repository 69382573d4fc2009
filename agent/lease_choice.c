/* Requests without an answer have no stack and are never meant. */
#include "agent/lease_choice.h"

#include <string.h>

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

static bool is_meant(const LeaseState *lease, Slice name) {
    return !slice_is_absent(lease->stack) && (slice_is_absent(name) || slice_equal(lease->stack, name));
}

/* Of two leases of one stack the earlier is over, whatever its keeper has heard. */
static bool is_latest(const LeaseStates *leases, const LeaseState *lease) {
    for (size_t i = 0; i < leases->count; i++) {
        const LeaseState *other = &leases->items[i];
        bool is_later = other->generation != lease->generation ? other->generation > lease->generation : other > lease;
        if (slice_equal(other->stack, lease->stack) && is_later)
            return false;
    }
    return true;
}

static bool may_live(const LeaseState *lease) {
    return !lease->is_left && slice_is_absent(lease->lost_why);
}

/* Generations are by the clock that told when the other was lost. */
static bool was_got_after_loss(const LeaseState *lease, const LeaseState *lost) {
    char when[CLOCK_ISO_SIZE];
    clock_format_iso(lease->generation != FIELD_ABSENT ? lease->generation : 0, when);
    return lost->lost_at.len == strlen(when) && slice_compare(slice_of(when), lost->lost_at) > 0;
}

/* What an earlier shell left to run out is not meant where there is anything that lives, nor what was lost where another one
 * was got after that. */
static bool is_outdone(const LeaseStates *leases, Slice name, const LeaseState *lease) {
    if (!is_latest(leases, lease))
        return true;
    for (size_t i = 0; i < leases->count && !may_live(lease); i++) {
        const LeaseState *other = &leases->items[i];
        bool is_in_place = lease->is_left || was_got_after_loss(other, lease);
        if (is_in_place && is_meant(other, name) && may_live(other) && is_latest(leases, other))
            return true;
    }
    return false;
}

int lease_choice_find(const Agent *agent, const LeaseStates *leases, Slice name, const LeaseState **chosen) {
    OWN(buffer_deinit) Buffer names;
    size_t count = 0;
    buffer_init(&names, REASON_MAX);
    *chosen = NULL;
    for (size_t i = 0; i < leases->count; i++) {
        const LeaseState *lease = &leases->items[i];
        if (!is_meant(lease, name) || is_outdone(leases, name, lease))
            continue;
        *chosen = lease;
        buffer_add_text(&names, count++ > 0 ? ", " : "");
        print_foreign(&names, lease->stack);
    }
    if (count <= 1)
        return 0;
    *chosen = NULL;
    return agent_fail(agent, EX_USAGE, "this job has several stacks: name one of %s", buffer_text(&names));
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
        agent, EX_NOINPUT,
        "this job has no stack%s%s: `stack-agent request` gets one; if it did, give its --state-dir here too",
        slice_is_absent(name) ? "" : " ", buffer_text(&stack));
}
