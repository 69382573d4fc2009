/*
 * GitLab's reader knows neither quotes nor comments nor blank lines: NAME=VALUE up to the end of the line. The values here
 * have passed their rules (protocol/rules.h), none of which allows anything else in them.
 */
#include "agent/dotenv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/limits.h"
#include "base/output.h"

int dotenv_remove(const char *path) {
    struct stat about;
    if (stat(path, &about) < 0 || !S_ISREG(about.st_mode))
        return 0;
    bool is_link = lstat(path, &about) == 0 && S_ISLNK(about.st_mode);
    if (!is_link && (unlink(path) == 0 || errno == ENOENT))
        return 0;
    /* In a folder that may not be written, mounted by itself, or written through a link. */
    OWN(closep) int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? -errno : 0;
}

int dotenv_write(const char *path, const LeaseState *lease) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, REASON_MAX);
    buffer_printf(&text, "STACK_NAME=%.*s\nSTACK_REQUEST_ID=%.*s\n", SLICE_PRINT(lease->stack),
                  SLICE_PRINT(lease->request_id));
    if (lease->generation != FIELD_ABSENT)
        buffer_printf(&text, "STACK_GENERATION=%" PRId64 "\n", lease->generation);
    const Slice all = buffer_slice(&text);
    OWN(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
    if (fd < 0 || slice_is_absent(all))
        return fd < 0 ? -errno : buffer_error(&text);
    return output_write(fd, all);
}
