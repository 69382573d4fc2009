/*
 * The contexts of one REP socket. Each serves one request at a time; there are as many as requests were under way at
 * once, up to RPC_CONTEXTS_MAX, and one more waits for the next. Beyond that requests wait unread in their connections.
 *
 *     receiving ─► (nng's thread: message_open) ─┬─────────────────────────────────────────► sending ─► receiving
 *                                                └─► submitted ─► done ─► (sender thread) ──┘
 *
 * The sender thread exists because sending writes to the socket: the worker, which calls done, must not.
 */
#pragma once

#include <nng/nng.h>

#include "rpc/message.h"

typedef struct Contexts Contexts;

/* Receives from now on. The socket stays the caller's. 0 | -ENOMEM | -errno. */
int contexts_new(Contexts **out, nng_socket socket, Service *service, Transport transport) MUST_USE;
/* Waits until no request is under way, at most until `until_ms` (CLOCK_BOOTTIME). */
void contexts_wait_idle(Contexts *contexts, int64_t until_ms);
/* When the last answer was given to nng; 0: none was. */
int64_t contexts_last_sent_ms(Contexts *contexts);
/* No operation may be submitted any more. Stops the sender; then close the socket, then free. */
void contexts_stop(Contexts *contexts);
/* After the socket was closed. Takes NULL, returns NULL. */
Contexts *contexts_free(Contexts *contexts);
/* By nng's callback: a connection ended. Who waits behind it does so no longer. */
void contexts_pipe_gone(Contexts *contexts, nng_pipe pipe);
