/*
 * One libmicrohttpd daemon: a thread that serves the connections handed to it. It has no listening socket of its own:
 *
 * - libmicrohttpd accepts one connection per turn of its loop, and spins when descriptors run out while it has none.
 * - A new certificate needs a new daemon; connections of the old one finish there, the acceptor hands new ones to the new.
 * - Whenever one connection is resumed, libmicrohttpd looks at all that are suspended: where thousands wait, whoever comes
 *   is better off at another daemon.
 *
 * Poll mode, never epoll: with suspend/resume the epoll loop stalls for good at 128 connections and more (seen in 0.9.75
 * and 1.0.1). A test holds that against both.
 */
#pragma once

#include "http/context.h"

struct Server {
    HttpContext *context;
    struct MHD_Daemon *daemon;
    char *certificate, *key; /* PEM; NULL: plain */
    atomic_uint waiters;     /* of the context's */
    atomic_bool is_retired;  /* answers carry `Connection: close` */
    atomic_bool is_starting; /* what libmicrohttpd says goes to `problem` */
    char problem[192];
};

/* Takes the PEM texts over (both or none), also on failure. 0 | -errno with a sentence in `reason`. */
int server_new(Server **out, HttpContext *context, char *certificate, char *key, Buffer *reason) MUST_USE;
/* One more with the same certificate. */
int server_another(Server **out, const Server *server, Buffer *reason) MUST_USE;
/* Stops; no request may be suspended. Takes NULL, returns NULL. */
Server *server_free(Server *server);
/* Takes the socket over. */
void server_add(Server *server, int fd, const struct sockaddr *peer, socklen_t peer_len);
/* Connections it has, without those just added. */
unsigned server_connections(const Server *server);
