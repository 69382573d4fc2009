/*
 *   started ──► running ──► leader has ended ──► group is empty
 *                │   ▲
 *      ^Z on a   ▼   │ fg, SIGCONT
 *      terminal: stopped (and we with it)
 *
 * Invariant: when child_run returns, nothing of the group runs any more, so nobody works on a stack that is given back.
 */
#include "agent/child.h"

#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "agent/limits.h"
#include "agent/print.h"

enum { EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127, SWEEP_STEP_MS = 20 };

typedef struct Child {
    pid_t group; /* the leader's pid */
    bool has_ended;
    int status;
    int terminal; /* a descriptor of the terminal that we lend it; -1: none */
    StopSignals *signals;
    ChildEnd *end;
} Child;

static int spawn(const char *const *words, char *const *environment, const StopSignals *signals, pid_t *pid) {
    static const int inherited_ignored[] = {SIGPIPE, SIGTTOU}; /* by us, not by whoever started us */
    posix_spawnattr_t attributes;
    sigset_t defaults;
    sigemptyset(&defaults);
    for (size_t i = 0; i < COUNT_OF(inherited_ignored); i++)
        sigaddset(&defaults, inherited_ignored[i]);
    if (posix_spawnattr_init(&attributes) != 0)
        return -ENOMEM;
    int error =
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (error == 0)
        error = posix_spawnattr_setpgroup(&attributes, 0);
    if (error == 0)
        error = posix_spawnattr_setsigmask(&attributes, &signals->old);
    if (error == 0)
        error = posix_spawnattr_setsigdefault(&attributes, &defaults);
    if (error == 0) /* the words stay as they are: posix_spawn's type predates const */
        error = posix_spawnp(pid, words[0], NULL, &attributes, (char *const *)(uintptr_t)words, environment);
    (void)posix_spawnattr_destroy(&attributes);
    return -error;
}

/* A command on a terminal has to be its foreground group to read from it and to get ^C. */
static void lend_terminal(Child *child) {
    child->terminal = -1;
    if (isatty(STDIN_FILENO) != 1 || tcgetpgrp(STDIN_FILENO) != getpgrp())
        return;
    (void)signal(SIGTTOU, SIG_IGN); /* else taking it back, from the background, would stop us */
    if (tcsetpgrp(STDIN_FILENO, child->group) < 0)
        return;
    child->terminal = STDIN_FILENO;
    (void)kill(-child->group, SIGCONT); /* it may have tried to read before it was allowed to */
}

static void take_terminal_back(const Child *child) {
    if (child->terminal >= 0)
        (void)tcsetpgrp(child->terminal, getpgrp());
}

/* ^Z: the shell waits for us, so we stop too; `fg` or `bg` continues both. */
static void stop_with_it(Child *child) {
    if (child->terminal < 0)
        return;
    take_terminal_back(child);
    (void)raise(SIGSTOP);
    if (tcgetpgrp(child->terminal) == getpgrp())
        (void)tcsetpgrp(child->terminal, child->group);
    (void)kill(-child->group, SIGCONT);
}

/* Whatever ended; orphans of the group come to us. */
static void reap(Child *child) {
    int status = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        if (pid != child->group)
            continue;
        if (WIFSTOPPED(status)) {
            stop_with_it(child);
            continue;
        }
        child->has_ended = true;
        child->status = status;
    }
}

/* Waits for signals, at most `ms` (negative: for ever), and acts on them. */
static int attend(Child *child, int ms) {
    struct pollfd ready = {.fd = child->signals->fd, .events = POLLIN};
    if (poll(&ready, 1, ms) < 0 && errno != EINTR)
        return -errno;
    int number;
    while ((number = stop_signals_take(child->signals)) != 0) {
        if (number == SIGCHLD)
            continue;
        child->end->is_told_to_stop = true;
        (void)kill(-child->group, number);
        (void)kill(-child->group, SIGCONT); /* a stopped one would never hear it */
    }
    reap(child);
    return 0;
}

static bool is_group_empty(const Child *child) {
    return kill(-child->group, 0) < 0 && errno == ESRCH;
}

/* Background processes of the command: asked to end, then made to. */
static int sweep(const Agent *agent, Child *child) {
    static const int numbers[] = {SIGTERM, SIGKILL};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        int64_t until_ms = clock_boot_ms(agent->clock) + LEFTOVERS_MS;
        if (!is_group_empty(child)) {
            (void)kill(-child->group, numbers[i]);
            (void)kill(-child->group, SIGCONT);
        }
        while (!is_group_empty(child) && clock_boot_ms(agent->clock) < until_ms) {
            int r = attend(child, SWEEP_STEP_MS);
            if (r != 0)
                return r;
        }
    }
    return 0;
}

static int cannot_start(const Agent *agent, const char *word, int error, ChildEnd *end) {
    OWN(buffer_deinit) Buffer name;
    buffer_init(&name, REASON_MAX);
    print_foreign(&name, slice_of(word));
    int exit_code = error == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
    end->exit_code = agent_fail(agent, exit_code, "%s cannot be started: %s", buffer_text(&name), strerror(-error));
    return 0;
}

int child_run(const Agent *agent, StopSignals *signals, const char *const *words, char *const *environment,
              ChildEnd *end) {
    Child child = {.terminal = -1, .signals = signals, .end = end};
    *end = (ChildEnd){.exit_code = 0};
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L); /* else orphans of the group would be nobody's to reap */
    int r = spawn(words, environment, signals, &child.group);
    if (r == -ENOMEM || r == -EAGAIN)
        return r;
    if (r != 0)
        return cannot_start(agent, words[0], r, end);
    end->is_started = true;
    lend_terminal(&child);
    while (r == 0 && !child.has_ended)
        r = attend(&child, -1);
    take_terminal_back(&child);
    if (r == 0)
        r = sweep(agent, &child);
    end->exit_code = WIFEXITED(child.status) ? WEXITSTATUS(child.status) : EXIT_SIGNAL + WTERMSIG(child.status);
    return r;
}
