/* An answer on its way out: status, headers, bytes. */
#pragma once

#include <microhttpd.h>

#include "service/service.h"

typedef struct Reply Reply;
struct Reply {
    struct MHD_Response *response; /* owned; NULL when memory was short */
    int status;
    const char *content_type;
    const char *allow;       /* NULL: no header */
    int retry_after_seconds; /* 0: no header */
    uint64_t size;           /* of the body, for the time its reader gets */
    bool is_download;
};

#define REPLY_JSON "application/json"
#define REPLY_PROBLEM "application/problem+json"
#define REPLY_TEXT "text/plain; charset=utf-8"

/* Takes the operation over: it is freed once libmicrohttpd needs its bytes no more. False: memory is short, nothing was
 * taken. */
bool reply_with_operation(Reply *reply, Operation *op);
/* Takes the bytes over. */
void reply_with_buffer(Reply *reply, int status, const char *content_type, Buffer *body);
/* `body` must outlive every answer. */
void reply_with_static(Reply *reply, int status, const char *content_type, Slice body);
/* Takes the descriptor over. */
void reply_with_file(Reply *reply, const char *content_type, int fd, uint64_t size);
void reply_with_problem(Reply *reply, Outcome outcome, const char *detail);

/* Adds the headers and queues the answer; the reply is empty afterwards. MHD_NO: the connection has to be closed. */
enum MHD_Result reply_queue(Reply *reply, struct MHD_Connection *mhd, bool must_close);
