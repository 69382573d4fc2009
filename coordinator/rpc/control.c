#include "rpc/control.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>

#include <arpa/inet.h>

int control_check_path(const char *url, Buffer *reason) {
    const char *path = url + strlen("ipc://");
    if (path[0] != '/') {
        buffer_printf(reason, "%s must hold an absolute path: ipc:///run/…", url);
        return -EINVAL;
    }
    if (strlen(path) > IPC_PATH_MAX) {
        buffer_printf(reason, "the path of a socket can have at most %d bytes, %s has %zu: choose a shorter --data",
                      IPC_PATH_MAX, path, strlen(path));
        return -ENAMETOOLONG;
    }
    struct stat status;
    if (lstat(path, &status) != 0) {
        if (errno == ENOENT)
            return 0;
        int error = -errno;
        buffer_printf(reason, "%s: %s", path, strerror(-error));
        return error;
    }
    if (!S_ISSOCK(status.st_mode)) {
        buffer_printf(reason, "%s is there already and is no socket: move it away", path);
        return -EEXIST;
    }
    return 0;
}

bool control_is_loopback(const char *url) {
    const char *start = strstr(url, "://");
    if (start == NULL)
        return false;
    start += strlen("://");
    size_t len = strcspn(start, "/");
    const char *colon = memrchr(start, ':', len);
    if (colon != NULL)
        len = (size_t)(colon - start);
    if (len >= 2 && start[0] == '[' && start[len - 1] == ']') {
        start++;
        len -= 2;
    }
    char host[INET6_ADDRSTRLEN];
    if (len == 0 || len >= sizeof host)
        return false;
    memcpy(host, start, len);
    host[len] = '\0';

    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcmp(host, "localhost") == 0;
}
