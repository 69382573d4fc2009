/*
 * stack-agent: command line → verb → exit code. What is initialised here is needed by every verb; libraries are started by
 * the verbs that use them.
 */
#include <string.h>

#include "agent/command.h"
#include "agent/secrecy.h"
#include "base/program.h"

typedef int CommandFunction(const Agent *agent);

static CommandFunction *const commands[VERB_COUNT] = {
    [VERB_REQUEST] = command_request,
    [VERB_JOIN] = command_join,
    [VERB_DEPLOYED] = command_deployed,
    [VERB_RELEASE] = command_release,
    [VERB_HAND_OVER] = command_hand_over,
    [VERB_RUN] = command_run,
    [VERB_CLEAN] = command_clean,
    [VERB_CHECK] = command_check,
    [VERB_LIST] = command_list,
    [VERB_QUEUE] = command_queue,
    [VERB_HISTORY] = command_history,
    [VERB_DELETE_LAST] = command_delete_last,
    [VERB_KEEP] = command_keep,
    [VERB_CHANGED] = command_changed,
    [VERB_GITHUB_MAIN] = command_github_main,
    [VERB_GITHUB_POST] = command_github_post,
    [VERB_GITHUB_RELEASE] = command_github_release,
};

static int run(const AgentOptions *options, const Parsed *parsed) {
    bool is_told_in_lines = options->is_json && parsed->verb->takes_command; /* stdout is the command's */
    const Agent agent = {
        .options = options,
        .arguments = parsed->arguments,
        .argument_count = parsed->argument_count,
        .environ_get = program_environment,
        .log = {.fd = STDERR_FILENO,
                .level = (LogLevel)options->log_level,
                .style = is_told_in_lines ? LOG_JSON : LOG_PLAIN,
                .clock = clock_system(),
                .name = agent_program.name},
        .clock = clock_system(),
        .random = random_system(),
    };
    int r = commands[parsed->verb->id](&agent);
    return r >= 0 ? r : agent_fail(&agent, EX_SOFTWARE, "%s: %s", parsed->verb->path, strerror(-r));
}

int main(int argc, char *argv[]) {
    AgentOptions options = {.is_json = false};
    OWN(parsed_deinit) Parsed parsed = {.verb = NULL};
    int exit_code = 0;
    bool is_keeper = argc > 1 && strcmp(argv[1], KEEPER_VERB) == 0;
    secrecy_forbid_dumps(is_keeper);
    int r = program_start(is_keeper ? &keeper_program : &agent_program, argc, argv, &options, &parsed, &exit_code);
    return r == 0 ? run(&options, &parsed) : exit_code;
}
