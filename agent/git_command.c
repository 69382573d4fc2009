/*
 * One child process, its output through one pipe, a deadline. Nothing of the repository's is run by the git calls made
 * here (no hooks, no filters, no pager).
 */
#include "agent/git_command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/environment.h"
#include "agent/limits.h"
#include "base/clock.h"

enum { WORDS_MAX = 24, STEP_MS = 1 };

/* Until the child closes the pipe or the time is over. */
static int read_all(int fd, int64_t within_ms, Buffer *output) {
    const Clock *clock = clock_system();
    int64_t until_ms = clock_boot_ms(clock) + within_ms;
    for (;;) {
        int64_t left_ms = until_ms - clock_boot_ms(clock);
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (left_ms <= 0)
            return -ETIMEDOUT;
        if (poll(&ready, 1, (int)left_ms) < 0 && errno != EINTR)
            return -errno;
        if (ready.revents == 0)
            continue;
        char *room = buffer_reserve(output, 512);
        ssize_t got = room != NULL ? read(fd, room, 512) : -1;
        if (got == 0)
            return 0;
        if (got < 0 && room != NULL && errno == EINTR)
            continue;
        if (got < 0)
            return room != NULL ? -errno : buffer_error(output);
        buffer_grew(output, (size_t)got);
    }
}

static int start(const char *const *words, char *const *environment, int output, pid_t *child) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return -ENOMEM;
    }
    int error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&actions, output, 1);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&actions, output, 2);
    if (error == 0)
        error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (error == 0)
        error = posix_spawnattr_setsigmask(&attributes, &none);
    if (error == 0)
        error = posix_spawnattr_setsigdefault(&attributes, &defaults);
    if (error == 0) /* the words stay as they are: posix_spawn's type predates const */
        error = posix_spawnp(child, "git", &actions, &attributes, (char *const *)(uintptr_t)words, environment);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return -error;
}

/* Whether it has ended within that time. */
static bool ends_within(pid_t child, int64_t within_ms, int *status) {
    const Clock *clock = clock_system();
    int64_t until_ms = clock_boot_ms(clock) + within_ms;
    while (waitpid(child, status, WNOHANG) == 0) {
        if (clock_boot_ms(clock) >= until_ms)
            return false;
        (void)poll(NULL, 0, STEP_MS);
    }
    return true;
}

/* Told first: git removes its lock files then, which would stop the job's own git. */
static void stop(pid_t child) {
    int status = 0;
    (void)kill(child, SIGTERM);
    if (ends_within(child, GIT_STOP_MS, &status))
        return;
    (void)kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
}

/* It has closed its output. */
static int end(pid_t child) {
    int status = 0;
    if (!ends_within(child, GIT_STOP_MS, &status)) {
        stop(child);
        return -ETIMEDOUT;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return GIT_COMMAND_MISSING; /* where spawning cannot tell in time, it ends like this */
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : GIT_COMMAND_FAILED;
}

int git_command(const char *directory, bool is_trusted, const char *const *arguments, Buffer *output) {
    return git_command_within(directory, is_trusted, arguments, GIT_MS, output);
}

int git_command_within(const char *directory, bool is_trusted, const char *const *arguments, int64_t within_ms,
                       Buffer *output) {
    const char *words[WORDS_MAX] = {"git", "-C", directory};
    size_t count = 3;
    if (is_trusted) {
        words[count++] = "-c";
        words[count++] = "safe.directory=*";
    }
    for (; *arguments != NULL; arguments++) {
        if (count + 1 >= WORDS_MAX)
            return -E2BIG;
        words[count++] = *arguments;
    }
    static const EnvironmentChange changes[] = {
        {"STACK_AGENT_KEY", NULL}, {"LC_ALL", "C"}, {"GIT_TERMINAL_PROMPT", "0"}, {"GIT_OPTIONAL_LOCKS", "0"}};
    OWN(environment_freep) char **environment = environment_with(changes, COUNT_OF(changes));
    if (environment == NULL)
        return -ENOMEM;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    OWN(closep) int from = ends[0];
    OWN(closep) int to = ends[1];
    pid_t child = -1;
    int r = start(words, environment, to, &child);
    if (r == -ENOENT)
        return GIT_COMMAND_MISSING;
    if (r != 0)
        return r;
    closep(&to);
    r = read_all(from, within_ms, output);
    if (r == 0)
        return end(child);
    stop(child);
    return r;
}
