/*
 * The wire of nng's request/reply, as bytes: the hello of SP's TCP mapping (sp-tcp-mapping-01), its frames, and the trace
 * in front of a request by which its answer finds the way back (sp-request-reply-01). nng's ipc has one more byte before
 * each length.
 *
 *     frame = (ipc: 1) length:8 big-endian · trace · message        length counts what follows it
 *     trace = hop:4 … id:4        hops, made by devices on the way, have their high bit clear; the id has it set
 */
#pragma once

#include "base/slice.h"

#define SP_HELLO_SIZE 8
extern const unsigned char sp_hello_req[SP_HELLO_SIZE], sp_hello_rep[SP_HELLO_SIZE];

#define SP_ID_SIZE 4
#define SP_TRACE_MAX (16 * SP_ID_SIZE) /* nng counts 15 hops at most */
#define SP_HEAD_MAX 9
static inline size_t sp_head_size(bool is_ipc) {
    return is_ipc ? 9 : 8;
}

/* Writes what stands before `length` bytes of a frame. */
void sp_write_head(unsigned char *out, bool is_ipc, uint64_t length);
/* Reads it. False: not such a head. */
bool sp_read_head(const unsigned char *in, bool is_ipc, uint64_t *length);
void sp_write_id(unsigned char out[SP_ID_SIZE], uint32_t id);
/* Takes the trace off the front of a frame's bytes. False: it has no end, or too many hops. */
bool sp_split_trace(Slice *rest, Slice *trace);
