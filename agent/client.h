/*
 * One exchange with one coordinator, whatever the transport; chosen by the URL's scheme. Repeating is retry.h's.
 */
#pragma once

#include <jansson.h>

#include "base/buffer.h"
#include "protocol/operations.h"

typedef struct Client Client;

typedef struct ClientCall {
    const OperationRow *operation;
    Slice body; /* the operation's fields as a JSON object */
    Slice key;  /* absent: none is sent */
    int64_t timeout_ms;
    size_t answer_max; /* bytes */
    int cancel_fd;     /* readable: give up at once; -1: nothing does */
} ClientCall;

typedef struct ClientReply {
    int status;                  /* as HTTP's; 0: no answer came */
    json_t *json;                /* the body; NULL when it is no JSON object */
    int64_t retry_after_seconds; /* FIELD_ABSENT: not said */
    bool is_sent;                /* something of the call may have reached the coordinator */
    bool is_unsure;              /* … by this or an earlier try, without a coordinator's answer to it */
    Buffer reason;               /* of a fault: the rest of a sentence, "connection refused" */
} ClientReply;

void client_reply_init(ClientReply *reply);
void client_reply_deinit(ClientReply *reply);

enum {
    CLIENT_FAULT = 1,   /* no answer; the next try may have one */
    CLIENT_REFUSED = 2, /* no answer, and none to be had here: no trust, no such protocol, an answer without end */
};

typedef struct ClientVtable {
    /* 0: an answer, whatever its status | CLIENT_… | -ECANCELED | -ENOMEM. `reply` is initialised and empty. */
    int (*call)(Client *client, const ClientCall *call, ClientReply *reply);
    void (*free)(Client *client);
} ClientVtable;

struct Client {
    const ClientVtable *vtable;
};

typedef struct ClientOptions {
    const char *url;     /* must outlive the client */
    const char *ca_file; /* trusted roots, PEM; NULL: those built in, else the library's own */
} ClientOptions;

enum { CLIENT_URL_INVALID = 3 };

/* Opens no connection yet. 0 | CLIENT_URL_INVALID with `reason` | -errno. */
int client_new(const ClientOptions *options, Client **out, Buffer *reason) MUST_USE;
int client_call(Client *client, const ClientCall *call, ClientReply *reply) MUST_USE;
void client_freep(Client **client);

/* The trusted roots of this machine: what was given, else SSL_CERT_FILE, else the first of the usual places; NULL: none
 * found. `environ_get` is getenv or a test's. */
const char *client_ca_file(const char *given, const char *(*environ_get)(const char *));

/* For the transports. */
int client_http_new(const ClientOptions *options, Client **out, Buffer *reason) MUST_USE;
int client_rpc_new(const ClientOptions *options, Client **out, Buffer *reason) MUST_USE;
