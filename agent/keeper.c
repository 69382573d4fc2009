/* Starting it. Its life is commands/keep.c. */
#include "agent/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "agent/environment.h"

int keeper_find_job(const Agent *agent, const CiJob *ci, JobProcess *out) {
    int64_t watched = agent->options->watch;
    *out = (JobProcess){.pid = 0};
    if (watched != OPTION_UNSET) {
        if (job_process_read("/proc", (pid_t)watched, out) == 0)
            return 0;
        return agent_fail(agent, EX_USAGE, "there is no process %d to watch (--watch)", (int)watched);
    }
    bool is_ci = strcmp(ci->provider, "local") != 0;
    if (job_process_find("/proc", getppid(), is_ci, out) != 0)
        agent_say(agent, LOG_WARNING, "the job's process cannot be told, so the lease is renewed until it is released");
    return 0;
}

bool keeper_has_ended(const StateFolder *folder, Slice request_id) {
    OWN(closep) int fd = lease_log_open(folder, request_id, false);
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) == 0;
}

static int set_up(posix_spawnattr_t *attributes, posix_spawn_file_actions_t *files, int log_fd) {
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    int error =
        posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (error == 0)
        error = posix_spawnattr_setsigmask(attributes, &none);
    if (error == 0)
        error = posix_spawnattr_setsigdefault(attributes, &defaults);
    if (error == 0)
        error = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (error == 0)
        error = posix_spawn_file_actions_addopen(files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(files, log_fd, STDERR_FILENO);
    return -error;
}

static int spawn(char *const *words, char *const *environment, int log_fd) {
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t files;
    if (posix_spawnattr_init(&attributes) != 0)
        return -ENOMEM;
    int r = -ENOMEM;
    if (posix_spawn_file_actions_init(&files) == 0) {
        pid_t pid;
        r = set_up(&attributes, &files, log_fd);
        if (r == 0)
            r = -posix_spawn(&pid, "/proc/self/exe", &files, &attributes, words, environment);
        (void)posix_spawn_file_actions_destroy(&files);
    }
    (void)posix_spawnattr_destroy(&attributes);
    return r;
}

int keeper_start(const Agent *agent, const StateFolder *folder, const LeaseState *state, const JobProcess *job) {
    static const EnvironmentChange changes[] = {{"STACK_AGENT_KEY", NULL}, {"STACK_AGENT_KEY_FILE", NULL}};
    char pid[24], started[24];
    (void)snprintf(pid, sizeof pid, "%d", (int)job->pid);
    (void)snprintf(started, sizeof started, "%llu", job->started);
    /* The lock belongs to the open file, which the keeper inherits: it is held from here until the keeper ends. */
    OWN(closep) int log_fd = lease_log_open(folder, state->request_id, true);
    int locked = log_fd >= 0 ? lease_log_lock(log_fd) : log_fd;
    if (locked == -EWOULDBLOCK) {
        agent_say(agent, LOG_INFO,
                  "%.*s is kept alive by what an earlier request or join here started, as long as its job",
                  SLICE_PRINT(state->stack));
        return 0;
    }
    OWN(freep) char *request_id = slice_dup(state->request_id);
    OWN(environment_freep) char **environment = environment_with(changes, COUNT_OF(changes));
    if (request_id == NULL || environment == NULL)
        return -ENOMEM;
    char name[] = "stack-agent", verb[] = KEEPER_VERB, flag[] = "--state-dir", end[] = "--";
    char *const words[] = {name, verb, flag, folder->path, end, request_id, pid, started, NULL};
    int r = locked == 0 ? spawn(words, environment, log_fd) : locked;
    if (r == 0)
        return 0;
    return agent_fail(agent, EX_SOFTWARE,
                      "the process that keeps the lease alive cannot be started (%s): %.*s ends in a while",
                      strerror(-r), SLICE_PRINT(state->stack));
}
