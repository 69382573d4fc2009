/* See the header. */
#include "store/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "store/store.h"

/* What was made in a directory survives a power loss once the directory is synced. A file system that cannot do that
 * gives no better answer to anybody, so failures are not told. */
static void sync_parent(const char *path) {
    OWN(freep) char *parent = strdup(path);
    if (parent == NULL)
        return;
    char *slash = strrchr(parent, '/');
    if (slash != NULL)
        slash[slash == parent ? 1 : 0] = '\0';
    OWN(closep) int fd = open(slash != NULL ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && fsync(fd) != 0)
        errno = 0;
}

/* Like mkdir -p; what is made is for this user and group. */
static int make_directories(const char *path, Buffer *reason) {
    OWN(freep) char *copy = strdup(path);
    if (copy == NULL)
        return -ENOMEM;
    for (char *end = *copy != '\0' ? copy : NULL; end != NULL;) {
        end = strchr(end + 1, '/');
        if (end != NULL)
            *end = '\0';
        if (mkdir(copy, 0750) == 0) {
            sync_parent(copy);
        } else if (errno != EEXIST) {
            int error = errno;
            buffer_printf(reason, "cannot make the data directory %s: %s (%s)", path, strerror(error), copy);
            return -error;
        }
        if (end != NULL)
            *end = '/';
    }
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) { /* "" too */
        buffer_printf(reason, "%s is not a directory", path);
        return -ENOTDIR;
    }
    return 0;
}

static int take_lock(const char *data_dir, int *lock_fd, Buffer *reason) {
    OWN(freep) char *path = NULL;
    if (asprintf(&path, "%s/lock", data_dir) < 0)
        return -ENOMEM;
    OWN(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        int error = errno;
        buffer_printf(reason, "cannot open %s: %s", path, strerror(error));
        return -error;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        char holder[32] = "";
        ssize_t n = pread(fd, holder, sizeof holder - 1, 0);
        holder[n > 0 ? strspn(holder, "0123456789") : 0] = '\0';
        if (error != EWOULDBLOCK) {
            buffer_printf(reason, "cannot lock %s: %s", path, strerror(error));
            return -error;
        }
        buffer_printf(reason,
                      "another stack-coordinator (pid %s) has the data directory %s: stop it, or give this one a "
                      "directory of its own",
                      holder[0] != '\0' ? holder : "unknown", data_dir);
        return STORE_LOCKED;
    }
    /* The pid is for the sentence above alone; the lock holds without it, on a full disk too. */
    char pid[32];
    int length = snprintf(pid, sizeof pid, "%lld\n", (long long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)length, 0) != length)
        errno = 0;
    *lock_fd = fd;
    fd = -1;
    return 0;
}

int data_dir_lock(const char *data_dir, int *lock_fd, Buffer *reason) {
    int r = make_directories(data_dir, reason);
    return r == 0 ? take_lock(data_dir, lock_fd, reason) : r;
}
