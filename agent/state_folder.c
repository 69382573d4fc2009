/*
 * The folder's choice and its guard. Invariant: a folder that is handed out is ours and writable by us alone, so nobody
 * else can put a file, a link or a FIFO where a lease's secret is about to be written or read.
 */
#include "agent/state_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "agent/limits.h"
#include "agent/worktree.h"
#include "base/log.h"

void state_folder_close(StateFolder *folder) {
    if (folder == NULL)
        return;
    closep(&folder->fd);
    free(folder->path);
    *folder = STATE_FOLDER_CLOSED;
}

/* Job and pipeline ids are numbers wherever they are honest. */
static bool is_plain_name(const char *text) {
    size_t len = strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-");
    return len > 0 && len <= 64 && text[len] == '\0';
}

/* A user's own machine: one folder for each worktree, gone with the session where the system has such a place. */
static int choose_by_worktree(EnvironGet environ_get, const char *worktree, Buffer *path, Buffer *reason) {
    const char *runtime = ci_variable(environ_get, "XDG_RUNTIME_DIR");
    const char *cache = ci_variable(environ_get, "XDG_CACHE_HOME");
    const char *home = ci_variable(environ_get, "HOME");
    OWN(freep) char *root = worktree_root(worktree);
    if (root == NULL) {
        buffer_add_text(reason, "the folder ");
        log_add_printable(reason, slice_of(worktree));
        buffer_add_text(reason, " cannot be entered");
        return STATE_REFUSED;
    }
    if (runtime != NULL && *runtime == '/' && access(runtime, W_OK | X_OK) == 0) {
        buffer_add_text(path, runtime);
    } else if (cache != NULL && *cache == '/') {
        buffer_add_text(path, cache);
    } else if (home != NULL && *home == '/') {
        buffer_add_text(path, home);
        buffer_add_text(path, "/.cache");
    } else {
        buffer_add_text(reason, "there is no folder to note the lease in (neither XDG_RUNTIME_DIR nor HOME is set):"
                                " name one with --state-dir or STACK_AGENT_STATE_DIR");
        return STATE_REFUSED;
    }
    buffer_printf(path, "/stack-agent/%016" PRIx64, slice_hash(slice_of(root)));
    return 0;
}

int state_folder_choose(EnvironGet environ_get, const char *worktree, Buffer *path, Buffer *reason) {
    const char *runner_temp = ci_variable(environ_get, "RUNNER_TEMP");
    const char *gitlab_project = ci_variable(environ_get, "CI_PROJECT_DIR");
    const char *gitlab_job = ci_variable(environ_get, "CI_JOB_ID");
    int r = 0;
    if (runner_temp != NULL) {
        /* Emptied by the runner before and after each job. */
        buffer_add_text(path, runner_temp);
        buffer_add_text(path, "/stack-agent");
    } else if (gitlab_project != NULL && gitlab_job != NULL && is_plain_name(gitlab_job)) {
        /* Beside the checkout, where the runner keeps the job's own files; it may outlive the job, so the job's id. */
        buffer_printf(path, "%s.tmp/stack-agent/%s", gitlab_project, gitlab_job);
    } else {
        r = choose_by_worktree(environ_get, worktree, path, reason);
    }
    return r != 0 ? r : buffer_error(path);
}

/* Makes the folder and its parents, as `mkdir -p` with 0700 does. */
static int make_all(const char *path) {
    OWN(freep) char *part = strdup(path);
    if (part == NULL)
        return -ENOMEM;
    for (char *at = part + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return -errno;
        *at = '/';
    }
    return mkdir(part, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int refuse(Buffer *reason, const char *path, const char *why) {
    buffer_add_text(reason, "the folder for leases, ");
    log_add_printable(reason, slice_of(path));
    buffer_printf(reason, ", cannot be used: %s; --state-dir or STACK_AGENT_STATE_DIR names another", why);
    return STATE_REFUSED;
}

static int check(int fd, const char *path, Buffer *reason) {
    struct stat about;
    if (fstat(fd, &about) < 0)
        return -errno;
    if (about.st_uid != geteuid())
        return refuse(reason, path, "it belongs to another user");
    if ((about.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return refuse(reason, path, "other users may write in it (chmod 700 helps)");
    return 0;
}

int state_folder_open(const char *path, bool is_made, StateFolder *out, Buffer *reason) {
    int r = is_made ? make_all(path) : 0;
    if (r == -ENOMEM)
        return r;
    if (r != 0)
        return refuse(reason, path, strerror(-r));
    OWN(closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && !is_made)
        return STATE_ABSENT;
    if (fd < 0) /* a link fails as "not a folder" with this pair of flags */
        return refuse(reason, path, errno == ENOTDIR || errno == ELOOP ? "it is a link or no folder" : strerror(errno));
    r = check(fd, path, reason);
    if (r != 0)
        return r;
    OWN(freep) char *real = realpath(path, NULL);
    if (real == NULL)
        return -errno;
    *out = (StateFolder){.fd = fd, .path = steal(&real)};
    fd = -1;
    return 0;
}

#define RUN_PREFIX "run-"

/* `name` within the folder; it must be as much ours as the folder is. */
static int open_inner(const StateFolder *folder, const char *name, StateFolder *out, Buffer *reason) {
    OWN(freep) char *path = NULL;
    OWN(closep) int fd = openat(folder->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (asprintf(&path, "%s/%s", folder->path, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    if (fd < 0)
        return refuse(reason, path, strerror(errno));
    int r = check(fd, path, reason);
    if (r != 0)
        return r;
    *out = (StateFolder){.fd = fd, .path = steal(&path)};
    fd = -1;
    return 0;
}

bool state_folder_is_of_run(const char *path) {
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    const char *name = slash != NULL ? slash + 1 : path;
    return name != NULL && strncmp(name, RUN_PREFIX, strlen(RUN_PREFIX)) == 0;
}

static void run_name(Slice request_id, char out[sizeof RUN_PREFIX + REQUEST_ID_MAX]) {
    (void)snprintf(out, sizeof RUN_PREFIX + REQUEST_ID_MAX, RUN_PREFIX "%.*s", SLICE_PRINT(request_id));
}

int state_folder_open_run(const StateFolder *folder, Slice request_id, StateFolder *out, Buffer *reason) {
    char name[sizeof RUN_PREFIX + REQUEST_ID_MAX];
    run_name(request_id, name);
    if (mkdirat(folder->fd, name, 0700) < 0)
        return refuse(reason, folder->path, strerror(errno));
    OWN(state_folder_close) StateFolder run = STATE_FOLDER_CLOSED;
    int r = open_inner(folder, name, &run, reason);
    if (r == 0 && flock(run.fd, LOCK_EX | LOCK_NB) < 0)
        r = -errno;
    if (r != 0)
        return r;
    *out = run;
    run = STATE_FOLDER_CLOSED;
    return 0;
}

void state_folder_end_run(const StateFolder *folder, Slice request_id, StateFolder *run) {
    char name[sizeof RUN_PREFIX + REQUEST_ID_MAX];
    run_name(request_id, name);
    state_folder_close(run);
    (void)unlinkat(folder->fd, name, AT_REMOVEDIR);
}

static int visit_if_abandoned(const StateFolder *folder, const char *name, int (*visit)(void *, const StateFolder *),
                              void *arg) {
    OWN(buffer_deinit) Buffer unsaid;
    OWN(state_folder_close) StateFolder run = STATE_FOLDER_CLOSED;
    buffer_init(&unsaid, REASON_MAX);
    int r = open_inner(folder, name, &run, &unsaid);
    if (r != 0 || flock(run.fd, LOCK_EX | LOCK_NB) < 0)
        return r == -ENOMEM ? r : 0; /* not ours, gone, or alive */
    r = visit(arg, &run);
    (void)unlinkat(folder->fd, name, AT_REMOVEDIR);
    return r;
}

static void directory_closep(DIR **directory) {
    if (*directory != NULL)
        (void)closedir(*directory);
    *directory = NULL;
}

int state_folder_visit_abandoned(const StateFolder *folder, int (*visit)(void *arg, const StateFolder *run),
                                 void *arg) {
    OWN(closep) int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    OWN(directory_closep) DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (directory == NULL)
        return -errno;
    fd = -1;
    const struct dirent *entry;
    int result = 0;
    while ((entry = readdir(directory)) != NULL) {
        if (strncmp(entry->d_name, RUN_PREFIX, strlen(RUN_PREFIX)) != 0)
            continue;
        int r = visit_if_abandoned(folder, entry->d_name, visit, arg);
        if (r < 0)
            return r;
        result = result != 0 ? result : r;
    }
    return result;
}
