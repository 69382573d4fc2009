/*
 * The rows. Those that several verbs take are written once, as macros of whole rows.
 */
#include "coordinator/options.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "protocol/messages.h"

#define ROOT_DATA_DIR "/var/lib/stack-coordinator"

static const char *const log_styles[] = {[LOG_JSON] = "json", [LOG_PLAIN] = "plain", NULL};
const char *const option_switches[] = {"off", "on", NULL};
const char *const option_scopes[] = {"read", "agent", "operator", NULL};

static const Option common[] = {
    {.flag = "--data",
     .argument = "DIR",
     .environment = "STACK_COORDINATOR_DATA",
     .kind = OPTION_TEXT,
     .offset = offsetof(CoordinatorOptions, data),
     .doc = "Where the database, its lock and the control socket are. Default: " ROOT_DATA_DIR " for root, else "
            "stack-coordinator in $XDG_STATE_HOME (~/.local/state)."},
};

/* clang-format off */
#define ROWS_STORE \
    {.flag = "--store", .argument = "URL", .kind = OPTION_TEXT, .offset = offsetof(CoordinatorOptions, store), \
     .doc = "Where the rows are kept: sqlite (the default), a file in the data folder; or a PostgreSQL server, " \
            "postgres://USER@HOST/DATABASE, without a password."}, \
    {.environment = "STACK_COORDINATOR_STORE", .kind = OPTION_TEXT, \
     .offset = offsetof(CoordinatorOptions, store_environment), \
     .doc = "Like --store, and the URL may hold a password, which everybody on the machine can read in a command " \
            "line."}, \
    {.flag = "--store-file", .argument = "FILE", .environment = "STACK_COORDINATOR_STORE_FILE", .kind = OPTION_TEXT, \
     .offset = offsetof(CoordinatorOptions, store_file), \
     .doc = "A file with that URL in it, password and all. PGPASSFILE and ~/.pgpass are read too."}
/* clang-format on */

static const Option serve_options[] = {
    ROWS_STORE,
    {.flag = "--http",
     .argument = "ADDRESS",
     .environment = "STACK_COORDINATOR_HTTP",
     .fallback = "127.0.0.1:7878",
     .kind = OPTION_TEXT,
     .offset = offsetof(CoordinatorOptions, http),
     .doc = "Where plain HTTP is served, port 0 for any free one; `none` for nowhere."},
    {.flag = "--https",
     .argument = "ADDRESS",
     .environment = "STACK_COORDINATOR_HTTPS",
     .kind = OPTION_TEXT,
     .offset = offsetof(CoordinatorOptions, https),
     .doc = "Where HTTPS is served; needs --tls-cert and --tls-key."},
    {.flag = "--nng",
     .argument = "URL",
     .environment = "STACK_COORDINATOR_NNG",
     .kind = OPTION_LIST,
     .offset = offsetof(CoordinatorOptions, nng),
     .doc = "Where nng request/reply is served too: tcp://, tls+tcp:// or ipc://. May be given several times."},
    {.flag = "--tls-cert",
     .argument = "FILE",
     .environment = "STACK_COORDINATOR_TLS_CERT",
     .kind = OPTION_TEXT,
     .offset = offsetof(CoordinatorOptions, tls_cert),
     .doc = "The certificate (PEM, with its chain) of --https and tls+tcp://."},
    {.flag = "--tls-key",
     .argument = "FILE",
     .environment = "STACK_COORDINATOR_TLS_KEY",
     .kind = OPTION_TEXT,
     .offset = offsetof(CoordinatorOptions, tls_key),
     .doc = "Its private key (PEM)."},
    {.flag = "--agents",
     .argument = "DIR",
     .environment = "STACK_COORDINATOR_AGENTS",
     .kind = OPTION_TEXT,
     .offset = offsetof(CoordinatorOptions, agents),
     .doc = "A folder of agent programs named OS-ARCH (linux-x86_64, linux-aarch64), served under /agent/."},
    {.flag = "--insecure-nng",
     .environment = "STACK_COORDINATOR_INSECURE_NNG",
     .kind = OPTION_FLAG,
     .offset = offsetof(CoordinatorOptions, is_nng_insecure),
     .doc = "Allow tcp:// beyond this machine, although keys then cross the network in the clear."},
    {.flag = "--max-connections",
     .argument = "N",
     .environment = "STACK_COORDINATOR_MAX_CONNECTIONS",
     .fallback = "4096",
     .kind = OPTION_NUMBER,
     .offset = offsetof(CoordinatorOptions, max_connections),
     .min = 8,
     .max = 65536,
     .doc = "At most so many connections on each HTTP port."},
    {.flag = "--log-level",
     .argument = "LEVEL",
     .environment = "STACK_COORDINATOR_LOG_LEVEL",
     .fallback = "info",
     .kind = OPTION_CHOICE,
     .offset = offsetof(CoordinatorOptions, log_level),
     .choices = log_level_names,
     .doc = "What is told on stderr: error, warning, info or debug."},
    {.flag = "--log-style",
     .argument = "STYLE",
     .environment = "STACK_COORDINATOR_LOG_STYLE",
     .fallback = "json",
     .kind = OPTION_CHOICE,
     .offset = offsetof(CoordinatorOptions, log_style),
     .choices = log_styles,
     .doc = "How: json, one object a line, or plain."},
};

/* clang-format off */
#define ROW_JSON \
    {.flag = "--json", .kind = OPTION_FLAG, .offset = offsetof(CoordinatorOptions, is_json), .doc = "Print one JSON object."}
#define ROW_PREFIX \
    {.flag = "--prefix", .argument = "TEXT", .kind = OPTION_TEXT, .offset = offsetof(CoordinatorOptions, prefix), \
     .doc = "What its stacks' names begin with; `test-` for a new project."}
#define ROW_INITIAL_COMMIT \
    {.flag = "--initial-commit", .argument = "HASH", .kind = OPTION_TEXT, \
     .offset = offsetof(CoordinatorOptions, initial_commit), \
     .doc = "The commit told of a stack nobody has deployed to yet."}
#define ROW_MAX_STACKS(least, words) \
    {.flag = "--max-stacks", .argument = "N", .kind = OPTION_NUMBER, .offset = offsetof(CoordinatorOptions, max_stacks), \
     .min = (least), .max = STACK_COUNT_MAX, .doc = (words)}
#define ROW_MAX_HOLD \
    {.flag = "--max-hold", .argument = "DURATION", .kind = OPTION_DURATION, \
     .offset = offsetof(CoordinatorOptions, max_hold_seconds), .min = HOLD_SECONDS_MIN, .max = HOLD_SECONDS_MAX, \
     .doc = "How long one lease may last in all; 24h for a new project."}
#define ROW_EXPIRY_GRACE \
    {.flag = "--expiry-grace", .argument = "DURATION", .kind = OPTION_DURATION, \
     .offset = offsetof(CoordinatorOptions, expiry_grace_seconds), .min = 0, .max = GRACE_SECONDS_MAX, \
     .doc = "How long a stack rests after its lease was lost or ended by an operator; 15s for a new project. `run` " \
            "gives a command up to 10s to end: a shorter rest is for jobs that end when they are told."}
#define ROW_CLEANING \
    {.flag = "--cleaning", .argument = "on|off", .kind = OPTION_CHOICE, .offset = offsetof(CoordinatorOptions, cleaning), \
     .choices = option_switches, .doc = "Whether dirty stacks wait for a cleaner; off for a new project."}
#define ROW_SCOPE \
    {.flag = "--scope", .argument = "SCOPE", .fallback = "agent", .kind = OPTION_CHOICE, \
     .offset = offsetof(CoordinatorOptions, scope), .choices = option_scopes, \
     .doc = "What the key may do: read, agent or operator."}
#define ROW_LABEL \
    {.flag = "--label", .argument = "TEXT", .kind = OPTION_TEXT, .offset = offsetof(CoordinatorOptions, label), \
     .doc = "What people call the key."}
#define ROW_NOW(words) \
    {.flag = "--now", .kind = OPTION_FLAG, .offset = offsetof(CoordinatorOptions, is_now), .doc = (words)}
#define ROW_REASON \
    {.flag = "--reason", .argument = "TEXT", .kind = OPTION_TEXT, .offset = offsetof(CoordinatorOptions, reason), \
     .doc = "Why, for the history and for the job whose lease it ends."}
/* clang-format on */

static const Option create_options[] = {
    ROW_PREFIX,   ROW_INITIAL_COMMIT, ROW_MAX_STACKS(1, "At most so many stacks; unbounded when not given."),
    ROW_MAX_HOLD, ROW_EXPIRY_GRACE,   ROW_CLEANING,
    ROW_JSON,
};
static const Option update_options[] = {
    ROW_PREFIX,   ROW_INITIAL_COMMIT, ROW_MAX_STACKS(0, "At most so many stacks; 0: unbounded. Present ones stay."),
    ROW_MAX_HOLD, ROW_EXPIRY_GRACE,   ROW_CLEANING,
    ROW_JSON,
};
static const Option json_options[] = {ROW_JSON};
static const Option key_options[] = {ROW_SCOPE, ROW_LABEL, ROW_JSON};
static const Option change_options[] = {ROW_NOW("Do not wait until whoever had it before must have stopped."),
                                        ROW_REASON, ROW_JSON};
static const Option release_options[] = {
    ROW_NOW("Lend it out again at once, whatever its holder is doing."),
    {.flag = "--outcome",
     .argument = "OUTCOME",
     .fallback = "dirty",
     .kind = OPTION_CHOICE,
     .offset = offsetof(CoordinatorOptions, outcome),
     .choices = release_outcome_names,
     .doc = "How the stack is presumed to be: ok, dirty or broken (out of use until `stack restore`)."},
    ROW_REASON,
    ROW_JSON,
};
static const Option history_options[] = {
    {.flag = "--limit",
     .argument = "N",
     .fallback = "50",
     .kind = OPTION_NUMBER,
     .offset = offsetof(CoordinatorOptions, limit),
     .min = 1,
     .max = EVENT_PAGE_MAX,
     .doc = "At most so many of the latest events, up to 200."},
    {.flag = "--after",
     .argument = "ID",
     .kind = OPTION_NUMBER,
     .offset = offsetof(CoordinatorOptions, after),
     .min = 0,
     .max = EXACT_NUMBER_MAX,
     .doc = "Instead of the latest events those that follow this one, as its id in --json tells; 0: from the first."},
    ROW_JSON,
};

static const Option export_options[] = {ROWS_STORE, ROW_JSON};
static const Option import_options[] = {
    ROWS_STORE,
    {.flag = "--from-original",
     .kind = OPTION_FLAG,
     .offset = offsetof(CoordinatorOptions, is_original),
     .doc = "FILE has the items of test-stack-orchestrator's DynamoDB table, as `aws dynamodb scan` or an export of "
            "the table to S3 prints them."},
    {.flag = "--rename",
     .argument = "OLD=NEW",
     .kind = OPTION_LIST,
     .offset = offsetof(CoordinatorOptions, renames),
     .doc = "Call a project of the original NEW, where its own name is none here. May be given several times."},
    ROW_JSON,
};

#define OPTIONS(rows) .options = (rows), .option_count = COUNT_OF(rows)
#define ARGUMENTS(words, least, most) .arguments = (words), .min_arguments = (least), .max_arguments = (most)

static const Verb verbs[VERB_COUNT] = {
    [VERB_SERVE] =
        {.id = VERB_SERVE,
         .path = "serve",
         OPTIONS(serve_options),
         .summary = "Run the coordinator.",
         .details =
             "Stays in the foreground and logs on stderr. Once it can serve it logs a line (level info) with the msg "
             "`ready` and the addresses that were bound, and tells systemd (Type=notify). SIGTERM and "
             "SIGINT finish what was accepted and exit 0, a second one exits at once; SIGHUP reads the "
             "certificate of --https again.\n\n"
             "The data folder is made if it is not there. It must not be writable by others, since who "
             "can open control.sock in it is admin."},
    [VERB_PROJECT_CREATE] = {.id = VERB_PROJECT_CREATE,
                             .path = "project create",
                             ARGUMENTS("NAME", 1, 1),
                             OPTIONS(create_options),
                             .summary = "Make a project and its first key.",
                             .details = "Prints the key, which is shown this once, and what to paste into CI."},
    [VERB_PROJECT_UPDATE] = {.id = VERB_PROJECT_UPDATE,
                             .path = "project update",
                             ARGUMENTS("NAME", 1, 1),
                             OPTIONS(update_options),
                             .summary = "Change what is given of a project."},
    [VERB_PROJECT_LIST] = {.id = VERB_PROJECT_LIST,
                           .path = "project list",
                           OPTIONS(json_options),
                           .summary = "Show all projects."},
    [VERB_PROJECT_DELETE] = {.id = VERB_PROJECT_DELETE,
                             .path = "project delete",
                             ARGUMENTS("NAME", 1, 1),
                             OPTIONS(json_options),
                             .summary = "Delete a project that has no stacks."},
    [VERB_KEY_CREATE] = {.id = VERB_KEY_CREATE,
                         .path = "key create",
                         ARGUMENTS("PROJECT", 1, 1),
                         OPTIONS(key_options),
                         .summary = "Make a key and print it, this once."},
    [VERB_KEY_IMPORT] = {.id = VERB_KEY_IMPORT,
                         .path = "key import",
                         ARGUMENTS("PROJECT", 1, 1),
                         OPTIONS(key_options),
                         .summary = "Accept a key that clients have already.",
                         .details =
                             "The key is read from stdin, never from the command line, which everybody on a machine "
                             "can read: `stack-coordinator key import shop < old-key`."},
    [VERB_KEY_LIST] = {.id = VERB_KEY_LIST,
                       .path = "key list",
                       ARGUMENTS("PROJECT", 1, 1),
                       OPTIONS(json_options),
                       .summary = "Show a project's keys and when they were last used."},
    [VERB_KEY_REVOKE] = {.id = VERB_KEY_REVOKE,
                         .path = "key revoke",
                         ARGUMENTS("PROJECT KEY-ID", 2, 2),
                         OPTIONS(json_options),
                         .summary = "Make a key worthless; leases taken with it live on."},
    [VERB_STACK_LIST] = {.id = VERB_STACK_LIST,
                         .path = "stack list",
                         ARGUMENTS("PROJECT", 1, 1),
                         OPTIONS(json_options),
                         .summary = "Show a project's stacks and who has them."},
    [VERB_STACK_RELEASE] = {.id = VERB_STACK_RELEASE,
                            .path = "stack release",
                            ARGUMENTS("PROJECT STACK", 2, 2),
                            OPTIONS(release_options),
                            .summary = "End the lease of a stack against its holder's will.",
                            .details =
                                "Whoever held the stack hears 410 from then on. The stack rests until that job must "
                                "have stopped, at the latest until its lease would have ended; with --now it does "
                                "not."},
    [VERB_STACK_QUARANTINE] = {.id = VERB_STACK_QUARANTINE,
                               .path = "stack quarantine",
                               ARGUMENTS("PROJECT STACK", 2, 2),
                               OPTIONS(change_options),
                               .summary = "Take a stack out of use.",
                               .details = "A lease on it ends, as by `stack release`."},
    [VERB_STACK_RESTORE] = {.id = VERB_STACK_RESTORE,
                            .path = "stack restore",
                            ARGUMENTS("PROJECT STACK", 2, 2),
                            OPTIONS(change_options),
                            .summary = "Put a quarantined or dirty stack back into use.",
                            .details = "One that rests, because its lease was lost or ended by an operator, goes on "
                                       "resting, unless --now is given."},
    [VERB_STACK_NOTE] = {.id = VERB_STACK_NOTE,
                         .path = "stack note",
                         ARGUMENTS("PROJECT STACK NOTE", 3, 3),
                         OPTIONS(json_options),
                         .summary = "Say what people should know about a stack; an empty note takes it away."},
    [VERB_QUEUE] = {.id = VERB_QUEUE,
                    .path = "queue",
                    ARGUMENTS("PROJECT", 1, 1),
                    OPTIONS(json_options),
                    .summary = "Show who waits for a stack, in the order they will be served in.",
                    .details = "Those that were not heard of lately are passed over: their place says `silent`."},
    [VERB_HISTORY] = {.id = VERB_HISTORY,
                      .path = "history",
                      ARGUMENTS("PROJECT [STACK]", 1, 2),
                      OPTIONS(history_options),
                      .summary = "Show what happened lately, to one stack or to all."},
    [VERB_BACKUP] = {.id = VERB_BACKUP,
                     .path = "backup",
                     ARGUMENTS("FILE", 1, 1),
                     OPTIONS(json_options),
                     .summary = "Copy the database to a new file while the coordinator runs.",
                     .details =
                         "The file is written by the daemon, so it must be able to write there; it must not exist."},
    [VERB_EXPORT] =
        {.id = VERB_EXPORT,
         .path = "export",
         ARGUMENTS("FILE", 1, 1),
         OPTIONS(export_options),
         .summary = "Write everything to a new file of JSON lines, for `import`.",
         .details =
             "The state of one moment: projects, keys, stacks, leases, the queue, requests that are over, the history. "
             "The file has no keys, but what they are checked by, and what leases are signed with: it is made for its "
             "owner alone. It must not exist.\n\n"
             "With or without a daemon. Beside one whose rows are in the data folder a copy is made there first and "
             "removed afterwards: be the daemon's user, or root. A PostgreSQL server is asked itself: say --store as "
             "for `serve`."},
    [VERB_IMPORT] =
        {.id = VERB_IMPORT,
         .path = "import",
         ARGUMENTS("FILE", 1, 1),
         OPTIONS(import_options),
         .summary = "Fill an empty store with what `export` wrote, or with the original's table.",
         .details =
             "All of it or nothing. The store must be empty, and no daemon may use it. Leases go on with "
             "their "
             "secrets and their full length, the queue keeps its order, and generations go on growing.\n\n"
             "With --from-original: projects with their keys, and stacks; one that is not available becomes a plain "
             "lease, which holds until somebody releases the stack."},
};

const Program coordinator_program = {
    .name = "stack-coordinator",
    .version = SO_VERSION,
    .summary = "lends test environments to CI jobs.",
    .details =
        "A team shares a handful of test environments, called stacks. `serve` runs the daemon that lends them out, "
        "each "
        "to one job at a time, best the one that holds the job's branch already. The other verbs speak to the running "
        "daemon of a data folder over control.sock in it; who may open that socket is admin. `export` and `import` do "
        "without one.\n\n"
        "Files: stacks.db with stacks.db-log and stacks.db-wal, lock and control.sock in the data folder.\n\n"
        "Exit codes: 0 done; 64 wrong usage; 66 no such project, stack or key, or not in this state; 69 no daemon "
        "answers; 70 something broke; 77 not allowed to open the control socket. `serve`: 0 after SIGTERM, 1 when it "
        "cannot start or go on.",
    .verbs = verbs,
    .verb_count = VERB_COUNT,
    .common = common,
    .common_count = COUNT_OF(common),
};

char *options_data_dir(const CoordinatorOptions *options, uid_t user, const char *(*environ_get)(const char *)) {
    if (options->data != NULL)
        return strdup(options->data);
    if (user == 0)
        return strdup(ROOT_DATA_DIR);
    const char *state = environ_get("XDG_STATE_HOME");
    const char *home = environ_get("HOME");
    char *path = NULL;
    if (state != NULL && state[0] == '/')
        return asprintf(&path, "%s/stack-coordinator", state) < 0 ? NULL : path;
    if (home == NULL || home[0] != '/')
        return NULL;
    return asprintf(&path, "%s/.local/state/stack-coordinator", home) < 0 ? NULL : path;
}
