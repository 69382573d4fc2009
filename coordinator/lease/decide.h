/*
 * The rules, pure: a working set, a command and a moment in; an answer and changed rows out. No I/O, no clock of its own.
 *
 * lease_decide never changes the set unless it answers DECISION_DONE: refusals and wishes for more rows leave it as it
 * was. So a batch can decide its operations in order and drop any of them without undoing anything.
 */
#pragma once

#include "lease/working_set.h"

typedef struct Moment {
    int64_t wall_ms;     /* dates, generations */
    int64_t coordinator; /* this one's number among several; 0: there is no other */
} Moment;

/* What time alone does. The service's clock says when; the rules say whether it still applies, and what comes of it. */
typedef enum DueKind {
    DUE_EXPIRED,     /* stack_number, ticket, renewals: it was not renewed since that one, or lasted its maxHold */
    DUE_RESTED,      /* stack_number, quiet_until_ms: its quiet is over */
    DUE_UNCOLLECTED, /* stack_number, ticket: nobody came for the grant from the queue */
    DUE_UNHEARD,     /* ticket, heard_at: not heard of there any more, or hung up; passed over from now on */
    DUE_HEARD,       /* ticket, heard_at: it counts as heard of again (every queued request, after a start) */
    DUE_ABANDONED,   /* ticket: not heard of for too long; it is over */
} DueKind;
typedef struct Due {
    DueKind kind;
    int64_t stack_number, ticket, quiet_until_ms, renewals, heard_at;
} Due;

typedef enum Decision {
    DECISION_DONE,       /* answer->outcome is OUTCOME_DONE (or OUTCOME_QUEUED); the set may have changed */
    DECISION_REFUSED,    /* answer->outcome says why; nothing changed */
    DECISION_NEEDS_ROWS, /* set->wants has new entries; nothing changed; load and ask again */
} Decision;

/* Whether lease_decide has a function for it; lists and backup are the service's own. */
bool lease_decides(OperationId operation);
/* Adds what the command needs at first, as far as can be told before anything is loaded; lease_decide asks for the rest, at
 * one go for the whole set, so a batch is decided after a few loads. 0 | -ENOMEM. */
int lease_want(WorkingSet *set, const Command *command) MUST_USE;
/* A Decision, or -ENOMEM (then the whole batch must be given up: the set may be half changed). `answer` was
 * answer_init'ed; its slices borrow from the set's arena and from static text. */
int lease_decide(WorkingSet *set, const Command *command, const Moment *moment, Answer *answer) MUST_USE;

/* Likewise for a Due, which is always DONE in the end: nothing changed when it applies no longer. */
int lease_want_due(WorkingSet *set, const Due *due) MUST_USE;
int lease_decide_due(WorkingSet *set, const Due *due, const Moment *moment) MUST_USE;

/*
 * One door for capacity. Whatever may let somebody be served marks the set (is_queue_due); whoever decides must call this
 * before the set's next decision, and before the set is saved, until it answers DECISION_DONE: while the first live
 * request can be granted, it is. May grant some and then answer DECISION_NEEDS_ROWS: the set is consistent all the time.
 */
int lease_serve(WorkingSet *set, const Moment *moment) MUST_USE;
