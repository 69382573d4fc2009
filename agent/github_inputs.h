/*
 * What a workflow wrote under `with:`, which GitHub's runner hands over as INPUT_… variables. One table; action.yml and
 * docs/ci.md say the same, and a test compares them.
 */
#pragma once

#include "agent/options.h"

typedef enum GithubRelease { GITHUB_RELEASE_ALWAYS, GITHUB_RELEASE_NEVER } GithubRelease;
typedef enum GithubOutcome {
    GITHUB_OUTCOME_AUTO,
    GITHUB_OUTCOME_OK,
    GITHUB_OUTCOME_DIRTY,
    GITHUB_OUTCOME_BROKEN
} GithubOutcome;

typedef struct GithubInputs {
    AgentOptions agent; /* what the other verbs take too */
    int release;        /* GithubRelease */
    int on_failure;     /* GithubOutcome */
    int purpose;        /* Purpose */
    const char *paths;  /* globs, one a line */
    const char *env_name;
    const char *agent_path; /* for action/start.js alone */
    const char *job_status; /* "success", "failure", "cancelled": what the job is by now */
} GithubInputs;

/* Verbs "main", "post" and "release". Names in it are those of the environment. */
extern const Program github_inputs_program;
