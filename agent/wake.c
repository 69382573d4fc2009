/* An epoll over a timerfd and whatever else is added. */
#include "agent/wake.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/clock.h"

void wake_close(Wake *wake) {
    closep(&wake->fd);
    closep(&wake->timer_fd);
}

int wake_open(Wake *wake) {
    OWN(wake_close) Wake made = WAKE_CLOSED;
    made.fd = epoll_create1(EPOLL_CLOEXEC);
    if (made.fd < 0)
        return -errno;
    made.timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (made.timer_fd < 0)
        return -errno;
    int r = wake_add(&made, made.timer_fd);
    if (r != 0)
        return r;
    *wake = made;
    made = WAKE_CLOSED;
    return 0;
}

int wake_add(Wake *wake, int fd) {
    struct epoll_event event = {.events = EPOLLIN};
    return fd < 0 || epoll_ctl(wake->fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

void wake_at(Wake *wake, int64_t boot_ms) {
    struct itimerspec at = {.it_interval = {0, 0}}; /* zero: never */
    if (boot_ms != CLOCK_FOREVER) {
        boot_ms = boot_ms > 0 ? boot_ms : 1;
        at.it_value = (struct timespec){.tv_sec = (time_t)(boot_ms / 1000), .tv_nsec = boot_ms % 1000 * 1000000};
    }
    (void)timerfd_settime(wake->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

int wake_wait(const Wake *wake, int also_fd) {
    struct pollfd fds[] = {{.fd = wake->fd, .events = POLLIN}, {.fd = also_fd, .events = POLLIN}};
    return poll(fds, COUNT_OF(fds), -1) >= 0 || errno == EINTR ? 0 : -errno;
}
