/* See the header. A command line is for everybody on the machine to read, and for its logs: no password comes from there. */
#include "coordinator/store_choice.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/limits.h"
#include "store/store.h"

#define SQLITE_NAME "sqlite"

static bool is_server(const char *url) {
    static const char *const schemes[] = {"postgres://", "postgresql://"};
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
            return true;
    return false;
}

/* What stands in the file, without the blanks around it. */
static int read_file(const char *path, char **out, Buffer *reason) {
    char text[STORE_URL_MAX + 1];
    OWN(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (length < 0) {
        int error = errno;
        buffer_printf(reason, "--store-file %s: %s", path, strerror(error));
        return -error;
    }
    if ((size_t)length == sizeof text) {
        buffer_printf(reason, "--store-file %s: it is longer than a URL may be (%d bytes)", path, STORE_URL_MAX);
        return -EINVAL;
    }
    text[length] = '\0';
    const char *start = text + strspn(text, " \t\r\n");
    char *end = text + strlen(text);
    while (end > start && strchr(" \t\r\n", end[-1]) != NULL)
        *--end = '\0';
    *out = strdup(start);
    return *out != NULL ? 0 : -ENOMEM;
}

static int find_text(const CoordinatorOptions *o, char **out, Buffer *reason) {
    if (o->store != NULL && store_url_has_password(o->store)) {
        buffer_add_text(reason, "--store: a password in a command line can be read by everybody on the machine: give "
                                "the URL by STACK_COORDINATOR_STORE or --store-file, or the password by PGPASSFILE");
        return -EINVAL;
    }
    if (o->store == NULL && o->store_environment == NULL && o->store_file != NULL)
        return read_file(o->store_file, out, reason);
    *out = strdup(o->store != NULL ? o->store : o->store_environment != NULL ? o->store_environment : SQLITE_NAME);
    return *out != NULL ? 0 : -ENOMEM;
}

int store_choose(const CoordinatorOptions *options, char **url, Buffer *reason) {
    OWN(freep) char *text = NULL;
    int r = find_text(options, &text, reason);
    if (r != 0 || text == NULL)
        return r;
    if (strcmp(text, SQLITE_NAME) == 0) {
        *url = NULL;
        return 0;
    }
    if (!is_server(text)) {
        buffer_add_text(reason, "--store is neither sqlite nor postgres://USER@HOST/DATABASE");
        return -EINVAL;
    }
    *url = steal(&text);
    return 0;
}
