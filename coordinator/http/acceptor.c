/* poll(2) on two descriptors: the listening socket and the wake-up. */
#include "http/acceptor.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define ACCEPTED_AT_ONCE 1024
#define CUT_AT_ONCE 16              /* silent connections closed at one look when there is no room */
#define COMPLAINT_INTERVAL_MS 60000 /* between two lines of the same trouble */

void http_wake_acceptor(HttpContext *context) {
    (void)eventfd_write(context->wake_fd, 1);
}

/* What the kernel or libmicrohttpd has, and no callback has told of yet. A connection that libmicrohttpd drops for want
 * of memory is never told of; after two quiet ticks it is not waited for any more. */
static size_t in_transit(Acceptor *a) {
    size_t started = atomic_load(&a->context->connections.started);
    if (http_now_ms(a->context) - a->accepted_ms > 2 * a->context->limits.tick_ms)
        a->handed = started;
    return a->handed > started ? a->handed - started : 0;
}

static bool has_room(Acceptor *a) {
    return atomic_load(&a->context->connections.count) + in_transit(a) < a->context->max_connections;
}

/* Announces that the end of any connection is worth waking us for; looks again, since one may just have ended. */
static bool wait_for_room(Acceptor *a) {
    atomic_store(&a->context->is_full, true);
    if (!has_room(a))
        return false;
    atomic_store(&a->context->is_full, false);
    return true;
}

static void complain(Acceptor *a, const char *what) {
    int64_t now_ms = http_now_ms(a->context);
    if (a->complained_ms != 0 && now_ms - a->complained_ms < COMPLAINT_INTERVAL_MS)
        return;
    a->complained_ms = now_ms;
    LOG(a->context->log, LOG_WARNING, "http cannot accept connections", log_string("why", what),
        log_number("connections", (int64_t)atomic_load(&a->context->connections.count)));
}

static void make_room(Acceptor *a) {
    int64_t now_ms = http_now_ms(a->context);
    a->paused_until_ms = now_ms + a->context->limits.pause_ms;
    atomic_store(&a->context->is_full, true);
    connection_table_cut_waiting(&a->context->connections, now_ms - a->context->limits.settled_ms, CUT_AT_ONCE);
}

static size_t place_of(const Acceptor *a, const Server *server) {
    size_t place = 0;
    while (place < HTTP_SERVERS_MAX && a->servers[place] != server)
        place++;
    return place;
}

/* False: there is no place. Under the lock. */
static bool put(Acceptor *a, Server *server) {
    size_t place = place_of(a, NULL);
    if (place == HTTP_SERVERS_MAX)
        return false;
    a->servers[place] = server;
    a->empty_ticks[place] = 0;
    a->current = server;
    return true;
}

/* Makes another server the current one if too many wait at this one. Under the lock. */
static void avoid_crowd(Acceptor *a) {
    if (atomic_load(&a->current->waiters) < a->context->limits.crowd)
        return;
    size_t count = 0;
    Server *quietest = a->current;
    for (size_t i = 0; i < HTTP_SERVERS_MAX; i++) {
        Server *server = a->servers[i];
        count += server != NULL ? 1 : 0;
        if (server != NULL && !atomic_load(&server->is_retired) &&
            atomic_load(&server->waiters) < atomic_load(&quietest->waiters))
            quietest = server;
    }
    a->current = quietest;
    a->empty_ticks[place_of(a, quietest)] = 0;
    if (atomic_load(&quietest->waiters) < a->context->limits.crowd || count >= HTTP_CROWDS_MAX)
        return;
    Buffer reason;
    buffer_init(&reason, sizeof quietest->problem);
    Server *another = NULL;
    if (server_another(&another, quietest, &reason) == 0)
        (void)put(a, another);
    buffer_deinit(&reason);
}

/* Until the kernel has no more, there is no room, or ticks want their turn. */
static void accept_some(Acceptor *a) {
    for (size_t i = 0; i < ACCEPTED_AT_ONCE; i++) {
        if (!has_room(a) && !wait_for_room(a))
            return;
        struct sockaddr_storage peer = {0};
        socklen_t peer_len = sizeof peer;
        int fd = accept4(a->listen_fd, (struct sockaddr *)&peer, &peer_len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            a->handed++;
            a->accepted_ms = http_now_ms(a->context);
            (void)pthread_mutex_lock(&a->lock);
            avoid_crowd(a);
            server_add(a->current, fd, (const struct sockaddr *)&peer, peer_len);
            (void)pthread_mutex_unlock(&a->lock);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO)
            continue; /* the trouble of that one connection */
        complain(a, strerror(errno));
        make_room(a);
        return;
    }
}

static bool is_anybody_at_the_door(const Acceptor *a) {
    struct pollfd door = {.fd = a->listen_fd, .events = POLLIN};
    return poll(&door, 1, 0) == 1;
}

static void free_empty_servers(Acceptor *a) {
    enum { EMPTY_TICKS = 2 }; /* one may have been handed a connection just before it was replaced */
    (void)pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < HTTP_SERVERS_MAX; i++) {
        if (a->servers[i] == NULL)
            continue;
        bool is_used = a->servers[i] == a->current || server_connections(a->servers[i]) > 0;
        a->empty_ticks[i] = is_used ? 0 : a->empty_ticks[i] + 1;
        if (a->empty_ticks[i] >= EMPTY_TICKS)
            a->servers[i] = server_free(a->servers[i]);
    }
    (void)pthread_mutex_unlock(&a->lock);
}

static void tick(Acceptor *a) {
    int64_t now_ms = clock_boot_ms(clock_system());
    atomic_store_explicit(&a->context->now_ms, now_ms, memory_order_relaxed);
    if (now_ms - a->ticked_ms < a->context->limits.tick_ms)
        return;
    a->ticked_ms = now_ms;
    connection_table_cut_overdue(&a->context->connections, now_ms);
    free_empty_servers(a);
}

/* Nothing to watch: no connection, none coming, no other server. */
static bool may_sleep(Acceptor *a) {
    if (atomic_load(&a->context->connections.count) > 0 || in_transit(a) > 0)
        return false;
    bool is_alone = true;
    (void)pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < HTTP_SERVERS_MAX; i++)
        is_alone &= a->servers[i] == NULL || a->servers[i] == a->current;
    (void)pthread_mutex_unlock(&a->lock);
    return is_alone;
}

static void close_listener(Acceptor *a) {
    if (a->listen_fd >= 0)
        accept_some(a); /* who got through the door is served */
    (void)pthread_mutex_lock(&a->lock);
    closep(&a->listen_fd);
    a->is_quiet = true;
    (void)pthread_cond_broadcast(&a->quiesced);
    (void)pthread_mutex_unlock(&a->lock);
}

static void *run(void *arg) {
    Acceptor *a = arg;
    (void)pthread_setname_np(pthread_self(), "http-accept");
    while (!atomic_load(&a->is_stopping)) {
        tick(a);
        bool is_open = a->listen_fd >= 0;
        bool is_paused = http_now_ms(a->context) < a->paused_until_ms;
        bool is_listening = is_open && !is_paused && (has_room(a) || wait_for_room(a));
        if (is_open && !is_paused && !is_listening && is_anybody_at_the_door(a)) {
            complain(a, "the ceiling of connections is reached");
            make_room(a);
        }

        int64_t sleep_ms = is_open && !is_listening ? a->context->limits.pause_ms : a->context->limits.tick_ms;
        struct pollfd fds[] = {{.fd = a->context->wake_fd, .events = POLLIN},
                               {.fd = is_listening ? a->listen_fd : -1, .events = POLLIN}};
        (void)poll(fds, COUNT_OF(fds), may_sleep(a) && is_listening == is_open ? -1 : (int)sleep_ms);

        eventfd_t count = 0;
        if (fds[0].revents != 0) {
            (void)eventfd_read(a->context->wake_fd, &count);
            atomic_store(&a->context->is_full, false);
            a->paused_until_ms = 0; /* a connection ended: its descriptor is free */
        }
        atomic_store_explicit(&a->context->now_ms, clock_boot_ms(clock_system()), memory_order_relaxed);
        if (atomic_load(&a->is_quiescing) && !a->is_quiet)
            close_listener(a);
        else if (fds[1].revents != 0)
            accept_some(a);
    }
    return NULL;
}

int acceptor_start(Acceptor *a, HttpContext *context, int listen_fd, Server *server) {
    *a = (Acceptor){.context = context, .listen_fd = listen_fd};
    (void)put(a, server);
    int error = pthread_mutex_init(&a->lock, NULL);
    if (error == 0)
        error = pthread_cond_init(&a->quiesced, NULL);
    if (error == 0)
        error = pthread_create(&a->thread, NULL, run, a);
    a->is_running = error == 0;
    if (error != 0)
        acceptor_stop(a);
    return -error;
}

int acceptor_replace_server(Acceptor *a, Server *server) {
    (void)pthread_mutex_lock(&a->lock);
    bool is_put = put(a, server);
    for (size_t i = 0; is_put && i < HTTP_SERVERS_MAX; i++)
        if (a->servers[i] != NULL && a->servers[i] != server)
            atomic_store(&a->servers[i]->is_retired, true);
    (void)pthread_mutex_unlock(&a->lock);
    http_wake_acceptor(a->context);
    if (is_put)
        return 0;
    (void)server_free(server);
    return -EBUSY;
}

void acceptor_quiesce(Acceptor *a) {
    atomic_store(&a->is_quiescing, true);
    http_wake_acceptor(a->context);
    (void)pthread_mutex_lock(&a->lock);
    while (!a->is_quiet)
        (void)pthread_cond_wait(&a->quiesced, &a->lock);
    (void)pthread_mutex_unlock(&a->lock);
}

void acceptor_stop(Acceptor *a) {
    atomic_store(&a->is_stopping, true);
    if (a->is_running) {
        http_wake_acceptor(a->context);
        (void)pthread_join(a->thread, NULL);
        a->is_running = false;
    }
    closep(&a->listen_fd);
    for (size_t i = 0; i < HTTP_SERVERS_MAX; i++)
        a->servers[i] = server_free(a->servers[i]);
    (void)pthread_cond_destroy(&a->quiesced);
    (void)pthread_mutex_destroy(&a->lock);
}
