/*
 * The connections of one Rpc, and the requests under way on them: SP's REQ/REP over nng's byte streams.
 *
 *     stream ─► hello ─► frames ─► (nng's thread: message_open) ─┬───────────────────────────────────► out ─► stream
 *                                                                └─► submitted ─► done ─► (sender) ────┘
 *
 * nng's own REP socket gives each request a context and hands it between its threads five times; a connection here takes all
 * frames a read brought and writes all answers there are at once. Any number of requests may be under way on a connection,
 * up to RPC_CALLS_MAX in all; beyond that, and while a peer does not read its answers, its frames stay unread.
 *
 * The sender thread exists because sending writes to the socket: the worker, which calls done, must not.
 */
#pragma once

#include <nng/nng.h>

#include "rpc/message.h"

typedef struct Connections Connections;

/* 0 | -ENOMEM | -errno. */
int connections_new(Connections **out, Service *service, Transport transport) MUST_USE;
/* By any thread: serves a stream that was accepted; it is the connections' from now on, also where they refuse it. */
void connections_add(Connections *all, nng_stream *stream, bool is_ipc);
/* Refuses what comes from now on. */
void connections_quiesce(Connections *all);
/* Waits until no request is under way and all answers are written, at most until `until_ms` (CLOCK_BOOTTIME). */
void connections_wait_idle(Connections *all, int64_t until_ms);
/* Waits until the peers have gone, so that closing cuts no answer off, but no longer than `ms` from the last answer on. */
void connections_linger(Connections *all, int64_t ms, int64_t until_ms);
/* Closes and frees. No operation may be under way any more. Takes NULL, returns NULL. */
Connections *connections_free(Connections *all);
