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
    int64_t lease_seconds, wait_seconds;
    /* What is said about a lease. */
    const char *stack_url, *note;
    int outcome; /* ReleaseOutcome; -1: not said */
    int64_t limit;
} AgentOptions;

typedef enum VerbId {
    VERB_REQUEST,
    VERB_JOIN,
    VERB_DEPLOYED,
    VERB_RELEASE,
    VERB_RUN,
    VERB_LIST,
    VERB_HISTORY,
    VERB_DELETE_LAST,
    VERB_COUNT,
} VerbId;

extern const Program agent_program;
