/*
 * The coordinator's command line as one table, and where its values go.
 */
#pragma once

#include "base/options.h"

typedef struct CoordinatorOptions {
    const char *data; /* NULL: see options_data_dir */
    /* serve */
    const char *store, *store_environment, *store_file; /* see coordinator/store_choice.h */
    const char *http, *https;
    OptionList nng;
    const char *tls_cert, *tls_key, *agents;
    bool is_nng_insecure;
    int64_t max_connections;
    int log_level; /* LogLevel */
    int log_style; /* LogStyle */
    /* The admin verbs. Numbers and durations: OPTION_UNSET when not given; choices: -1 likewise. */
    bool is_json;
    const char *prefix, *initial_commit;
    int64_t max_stacks, max_hold_seconds, expiry_grace_seconds;
    int cleaning; /* 0 off, 1 on */
    int scope;    /* 0 read, 1 agent, 2 operator */
    const char *label, *reason;
    int outcome; /* ReleaseOutcome */
    bool is_now;
    int64_t limit, after;
    bool is_original; /* import: the table of the original */
    OptionList renames;
} CoordinatorOptions;

typedef enum VerbId {
    VERB_SERVE,
    VERB_PROJECT_CREATE,
    VERB_PROJECT_UPDATE,
    VERB_PROJECT_LIST,
    VERB_PROJECT_DELETE,
    VERB_KEY_CREATE,
    VERB_KEY_IMPORT,
    VERB_KEY_LIST,
    VERB_KEY_REVOKE,
    VERB_STACK_LIST,
    VERB_STACK_RELEASE,
    VERB_STACK_QUARANTINE,
    VERB_STACK_RESTORE,
    VERB_STACK_NOTE,
    VERB_QUEUE,
    VERB_HISTORY,
    VERB_BACKUP,
    VERB_EXPORT,
    VERB_IMPORT,
    VERB_COUNT,
} VerbId;

extern const Program coordinator_program;
extern const char *const option_switches[]; /* of CoordinatorOptions.cleaning */
extern const char *const option_scopes[];   /* names of CoordinatorOptions.scope, NULL-terminated */

/* The data folder: what --data says, else /var/lib/stack-coordinator for root and the XDG state folder for other
 * users. A malloc'd path; NULL: memory is short, or there is no home to put it in. */
char *options_data_dir(const CoordinatorOptions *options, uid_t user, const char *(*environ_get)(const char *))
    MUST_USE;
