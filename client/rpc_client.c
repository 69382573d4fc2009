/*
 * One request over one connection, in steps that each wait with the same deadline:
 *
 *     dial ─► send SP header ─► receive SP header ─► send the request ─► receive length ─► receive the answer
 *
 * It speaks to nng's REP sockets, but over nng's byte streams rather than through a REQ socket: starting a REQ's dialer
 * either blocks without a deadline or hides why it failed, and an answer too long for it looks like a lost connection.
 * Here each step has its own error, and what follows a failed dial is up to the caller. The wire format is in
 * protocol/sp.h.
 */
#include "client/rpc_client.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

#include "base/clock.h"
#include "protocol/sp.h"

/* The only request of its connection, so any number does; the high bit marks the end of the trace. */
#define REQUEST_ID UINT32_C(0x80000001)
#define FRAME_HEAD_MAX (SP_HEAD_MAX + SP_ID_SIZE)

typedef struct Call {
    const RpcTarget *target;
    int64_t deadline_ms;
    int cancel_fd, done_fd; /* done_fd: an eventfd that nng's thread writes when the step under way has ended */
    nng_aio *aio;
    nng_tls_config *tls;
    nng_stream_dialer *dialer;
    nng_stream *stream;
    Buffer *reason;
} Call;

/* --- reasons --- */

/* nng's errors, and what they mean to somebody who only wanted an answer. */
static const struct {
    int nng_error;
    int error;
    const char *text;
} meanings[] = {
    {NNG_ECONNREFUSED, ECONNREFUSED, "nobody listens there"},
    {NNG_EUNREACHABLE, ECONNREFUSED, "the network does not reach that host"},
    {NNG_EADDRINVAL, ECONNREFUSED, "no such host"},
    {NNG_EAGAIN, ECONNREFUSED, "the host's name cannot be looked up now"},
    {NNG_ENOENT, ENOENT, "there is no such socket"},
    {NNG_EPERM, EACCES, "permission denied"},
    {NNG_ECLOSED, ECONNRESET, "the connection was closed before the answer came"},
    {NNG_ECONNSHUT, ECONNRESET, "the connection was closed before the answer came"},
    {NNG_ECONNRESET, ECONNRESET, "the connection was lost before the answer came"},
    {NNG_ECONNABORTED, ECONNRESET, "the connection was lost before the answer came"},
    {NNG_ETIMEDOUT, ETIMEDOUT, "no answer in time"},
    {NNG_EPEERAUTH, EPROTO, "its TLS certificate is not trusted for this name"},
    {NNG_ECRYPTO, EPROTO, "the TLS handshake failed: no TLS there, or a certificate that is not trusted"},
    {NNG_EPROTO, EPROTO, "what listens there does not speak this protocol"},
    {NNG_ENOTSUP, EINVAL, "this kind of URL is not supported"},
    {NNG_EINVAL, EINVAL, "this is no usable URL"},
    {NNG_ENOFILES, EMFILE, "too many open files"},
    {NNG_ENOMEM, ENOMEM, "out of memory"},
};

static int explain(const Call *call, int error, const char *text) {
    buffer_printf(call->reason, "%s: %s", call->target->url, text);
    return error;
}

static int explain_nng(const Call *call, int nng_error) {
    for (size_t i = 0; i < COUNT_OF(meanings); i++) {
        if (meanings[i].nng_error == nng_error)
            return explain(call, -meanings[i].error, meanings[i].text);
    }
    return explain(call, -EIO, nng_strerror(nng_error));
}

/* --- waiting --- */

static void step_ended(void *argument) {
    const Call *call = argument;
    uint64_t one = 1;
    ssize_t written = write(call->done_fd, &one, sizeof one); /* fails only when it is readable already */
    (void)written;
}

/* 0: the step has ended by itself; -ECANCELED, -ETIMEDOUT: it should be given up. */
static int wait_for_step(const Call *call) {
    for (;;) {
        int64_t left_ms = call->deadline_ms - clock_boot_ms(clock_system());
        if (left_ms < 0)
            left_ms = 0;
        struct pollfd fds[] = {
            {.fd = call->done_fd, .events = POLLIN},
            {.fd = call->cancel_fd, .events = POLLIN}, /* poll ignores a negative one */
        };
        int ready = poll(fds, COUNT_OF(fds), left_ms > INT_MAX ? INT_MAX : (int)left_ms);
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready > 0 && fds[0].revents != 0)
            return 0;
        if (ready > 0 && fds[1].revents != 0)
            return -ECANCELED;
        if (ready == 0 && left_ms == 0)
            return -ETIMEDOUT;
    }
}

/* Waits for the step that was submitted on the aio; afterwards nothing is under way on it. */
static int finish_step(Call *call) {
    int given_up = wait_for_step(call);
    if (given_up != 0)
        nng_aio_cancel(call->aio);
    nng_aio_wait(call->aio);
    uint64_t ended = 0;
    ssize_t taken = read(call->done_fd, &ended, sizeof ended);
    (void)taken;
    int result = nng_aio_result(call->aio);
    if (result == 0)
        return 0; /* even if it was about to be given up: it made it */
    if (given_up == -ECANCELED)
        return explain(call, -ECANCELED, "given up");
    if (given_up != 0)
        return explain_nng(call, NNG_ETIMEDOUT);
    return explain_nng(call, result);
}

/* --- bytes --- */

typedef void Transfer(nng_stream *stream, nng_aio *aio);

/* Moves exactly `len` bytes, one way or the other. */
static int transfer(Call *call, Transfer *move, void *bytes, size_t len) {
    size_t moved = 0;
    while (moved < len) {
        nng_iov iov = {.iov_buf = (char *)bytes + moved, .iov_len = len - moved};
        (void)nng_aio_set_iov(call->aio, 1, &iov); /* fails only for more pieces than nng's eight */
        move(call->stream, call->aio);
        int error = finish_step(call);
        if (error != 0)
            return error;
        size_t step = nng_aio_count(call->aio);
        if (step == 0)
            return explain_nng(call, NNG_ECLOSED);
        moved += step;
    }
    return 0;
}

static int receive(Call *call, void *out, size_t len) {
    return transfer(call, nng_stream_recv, out, len);
}

static bool is_ipc(const Call *call) {
    return slice_starts_with(slice_of(call->target->url), "ipc://");
}

/* No request, and so no key, leaves for something that is no REP socket. */
static int shake_hands(Call *call) {
    unsigned char header[SP_HELLO_SIZE];
    memcpy(header, sp_hello_req, sizeof header);
    int error = transfer(call, nng_stream_send, header, sizeof header);
    if (error == 0)
        error = receive(call, header, sizeof header);
    if (error == 0 && memcmp(header, sp_hello_rep, sizeof header) != 0)
        error = explain_nng(call, NNG_EPROTO);
    return error;
}

static size_t frame_head_size(const Call *call) {
    return sp_head_size(is_ipc(call)) + SP_ID_SIZE;
}

static int send_request(Call *call, Slice message) {
    unsigned char head[FRAME_HEAD_MAX];
    sp_write_head(head, is_ipc(call), SP_ID_SIZE + message.len);
    sp_write_id(head + sp_head_size(is_ipc(call)), REQUEST_ID);
    /* In one piece, so that a short request is one packet. */
    OWN(buffer_deinit) Buffer frame;
    buffer_init(&frame, SIZE_MAX / 2);
    buffer_add(&frame, head, frame_head_size(call));
    buffer_add_slice(&frame, message);
    if (buffer_error(&frame) != 0)
        return explain_nng(call, NNG_ENOMEM);
    return transfer(call, nng_stream_send, frame.data, frame.len);
}

static int receive_answer(Call *call, Buffer *answer) {
    unsigned char head[FRAME_HEAD_MAX];
    int error = receive(call, head, frame_head_size(call));
    if (error != 0)
        return error;
    unsigned char expected[SP_ID_SIZE];
    uint64_t len = 0;
    sp_write_id(expected, REQUEST_ID);
    if (!sp_read_head(head, is_ipc(call), &len) || len < SP_ID_SIZE ||
        memcmp(head + sp_head_size(is_ipc(call)), expected, SP_ID_SIZE) != 0)
        return explain_nng(call, NNG_EPROTO);
    len -= SP_ID_SIZE;
    if (len > call->target->answer_max)
        return explain(call, -EMSGSIZE, "the answer is longer than this program takes");
    if (len == 0)
        return 0;
    char *room = buffer_reserve(answer, (size_t)len);
    if (room == NULL)
        return buffer_error(answer) == -EMSGSIZE
                   ? explain(call, -EMSGSIZE, "the answer is longer than this program takes")
                   : explain_nng(call, NNG_ENOMEM);
    error = receive(call, room, (size_t)len);
    if (error == 0)
        buffer_grew(answer, (size_t)len);
    return error;
}

/* --- connecting --- */

/* The host of scheme://host:port, brackets of an IPv6 address taken off; malloc'd. NULL: memory is short. */
static char *url_host(const char *url) {
    const char *start = strstr(url, "://");
    Slice host = slice_of(start != NULL ? start + strlen("://") : url);
    host.len = strcspn(host.ptr, "/");
    if (host.len > 0 && host.ptr[0] == '[') {
        const char *end = memchr(host.ptr, ']', host.len);
        if (end != NULL)
            return slice_dup((Slice){.ptr = host.ptr + 1, .len = (size_t)(end - host.ptr) - 1});
    }
    const char *colon = memrchr(host.ptr, ':', host.len);
    if (colon != NULL)
        host.len = (size_t)(colon - host.ptr);
    return slice_dup(host);
}

static int set_up_tls(Call *call) {
    const RpcTarget *target = call->target;
    if (target->ca_file == NULL && target->ca_pem == NULL)
        return explain(call, -EPROTO, "no trusted certificates are configured");
    OWN(freep) char *host = url_host(target->url);
    if (host == NULL)
        return explain_nng(call, NNG_ENOMEM);
    int error = nng_tls_config_alloc(&call->tls, NNG_TLS_MODE_CLIENT);
    if (error != 0)
        return explain(call, -EINVAL, "this program was built without TLS for this kind of URL");
    error = target->ca_file != NULL ? nng_tls_config_ca_file(call->tls, target->ca_file)
                                    : nng_tls_config_ca_chain(call->tls, target->ca_pem, NULL);
    if (error != 0) {
        buffer_printf(call->reason, "%s: the trusted certificates cannot be read%s%s: %s", target->url,
                      target->ca_file != NULL ? " from " : "", target->ca_file != NULL ? target->ca_file : "",
                      nng_strerror(error));
        return -EPROTO;
    }
    if ((error = nng_tls_config_server_name(call->tls, host)) != 0 ||
        (error = nng_tls_config_auth_mode(call->tls, NNG_TLS_AUTH_MODE_REQUIRED)) != 0 ||
        (error = nng_stream_dialer_set_ptr(call->dialer, NNG_OPT_TLS_CONFIG, call->tls)) != 0)
        return explain_nng(call, error);
    return 0;
}

/* nng says "refused" both when nothing has the path and when nobody listens there: the file system knows better. */
static int explain_ipc(const Call *call) {
    struct stat status;
    const char *path = call->target->url + strlen("ipc://");
    int error = stat(path, &status) == 0 ? 0 : errno;
    return explain_nng(call, error == ENOENT ? NNG_ENOENT : error == EACCES ? NNG_EPERM : NNG_ECONNREFUSED);
}

static int dial(Call *call) {
    static const char *const schemes[] = {"tcp://", "tls+tcp://", "ipc://"};
    Slice url = slice_of(call->target->url);
    bool is_known = false;
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        is_known = is_known || slice_starts_with(url, schemes[i]);
    if (!is_known)
        return explain(call, -EINVAL, "the URL must begin with tcp://, tls+tcp:// or ipc://");
    if (nng_stream_dialer_alloc(&call->dialer, call->target->url) != 0)
        return explain_nng(call, NNG_EINVAL);
    if (slice_starts_with(url, "tls+")) {
        int error = set_up_tls(call);
        if (error != 0)
            return error;
    }
    nng_stream_dialer_dial(call->dialer, call->aio);
    size_t reason_len = call->reason->len;
    int error = finish_step(call);
    if (error == -ECONNREFUSED && is_ipc(call)) {
        call->reason->len = reason_len;
        return explain_ipc(call);
    }
    if (error == 0)
        call->stream = nng_aio_get_output(call->aio, 0);
    return error;
}

static void call_deinit(Call *call) {
    if (call->stream != NULL) {
        nng_stream_close(call->stream);
        nng_stream_free(call->stream);
    }
    if (call->dialer != NULL) {
        nng_stream_dialer_close(call->dialer);
        nng_stream_dialer_free(call->dialer);
    }
    if (call->tls != NULL)
        nng_tls_config_free(call->tls);
    if (call->aio != NULL)
        nng_aio_free(call->aio);
    closep(&call->done_fd);
}

int rpc_call(const RpcTarget *target, Slice message, int64_t timeout_ms, int cancel_fd, Buffer *answer,
             Buffer *reason) {
    OWN(call_deinit)
    Call call = {
        .target = target,
        .deadline_ms = clock_boot_ms(clock_system()) + timeout_ms,
        .cancel_fd = cancel_fd,
        .done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .reason = reason,
    };
    if (timeout_ms <= 0)
        return explain_nng(&call, NNG_ETIMEDOUT);
    if (call.done_fd < 0)
        return explain(&call, -errno, "too many open files");
    int error = nng_aio_alloc(&call.aio, step_ended, &call);
    if (error != 0)
        return explain_nng(&call, error);
    error = dial(&call);
    if (error == 0)
        error = shake_hands(&call);
    if (error == 0)
        error = send_request(&call, message);
    if (error == 0)
        error = receive_answer(&call, answer);
    return error;
}
