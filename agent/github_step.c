/*
 * Invariants: nothing is printed before the key is masked; all goes to one descriptor, stdout, so that the runner sees it in
 * the order of writing.
 */
#include "agent/github_step.h"

#include <errno.h>
#include <string.h>

#include "agent/limits.h"
#include "agent/print.h"
#include "agent/secrecy.h"
#include "agent/workflow_command.h"

/* As session.c reads it. */
static Slice without_blanks(Slice text) {
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[text.len - 1]) != NULL)
        text.len--;
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[0]) != NULL)
        text = (Slice){.ptr = text.ptr + 1, .len = text.len - 1};
    return text;
}

int github_step_mask(const GithubStep *step, Slice secret) {
    OWN(buffer_deinit) Buffer lines;
    buffer_init(&lines, REASON_MAX * 64);
    workflow_command_mask(&lines, without_blanks(secret));
    return lines.len == 0 ? 0 : print_out(&step->agent, &lines);
}

void github_step_command(const GithubStep *step, const char *command, Slice text) {
    OWN(buffer_deinit) Buffer line;
    buffer_init(&line, REASON_MAX * 16);
    workflow_command_add(&line, command, NULL, text);
    (void)print_out(&step->agent, &line);
}

/* INPUT_KEY, else STACK_AGENT_KEY; neither stays in what our children, or a look into /proc, would find. */
static int take_key(GithubStep *step) {
    static const char *const names[] = {"INPUT_KEY", "STACK_AGENT_KEY"};
    int r = 0;
    for (size_t i = 0; i < COUNT_OF(names) && r == 0; i++) {
        char *value = secrecy_take_variable(names[i]);
        r = github_step_mask(step, slice_of(value));
        bool is_first = step->key == NULL && without_blanks(slice_of(value)).len > 0;
        if (is_first)
            step->key = value;
        else
            secrecy_forget(&value);
    }
    return r;
}

/* The complaint's first line; what follows points at a --help that a workflow has not. */
static int say_wrong_input(const GithubStep *step, const Buffer *text) {
    Slice rest = buffer_slice(text), line = rest;
    (void)slice_split(&rest, '\n', &line);
    const char *lead = "stack-agent: ";
    if (slice_starts_with(line, lead))
        line = (Slice){.ptr = line.ptr + strlen(lead), .len = line.len - strlen(lead)};
    return agent_fail(&step->agent, EX_USAGE, "%.*s (INPUT_WAIT is the input `wait`, and so on)", SLICE_PRINT(line));
}

static int read_inputs(const Agent *outer, const char *verb, GithubStep *step) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, (size_t)64 * 1024);
    char name[] = "stack-agent", word[16];
    (void)snprintf(word, sizeof word, "%s", verb);
    char *const argv[] = {name, word, NULL};
    int r = options_parse(&github_inputs_program, 2, argv, outer->environ_get, &step->inputs, &step->parsed, &text);
    if (r == OPTIONS_USAGE)
        return say_wrong_input(step, &text);
    if (r != 0)
        return r < 0 ? r : EX_SOFTWARE;
    const AgentOptions *common = outer->options;
    AgentOptions *options = &step->inputs.agent;
    if (options->urls.count == 0)
        options->urls = common->urls;
    if (options->ca_file == NULL)
        options->ca_file = common->ca_file;
    options->key_file = step->key == NULL ? common->key_file : NULL;
    options->key = step->key;
    options->state_dir = common->state_dir;
    options->worktree = common->worktree;
    options->log_level = common->log_level;
    options->watch = common->watch;
    return 0;
}

int github_step_open(const Agent *outer, const char *verb, GithubStep *step) {
    *step = (GithubStep){.agent = *outer};
    step->agent.options = &step->inputs.agent;
    step->agent.speaks_github = true;
    step->agent.log.fd = STDOUT_FILENO;
    int r = take_key(step);
    return r == 0 ? read_inputs(outer, verb, step) : r;
}

void github_step_close(GithubStep *step) {
    if (step == NULL)
        return;
    parsed_deinit(&step->parsed);
    secrecy_forget(&step->key);
}

/* ---- no key ---- */

static int explain_fork(const GithubStep *step, Slice head) {
    OWN(buffer_deinit) Buffer name;
    buffer_init(&name, REASON_MAX);
    print_foreign(&name, head);
    return agent_fail(
        &step->agent, EX_NOPERM,
        "there is no key: this pull request comes from the fork %s, and GitHub gives those no secrets. Leave the job "
        "out "
        "with `if: github.event.pull_request.head.repo.full_name == github.repository`, and test such a pull request "
        "from a branch of this repository once somebody has read it",
        buffer_text(&name));
}

int github_step_check_url(const GithubStep *step) {
    if (step->inputs.agent.urls.count > 0)
        return 0;
    return agent_fail(
        &step->agent, EX_USAGE,
        "the input `url` is empty: it is the coordinator's address, https://stacks.example.org say. Is the "
        "variable it names set for this repository?");
}

int github_step_check_key(const GithubStep *step) {
    const Agent *agent = &step->agent;
    OWN(arena_deinit) Arena texts;
    Slice head = SLICE_ABSENT;
    arena_init(&texts);
    if (step->key != NULL || step->inputs.agent.key_file != NULL)
        return 0;
    int r = ci_event_text(agent->environ_get, &texts, "pull_request.head.repo.full_name", &head);
    if (r != 0)
        return r;
    const char *here = ci_variable(agent->environ_get, "GITHUB_REPOSITORY");
    const char *actor = ci_variable(agent->environ_get, "GITHUB_ACTOR");
    if (!slice_is_absent(head) && here != NULL && !slice_equal_text(head, here))
        return explain_fork(step, head);
    if (actor != NULL && strcmp(actor, "dependabot[bot]") == 0)
        return agent_fail(agent, EX_NOPERM,
                          "there is no key: runs that Dependabot starts see Dependabot's secrets alone. Add the key "
                          "there too (Settings, Secrets and variables, Dependabot)");
    return agent_fail(agent, EX_NOPERM,
                      "there is no key: the input `key` is empty. Is the secret it names set for this repository, and "
                      "for the job's environment if it has one? `stack-coordinator key create PROJECT` makes a key");
}

/* ---- the runner's files ---- */

int github_step_write(const GithubStep *step, const char *variable, const GithubEntry *entries, size_t count) {
    const Agent *agent = &step->agent;
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, CHANGED_FILES_MAX * 2);
    for (size_t i = 0; i < count; i++) {
        int r = github_entry_add(agent->random, slice_of(entries[i].name), entries[i].value, &text);
        if (r > 0)
            return agent_fail(agent, EX_SOFTWARE, "%s cannot be told to later steps: %s", entries[i].name,
                              r == GITHUB_NAME_REFUSED ? "it is no name" : "it is no text");
        if (r < 0)
            return r;
    }
    int r = github_file_append(agent->environ_get, variable, buffer_slice(&text));
    if (r == 0 || r == -ENOMEM)
        return r;
    return agent_fail(agent, EX_SOFTWARE, "%s cannot be written: %s", variable,
                      r == GITHUB_FILE_ABSENT ? "the runner names no such file" : strerror(-r));
}
