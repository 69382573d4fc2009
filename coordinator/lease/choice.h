/*
 * Which stack a request gets: the order of the free ones, in one comparator.
 *
 *     1. of the request's branch   – with the request's commit deployed before the others,
 *                                    then the last requested first
 *     2. of another branch         – the longest not requested first
 *     3. a new one                 – under the project's ceiling, with the lowest unused number
 *
 * Neither a release nor a deploy moves a stack in this order: only a grant does.
 */
#pragma once

#include "lease/working_set.h"

typedef struct Choice {
    StackSlot *slot;    /* NULL: a new stack */
    int64_t new_number; /* of the new one */
    bool is_reused;     /* it held the branch already */
} Choice;

enum {
    CHOICE_NONE = 1,       /* none is free, and there is no room for a new one */
    CHOICE_NEEDS_ROWS = 2, /* set->wants has new entries: load and ask again */
};

/* How many stacks the project may have; never 0. */
int64_t choice_ceiling(const ProjectRow *project);
/* Adds the rows one choice needs. `commit` may be absent. 0 | -ENOMEM. */
int choice_want(WorkingSet *set, Slice branch, Slice commit) MUST_USE;
/* 0 | CHOICE_NONE | CHOICE_NEEDS_ROWS | -ENOMEM. Changes nothing but wants. */
int choice_make(WorkingSet *set, Slice branch, Slice commit, Choice *out) MUST_USE;
