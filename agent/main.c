/*
 * stack-agent: command line → verb → exit code. What is initialised here is needed by every verb; libraries are started by
 * the verbs that use them.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/command.h"
#include "agent/limits.h"
#include "base/json_guard.h"

typedef int CommandFunction(const Agent *agent);

static CommandFunction *const commands[VERB_COUNT] = {
    [VERB_REQUEST] = command_request,   [VERB_JOIN] = command_join,
    [VERB_DEPLOYED] = command_deployed, [VERB_RELEASE] = command_release,
    [VERB_RUN] = command_run,           [VERB_LIST] = command_list,
    [VERB_HISTORY] = command_history,   [VERB_DELETE_LAST] = command_delete_last,
};

/* Else a file of ours could become descriptor 1, and what is printed would land in it. */
static void ensure_standard_descriptors(void) {
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDWR);
    closep(&fd);
}

static const char *environment(const char *name) {
    return getenv(name);
}

static int print_text(const Buffer *text, int fd) {
    Slice rest = buffer_slice(text);
    while (rest.len > 0) {
        ssize_t written = write(fd, rest.ptr, rest.len);
        if (written < 0 && errno != EINTR)
            return EXIT_BROKEN;
        if (written > 0)
            rest = (Slice){.ptr = rest.ptr + written, .len = rest.len - (size_t)written};
    }
    return 0;
}

static int run(const AgentOptions *options, const Parsed *parsed) {
    const Agent agent = {
        .options = options,
        .arguments = parsed->arguments,
        .argument_count = parsed->argument_count,
        .environ_get = environment,
        .log = {.fd = STDERR_FILENO,
                .level = (LogLevel)options->log_level,
                .style = LOG_PLAIN,
                .clock = clock_system(),
                .name = agent_program.name},
        .clock = clock_system(),
        .random = random_system(),
    };
    int r = commands[parsed->verb->id](&agent);
    return r >= 0 ? r : agent_fail(&agent, EXIT_BROKEN, "%s: %s", parsed->verb->path, strerror(-r));
}

int main(int argc, char *argv[]) {
    AgentOptions options = {.is_json = false};
    OWN(parsed_deinit) Parsed parsed = {.verb = NULL};
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, (size_t)1024 * 1024);
    ensure_standard_descriptors();
    (void)signal(SIGPIPE, SIG_IGN); /* a peer that hangs up is an answer like another */
    json_guard_init();
    int r = options_parse(&agent_program, argc, argv, environment, &options, &parsed, &text);
    switch (r) {
    case 0:
        return run(&options, &parsed);
    case OPTIONS_EXIT:
        return print_text(&text, STDOUT_FILENO);
    case OPTIONS_USAGE:
        return print_text(&text, STDERR_FILENO) == 0 ? EXIT_USAGE : EXIT_BROKEN;
    default:
        (void)fprintf(stderr, "%s: %s\n", agent_program.name, strerror(-r));
        return EXIT_BROKEN;
    }
}
