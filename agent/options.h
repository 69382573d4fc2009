/*
 * The agent's command line as one table, and where its values go.
 */
#pragma once

#include "base/options.h"

typedef struct AgentOptions {
    /* Where the coordinator is and how it knows us. */
    OptionList urls;
    const char *key, *key_file, *ca_file;
    /* This machine. */
    const char *state_dir, *worktree;
    int log_level; /* LogLevel */
    bool is_json;
    /* What is asked for. */
    const char *branch, *commit, *request_id, *holder_note;
    int64_t lease_seconds, wait_seconds, hold_seconds;
    int64_t watch; /* a process id; OPTION_UNSET: find it */
    bool is_once;
    /* What is said about a lease. */
    const char *stack_url, *note;
    int outcome; /* ReleaseOutcome; -1: not said */
    bool is_joined_too;
    int64_t limit, after; /* after: OPTION_UNSET when not given */
    OptionList paths;     /* globs, see globs.h */
    const char *dotenv;
    const char *job_status; /* "success", or how the job failed */
} AgentOptions;

typedef enum VerbId {
    VERB_REQUEST,
    VERB_JOIN,
    VERB_DEPLOYED,
    VERB_CHANGED,
    VERB_RELEASE,
    VERB_HAND_OVER,
    VERB_RUN,
    VERB_CLEAN,
    VERB_CHECK,
    VERB_LIST,
    VERB_QUEUE,
    VERB_HISTORY,
    VERB_DELETE_LAST,
    VERB_GITHUB_MAIN,
    VERB_GITHUB_POST,
    VERB_GITHUB_RELEASE,
    VERB_KEEP, /* of keeper_program alone */
    VERB_COUNT,
} VerbId;

#define KEEPER_VERB "keep"
extern const Program agent_program;
/* What this program is when its first argument is KEEPER_VERB: no help for people names that. */
extern const Program keeper_program;
