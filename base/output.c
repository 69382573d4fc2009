/* See the header. */
#include "base/output.h"

#include <errno.h>
#include <unistd.h>

int output_write(int fd, Slice text) {
    while (text.len > 0) {
        ssize_t written = write(fd, text.ptr, text.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        text = (Slice){.ptr = text.ptr + written, .len = text.len - (size_t)written};
    }
    return 0;
}
