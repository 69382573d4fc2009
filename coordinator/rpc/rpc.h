/*
 * nng request/reply: `{"op", "auth"?, "body"}` → `{"status", "body"}`, bodies byte for byte HTTP's (lists are cut at
 * RPC_ANSWER_MAX, then carry `next`). One Rpc has any number of listeners, and speaks to nng's REQ sockets; the control
 * socket is one of its own whose operations are TRANSPORT_CONTROL.
 */
#pragma once

#include "service/service.h"

typedef struct Rpc Rpc;

typedef struct RpcOptions {
    const char *const *urls; /* tcp://, tls+tcp://, ipc:// */
    size_t url_count;
    const char *certificate_path, *key_path; /* for tls+tcp */
    bool is_control;     /* one ipc URL, mode 0660 in a folder that is not for others: who may open it is admin */
    bool allow_insecure; /* tcp:// on a non-loopback address without TLS is refused otherwise */
    Service *service;
    const Logger *log;
} RpcOptions;

int rpc_new(Rpc **out, const RpcOptions *options, Buffer *reason) MUST_USE;
/* What was bound, ports resolved: ["tcp://127.0.0.1:41235"]. */
const char *const *rpc_urls(const Rpc *rpc, size_t *count);
void rpc_quiesce(Rpc *rpc);           /* closes the listeners */
void rpc_flush(Rpc *rpc, int64_t ms); /* waits until no operation is under way and nng had time to send */
Rpc *rpc_free(Rpc *rpc);              /* takes NULL, returns NULL */
