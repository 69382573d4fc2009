/*
 * GitLab's reader knows neither quotes nor comments nor blank lines: NAME=VALUE up to the end of the line. The values here
 * have passed their rules (protocol/rules.h), none of which allows anything else in them.
 */
#include "agent/dotenv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "agent/limits.h"

int dotenv_write(const char *path, const LeaseState *lease) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, REASON_MAX);
    buffer_printf(&text, "STACK_NAME=%.*s\nSTACK_REQUEST_ID=%.*s\n", SLICE_PRINT(lease->stack),
                  SLICE_PRINT(lease->request_id));
    if (lease->generation != FIELD_ABSENT)
        buffer_printf(&text, "STACK_GENERATION=%" PRId64 "\n", lease->generation);
    Slice rest = buffer_slice(&text);
    OWN(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
    if (fd < 0 || slice_is_absent(rest))
        return fd < 0 ? -errno : buffer_error(&text);
    while (rest.len > 0) {
        ssize_t written = write(fd, rest.ptr, rest.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        rest = (Slice){.ptr = rest.ptr + written, .len = rest.len - (size_t)written};
    }
    return 0;
}
