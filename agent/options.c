/*
 * The rows. Shared ones are written once as macros of whole rows, since several verbs take the same option.
 */
#include "agent/options.h"

#include "base/limits.h"
#include "base/log.h"
#include "protocol/messages.h"

#define WAIT_SECONDS_LONGEST (7 * 86400)

static const Option common[] = {
    {.flag = "--url",
     .argument = "URL",
     .environment = "STACK_AGENT_URL",
     .kind = OPTION_LIST,
     .offset = offsetof(AgentOptions, urls),
     .doc =
         "Where the coordinator is: http://, https://, tcp://, tls+tcp:// or ipc://. May be given several times; they "
         "are tried in turn. What is said of a stack that was requested here goes where it was requested."},
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
     .choices = log_level_names,
     .doc = "What is told on stderr: error, warning, info or debug."},
};

/* clang-format off */
#define ROW_JSON \
    {.flag = "--json", .kind = OPTION_FLAG, .offset = offsetof(AgentOptions, is_json), .doc = "Print one JSON object."}
#define ROW_JSON_LINES \
    {.flag = "--json", .kind = OPTION_FLAG, .offset = offsetof(AgentOptions, is_json), \
     .doc = "Say what happens as lines of JSON. They go to stderr: stdout is the command's."}
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
     .max = LEASE_SECONDS_MAX, .doc = "How long the stack is ours after the last renewal; a third of it is between two."}
#define ROW_WAIT \
    {.flag = "--wait", .argument = "DURATION", .environment = "STACK_AGENT_WAIT", .fallback = "60m", \
     .kind = OPTION_DURATION, .offset = offsetof(AgentOptions, wait_seconds), .min = 0, .max = WAIT_SECONDS_LONGEST, \
     .doc = "How long to wait in line for a stack, and for a coordinator that cannot be reached; 0: one try."}
#define ROW_WATCH \
    {.flag = "--watch", .argument = "PID", .environment = "STACK_AGENT_WATCH", .kind = OPTION_NUMBER, \
     .offset = offsetof(AgentOptions, watch), .min = 1, .max = INT32_MAX, \
     .doc = "The process that stands for the job: once it has ended the lease is not renewed any more. Default: " \
            "GitHub's Runner.Worker, else the calling shell."}
#define ROW_HOLDER_NOTE \
    {.flag = "--holder-note", .argument = "TEXT", .environment = "STACK_AGENT_HOLDER_NOTE", .kind = OPTION_TEXT, \
     .offset = offsetof(AgentOptions, holder_note), .doc = "A word to those who see the stack taken."}
#define ROW_DOTENV \
    {.flag = "--dotenv", .argument = "FILE", .kind = OPTION_TEXT, .offset = offsetof(AgentOptions, dotenv), \
     .doc = "Write STACK_NAME, STACK_REQUEST_ID and STACK_GENERATION there too, for later jobs (GitLab's dotenv reports)."}
/* clang-format on */

static const Option request_options[] = {ROW_BRANCH, ROW_COMMIT,      ROW_LEASE,  ROW_WAIT,
                                         ROW_WATCH,  ROW_HOLDER_NOTE, ROW_DOTENV, ROW_JSON};
static const Option run_options[] = {ROW_BRANCH, ROW_COMMIT, ROW_LEASE, ROW_WAIT, ROW_HOLDER_NOTE, ROW_JSON_LINES};

static const Option github_options[] = {ROW_WATCH};

static const Option join_options[] = {
    {.flag = "--request-id",
     .argument = "ID",
     .environment = "STACK_REQUEST_ID",
     .kind = OPTION_TEXT,
     .offset = offsetof(AgentOptions, request_id),
     .doc = "The id that `request --json` printed in the other job."},
    ROW_COMMIT,
    ROW_LEASE,
    ROW_WAIT,
    ROW_WATCH,
    ROW_HOLDER_NOTE,
    ROW_DOTENV,
    ROW_JSON,
};

static const Option clean_options[] = {
    {.flag = "--once",
     .kind = OPTION_FLAG,
     .offset = offsetof(AgentOptions, is_once),
     .doc = "Clean one stack, then end as the command did."},
    ROW_LEASE,
    ROW_WAIT,
    ROW_HOLDER_NOTE,
    ROW_JSON_LINES,
};

static const Option hand_over_options[] = {
    {.flag = "--hold",
     .argument = "DURATION",
     .environment = "STACK_AGENT_HOLD",
     .fallback = "30m",
     .kind = OPTION_DURATION,
     .offset = offsetof(AgentOptions, hold_seconds),
     .min = LEASE_SECONDS_MIN,
     .max = LEASE_SECONDS_MAX,
     .doc = "How long the stack stays ours without a job that renews: the next one has to `join` within it."},
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
    ROW_JSON,
};

static const Option changed_options[] = {
    {.flag = "--paths",
     .argument = "GLOB",
     .environment = "STACK_AGENT_PATHS",
     .kind = OPTION_LIST,
     .offset = offsetof(AgentOptions, paths),
     .doc = "Only these paths count: `web/**`, `*.md`, `!docs`; a folder's name means all in it. May be given several "
            "times; the last one that matches a path counts. Default: everything."},
    ROW_JSON,
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
    {.flag = "--job-status",
     .argument = "STATUS",
     .kind = OPTION_TEXT,
     .offset = offsetof(AgentOptions, job_status),
     .doc =
         "How the job ended. Anything but `success` makes an outcome of ok a dirty one, when HEAD was not on the stack "
         "before and `deployed` was not called, or `changed` has said since that it is to be: a deploy may have been "
         "under way."},
    {.flag = "--joined",
     .kind = OPTION_FLAG,
     .offset = offsetof(AgentOptions, is_joined_too),
     .doc = "Release the stack of another job's request too, for all who use it. Without this a job that only joined "
            "leaves it to them."},
    ROW_JSON,
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
     .doc = "At most so many of the latest events, up to 200."},
    {.flag = "--after",
     .argument = "ID",
     .kind = OPTION_NUMBER,
     .offset = offsetof(AgentOptions, after),
     .min = 0,
     .max = EXACT_NUMBER_MAX,
     .doc = "Instead of the latest events those that follow this one, as its id in --json tells; 0: from the first."},
    ROW_JSON,
};

#define OPTIONS(rows) .options = (rows), .option_count = COUNT_OF(rows)

static const Verb verbs[VERB_KEEP] = {
    {.id = VERB_REQUEST,
     .path = "request",
     OPTIONS(request_options),
     .summary = "Get a stack for a branch and print its name.",
     .details =
         "The name stands alone on stdout, so `stack=$(stack-agent request)` works; everything else goes to stderr. "
         "With --json also what is known about the stack and the lease, and the request's id, by which other jobs "
         "can `join`.\n\n"
         "While no stack is free it waits in line and says who has them, at most --wait; then the exit code is 75 and "
         "the place in line is given up.\n\n"
         "A process that is left behind renews the lease until `release`, or until the job's process has ended (see "
         "--watch). It cannot stop the job's later steps when the lease is lost all the same: `stack-agent check` "
         "before they touch the stack does. What these need is noted in the state folder, readable by this user "
         "alone; the key is not."},
    {.id = VERB_JOIN,
     .path = "join",
     OPTIONS(join_options),
     .summary = "Use the stack that another job of the workflow has requested.",
     .details = "Prints what `request` does, and keeps the lease alive as it does. It never gets a new stack: when the "
                "request is over, the exit code is 76."},
    {.id = VERB_DEPLOYED,
     .path = "deployed",
     .arguments = "[STACK]",
     .max_arguments = 1,
     OPTIONS(deployed_options),
     .summary = "Say that HEAD is now deployed on this job's stack.",
     .details = "The next request of the branch is told this commit, so that it can deploy what changed since."},
    {.id = VERB_CHANGED,
     .path = "changed",
     .arguments = "[STACK]",
     .max_arguments = 1,
     OPTIONS(changed_options),
     .summary = "Say whether HEAD differs from what is on this job's stack.",
     .details =
         "`if stack-agent changed; then ./deploy.sh; fi`: 0 when it differs, 1 when it does not. Compares the trees of "
         "the two commits; a deployed commit that this clone lacks is fetched by git, with the credentials that the "
         "checkout left. Whatever cannot be told (no stack, no checkout, a commit out of reach) counts as changed, and "
         "stderr says why."},
    {.id = VERB_RELEASE,
     .path = "release",
     .arguments = "[STACK]",
     .max_arguments = 1,
     OPTIONS(release_options),
     .summary = "Give this job's stack back.",
     .details =
         "Also takes back requests whose answer never came, but for those that another process still waits for. With "
         "nothing to give back it says so and exits 0, so it "
         "may always be a job's last step. A stack that this job only joined is left to the others, unless --joined is "
         "given."},
    {.id = VERB_HAND_OVER,
     .path = "hand-over",
     .arguments = "[STACK]",
     .max_arguments = 1,
     OPTIONS(hand_over_options),
     .summary = "Leave this job's stack to the jobs that join it.",
     .details = "Renews the lease once more, for --hold, and stops keeping it. Nothing is released: whoever comes last "
                "does that with `release --joined`, or the lease runs out."},
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
         "The exit code is the command's; 128 + N when signal N ended it; 127 when it is not found, 126 when it cannot "
         "be "
         "run; 76 when the lease was lost under it. Then, "
         "and when the lease cannot be renewed in time, it is told to stop (TERM) and stopped (KILL) before somebody "
         "else can have the stack. A signal to this program is passed on; what does not end within 7 seconds of it, "
         "or within one of a second signal, is killed. The stack is released as dirty when the command failed or was "
         "stopped and HEAD was not on the stack before nor `deployed` called, or `changed` has said since that it is "
         "to "
         "be; else as ok."},
    {.id = VERB_CLEAN,
     .path = "clean",
     .arguments = "-- COMMAND [ARGUMENT]…",
     .min_arguments = 1,
     .takes_command = true,
     OPTIONS(clean_options),
     .summary = "Clean dirty stacks with a command, one after the other.",
     .details =
         "For projects with `cleaning` on. Gets the stack that is dirty longest, runs the command with STACK_NAME and "
         "STACK_GENERATION as `run` does, and gives it back: as new when the command ended with 0, else dirty again. "
         "Then the next one, for ever; with --once it ends after one, with --wait 0 when none is dirty (75)."},
    {.id = VERB_CHECK,
     .path = "check",
     .arguments = "[STACK]",
     .max_arguments = 1,
     OPTIONS(list_options),
     .summary = "Say whether this job's stack is still its own.",
     .details = "0: it is, and the lease is renewed; 76: it is lost, and who has it now. For steps that must not touch "
                "another job's stack."},
    {.id = VERB_LIST, .path = "list", OPTIONS(list_options), .summary = "Show the project's stacks and who has them."},
    {.id = VERB_QUEUE, .path = "queue", OPTIONS(list_options), .summary = "Show who waits for a stack."},
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
    {.id = VERB_GITHUB_MAIN,
     .path = "github main",
     OPTIONS(github_options),
     .summary = "The step of the GitHub action: `request` or `join`, told to later steps.",
     .details =
         "Reads INPUT_… and writes GITHUB_OUTPUT, GITHUB_ENV, GITHUB_PATH, GITHUB_STATE and GITHUB_STEP_SUMMARY, "
         "as GitHub's runner has it; see docs/ci.md. For people there are `request` and `run`."},
    {.id = VERB_GITHUB_POST,
     .path = "github post",
     .summary = "What the GitHub action does when its job has ended: release or hand over.",
     .details = "Only what this step got, which STATE_… says."},
    {.id = VERB_GITHUB_RELEASE,
     .path = "github release",
     .summary = "The action that releases a stack which several jobs shared."},
};

const Program agent_program = {
    .name = "stack-agent",
    .version = SO_VERSION,
    .summary = "gets a test environment for a CI job, and gives it back.",
    .details =
        "A team shares a handful of test environments, called stacks. This program asks their coordinator for one, "
        "for the branch under test, and gives it back when the job is over.\n\n"
        "Exit codes: 0 done; 64 wrong usage or an answer that says so; 66 no such stack, or not in this state; 69 the "
        "coordinator was not reached before the deadline; 70 something broke; 75 no stack is available, also after "
        "--wait; 76 the lease or the request is over; 77 the key or the lease is not accepted; 128 + N ended by signal "
        "N.\n\n"
        "HTTPS_PROXY, http_proxy and NO_PROXY are honoured, as curl does. NO_COLOR switches colours off.",
    .verbs = verbs,
    .verb_count = VERB_KEEP,
    .common = common,
    .common_count = COUNT_OF(common),
};

static const Verb keeper_verbs[] = {
    {.id = VERB_KEEP,
     .path = KEEPER_VERB,
     .arguments = "REQUEST-ID PID START",
     .min_arguments = 3,
     .max_arguments = 3,
     .summary = "Keep the lease of a request alive; `request` starts this."},
};

const Program keeper_program = {
    .name = "stack-agent",
    .version = SO_VERSION,
    .summary = "keeps a lease alive.",
    .verbs = keeper_verbs,
    .verb_count = COUNT_OF(keeper_verbs),
    .common = common,
    .common_count = COUNT_OF(common),
};
