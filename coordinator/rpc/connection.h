/*
 * One connection, what all of them share, and who may touch what. nng calls received and sent on its own threads, each for
 * one connection one at a time. They decode and authenticate (CPU only) and never wait. `lock` guards lists, counts, flags
 * and the bytes that wait to be sent; what a connection reads belongs to its reader, which is the aio, then its callback,
 * or the sender thread when it goes on after a pause.
 *
 * A connection lives as long as somebody counts on it (refs): its reader, a send under way, each of its calls. An aio
 * cannot be freed by its own callback, so the sender thread buries the dead. Private to rpc/.
 */
#pragma once

#include <netinet/in.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/limits.h"
#include "rpc/connections.h"

#define CONNECTION_BUFFER_KEPT (16 * 1024) /* bytes of each buffer that stay with an idle connection */

typedef struct Connection {
    struct Connection *next, *previous; /* all of them */
    struct Connection *next_told;       /* dead ones; or those whose reader goes on */
    Connections *all;
    nng_stream *stream;
    nng_aio *reading, *sending;
    bool is_ipc;
    char address[INET6_ADDRSTRLEN];
    /* The reader's. */
    bool has_hello;
    size_t read_size;
    int64_t frame_ms; /* when a frame was there in part first; 0: none is */
    Buffer in;
    /* Under the lock. */
    size_t refs;
    bool is_closed, is_paused, is_sending, has_answered;
    int64_t moved_ms; /* when it began to read or to send last */
    struct Call *calls;
    size_t lists; /* of them */
    Buffer out;
    /* The send's that is under way. */
    Buffer sent;
    size_t sent_len;
} Connection;

struct Connections {
    MessageContext shared;
    pthread_t sender;

    pthread_mutex_t lock;
    pthread_cond_t work;    /* for the sender */
    pthread_cond_t changed; /* for who waits for rest */
    Connection *first;
    size_t count, paused;
    size_t calls, waiters, lists; /* under way; of which may come to wait for a stack; of which are lists */
    size_t unsent;                /* bytes of answers */
    int64_t last_sent_ms;
    Operation *first_answered, *last_answered;
    Connection *dead;
    bool must_resume, is_quiescing, is_stopping;
};

/* One who counted on it does so no longer. */
void connection_release(Connection *c);
/* Whoever waits behind it does so no longer; what was to be sent is dropped. By any thread, any number of times. */
void connection_close(Connection *c);
/* The sender's: nobody counts on it. */
void connection_bury(Connection *c);
/* Starts a read or a send; its callback releases the connection. */
void connection_start(Connection *c, void (*move)(nng_stream *stream, nng_aio *aio), nng_aio *aio);
/* All that waits to be sent, unless a send is under way: that one goes on with it. */
void connection_send(Connection *c);

/* Lock held. */
bool connection_has_room(const Connection *c); /* for one more call */
void connections_tell_sender(Connections *all);
void connections_note_rest(Connections *all);
