#include "lease/state.h"

#include "base/cleanup.h"

/* Every change a stack can make; what has no row cannot happen. The picture is in state.h. */
static const struct {
    StackState from;
    StackEvent event;
    StackState to;
} transitions[] = {
    {STACK_GONE, STACK_CREATE, STACK_LEASED},
    {STACK_AVAILABLE, STACK_GRANT, STACK_LEASED},
    {STACK_AVAILABLE, STACK_QUARANTINE, STACK_QUARANTINED},
    {STACK_AVAILABLE, STACK_DELETE, STACK_GONE},
    {STACK_LEASED, STACK_RELEASE_OK, STACK_AVAILABLE},
    {STACK_LEASED, STACK_RELEASE_DIRTY, STACK_DIRTY},
    {STACK_LEASED, STACK_RELEASE_BROKEN, STACK_QUARANTINED},
    {STACK_LEASED, STACK_CLEAN_OK, STACK_AVAILABLE},
    {STACK_LEASED, STACK_CLEAN_FAILED, STACK_DIRTY},
    {STACK_LEASED, STACK_CLEAN_GIVEN_UP, STACK_QUARANTINED},
    {STACK_LEASED, STACK_QUARANTINE, STACK_QUARANTINED},
    {STACK_LEASED, STACK_RETIRE, STACK_RETIRING},
    {STACK_AVAILABLE, STACK_RETIRE, STACK_RETIRING},
    {STACK_DIRTY, STACK_RETIRE, STACK_RETIRING},
    {STACK_QUARANTINED, STACK_RETIRE, STACK_RETIRING},
    {STACK_DIRTY, STACK_CLEAN_START, STACK_LEASED},
    {STACK_DIRTY, STACK_QUARANTINE, STACK_QUARANTINED},
    {STACK_DIRTY, STACK_RESTORE, STACK_AVAILABLE},
    {STACK_DIRTY, STACK_DELETE, STACK_GONE},
    {STACK_QUARANTINED, STACK_RESTORE, STACK_AVAILABLE},
    {STACK_QUARANTINED, STACK_DELETE, STACK_GONE},
    {STACK_RETIRING, STACK_RELEASE_OK, STACK_GONE},
    {STACK_RETIRING, STACK_RELEASE_DIRTY, STACK_GONE},
    {STACK_RETIRING, STACK_RELEASE_BROKEN, STACK_GONE},
    {STACK_RETIRING, STACK_CLEAN_OK, STACK_GONE},
    {STACK_RETIRING, STACK_CLEAN_FAILED, STACK_GONE},
    {STACK_RETIRING, STACK_CLEAN_GIVEN_UP, STACK_GONE},
    {STACK_RETIRING, STACK_REST, STACK_GONE},
};

const char *const stack_state_names[] = {
    [STACK_AVAILABLE] = "available",     [STACK_LEASED] = "leased",     [STACK_DIRTY] = "dirty",
    [STACK_QUARANTINED] = "quarantined", [STACK_RETIRING] = "retiring", [STACK_GONE] = NULL,
};

bool stack_state_next(StackState from, StackEvent event, StackState *to) {
    for (size_t i = 0; i < COUNT_OF(transitions); i++) {
        if (transitions[i].from == from && transitions[i].event == event) {
            *to = transitions[i].to;
            return true;
        }
    }
    return false;
}

const char *stack_state_name(StackState state) {
    return state == STACK_GONE ? "gone" : stack_state_names[state];
}
