/*
 * Climbing the tree of processes. Invariant: whatever /proc shows, the climb ends: each step goes to another process, and
 * there are at most ANCESTORS_MAX.
 */
#include "agent/job_process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "agent/limits.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* the same on every architecture */
#endif

#define STAT_SIZE 1024 /* a name of at most 64 bytes and 50 numbers */

typedef struct Process {
    pid_t pid, parent;
    char name[64]; /* the program's, cut by the kernel to 15 bytes */
    char state;
    unsigned long long started, start_code, start_stack; /* the latter two are 0 of other users' processes */
} Process;

static ssize_t read_file(const char *proc, pid_t pid, const char *name, char *out, size_t size) {
    OWN(freep) char *path = NULL;
    if (asprintf(&path, "%s/%d/%s", proc, (int)pid, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    OWN(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, out, size) : -1;
    return got >= 0 ? got : -errno;
}

/* "17 (a name (even) so) S 1 …": the name may hold anything, so its end is the last bracket. */
static int read_process(const char *proc, pid_t pid, Process *out) {
    char text[STAT_SIZE];
    ssize_t got = read_file(proc, pid, "stat", text, sizeof text - 1);
    if (got <= 0)
        return JOB_PROCESS_NONE;
    text[got] = '\0';
    const char *name = strchr(text, '(');
    const char *end = strrchr(text, ')');
    if (name == NULL || end == NULL || end < name || (size_t)(end - name) > sizeof out->name)
        return JOB_PROCESS_NONE;
    Process p = {.pid = pid};
    memcpy(p.name, name + 1, (size_t)(end - name - 1));
    int count = sscanf(end + 1,
                       " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu %*u %*d %*u"
                       " %llu %*u %llu",
                       &p.state, &p.parent, &p.started, &p.start_code, &p.start_stack);
    if (count != 5)
        return JOB_PROCESS_NONE;
    *out = p;
    return 0;
}

static bool has_ended(const Process *p) {
    return p->state == 'Z' || p->state == 'X' || p->state == 'x';
}

/* They start another program and wait for it, so the job is who called them. */
static bool is_starter(const Process *p) {
    static const char *const names[] = {"timeout", "sudo", "doas", "su", "runuser", "time", "strace"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcmp(p->name, names[i]) == 0)
            return true;
    }
    return false;
}

static bool has_same_words(const char *proc, pid_t a, pid_t b) {
    char words_a[4096], words_b[4096];
    ssize_t len_a = read_file(proc, a, "cmdline", words_a, sizeof words_a);
    ssize_t len_b = read_file(proc, b, "cmdline", words_b, sizeof words_b);
    return len_a >= 0 && len_a == len_b && memcmp(words_a, words_b, (size_t)len_a) == 0;
}

/* A fork that never became another program: the same memory layout, which each exec draws anew, and the same words. */
static bool is_subshell(const char *proc, const Process *child, const Process *parent) {
    return strcmp(child->name, parent->name) == 0 && child->start_code == parent->start_code &&
           child->start_stack == parent->start_stack && has_same_words(proc, child->pid, parent->pid);
}

static JobProcess named(const Process *p) {
    return (JobProcess){.pid = p->pid, .started = p->started};
}

/* What stands above `from` whatever is called: 0 with GitHub's worker or the container | JOB_PROCESS_NONE */
static int find_by_ancestors(const char *proc, pid_t from, bool is_ci, JobProcess *out) {
    Process p = {.pid = 0};
    pid_t pid = from;
    for (int i = 0; i < ANCESTORS_MAX && pid > 0; i++) {
        if (read_process(proc, pid, &p) != 0)
            return JOB_PROCESS_NONE;
        if (strcmp(p.name, "Runner.Worker") == 0) {
            *out = named(&p);
            return 0;
        }
        pid = p.parent;
    }
    bool is_put_in = pid == 0 && p.pid != 1;
    if (!is_ci || !is_put_in || read_process(proc, 1, &p) != 0)
        return JOB_PROCESS_NONE;
    *out = named(&p);
    return 0;
}

int job_process_find(const char *proc, pid_t from, bool is_ci, JobProcess *out) {
    if (find_by_ancestors(proc, from, is_ci, out) == 0)
        return 0;
    Process p, above;
    if (read_process(proc, from, &p) != 0)
        return JOB_PROCESS_NONE;
    for (int i = 0; i < ANCESTORS_MAX; i++) {
        bool is_climbed = p.parent > 0 && read_process(proc, p.parent, &above) == 0 &&
                          (is_starter(&p) || is_subshell(proc, &p, &above));
        if (!is_climbed)
            break;
        p = above;
    }
    *out = named(&p);
    return 0;
}

int job_process_read(const char *proc, pid_t pid, JobProcess *out) {
    Process p;
    if (read_process(proc, pid, &p) != 0 || has_ended(&p))
        return JOB_PROCESS_NONE;
    *out = named(&p);
    return 0;
}

bool job_process_is_alive(const char *proc, const JobProcess *job) {
    JobProcess now;
    return job_process_read(proc, job->pid, &now) == 0 && now.started == job->started;
}

int job_process_open(const JobProcess *job) {
    OWN(closep) int fd = (int)syscall(SYS_pidfd_open, job->pid, 0);
    if (fd < 0)
        return -errno;
    if (!job_process_is_alive("/proc", job)) /* the number may be another's by now; from here on it cannot change */
        return -ESRCH;
    int opened = fd;
    fd = -1;
    return opened;
}
