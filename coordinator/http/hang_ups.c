#include "http/hang_ups.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define WAKE_ID 0 /* no operation's */

static void *run(void *argument) {
    HangUps *h = argument;
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int n = epoll_wait(h->epoll_fd, events, EVENTS_MAX, -1);
        if (n < 0 && errno != EINTR)
            return NULL;
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == WAKE_ID)
                return NULL;
            service_hang_up(h->service, events[i].data.u64);
        }
    }
}

static int set_up(HangUps *h) {
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (h->epoll_fd < 0 || h->wake_fd < 0)
        return -errno;
    struct epoll_event wake = {.events = EPOLLIN, .data.u64 = WAKE_ID};
    if (epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->wake_fd, &wake) != 0)
        return -errno;
    return -pthread_create(&h->thread, NULL, run, h);
}

int hang_ups_start(HangUps *h, Service *service) {
    *h = (HangUps){.service = service, .epoll_fd = -1, .wake_fd = -1};
    int error = set_up(h);
    h->is_running = error == 0;
    if (error != 0) {
        closep(&h->epoll_fd);
        closep(&h->wake_fd);
    }
    return error;
}

void hang_ups_stop(HangUps *h) {
    if (!h->is_running)
        return;
    uint64_t one = 1;
    while (write(h->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    (void)pthread_join(h->thread, NULL);
    h->is_running = false;
    closep(&h->epoll_fd);
    closep(&h->wake_fd);
}

void hang_ups_watch(HangUps *h, int fd, uint64_t operation_id) {
    struct epoll_event end = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = operation_id};
    if (epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &end) != 0)
        errno = 0;
}

void hang_ups_forget(HangUps *h, int fd) {
    struct epoll_event unused = {0};
    if (epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, fd, &unused) != 0)
        errno = 0;
}

bool hang_ups_is_open(int fd) {
    struct pollfd end = {.fd = fd, .events = POLLRDHUP}; /* whatever is still unread: TLS says farewell first */
    return poll(&end, 1, 0) == 0;
}
