/*
 * What differs between two commits: their trees, compared as they are. Right for shallow clones, rebased branches and merge
 * commits, since no history is walked.
 */
#pragma once

#include "agent/ci.h"
#include "agent/worktree.h"

typedef struct DifferenceAsk {
    const char *directory, *workspace; /* as worktree_read has them */
    EnvironGet environ_get;
    Slice from, to; /* commits in hex; `from` is fetched when it is not here */
    Slice globs;    /* see globs.h */
} DifferenceAsk;

typedef struct Difference {
    size_t count; /* paths that differ and are meant */
    Buffer files; /* their names, one a line, quoted as git does where they hold more than text */
    size_t named; /* so many of them; the others did not fit */
} Difference;

void difference_init(Difference *difference);
void difference_deinit(Difference *difference);

enum { DIFFERENCE_UNKNOWN = WORKTREE_UNREADABLE + 1 }; /* told apart from what worktree_visit finds itself */

/* 0 | DIFFERENCE_UNKNOWN with the reason, a sentence safe to print | -ENOMEM. */
int difference_read(const DifferenceAsk *ask, Difference *out, Buffer *reason) MUST_USE;

/* The name as one line of text: in quotes, with git's escapes, where it holds anything else. */
void difference_add_name(Slice name, Buffer *out);
