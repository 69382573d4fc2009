/*
 * The rules, pure: a working set, a command and a moment in; an answer and changed rows out. No I/O, no clock of its own.
 *
 * lease_decide never changes the set unless it answers DECISION_DONE: refusals and wishes for more rows leave it as it
 * was. So a batch can decide its operations in order and drop any of them without undoing anything.
 */
#pragma once

#include "lease/working_set.h"

typedef struct Moment {
    int64_t wall_ms; /* dates, generations */
    int64_t boot_ms; /* the lease clock */
} Moment;

typedef enum Decision {
    DECISION_DONE,       /* answer->outcome is OUTCOME_DONE (or OUTCOME_QUEUED); the set may have changed */
    DECISION_REFUSED,    /* answer->outcome says why; nothing changed */
    DECISION_NEEDS_ROWS, /* set->wants has new entries; nothing changed; load and ask again */
} Decision;

/* Whether lease_decide has a function for it; lists and backup are the service's own. */
bool lease_decides(OperationId operation);
/* Adds what the command needs at first, as far as can be told before anything is loaded; lease_decide asks for the rest, at
 * one go for the whole set, so a batch is decided after DECIDE_ROUNDS_MAX loads. 0 | -ENOMEM. */
int lease_want(WorkingSet *set, const Command *command) MUST_USE;
/* A Decision, or -ENOMEM (then the whole batch must be given up: the set may be half changed). `answer` was
 * answer_init'ed; its slices borrow from the set's arena and from static text. */
int lease_decide(WorkingSet *set, const Command *command, const Moment *moment, Answer *answer) MUST_USE;
