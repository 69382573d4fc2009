/*
 * Addresses, key, deadline. Invariant: the key is a run of printable bytes before it reaches a transport, so it can end no
 * header and start none.
 */
#include "agent/session.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "agent/limits.h"
#include "agent/print.h"
#include "agent/retry.h"
#include "agent/state_folder.h"
#include "protocol/rules.h"

static int join_urls(const Agent *agent, Slice urls, char **out) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, OPTION_LIST_MAX * (size_t)URL_MAX);
    const OptionList *given = &agent->options->urls;
    buffer_add_slice(&text, urls);
    for (size_t i = 0; slice_is_absent(urls) && i < given->count; i++)
        buffer_printf(&text, "%s%s", i > 0 ? " " : "", given->items[i]);
    Slice all = buffer_slice(&text);
    if (buffer_error(&text) == -EMSGSIZE)
        return agent_fail(agent, EX_USAGE, "the URLs of the coordinator are too long");
    if (all.len == 0 && buffer_error(&text) == 0)
        return agent_fail(
            agent, EX_USAGE,
            "no coordinator is named: set STACK_AGENT_URL or --url, for instance https://stacks.example.org");
    *out = slice_dup(all);
    return *out != NULL ? 0 : -ENOMEM;
}

static int add_client(Session *session, const char *url) {
    const ClientOptions options = {.url = url, .ca_file = session->ca_file};
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, REASON_MAX);
    if (session->count == COUNT_OF(session->clients))
        return agent_fail(session->agent, EX_USAGE, "more than %d URLs are named", OPTION_LIST_MAX);
    int r = client_new(&options, &session->clients[session->count], &reason);
    if (r == CLIENT_URL_INVALID)
        return agent_fail(session->agent, EX_USAGE, "%s (STACK_AGENT_URL or --url)", buffer_text(&reason));
    if (r == 0)
        session->count++;
    return r;
}

/* Only transports with TLS ever look at it. */
static int find_ca_file(Session *session, Slice ca_file) {
    const Agent *agent = session->agent;
    if (strstr(session->urls, "https://") == NULL && strstr(session->urls, "tls+tcp://") == NULL)
        return 0;
    OWN(freep) char *noted = slice_is_absent(ca_file) ? NULL : slice_dup(ca_file);
    const char *given = agent->options->ca_file != NULL ? agent->options->ca_file : noted;
    const char *found = client_ca_file(given, agent->environ_get);
    if (found == NULL)
        return 0;
    session->ca_file = realpath(found, NULL); /* a later call may be made from another folder */
    if (session->ca_file != NULL)
        return 0;
    if (errno == ENOMEM)
        return -ENOMEM;
    OWN(buffer_deinit) Buffer name;
    buffer_init(&name, REASON_MAX);
    print_foreign(&name, slice_of(found));
    return agent_fail(agent, EX_USAGE, "the file of trusted certificates, %s, cannot be read: %s", buffer_text(&name),
                      strerror(errno));
}

int session_open(Session *session, const Agent *agent, Slice urls, Slice ca_file) {
    *session = (Session){.agent = agent};
    int r = join_urls(agent, urls, &session->urls);
    if (r == 0)
        r = find_ca_file(session, ca_file);
    if (r != 0)
        return r;
    session->words = strdup(session->urls);
    if (session->words == NULL)
        return -ENOMEM;
    char *rest = session->words, *url;
    while (r == 0 && (url = strsep(&rest, " \t\n")) != NULL) {
        if (*url != '\0')
            r = add_client(session, url);
    }
    if (r == 0 && session->count == 0)
        return agent_fail(agent, EX_USAGE, "no coordinator is named: set STACK_AGENT_URL or --url");
    return r;
}

void session_close(Session *session) {
    if (session == NULL)
        return;
    for (size_t i = 0; i < session->count; i++)
        client_freep(&session->clients[i]);
    if (session->key != NULL)
        explicit_bzero(session->key, strlen(session->key));
    free(session->key);
    free(session->urls);
    free(session->words);
    free(session->ca_file);
    *session = (Session){.agent = NULL};
}

/* A file or a pipe (`--key-file <(pass show stacks)`). */
static int read_key_file(const Agent *agent, Buffer *out) {
    const char *path = agent->options->key_file;
    OWN(buffer_deinit) Buffer name;
    buffer_init(&name, REASON_MAX);
    print_foreign(&name, slice_of(path));
    OWN(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && buffer_error(out) == 0) {
        char *room = buffer_reserve(out, 64);
        ssize_t got = room != NULL ? read(fd, room, 64) : 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            closep(&fd);
        if (got <= 0)
            break;
        buffer_grew(out, (size_t)got);
    }
    if (buffer_error(out) != 0)
        return agent_fail(agent, EX_NOPERM, "the key file %s is longer than any key", buffer_text(&name));
    if (fd < 0)
        return agent_fail(agent, EX_NOPERM, "the key file %s cannot be read: %s", buffer_text(&name), strerror(errno));
    return 0;
}

int session_load_key(Session *session) {
    const Agent *agent = session->agent;
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, KEY_TEXT_MAX + 64);
    if (session->key != NULL)
        return 0;
    if (agent->options->key_file == NULL && agent->options->key == NULL)
        return agent_fail(agent, EX_NOPERM, "%s",
                          state_folder_is_of_run(agent->options->state_dir)
                              ? "`run` gives its command no key: the verbs about its own stack need none, for others "
                                "name a file with --key-file"
                              : "there is no key: set STACK_AGENT_KEY, or name a file with --key-file or "
                                "STACK_AGENT_KEY_FILE; secrets are not given to pull requests from forks");
    if (agent->options->key_file != NULL) {
        int r = read_key_file(agent, &text);
        if (r != 0)
            return r;
    } else {
        buffer_add_text(&text, agent->options->key);
    }
    /* Secrets pasted into CI settings often end with a newline. */
    Slice key = slice_trimmed(buffer_slice(&text));
    if (slice_is_absent(key) || key.len == 0 || key.len > KEY_TEXT_MAX || rule_commit(key) != NULL)
        return agent_fail(
            agent, EX_NOPERM,
            "the key in %s is none: it must be one line of at most %d printable characters without blanks",
            agent->options->key_file != NULL ? "the key file" : "STACK_AGENT_KEY", KEY_TEXT_MAX);
    session->key = slice_dup(key);
    return session->key != NULL ? 0 : -ENOMEM;
}

static void say_waiting(void *arg, const char *what, int64_t left_ms) {
    const Agent *agent = arg;
    char span[24];
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, REASON_MAX);
    print_foreign(&text, slice_of(what));
    clock_format_span(left_ms / 1000, span);
    agent_say(agent, LOG_INFO, "%s, trying again for %s", buffer_text(&text), span);
}

/* A second arrival of deleteLastStack deletes a second stack; everything else names what it is about. */
static bool is_repeatable(const Command *command) {
    return command->operation != OP_DELETE_LAST_STACK;
}

static void describe_silence(const Session *session, const OperationRow *operation, Reply *reply) {
    bool is_change = (operation->flags & OPERATION_READS) == 0;
    reply->outcome = OUTCOME_UNREACHABLE;
    buffer_clear(&reply->detail);
    buffer_add_text(&reply->detail, "no coordinator answers at ");
    print_foreign(&reply->detail, slice_of(session->urls));
    buffer_add_text(&reply->detail, " (");
    print_foreign(&reply->detail, buffer_slice(&reply->raw.reason));
    buffer_add_text(&reply->detail, ")");
    if (reply->raw.is_sent && is_change)
        buffer_add_text(&reply->detail, ", so it is unknown whether it was done");
}

typedef struct Poll {
    Command command; /* with waitSeconds as encoded */
    int64_t most_seconds;
    Buffer *body;
} Poll;

/* A poll has to end within its try, however late that began: what is told then is an answer, and no silence. */
static int fit_poll(void *arg, int64_t timeout_ms, Slice *body) {
    Poll *poll = arg;
    int64_t seconds = timeout_ms > LAST_ANSWER_MS ? (timeout_ms - LAST_ANSWER_MS) / 1000 : 0;
    if (seconds > poll->most_seconds)
        seconds = poll->most_seconds;
    if (seconds != poll->command.wait_seconds) {
        poll->command.wait_seconds = seconds;
        buffer_clear(poll->body);
        fields_encode(operation_row(poll->command.operation)->command, &poll->command, poll->body);
    }
    *body = buffer_slice(poll->body);
    return buffer_error(poll->body);
}

int session_call(Session *session, const Command *command, SessionLimits limits, Reply *reply) {
    const Agent *agent = session->agent;
    const OperationRow *operation = operation_row(command->operation);
    OWN(buffer_deinit) Buffer body;
    buffer_init(&body, BODY_MAX);
    fields_encode(operation->command, command, &body);
    if (buffer_error(&body) != 0)
        return buffer_error(&body);
    Poll poll = {.command = *command, .most_seconds = command->wait_seconds, .body = &body};
    bool is_poll = command->operation == OP_REQUEST_STACK && command->wait_seconds > 0;
    bool has_lease = !slice_is_absent(command->lease);
    const RetryWorld world = {.clock = agent->clock,
                              .random = agent->random,
                              .arg = (void *)(uintptr_t)agent,
                              .pause = retry_pause,
                              .waiting = say_waiting};
    const RetryCall call = {
        .call = {.operation = operation,
                 .body = buffer_slice(&body),
                 .key = has_lease ? SLICE_ABSENT : slice_of(session->key),
                 .answer_max = (operation->flags & OPERATION_READS) != 0 ? ANSWER_MAX : REPLY_MAX,
                 .cancel_fd = limits.cancel_fd},
        .fit = is_poll ? fit_poll : NULL,
        .fit_arg = &poll,
        .deadline_ms = clock_boot_ms(agent->clock) + (limits.within_ms > 0 ? limits.within_ms : CALL_MS),
        .try_max_ms = limits.try_max_ms,
        .is_one_try = limits.is_one_try || limits.within_ms == 0,
        .is_repeatable = is_repeatable(command),
        .is_met = limits.is_met || has_lease, /* whoever has its secret has met one */
    };
    int r = retry_call(&world, session->clients, session->count, &call, &reply->raw);
    if (r == 0)
        reply_read(operation, reply);
    else if (r == CLIENT_FAULT || r == CLIENT_REFUSED)
        describe_silence(session, operation, reply);
    return r > 0 ? 0 : r;
}
