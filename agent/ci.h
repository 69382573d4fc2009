/*
 * What the CI system says about this job through its environment: the branch it is about, and who we are for people who
 * look at the list of stacks. Everything in there can be chosen by whoever opened a pull request.
 */
#pragma once

#include "base/arena.h"
#include "protocol/messages.h"

/* getenv, or a test's. */
typedef const char *(*EnvironGet)(const char *name);

typedef struct CiJob {
    const char *provider;  /* "github", "gitlab", "jenkins", "circleci", "local" */
    Slice branch;          /* absent: CI does not tell */
    const char *workspace; /* where CI checked out, NULL: not said. Its owner may be another user, by CI's design */
    Holder holder;         /* as the protocol wants it: what does not fit is cut or left out */
} CiJob;

/* Texts live in the environment or the arena. 0 | -ENOMEM. */
int ci_read(EnvironGet environ_get, Arena *arena, CiJob *out) MUST_USE;
/* A variable that is set and not empty, else NULL. */
const char *ci_variable(EnvironGet environ_get, const char *name);
/* A text of GitHub's event payload: "pull_request.head.ref". Absent when there is none, or anything about it is odd.
 * 0 | -ENOMEM. */
int ci_event_text(EnvironGet environ_get, Arena *arena, const char *path, Slice *out) MUST_USE;
/* The longest beginning of at most `max` bytes that ends between two code points. */
Slice ci_cut(Slice text, size_t max);
/* Cuts what is too long and drops what breaks a rule, so that an odd job name never fails a request. */
void ci_fit_holder(Holder *holder);
