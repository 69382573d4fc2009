/*
 *   started ──► running ──► leader has ended ──► group is empty
 *                │   ▲
 *      ^Z on a   ▼   │ fg, SIGCONT
 *      terminal: stopped (and we with it)
 *
 * Invariants: when child_run returns, nothing of the group runs any more, so nobody works on a stack that is given back;
 * whatever the network does, the group is told to stop and stopped at the times of lease_times.h, since no call outlasts
 * them.
 */
#include "agent/child.h"

#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "agent/guard.h"
#include "agent/limits.h"
#include "agent/print.h"
#include "agent/wake.h"

enum { EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127, SWEEP_STEP_MS = 20 };

typedef struct Child {
    pid_t group; /* the leader's pid */
    bool has_ended;
    int status;
    int terminal; /* a descriptor of the terminal that we lend it; -1: none */
    const Agent *agent;
    StopSignals *signals;
    const ChildLease *lease;
    ChildEnd *end;
    Wake wake;     /* signals to us, the leader's end, a point in time: what also cuts a renewal short */
    int ended_fd;  /* SIGCHLD */
    int leader_fd; /* a pidfd; -1: this kernel has none, so its end waits for a renewal that is under way */
    Guard guard;
    bool is_let_go;  /* the lease is lost, or given back by the command: it is not renewed any more */
    int64_t kill_ms; /* boot_ms; CLOCK_FOREVER: it is not to be killed */
} Child;

static void child_deinit(Child *child) {
    guard_end(&child->guard);
    wake_close(&child->wake);
    closep(&child->ended_fd);
    closep(&child->leader_fd);
}

static int open_ends(Child *child) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    child->ended_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (child->ended_fd < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    int r = wake_open(&child->wake);
    return r == 0 ? wake_add(&child->wake, child->signals->fd) : r;
}

static int watch_leader(Child *child) {
#ifdef SYS_pidfd_open
    child->leader_fd = (int)syscall(SYS_pidfd_open, child->group, 0);
#endif
    return wake_add(&child->wake, child->leader_fd);
}

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
        closep(&child->leader_fd); /* readable for good now, it would cut every call */
    }
}

static void signal_group(const Child *child, int number) {
    (void)kill(-child->group, number);
    (void)kill(-child->group, SIGCONT); /* a stopped one would never hear it */
}

/* ---- the lease ---- */

static void stop_for_lease(Child *child, int64_t kill_ms) {
    child->is_let_go = child->end->is_lease_lost = true;
    child->kill_ms = kill_ms < child->kill_ms ? kill_ms : child->kill_ms;
    signal_group(child, SIGTERM);
}

static void stop_lost(Child *child, int64_t now_ms) {
    (void)reply_fail(child->agent, &child->lease->renewal->reply, "LOST: the command is stopped");
    /* Not later than without this news: a short lease's stack does not rest for longer either. */
    int64_t kill_ms = lease_times_kill(&child->lease->renewal->times);
    stop_for_lease(child, now_ms + LOST_KILL_MS < kill_ms ? now_ms + LOST_KILL_MS : kill_ms);
}

static void stop_unrenewed(Child *child) {
    (void)agent_fail(
        child->agent, EX_SOFTWARE,
        "the lease of %.*s is about to end (it could not be renewed in time, or the project's --max-hold is "
        "reached): the command is stopped before",
        SLICE_PRINT(child->lease->renewal->stack));
    stop_for_lease(child, lease_times_kill(&child->lease->renewal->times));
}

/* One try, unless something else has to be attended to. Once the command is being stopped for it the lease is let go. */
static void renew(Child *child) {
    Renewal *renewal = child->lease->renewal;
    int64_t term_ms = lease_times_term(&renewal->times);
    wake_at(&child->wake, term_ms < child->kill_ms ? term_ms : child->kill_ms);
    if (renewal_try(renewal, child->wake.fd) != RENEWAL_LOST)
        return;
    if (renewal_was_given_back(renewal, child->lease->folder, child->lease->request_id))
        child->is_let_go = true;
    else
        stop_lost(child, clock_boot_ms(child->agent->clock));
}

/* When something has to be done next, by the clock alone. */
static int64_t next_ms(const Child *child) {
    const LeaseTimes *times = &child->lease->renewal->times;
    int64_t term_ms = lease_times_term(times);
    int64_t lease_ms = child->is_let_go ? CLOCK_FOREVER : times->next_ms < term_ms ? times->next_ms : term_ms;
    return lease_ms < child->kill_ms ? lease_ms : child->kill_ms;
}

static void do_what_is_due(Child *child) {
    int64_t now_ms = clock_boot_ms(child->agent->clock);
    if (now_ms >= child->kill_ms) {
        child->kill_ms = CLOCK_FOREVER;
        (void)kill(-child->group, SIGKILL);
    }
    const LeaseTimes *times = &child->lease->renewal->times;
    if (child->is_let_go)
        return;
    if (now_ms >= lease_times_term(times))
        stop_unrenewed(child);
    else if (now_ms >= times->next_ms)
        renew(child);
}

/* ---- signals ---- */

static void pass_on(Child *child, int number) {
    int64_t patience_ms = child->end->is_told_to_stop ? STOP_KILL_NOW_MS : STOP_KILL_MS;
    int64_t kill_ms = clock_boot_ms(child->agent->clock) + patience_ms;
    child->kill_ms = kill_ms < child->kill_ms ? kill_ms : child->kill_ms;
    child->end->is_told_to_stop = true;
    signal_group(child, number);
}

static void drain(int fd) {
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info)
        continue;
}

/* Waits until something happens, at most until `until_ms`, and acts on it. */
static int attend(Child *child, int64_t until_ms) {
    do_what_is_due(child);
    int64_t due_ms = next_ms(child);
    wake_at(&child->wake, due_ms < until_ms ? due_ms : until_ms);
    int r = wake_wait(&child->wake, child->ended_fd);
    if (r != 0)
        return r;
    int number;
    while ((number = stop_signals_take(child->signals)) != 0)
        pass_on(child, number);
    drain(child->ended_fd);
    reap(child);
    return 0;
}

static bool is_group_empty(const Child *child) {
    return kill(-child->group, 0) < 0 && errno == ESRCH;
}

/* Background processes of the command: asked to end, then made to. */
static int sweep(Child *child) {
    static const int numbers[] = {SIGTERM, SIGKILL};
    const Clock *clock = child->agent->clock;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        int64_t until_ms = clock_boot_ms(clock) + LEFTOVERS_MS;
        if (!is_group_empty(child))
            signal_group(child, numbers[i]);
        while (!is_group_empty(child) && clock_boot_ms(clock) < until_ms) {
            int r = attend(child, clock_boot_ms(clock) + SWEEP_STEP_MS);
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

/* The loop cannot go on: better no command than one that nobody watches. */
static int give_up(Child *child, int error) {
    (void)kill(-child->group, SIGKILL);
    while (!child->has_ended && waitpid(child->group, &child->status, 0) < 0 && errno == EINTR)
        continue;
    return error;
}

int child_run(const Agent *agent, StopSignals *signals, const ChildLease *lease, char *const *environment,
              ChildEnd *end) {
    const char *const *words = agent->arguments;
    OWN(child_deinit)
    Child child = {.terminal = -1,
                   .agent = agent,
                   .signals = signals,
                   .lease = lease,
                   .end = end,
                   .wake = WAKE_CLOSED,
                   .ended_fd = -1,
                   .leader_fd = -1,
                   .guard = GUARD_NONE,
                   .kill_ms = CLOCK_FOREVER};
    *end = (ChildEnd){.exit_code = 0};
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L); /* else orphans of the group would be nobody's to reap */
    int r = open_ends(&child);
    if (r != 0)
        return r;
    r = guard_start(&child.guard, lease->folder->fd);
    if (r != 0)
        return r;
    r = spawn(words, environment, signals, &child.group);
    if (r == -ENOMEM || r == -EAGAIN)
        return r;
    if (r != 0)
        return cannot_start(agent, words[0], r, end);
    end->is_started = true;
    r = guard_watch(&child.guard, child.group);
    if (r == 0)
        r = watch_leader(&child);
    lend_terminal(&child);
    while (r == 0 && !child.has_ended)
        r = attend(&child, CLOCK_FOREVER);
    take_terminal_back(&child);
    if (r == 0)
        r = sweep(&child);
    if (r != 0)
        return give_up(&child, r);
    end->exit_code = WIFEXITED(child.status) ? WEXITSTATUS(child.status) : EXIT_SIGNAL + WTERMSIG(child.status);
    return 0;
}
