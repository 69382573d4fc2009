/*
 * One request's life. An HttpCall is libmicrohttpd's per-request pointer; it lives inside its Connection, which has one
 * request at a time, is taken into use when the request line is there, and given back in the completion callback and
 * nowhere else. libmicrohttpd never completes a suspended request, so the call is valid as long as the service has it.
 *
 *     IDLE ──line──► BEGUN ──head──► READING ──all there──► SUBMITTED ──done()──► ANSWERED
 *                      │                │ (refused, or answered from memory)          │
 *                      └────────────────┴──────────────► SENDING ◄────────────────────┘
 *                                                           └── completed, from any state ──► IDLE
 */
#pragma once

#include <microhttpd.h>

#include "http/route.h"
#include "service/service.h"

typedef struct Connection Connection;

typedef enum CallState { CALL_IDLE, CALL_BEGUN, CALL_READING, CALL_SUBMITTED, CALL_ANSWERED, CALL_SENDING } CallState;

typedef struct HttpCall {
    CallState state;
    bool is_first;      /* of its connection */
    bool is_counted;    /* in context->under_way */
    bool is_waiter;     /* in the context's and the server's waiters */
    bool is_refused;    /* the answer is known: the rest of the body is read away */
    Outcome refusal;    /* without an operation; OUTCOME_DONE: none */
    const char *detail; /* … of it */
    Connection *connection;
    struct MHD_Connection *mhd;
    Route route;
    const char *uri_end; /* in libmicrohttpd's memory; only compared */
    char *query;         /* owned copy of what stood behind the '?'; NULL: none */
    Operation *op;       /* NULL for pages, and once the response owns it */
    json_t *query_json;  /* owned; lent to the operation */
    Buffer body;
    size_t body_seen; /* bytes, those read away included */
} HttpCall;

void call_init(HttpCall *call, Connection *connection);
void call_deinit(HttpCall *call);

/* libmicrohttpd's callbacks; `server` is a Server. */
void *call_begin(void *server, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result call_handle(void *server, struct MHD_Connection *mhd, const char *url, const char *method,
                            const char *version, const char *data, size_t *data_size, void **call);
void call_completed(void *server, struct MHD_Connection *mhd, void **call, enum MHD_RequestTerminationCode how);
