/*
 * The thread that accepts connections, hands them to the current server, and ends those that are overdue. Errors of
 * accept(2) never make it spin, and who sends nothing makes room for who comes: with the ceiling reached or descriptors
 * used up, the connections that were silent longest are closed first. A server at which a crowd waits is not the current
 * one for long; without connections it ends, as those of earlier certificates do.
 */
#pragma once

#include "http/server.h"

typedef struct Acceptor {
    HttpContext *context;
    pthread_t thread;
    bool is_running;
    int listen_fd; /* the thread's own from start on */
    atomic_bool is_stopping, is_quiescing;

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t quiesced;
    bool is_quiet;                          /* the listening socket is closed */
    Server *servers[HTTP_SERVERS_MAX];      /* NULL: a free place */
    unsigned empty_ticks[HTTP_SERVERS_MAX]; /* for how many ticks that one had no connection */
    Server *current;                        /* who gets the next connection */

    size_t handed;       /* connections given to a server since the start */
    int64_t accepted_ms; /* when the last one came */
    int64_t ticked_ms;
    int64_t paused_until_ms; /* no accept before */
    int64_t complained_ms;   /* when it last logged that it cannot accept */
} Acceptor;

/* The caller keeps owning the context; listen_fd and server are taken over, also on failure. */
int acceptor_start(Acceptor *acceptor, HttpContext *context, int listen_fd, Server *server) MUST_USE;
/* New connections go to `server` from now on. 0 | -EBUSY: too many earlier ones still serve; `server` was freed. */
int acceptor_replace_server(Acceptor *acceptor, Server *server) MUST_USE;
/* Accepts what the kernel has, then closes the listening socket; returns when that is done. */
void acceptor_quiesce(Acceptor *acceptor);
/* Ends the thread and frees the servers. */
void acceptor_stop(Acceptor *acceptor);
