/* The table is a list, newest first; deadlines are read by one pass over it, which a tick can afford. */
#include "http/connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "http/listener.h"

static void store_ms(_Atomic int64_t *target, int64_t ms) {
    atomic_store_explicit(target, ms, memory_order_relaxed);
}

static int64_t load_ms(_Atomic int64_t *source) {
    return atomic_load_explicit(source, memory_order_relaxed);
}

int connection_table_init(ConnectionTable *table) {
    *table = (ConnectionTable){0};
    return -pthread_mutex_init(&table->lock, NULL);
}

void connection_table_deinit(ConnectionTable *table) {
    (void)pthread_mutex_destroy(&table->lock);
}

/* A connection is cut once: what follows is libmicrohttpd's. */
static void cut(Connection *connection) {
    store_ms(&connection->deadline_ms, CLOCK_FOREVER);
    store_ms(&connection->waiting_since_ms, CLOCK_FOREVER);
    (void)shutdown(connection->fd, SHUT_RDWR);
}

void connection_table_cut_overdue(ConnectionTable *table, int64_t now_ms) {
    (void)pthread_mutex_lock(&table->lock);
    for (Connection *c = table->newest; c != NULL; c = c->older)
        if (load_ms(&c->deadline_ms) <= now_ms)
            cut(c);
    (void)pthread_mutex_unlock(&table->lock);
}

static Connection *longest_waiting(ConnectionTable *table, int64_t since_ms) {
    Connection *longest = NULL;
    for (Connection *c = table->oldest; c != NULL; c = c->newer) {
        int64_t waiting_since_ms = load_ms(&c->waiting_since_ms);
        if (waiting_since_ms < since_ms) {
            longest = c;
            since_ms = waiting_since_ms;
        }
    }
    return longest;
}

void connection_table_cut_waiting(ConnectionTable *table, int64_t since_ms, size_t count) {
    (void)pthread_mutex_lock(&table->lock);
    Connection *found = NULL;
    for (; count > 0 && (found = longest_waiting(table, since_ms)) != NULL; count--)
        cut(found);
    (void)pthread_mutex_unlock(&table->lock);
}

Connection *connection_new(ConnectionTable *table, Server *server, int fd, const struct sockaddr *peer) {
    Connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    connection->server = server;
    connection->fd = fd;
    connection->address_len = peer != NULL ? listener_format_host(peer, connection->address) : 0;
    store_ms(&connection->deadline_ms, CLOCK_FOREVER);
    store_ms(&connection->waiting_since_ms, CLOCK_FOREVER);
    call_init(&connection->call, connection);

    (void)pthread_mutex_lock(&table->lock);
    connection->older = table->newest;
    *(table->newest != NULL ? &table->newest->newer : &table->oldest) = connection;
    table->newest = connection;
    (void)pthread_mutex_unlock(&table->lock);
    atomic_fetch_add(&table->count, 1);
    return connection;
}

Connection *connection_free(ConnectionTable *table, Connection *connection) {
    if (connection == NULL)
        return NULL;
    (void)pthread_mutex_lock(&table->lock);
    *(connection->newer != NULL ? &connection->newer->older : &table->newest) = connection->older;
    *(connection->older != NULL ? &connection->older->newer : &table->oldest) = connection->newer;
    (void)pthread_mutex_unlock(&table->lock);
    atomic_fetch_sub(&table->count, 1);
    call_deinit(&connection->call);
    free(connection);
    return NULL;
}

void connection_await_request(Connection *connection, int64_t now_ms, int64_t deadline_ms) {
    store_ms(&connection->waiting_since_ms, now_ms);
    store_ms(&connection->deadline_ms, deadline_ms);
}

void connection_await_service(Connection *connection) {
    store_ms(&connection->waiting_since_ms, CLOCK_FOREVER);
    store_ms(&connection->deadline_ms, CLOCK_FOREVER);
}

void connection_await_reader(Connection *connection, int64_t deadline_ms) {
    store_ms(&connection->waiting_since_ms, CLOCK_FOREVER);
    store_ms(&connection->deadline_ms, deadline_ms);
}
