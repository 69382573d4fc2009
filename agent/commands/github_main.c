/*
 * github main: the action's step. It only takes and tells; giving back is the post step's, which runs whatever happens here
 * once the runner has started this. So the request's id is in GITHUB_STATE before the request is sent.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "agent/command.h"
#include "agent/deploy_need.h"
#include "agent/github_step.h"
#include "agent/github_summary.h"
#include "agent/give_back.h"
#include "agent/globs.h"
#include "agent/grant.h"
#include "agent/keeper.h"
#include "agent/limits.h"
#include "agent/print.h"
#include "protocol/rules.h"

typedef struct MainStep {
    GithubStep github;
    Session session;
    StateFolder folder;
    StopSignals signals;
    Grant grant;
    JobProcess job;
    DeployNeed need;
    int64_t began_ms;
} MainStep;

static void main_step_deinit(MainStep *step) {
    deploy_need_deinit(&step->need);
    grant_deinit(&step->grant);
    stop_signals_close(&step->signals);
    state_folder_close(&step->folder);
    session_close(&step->session);
    github_step_close(&step->github);
}

static bool is_join(const MainStep *step) {
    return step->github.inputs.agent.request_id != NULL;
}

/* ---- before asking ---- */

static int check_inputs(const MainStep *step) {
    const Agent *agent = &step->github.agent;
    const GithubInputs *inputs = &step->github.inputs;
    OWN(buffer_deinit) Buffer name;
    buffer_init(&name, REASON_MAX);
    const char *wrong = github_env_name_refusal(slice_of(inputs->env_name));
    if (wrong != NULL) {
        print_foreign(&name, slice_of(inputs->env_name));
        return agent_fail(agent, EX_USAGE, "the input `env-name`, %s, %s: choose another, such as STACK_NAME",
                          buffer_error(&name) == 0 ? buffer_text(&name) : "…", wrong);
    }
    wrong = globs_check(slice_of(inputs->paths));
    if (wrong != NULL)
        return agent_fail(agent, EX_USAGE, "the input `paths` %s", wrong);
    wrong = is_join(step) ? rule_request_id(slice_of(inputs->agent.request_id)) : NULL;
    if (wrong != NULL)
        return agent_fail(agent, EX_USAGE, "the input `request-id` %s: it is another job's output `request-id`", wrong);
    return 0;
}

static int prepare_grant(MainStep *step) {
    const Agent *agent = &step->github.agent;
    if (is_join(step))
        return grant_prepare_join(agent, slice_of(step->github.inputs.agent.request_id), &step->grant);
    if (step->github.inputs.purpose == PURPOSE_CLEAN)
        return grant_prepare_clean(agent, &step->grant);
    return grant_prepare(agent, &step->grant);
}

static int prepare(MainStep *step) {
    const Agent *agent = &step->github.agent;
    int r = check_inputs(step);
    if (r == 0)
        r = github_step_check_url(&step->github);
    if (r == 0)
        r = github_step_check_key(&step->github);
    if (r == 0)
        r = session_open(&step->session, agent, SLICE_ABSENT, SLICE_ABSENT);
    if (r == 0)
        r = session_load_key(&step->session);
    if (r == 0)
        r = prepare_grant(step);
    if (r == 0)
        r = keeper_find_job(agent, &step->grant.job, &step->job);
    if (r == 0)
        r = state_open(agent, true, &step->folder);
    return r == 0 ? stop_signals_open(&step->signals) : r;
}

/* ---- asking ---- */

static int note_for_post(const MainStep *step) {
    const GithubEntry entries[] = {
        {"request_id", step->grant.request_id},
        {"state_dir", slice_of(step->folder.path)},
        {"joined", slice_of(is_join(step) ? "true" : "false")},
    };
    return github_step_write(&step->github, "GITHUB_STATE", entries, COUNT_OF(entries));
}

static int get_stack(MainStep *step) {
    const Agent *agent = &step->github.agent;
    step->grant.state.paths = slice_of(step->github.inputs.paths);
    int r = is_join(step) ? grant_join(&step->session, &step->folder, &step->signals, &step->grant)
                          : grant_request(&step->session, &step->folder, &step->signals, &step->grant);
    if (is_join(step) && r == outcome_row(OUTCOME_REQUEST_OVER)->exit_code)
        return agent_fail(agent, r,
                          "the stack that these jobs shared is not theirs any more, and running single jobs again does "
                          "not get it back: choose \"Re-run all jobs\", which gets one anew");
    if (r != 0)
        return r;
    r = github_step_mask(&step->github, step->grant.state.secret);
    bool is_kept = step->grant.state.lease_seconds != FIELD_ABSENT; /* a plain lease needs nobody */
    return r == 0 && is_kept ? keeper_start(agent, &step->folder, &step->grant.state, &step->job) : r;
}

/* ---- telling ---- */

/* Whatever the action's folder is called in a job's container: the runner's folder for temporary files is in each. */
static int copy_agent(const char *folder) {
    OWN(freep) char *beside = NULL;
    OWN(freep) char *path = NULL;
    if (asprintf(&beside, "%s/new-%d", folder, (int)getpid()) < 0 || asprintf(&path, "%s/stack-agent", folder) < 0)
        return -ENOMEM;
    OWN(closep) int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    OWN(closep) int to = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0755);
    struct stat about;
    if (from < 0 || to < 0 || fstat(from, &about) < 0)
        return -errno;
    for (off_t left = about.st_size; left > 0;) {
        ssize_t copied = sendfile(to, from, NULL, (size_t)left);
        if (copied <= 0)
            return copied < 0 ? -errno : -EIO;
        left -= copied;
    }
    return fchmod(to, 0755) < 0 || rename(beside, path) < 0 ? -errno : 0;
}

static int put_on_path(const MainStep *step) {
    const Agent *agent = &step->github.agent;
    OWN(buffer_deinit) Buffer line;
    OWN(freep) char *folder = NULL;
    buffer_init(&line, REASON_MAX);
    const char *temporary = ci_variable(agent->environ_get, "RUNNER_TEMP");
    if (asprintf(&folder, "%s/stack-agent-bin", temporary != NULL ? temporary : step->folder.path) < 0) {
        folder = NULL;
        return -ENOMEM;
    }
    int r = mkdir(folder, 0755) < 0 && errno != EEXIST ? -errno : copy_agent(folder);
    if (r == 0)
        r = github_path_add(slice_of(folder), &line);
    if (r == 0)
        r = github_file_append(agent->environ_get, "GITHUB_PATH", buffer_slice(&line));
    if (r == 0)
        return 0;
    return agent_fail(agent, EX_SOFTWARE, "stack-agent cannot be put on the PATH of later steps (%s): %s", folder,
                      r < 0 ? strerror(-r) : "no such file, or a name of several lines");
}

/* STACK_NAME → STACK_GENERATION, MY_STACK → MY_STACK_GENERATION */
static Slice generation_name(Arena *texts, const char *env_name) {
    size_t len = strlen(env_name), suffix = strlen("_NAME");
    bool is_name = len > suffix && strcmp(env_name + len - suffix, "_NAME") == 0;
    return arena_printf(texts, "%.*s_GENERATION", (int)(is_name ? len - suffix : len), env_name);
}

static int tell_later_steps(MainStep *step) {
    const LeaseState *state = &step->grant.state;
    const Answer *answer = &step->grant.reply.answer;
    const char *env_name = step->github.inputs.env_name;
    Slice generation = slice_of("");
    if (state->generation != FIELD_ABSENT)
        generation = arena_printf(&step->grant.texts, "%" PRId64, state->generation);
    Slice env_generation = generation_name(&step->grant.texts, env_name);
    if (slice_is_absent(generation) || slice_is_absent(env_generation))
        return -ENOMEM;
    Slice needs_deploy = slice_of(step->need.is_needed ? "true" : "false");
    const GithubEntry outputs[] = {
        {"stack-name", state->stack},
        {"stack-url", answer->url},
        {"request-id", state->request_id},
        {"last-deployed-commit", state->last_deployed_commit},
        {"reused", slice_of(answer->is_reused ? "true" : "false")},
        {"needs-deploy", needs_deploy},
        {"changed-files", buffer_slice(&step->need.difference.files)},
        {"generation", generation},
    };
    const GithubEntry variables[] = {{env_name, state->stack}, {env_generation.ptr, generation}};
    const GithubEntry notes[] = {{"stack", state->stack}};
    const GithubEntry ready[] = {{"ready", slice_of("true")}}; /* later steps know of the stack */
    int r = github_step_write(&step->github, "GITHUB_STATE", notes, COUNT_OF(notes));
    if (r == 0)
        r = github_step_write(&step->github, "GITHUB_OUTPUT", outputs, COUNT_OF(outputs));
    if (r == 0)
        r = github_step_write(&step->github, "GITHUB_ENV", variables, generation.len > 0 ? 2 : 1);
    if (r == 0)
        r = put_on_path(step);
    return r == 0 ? github_step_write(&step->github, "GITHUB_STATE", ready, COUNT_OF(ready)) : r;
}

/* ---- people ---- */

static void print_files(const MainStep *step) {
    const Difference *difference = &step->need.difference;
    Slice rest = buffer_slice(&difference->files), name;
    if (difference->named == 0)
        return;
    github_step_command(&step->github, "group", slice_of("What differs from the deployed commit"));
    for (size_t i = 0; i < difference->named; i++) {
        OWN(buffer_deinit) Buffer line;
        buffer_init(&line, CHANGED_FILES_MAX * 6);
        name = rest;
        (void)slice_split(&rest, '\n', &name);
        buffer_add_text(&line, "  ");
        print_foreign(&line, name);
        buffer_add_char(&line, '\n');
        (void)print_out(&step->github.agent, &line);
    }
    github_step_command(&step->github, "endgroup", slice_of(""));
}

/* On a pull request what is deployed is the merge commit; people know the head. */
static Slice head_commit(MainStep *step) {
    Slice head = SLICE_ABSENT;
    EnvironGet environ_get = step->github.agent.environ_get;
    if (ci_event_text(environ_get, &step->grant.texts, "pull_request.head.sha", &head) != 0)
        return SLICE_ABSENT;
    return slice_equal_text(head, step->need.worktree.commit) ? SLICE_ABSENT : head;
}

static void write_summary(MainStep *step) {
    const LeaseState *state = &step->grant.state;
    const Answer *answer = &step->grant.reply.answer;
    const Agent *agent = &step->github.agent;
    OWN(buffer_deinit) Buffer text;
    char span[24];
    buffer_init(&text, REASON_MAX * 64);
    clock_format_span((clock_boot_ms(agent->clock) - step->began_ms) / 1000, span);
    const Slice link = step->grant.job.holder.link;
    const SummaryRow rows[] = {
        {"Stack", state->stack, answer->url},
        {"URL", answer->url, answer->url},
        {"Branch", step->grant.branch, SLICE_ABSENT},
        {"Commit", slice_of(step->need.worktree.commit), SLICE_ABSENT},
        {"Head of the pull request", head_commit(step), SLICE_ABSENT},
        {"Held this branch already", slice_of(answer->is_reused ? "yes" : "no"), SLICE_ABSENT},
        {"Deploy", slice_of(step->need.is_needed ? "needed" : "not needed"), SLICE_ABSENT},
        {"Why", buffer_slice(&step->need.reason), SLICE_ABSENT},
        {"Waited", slice_of(span), SLICE_ABSENT},
        {"Run", step->grant.job.holder.run, link},
    };
    github_summary_add("Test stack", rows, COUNT_OF(rows), &text);
    int r = buffer_error(&text);
    if (r == 0)
        r = github_file_append(agent->environ_get, "GITHUB_STEP_SUMMARY", buffer_slice(&text));
    if (r < 0)
        agent_say(agent, LOG_WARNING, "the summary cannot be written: %s", strerror(-r));
}

static void tell_people(MainStep *step) {
    const Agent *agent = &step->github.agent;
    const char *reason = buffer_text(&step->need.reason);
    agent_say(agent, LOG_INFO, "%.*s is ours; %s: %s", SLICE_PRINT(step->grant.state.stack),
              step->need.is_needed ? "to be deployed to" : "no deploy needed", reason != NULL ? reason : "");
    print_files(step);
    write_summary(step);
}

static int run(const Agent *outer, MainStep *step) {
    int r = github_step_open(outer, "main", &step->github);
    if (r == 0)
        r = prepare(step);
    step->began_ms = clock_boot_ms(outer->clock);
    if (r == 0)
        r = note_for_post(step);
    if (r == 0)
        r = get_stack(step);
    if (r == 0)
        r = deploy_need_find(&step->github.agent, step->grant.state.last_deployed_commit,
                             slice_of(step->github.inputs.paths), &step->need);
    if (r == 0 && step->need.is_needed) /* noted before anybody hears of it */
        r = deploy_need_note(&step->github.agent, &step->folder, step->grant.state.request_id);
    if (r == 0)
        r = tell_later_steps(step);
    if (r != 0)
        return r;
    tell_people(step);
    int number = stop_signals_take(&step->signals);
    return number != 0 ? EXIT_SIGNAL + number : 0;
}

int command_github_main(const Agent *agent) {
    OWN(main_step_deinit) MainStep step = {.folder = STATE_FOLDER_CLOSED, .signals = {.fd = -1}};
    grant_init(&step.grant);
    deploy_need_init(&step.need);
    return run(agent, &step);
}
