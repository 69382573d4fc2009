/*
 * One nng request with a deadline: used by the agent (tcp, tls+tcp, ipc) and by the coordinator's admin verbs over the
 * control socket. nng's own resending is off: repeating is the caller's decision, since only it knows the requestId.
 */
#pragma once

#include "base/buffer.h"

typedef struct RpcTarget {
    const char *url;
    const char *ca_file; /* tls+tcp; NULL: `ca_pem` */
    const char *ca_pem;  /* trusted roots as PEM text; NULL: none */
    size_t answer_max;   /* bytes; a longer answer fails with -EMSGSIZE */
} RpcTarget;

/*
 * Sends `message`, waits for its answer, at most `timeout_ms` in all (connecting included). 0 | -ETIMEDOUT |
 * -ECONNREFUSED | -ECONNRESET | -ENOENT (ipc: no socket there) | -EACCES | -EPROTO (TLS, trust) | -EMSGSIZE | -ENOMEM |
 * -EINVAL (URL), with one sentence in `reason`. `cancel_fd` ≥ 0: readable means give up with -ECANCELED.
 */
int rpc_call(const RpcTarget *target, Slice message, int64_t timeout_ms, int cancel_fd, Buffer *answer, Buffer *reason)
    MUST_USE;
