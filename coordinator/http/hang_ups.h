/*
 * Who hangs up while it waits. libmicrohttpd takes a suspended connection out of its poll set, so nobody would see the end
 * of one that waits for a stack; here a thread of its own watches their sockets, and tells the service.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "service/service.h"

typedef struct HangUps {
    Service *service; /* borrowed */
    int epoll_fd, wake_fd;
    pthread_t thread;
    bool is_running;
} HangUps;

/* 0 | -errno; then hang_ups_stop must not be called. */
int hang_ups_start(HangUps *hang_ups, Service *service) MUST_USE;
void hang_ups_stop(HangUps *hang_ups);

/* From now on the end of `fd` is told, once, as service_hang_up(operation_id). Without memory for it nothing is watched: the
 * wait then ends with its time. */
void hang_ups_watch(HangUps *hang_ups, int fd, uint64_t operation_id);
/* No more. Must come before the descriptor may be closed; what was told already may still arrive. */
void hang_ups_forget(HangUps *hang_ups, int fd);
/* Whether the peer of a socket nobody reads now may still be there: false when it certainly hung up. */
bool hang_ups_is_open(int fd);
