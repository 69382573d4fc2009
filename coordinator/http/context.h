/*
 * What the parts of one Http share. Made and freed by http.c; the other files borrow it.
 *
 *     acceptor thread                            libmicrohttpd's thread, one for each Server
 *     accept ─► admit ─► server_add ───────────► head ─► body ─► service … answer     (call.c)
 *     every tick: cut who is overdue             ▲                          │
 *     hang-ups' thread: who waits, and goes      │                          │
 *                                                └── done() on the worker's thread: resume
 */
#pragma once

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "http/connection.h"
#include "http/hang_ups.h"
#include "http/http.h"

/* Ceilings of this transport. */
#define HTTP_DISCARD_MAX (1024 * 1024)  /* bytes of a refused body read away before the connection is cut */
#define HTTP_SLOWEST_READER (16 * 1024) /* bytes a second a client must take of a long answer */
#define HTTP_WAITERS_PERCENT 80         /* of the connections may wait; more are told to come again */
#define HTTP_SERVERS_MAX 24             /* those of earlier certificates that still have connections among them */
#define HTTP_CROWDS_MAX 16              /* servers that a crowd may need; the rest is for new certificates */
#define HTTP_QUERY_MEMBERS_MAX 32       /* members of one query */
#define HTTP_TLS_FILE_MAX (1024 * 1024) /* bytes of a certificate or key file */

/*
 * The times of a connection, in ms, and how many may wait at one server. libmicrohttpd's own timeout restarts with every
 * byte that arrives, so one byte now and then would hold a connection for ever; these do not. A proxy that keeps its
 * connections longer than idle_ms may send a request into the close of one, and nobody knows what became of it.
 */
typedef struct HttpLimits {
    int64_t request_ms; /* to send a whole request: the first from connecting, the others from their first line */
    int64_t idle_ms;    /* between an answer and the next request's first line */
    int64_t answer_ms;  /* to take an answer, on top of its length at HTTP_SLOWEST_READER */
    int64_t tick_ms;    /* how often deadlines are looked at */
    int64_t settled_ms; /* a connection that waits this long may be closed to make room for a new one */
    int64_t pause_ms;   /* no accept for so long when descriptors or connections are used up */
    unsigned crowd;     /* requests that wait at one server before the next connections go to another */
} HttpLimits;

typedef struct HttpContext {
    Service *service;
    const Logger *log;
    HttpLimits limits;
    unsigned max_connections;
    int agents_fd;  /* the folder of /agent/…; -1: none */
    Buffer openapi; /* rendered once */
    ConnectionTable connections;

    _Atomic int64_t now_ms;   /* boot time, as of the acceptor's last look: exact to a tick while anything is open */
    _Atomic int64_t noise_ms; /* when libmicrohttpd last had a line in the log above debug */
    atomic_bool is_closing;   /* answers carry `Connection: close` */
    atomic_bool is_full;      /* the acceptor waits for a connection to end: wake it */
    int wake_fd;              /* eventfd: wakes the acceptor */

    HangUps hang_ups;
    atomic_uint waiters; /* submitted operations that may come to wait for a stack */

    atomic_int under_way; /* requests that are complete and not yet answered */
    atomic_bool is_flushing;
    pthread_mutex_t flush_lock;
    pthread_cond_t flushed;
} HttpContext;

static inline int64_t http_now_ms(HttpContext *context) {
    return atomic_load_explicit(&context->now_ms, memory_order_relaxed);
}
void http_wake_acceptor(HttpContext *context);

/* As http_new, with other limits than the program's: for tests. */
int http_new_limited(Http **out, const HttpOptions *options, const HttpLimits *limits, Buffer *reason) MUST_USE;
