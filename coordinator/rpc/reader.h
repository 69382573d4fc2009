/* What a connection reads: the hello, then frames, each one a call. Private to rpc/. */
#pragma once

#include "rpc/connection.h"

#define READER_READ_MIN 4096
#define READER_READ_MAX (64 * 1024)
#define READER_FRAME_MAX (BODY_MAX + RPC_ENVELOPE_MAX)

/* Reads on; whoever was the reader is it no more. */
void reader_read(Connection *c);
/* Takes all whole frames there are, then reads on or pauses. Afterwards the connection may be gone. */
void reader_go_on(Connection *c);
/* nng's callback; `arg` is a Connection. */
void reader_received(void *arg);
