/*
 * The rows. Shared ones are written once as macros of whole rows, since several verbs take the same option.
 */
#include "agent/options.h"

#include "base/limits.h"
#include "base/log.h"
#include "protocol/messages.h"

#define WAIT_SECONDS_LONGEST (7 * 86400)

static const char *const log_levels[] = {
    [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug", NULL};

static const Option common[] = {
    {.flag = "--url",
     .argument = "URL",
     .environment = "STACK_AGENT_URL",
     .kind = OPTION_LIST,
     .offset = offsetof(AgentOptions, urls),
     .doc =
         "Where the coordinator is: http://, https://, tcp://, tls+tcp:// or ipc://. May be given several times; they "
         "are tried in turn."},
    {.environment = "STACK_AGENT_KEY",
     .kind = OPTION_TEXT,
     .offset = offsetof(AgentOptions, key),
     .doc = "The project's key. It is never an argument, since everybody on a machine can read those."},
    {.flag = "--key-file",
     .argument = "FILE",
     .environment = "STACK_AGENT_KEY_FILE",
     .kind = OPTION_TEXT,
     .offset = offsetof(AgentOptions, key_file),
     .doc = "A file that holds the project's key; counts before STACK_AGENT_KEY."},
    {.flag = "--ca-file",
     .argument = "FILE",
     .environment = "STACK_AGENT_CA_FILE",
     .kind = OPTION_TEXT,
     .offset = offsetof(AgentOptions, ca_file),
     .doc = "Certificates to trust (PEM), instead of SSL_CERT_FILE's or the system's."},
    {.flag = "--state-dir",
     .argument = "DIR",
     .environment = "STACK_AGENT_STATE_DIR",
     .kind = OPTION_TEXT,
     .offset = offsetof(AgentOptions, state_dir),
     .doc =
         "Where this job's leases are noted. Default: the CI job's own temporary folder, else one for each worktree."},
    {.flag = "--worktree",
     .argument = "DIR",
     .environment = "STACK_AGENT_WORKTREE",
     .fallback = ".",
     .kind = OPTION_TEXT,
     .offset = offsetof(AgentOptions, worktree),
     .doc = "A folder of the git worktree that is deployed."},
    {.flag = "--log-level",
     .argument = "LEVEL",
     .environment = "STACK_AGENT_LOG_LEVEL",
     .fallback = "info",
     .kind = OPTION_CHOICE,
     .offset = offsetof(AgentOptions, log_level),
     .choices = log_levels,
     .doc = "What is told on stderr: error, warning, info or debug."},
};

/* clang-format off */
#define ROW_JSON \
    {.flag = "--json", .kind = OPTION_FLAG, .offset = offsetof(AgentOptions, is_json), .doc = "Print one JSON object."}
#define ROW_BRANCH \
    {.flag = "--branch", .argument = "NAME", .environment = "STACK_AGENT_BRANCH", .kind = OPTION_TEXT, \
     .offset = offsetof(AgentOptions, branch), \
     .doc = "The branch to deploy. Default: what CI says, else the worktree's branch."}
#define ROW_COMMIT \
    {.flag = "--commit", .argument = "HASH", .environment = "STACK_AGENT_COMMIT", .kind = OPTION_TEXT, \
     .offset = offsetof(AgentOptions, commit), .doc = "The commit to deploy. Default: the worktree's HEAD."}
#define ROW_LEASE \
    {.flag = "--lease", .argument = "DURATION", .environment = "STACK_AGENT_LEASE", .fallback = "5m", \
     .kind = OPTION_DURATION, .offset = offsetof(AgentOptions, lease_seconds), .min = LEASE_SECONDS_MIN, \
     .max = LEASE_SECONDS_MAX, .doc = "How long the lease is asked for."}
#define ROW_WAIT \
    {.flag = "--wait", .argument = "DURATION", .environment = "STACK_AGENT_WAIT", .fallback = "60m", \
     .kind = OPTION_DURATION, .offset = offsetof(AgentOptions, wait_seconds), .min = 0, .max = WAIT_SECONDS_LONGEST, \
     .doc = "How long to go on when the coordinator cannot be reached or is too busy; 0: one try."}
#define ROW_HOLDER_NOTE \
    {.flag = "--holder-note", .argument = "TEXT", .environment = "STACK_AGENT_HOLDER_NOTE", .kind = OPTION_TEXT, \
     .offset = offsetof(AgentOptions, holder_note), .doc = "A word to those who see the stack taken."}
/* clang-format on */

static const Option request_options[] = {ROW_BRANCH, ROW_COMMIT, ROW_LEASE, ROW_WAIT, ROW_HOLDER_NOTE, ROW_JSON};
static const Option run_options[] = {ROW_BRANCH, ROW_COMMIT, ROW_LEASE, ROW_WAIT, ROW_HOLDER_NOTE};

static const Option join_options[] = {
    {.flag = "--request-id",
     .argument = "ID",
     .environment = "STACK_REQUEST_ID",
     .kind = OPTION_TEXT,
     .offset = offsetof(AgentOptions, request_id),
     .doc = "The id that `request --json` printed in the other job."},
    ROW_COMMIT,
    ROW_HOLDER_NOTE,
    ROW_JSON,
};

static const Option deployed_options[] = {
    ROW_COMMIT,
    {.flag = "--stack-url",
     .argument = "URL",
     .environment = "STACK_AGENT_STACK_URL",
     .kind = OPTION_TEXT,
     .offset = offsetof(AgentOptions, stack_url),
     .doc = "Where the deployed stack answers, for those who look at the list."},
};

static const Option release_options[] = {
    {.flag = "--outcome",
     .argument = "OUTCOME",
     .kind = OPTION_CHOICE,
     .offset = offsetof(AgentOptions, outcome),
     .choices = release_outcome_names,
     .fallback = "ok",
     .doc = "How the stack is left: ok; dirty (its content is not to be trusted); broken (out of use until an operator "
            "restores it)."},
    {.flag = "--note",
     .argument = "TEXT",
     .kind = OPTION_TEXT,
     .offset = offsetof(AgentOptions, note),
     .doc = "A word for the history."},
};

static const Option list_options[] = {ROW_JSON};

static const Option history_options[] = {
    {.flag = "--limit",
     .argument = "N",
     .fallback = "50",
     .kind = OPTION_NUMBER,
     .offset = offsetof(AgentOptions, limit),
     .min = 1,
     .max = EVENT_PAGE_MAX,
     .doc = "At most so many of the latest events."},
    ROW_JSON,
};

#define OPTIONS(rows) .options = (rows), .option_count = COUNT_OF(rows)

static const Verb verbs[VERB_COUNT] = {
    {.id = VERB_REQUEST,
     .path = "request",
     OPTIONS(request_options),
     .summary = "Get a stack for a branch and print its name.",
     .details =
         "The name stands alone on stdout, so `stack=$(stack-agent request)` works; everything else goes to stderr. "
         "With --json also what is known about the stack and the lease, and the request's id, by which other jobs "
         "can `join`.\n\n"
         "What `deployed` and `release` need later is noted in the state folder, readable by this user alone. When "
         "no stack is free the exit code is 75."},
    {.id = VERB_JOIN,
     .path = "join",
     OPTIONS(join_options),
     .summary = "Use the stack that another job of the workflow has requested.",
     .details =
         "Prints what `request` does. It never gets a new stack: when the request is over, the exit code is 76."},
    {.id = VERB_DEPLOYED,
     .path = "deployed",
     .arguments = "[STACK]",
     .max_arguments = 1,
     OPTIONS(deployed_options),
     .summary = "Say that HEAD is now deployed on this job's stack.",
     .details = "The next request of the branch is told this commit, so that it can deploy what changed since."},
    {.id = VERB_RELEASE,
     .path = "release",
     .arguments = "[STACK]",
     .max_arguments = 1,
     OPTIONS(release_options),
     .summary = "Give this job's stack back.",
     .details =
         "Also takes back requests whose answer never came. With nothing to give back it says so and exits 0, so it "
         "may always be a job's last step."},
    {.id = VERB_RUN,
     .path = "run",
     .arguments = "-- COMMAND [ARGUMENT]…",
     .min_arguments = 1,
     .takes_command = true,
     OPTIONS(run_options),
     .summary = "Get a stack, run a command with it, give it back.",
     .details =
         "The command finds the stack in STACK_NAME, the lease's fencing number in STACK_GENERATION, and the commit "
         "that is on the stack, if known, in STACK_LAST_DEPLOYED_COMMIT. `stack-agent deployed` inside it means this "
         "stack. The key is not in its environment. What is left of its process group when it ends is stopped.\n\n"
         "The exit code is the command's; 128 + N when signal N ended it. The stack is released as dirty when the "
         "command failed with HEAD neither on the stack before nor reported by `deployed`, else as ok."},
    {.id = VERB_LIST, .path = "list", OPTIONS(list_options), .summary = "Show the project's stacks and who has them."},
    {.id = VERB_HISTORY,
     .path = "history",
     .arguments = "[STACK]",
     .max_arguments = 1,
     OPTIONS(history_options),
     .summary = "Show what happened lately, to one stack or to all."},
    {.id = VERB_DELETE_LAST,
     .path = "delete-last",
     OPTIONS(list_options),
     .summary = "Remove the project's last stack.",
     .details = "One that is leased stays until it is released."},
};

const Program agent_program = {
    .name = "stack-agent",
    .version = SO_VERSION,
    .summary = "gets a test environment for a CI job, and gives it back.",
    .details =
        "A team shares a handful of test environments, called stacks. This program asks their coordinator for one, "
        "for the branch under test, and gives it back when the job is over.\n\n"
        "Exit codes: 0 done; 64 wrong usage or an answer that says so; 66 no such stack, or not in this state; 69 the "
        "coordinator was not reached before the deadline; 70 something broke; 75 no stack is available; 76 the lease "
        "or the request is over; 77 the key or the lease is not accepted; 128 + N ended by signal N.\n\n"
        "HTTPS_PROXY, http_proxy and NO_PROXY are honoured, as curl does. NO_COLOR switches colours off.",
    .verbs = verbs,
    .verb_count = VERB_COUNT,
    .common = common,
    .common_count = COUNT_OF(common),
};
