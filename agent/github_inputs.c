/* An input that is set but empty counts as left out, since an expression that finds nothing gives that. */
#include "agent/github_inputs.h"

#include "base/limits.h"
#include "protocol/messages.h"

#define IN_AGENT(member) (offsetof(GithubInputs, agent) + offsetof(AgentOptions, member))
#define WAIT_SECONDS_LONGEST (7 * 86400)

static const char *const releases[] = {[GITHUB_RELEASE_ALWAYS] = "always", [GITHUB_RELEASE_NEVER] = "never", NULL};
static const char *const outcomes[] = {[GITHUB_OUTCOME_AUTO] = "auto",
                                       [GITHUB_OUTCOME_OK] = "ok",
                                       [GITHUB_OUTCOME_DIRTY] = "dirty",
                                       [GITHUB_OUTCOME_BROKEN] = "broken",
                                       NULL};
static const char *const purposes[] = {[PURPOSE_TEST] = "test", [PURPOSE_CLEAN] = "clean", NULL};

/* The key is not among them: it is taken out of the environment before anything else is done. */
static const Option common[] = {
    {.environment = "INPUT_URL",
     .kind = OPTION_LIST,
     .offset = IN_AGENT(urls),
     .doc = "Where the coordinator is; several, separated by blanks, are tried in turn. Default: STACK_AGENT_URL."},
    {.environment = "INPUT_CA-FILE",
     .kind = OPTION_TEXT,
     .offset = IN_AGENT(ca_file),
     .doc = "Certificates to trust (PEM), instead of the system's."},
    {.environment = "INPUT_REQUEST-ID",
     .kind = OPTION_TEXT,
     .offset = IN_AGENT(request_id),
     .doc = "Another job's output `request-id`: its stack is used too, and never released by this job."},
    {.environment = "INPUT_AGENT-PATH",
     .kind = OPTION_TEXT,
     .offset = offsetof(GithubInputs, agent_path),
     .doc = "A stack-agent to use instead of the one that comes with the action."},
};

static const Option step_options[] = {
    {.environment = "INPUT_BRANCH",
     .kind = OPTION_TEXT,
     .offset = IN_AGENT(branch),
     .doc = "The branch to deploy. Default: what the event is about."},
    {.environment = "INPUT_COMMIT",
     .kind = OPTION_TEXT,
     .offset = IN_AGENT(commit),
     .doc = "Prefers the stack that has this commit. Default: the checkout's HEAD."},
    {.environment = "INPUT_WAIT",
     .fallback = "60m",
     .kind = OPTION_DURATION,
     .offset = IN_AGENT(wait_seconds),
     .max = WAIT_SECONDS_LONGEST,
     .doc = "How long to wait in line for a stack; 0: fail at once."},
    {.environment = "INPUT_LEASE",
     .fallback = "5m",
     .kind = OPTION_DURATION,
     .offset = IN_AGENT(lease_seconds),
     .min = LEASE_SECONDS_MIN,
     .max = LEASE_SECONDS_MAX,
     .doc = "How long the stack stays leased once the runner is lost; it is renewed each third of that."},
    {.environment = "INPUT_HOLD",
     .fallback = "30m",
     .kind = OPTION_DURATION,
     .offset = IN_AGENT(hold_seconds),
     .min = LEASE_SECONDS_MIN,
     .max = LEASE_SECONDS_MAX,
     .doc = "How long the stack stays leased between two jobs that share it."},
    {.environment = "INPUT_RELEASE",
     .fallback = "always",
     .kind = OPTION_CHOICE,
     .offset = offsetof(GithubInputs, release),
     .choices = releases,
     .doc = "always: given back when the job ends; never: handed over to the jobs that take `request-id`."},
    {.environment = "INPUT_OUTCOME-ON-FAILURE",
     .fallback = "auto",
     .kind = OPTION_CHOICE,
     .offset = offsetof(GithubInputs, on_failure),
     .choices = outcomes,
     .doc = "How the stack is left when the job failed: auto (dirty when it failed amid a deploy, else ok), ok, dirty, "
            "broken."},
    {.environment = "INPUT_PURPOSE",
     .fallback = "test",
     .kind = OPTION_CHOICE,
     .offset = offsetof(GithubInputs, purpose),
     .choices = purposes,
     .doc = "test, or clean: gets a dirty stack, to make it as new."},
    {.environment = "INPUT_PATHS",
     .kind = OPTION_TEXT,
     .offset = offsetof(GithubInputs, paths),
     .doc = "Globs, one a line: only changes there need a deploy. Default: everything."},
    {.environment = "INPUT_ENV-NAME",
     .fallback = "STACK_NAME",
     .kind = OPTION_TEXT,
     .offset = offsetof(GithubInputs, env_name),
     .doc = "The variable that tells later steps the stack's name."},
    {.environment = "INPUT_JOB-STATUS",
     .kind = OPTION_TEXT,
     .offset = offsetof(GithubInputs, job_status),
     .doc = "Leave it as it is: by it the last step knows how the job went."},
};

static const Option release_options[] = {
    {.environment = "INPUT_OUTCOME",
     .fallback = "ok",
     .kind = OPTION_CHOICE,
     .offset = IN_AGENT(outcome),
     .choices = release_outcome_names,
     .doc = "How the stack is left: ok, dirty or broken."},
};

static const Verb verbs[] = {
    {.id = VERB_GITHUB_MAIN, .path = "main", .options = step_options, .option_count = COUNT_OF(step_options)},
    {.id = VERB_GITHUB_POST, .path = "post", .options = step_options, .option_count = COUNT_OF(step_options)},
    {.id = VERB_GITHUB_RELEASE,
     .path = "release",
     .options = release_options,
     .option_count = COUNT_OF(release_options)},
};

const Program github_inputs_program = {
    .name = "stack-agent",
    .version = SO_VERSION,
    .summary = "as a GitHub action.",
    .verbs = verbs,
    .verb_count = COUNT_OF(verbs),
    .common = common,
    .common_count = COUNT_OF(common),
};
