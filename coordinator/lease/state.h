/*
 * The states of a stack, a closed set, and the one door through which they change.
 *
 *                 ┌──────── clean ok ────────────────────────────────┐
 *                 ▼                                                  │
 *   (new) ──► leased ◄──── grant ──── available ◄── restore ──┐      │
 *               │  │  └── ok, loss ──────►▲                   │      │
 *               │  ├── dirty, loss (cleaning on) ──► dirty ───┤── leased (purpose clean) ──► dirty | quarantined
 *               │  └── broken, operator ──► quarantined ──────┘
 *               └── delete ──► retiring ──► (gone)        available, dirty, quarantined ── delete ──► (gone)
 *
 * After a loss, or when an operator ended its lease, a stack is also quiet for a while, whatever its state: nobody gets it,
 * and deleting it retires it.
 */
#pragma once

#include "base/slice.h"

typedef enum StackState {
    STACK_AVAILABLE,
    STACK_LEASED,
    STACK_DIRTY,
    STACK_QUARANTINED,
    STACK_RETIRING,
    STACK_GONE
} StackState;

typedef enum StackEvent {
    STACK_CREATE, /* a request makes it: from GONE */
    STACK_GRANT,
    STACK_RELEASE_OK, /* also: dirty or loss while cleaning is off; a grant nobody collected */
    STACK_RELEASE_DIRTY,
    STACK_RELEASE_BROKEN,
    STACK_CLEAN_START,
    STACK_CLEAN_OK,
    STACK_CLEAN_FAILED,
    STACK_CLEAN_GIVEN_UP,
    STACK_QUARANTINE,
    STACK_RESTORE,
    STACK_DELETE, /* nobody holds it or may still think so */
    STACK_RETIRE, /* … somebody does */
    STACK_REST,   /* of a retiring one: its last holder must have stopped */
    STACK_EVENT_COUNT,
} StackEvent;

/* False: the table has no such row; *to untouched. */
bool stack_state_next(StackState from, StackEvent event, StackState *to);
/* "available", …; NULL-terminated: "gone" is never stored. */
extern const char *const stack_state_names[];
const char *stack_state_name(StackState state);
