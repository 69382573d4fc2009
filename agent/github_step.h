/*
 * One step of GitHub's: the agent as the verbs behind `github` are given it, with the inputs as its options and a runner for
 * its listener.
 */
#pragma once

#include "agent/agent.h"
#include "agent/github_files.h"
#include "agent/github_inputs.h"
#include "agent/state.h"

typedef struct GithubStep {
    Agent agent; /* its options are `inputs.agent` */
    GithubInputs inputs;
    Parsed parsed;
    char *key; /* masked, and in no environment any more */
} GithubStep;

/* Masks the key, then reads the inputs of "main", "post" or "release". 0 | an exit code, said | -errno. */
int github_step_open(const Agent *outer, const char *verb, GithubStep *step) MUST_USE;
void github_step_close(GithubStep *step);

/* 0 when there is a key, else why there is none in this event, and how to go on: an exit code, said. */
int github_step_check_key(const GithubStep *step) MUST_USE;
int github_step_check_url(const GithubStep *step) MUST_USE;
/* Hides a secret in all that is printed from here on. 0 | -errno. */
int github_step_mask(const GithubStep *step, Slice secret) MUST_USE;
/* A line to the runner: "group" with a title, "endgroup". */
void github_step_command(const GithubStep *step, const char *command, Slice text);
/* Appends entries, name and value by turns, to a file of the runner's. 0 | an exit code, said | -errno. */
typedef struct GithubEntry {
    const char *name;
    Slice value;
} GithubEntry;
int github_step_write(const GithubStep *step, const char *variable, const GithubEntry *entries, size_t count) MUST_USE;
