/*
 * One TCP connection, with the request it is at; and the table of all that are open. A connection is made and freed on
 * its server's thread; the acceptor's thread only looks at deadlines and may shut a socket down (libmicrohttpd then
 * sees the end of the stream and cleans up as usual). The table's lock keeps descriptors valid meanwhile.
 */
#pragma once

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "http/call.h"

typedef struct HttpContext HttpContext;
typedef struct Server Server;

typedef struct Connection Connection;
struct Connection {
    Connection *newer, *older; /* the table's, under its lock */
    Server *server;
    int fd;                           /* borrowed from libmicrohttpd */
    _Atomic int64_t deadline_ms;      /* boot time; CLOCK_FOREVER: the service has the request */
    _Atomic int64_t waiting_since_ms; /* the client has to send something; CLOCK_FOREVER: it has not */
    char address[INET6_ADDRSTRLEN];   /* the peer's, without port */
    size_t address_len;
    HttpCall call;
};

typedef struct ConnectionTable {
    pthread_mutex_t lock;
    Connection *newest, *oldest;
    atomic_size_t count;   /* in the table */
    atomic_size_t started; /* ever put in */
} ConnectionTable;

int connection_table_init(ConnectionTable *table) MUST_USE;
void connection_table_deinit(ConnectionTable *table);
/* Shuts down whoever is past its deadline. */
void connection_table_cut_overdue(ConnectionTable *table, int64_t now_ms);
/* Shuts down up to `count` of those whose client was awaited since before `since_ms`, the longest awaited first. */
void connection_table_cut_waiting(ConnectionTable *table, int64_t since_ms, size_t count);

/* NULL when memory is short. `peer` may be NULL. */
Connection *connection_new(ConnectionTable *table, Server *server, int fd, const struct sockaddr *peer);
Connection *connection_free(ConnectionTable *table, Connection *connection);

/* What the connection is to do next, and until when. */
void connection_await_request(Connection *connection, int64_t now_ms, int64_t deadline_ms);
void connection_await_service(Connection *connection);
void connection_await_reader(Connection *connection, int64_t deadline_ms);
