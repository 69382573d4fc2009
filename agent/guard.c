/* Between fork and _exit only what is safe in a signal handler: libraries may have threads, and their locks. */
#include "agent/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/limits.h"
#include "base/program.h"

enum { PIPE_FD = STDERR_FILENO + 1, HELD_FD, FIRST_OTHER_FD, STEP_MS = 20 };

/* A pipe that somebody reads to its end is not the guard's to keep open. False: there are no descriptors to be had. */
static bool keep_two(int pipe_fd, int held_fd) {
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    int high_pipe = fcntl(pipe_fd, F_DUPFD_CLOEXEC, FIRST_OTHER_FD);
    int high_held = fcntl(held_fd, F_DUPFD_CLOEXEC, FIRST_OTHER_FD);
    if (nothing < 0 || high_pipe < 0 || high_held < 0)
        return false;
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        (void)dup2(nothing, fd);
    (void)dup2(high_pipe, PIPE_FD);
    (void)dup2(high_held, HELD_FD);
    program_close_from(FIRST_OTHER_FD);
    return true;
}

/* True: it has ended. */
static bool end_group(pid_t group, int number) {
    (void)kill(-group, number);
    (void)kill(-group, SIGCONT); /* a stopped one would never hear it */
    for (int waited_ms = 0; waited_ms < LEFTOVERS_MS; waited_ms += STEP_MS) {
        if (kill(-group, 0) < 0 && errno == ESRCH)
            return true;
        (void)poll(NULL, 0, STEP_MS);
    }
    return false;
}

static ssize_t hear(void *out, size_t size) {
    ssize_t length;
    do
        length = read(PIPE_FD, out, size);
    while (length < 0 && errno == EINTR);
    return length;
}

static void watch(void) {
    pid_t group = 0;
    char byte;
    if (hear(&group, sizeof group) != (ssize_t)sizeof group)
        return; /* no command was started */
    if (hear(&byte, sizeof byte) == 0 && !end_group(group, SIGTERM))
        (void)end_group(group, SIGKILL);
}

int guard_start(Guard *guard, int held_fd) {
    int ends[2];
    *guard = GUARD_NONE;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0) {
        (void)setsid(); /* what is meant for our group is not for the guard */
        if (keep_two(ends[0], held_fd))
            watch();
        _exit(0);
    }
    int r = pid < 0 ? -errno : 0;
    (void)close(ends[0]);
    if (r == 0)
        *guard = (Guard){.pid = pid, .fd = ends[1]};
    else
        (void)close(ends[1]);
    return r;
}

int guard_watch(const Guard *guard, pid_t group) {
    ssize_t length = write(guard->fd, &group, sizeof group);
    return length == (ssize_t)sizeof group ? 0 : length < 0 ? -errno : -EIO;
}

void guard_end(Guard *guard) {
    if (guard->fd < 0)
        return;
    (void)(write(guard->fd, "", 1) == 1);
    while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    closep(&guard->fd);
}
