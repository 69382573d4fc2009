/* libmicrohttpd copies each header; that is the price of its API, and why answers carry few. */
#include "http/reply.h"

#include <stdio.h>

#include "base/failpoint.h"

static void free_operation(void *op) {
    (void)operation_free(op);
}

bool reply_with_operation(Reply *reply, Operation *op) {
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
        op->body.len, (void *)(uintptr_t)(op->body.ptr != NULL ? op->body.ptr : ""), free_operation, op);
    if (response == NULL)
        return false;
    *reply = (Reply){.response = response,
                     .status = op->status,
                     .content_type = op->is_problem ? REPLY_PROBLEM : REPLY_JSON,
                     .retry_after_seconds = op->retry_after_seconds,
                     .size = op->body.len};
    return true;
}

void reply_with_static(Reply *reply, int status, const char *content_type, Slice body) {
    *reply = (Reply){.status = status, .content_type = content_type, .size = body.len};
    reply->response = MHD_create_response_from_buffer(body.len, (void *)(uintptr_t)body.ptr, MHD_RESPMEM_PERSISTENT);
}

void reply_with_buffer(Reply *reply, int status, const char *content_type, Buffer *body) {
    *reply = (Reply){.status = status, .content_type = content_type};
    size_t len = 0;
    OWN(freep) char *bytes = buffer_steal(body, &len);
    if (bytes == NULL)
        return;
    reply->size = len;
    reply->response = MHD_create_response_from_buffer(len, bytes, MHD_RESPMEM_MUST_FREE);
    if (reply->response != NULL)
        bytes = NULL;
}

void reply_with_file(Reply *reply, const char *content_type, int fd, uint64_t size) {
    *reply = (Reply){.status = MHD_HTTP_OK, .content_type = content_type, .size = size, .is_download = true};
    reply->response = MHD_create_response_from_fd64(size, fd);
    if (reply->response == NULL)
        (void)close(fd);
}

void reply_with_problem(Reply *reply, Outcome outcome, const char *detail) {
    enum { PROBLEM_MAX = 4096 };
    Buffer body;
    buffer_init(&body, PROBLEM_MAX);
    service_problem(outcome, detail, &body);
    reply_with_buffer(reply, outcome_row(outcome)->http_status, REPLY_PROBLEM, &body);
    buffer_deinit(&body);
}

/* False: memory is short. */
static bool add_headers(const Reply *reply, bool must_close) {
    struct MHD_Response *response = reply->response;
    bool is_complete =
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->content_type) == MHD_YES &&
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_YES;
    if (reply->allow != NULL)
        is_complete &= MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, reply->allow) == MHD_YES;
    if (reply->status == MHD_HTTP_UNAUTHORIZED)
        is_complete &= MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer") == MHD_YES;
    if (reply->retry_after_seconds > 0) {
        char seconds[16];
        (void)snprintf(seconds, sizeof seconds, "%d", reply->retry_after_seconds);
        is_complete &= MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds) == MHD_YES;
    }
    if (reply->is_download)
        is_complete &= MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_DISPOSITION,
                                               "attachment; filename=\"stack-agent\"") == MHD_YES;
    if (must_close)
        is_complete &= MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES;
    return is_complete;
}

enum MHD_Result reply_queue(Reply *reply, struct MHD_Connection *mhd, bool must_close) {
    if (reply->response == NULL)
        return MHD_NO;
    enum MHD_Result result =
        add_headers(reply, must_close) ? MHD_queue_response(mhd, (unsigned)reply->status, reply->response) : MHD_NO;
    FAILPOINT("sending");
    MHD_destroy_response(steal(&reply->response)); /* libmicrohttpd keeps a reference of its own until it is sent */
    return result;
}
