/* Frames out of bytes; what pauses a reader is undone by the sender thread. */
#include "rpc/reader.h"

#include <string.h>

#include "protocol/sp.h"
#include "rpc/call.h"

#define HELLO_TIMEOUT_MS 10000
#define FRAME_TIMEOUT_MS 30000 /* to be whole, once it has begun */

typedef enum Step { STEP_ON, STEP_READ, STEP_PAUSE, STEP_CLOSE } Step;

static Step take_hello(Connection *c, Slice bytes, size_t *taken) {
    if (bytes.len < SP_HELLO_SIZE)
        return STEP_READ;
    *taken = SP_HELLO_SIZE;
    c->has_hello = true;
    return memcmp(bytes.ptr, sp_hello_req, SP_HELLO_SIZE) == 0 ? STEP_ON : STEP_CLOSE;
}

static Step take_frame(Connection *c, Slice bytes, size_t *taken) {
    static const Step step_after[] = {
        [CALL_STARTED] = STEP_ON, [CALL_NO_ROOM] = STEP_PAUSE, [CALL_MALFORMED] = STEP_CLOSE};
    size_t head = sp_head_size(c->is_ipc);
    uint64_t length = 0;
    if (bytes.len < head)
        return STEP_READ;
    if (!sp_read_head((const unsigned char *)bytes.ptr, c->is_ipc, &length) || length > READER_FRAME_MAX)
        return STEP_CLOSE; /* nng's own default is no limit at all, and it allocates what a peer announces */
    if (bytes.len - head < length)
        return length < SP_ID_SIZE ? STEP_CLOSE : STEP_READ;
    *taken = head + (size_t)length;
    return step_after[call_start(c, (Slice){.ptr = bytes.ptr + head, .len = (size_t)length})];
}

/* A frame that has begun is to be whole in time, however its bytes come. */
static nng_duration frame_patience_ms(Connection *c) {
    int64_t now_ms = clock_boot_ms(clock_system());
    if (c->in.len == 0)
        return NNG_DURATION_INFINITE;
    if (c->frame_ms == 0)
        c->frame_ms = now_ms;
    int64_t left_ms = c->frame_ms + FRAME_TIMEOUT_MS - now_ms;
    return left_ms > 1 ? (nng_duration)left_ms : 1;
}

void reader_read(Connection *c) {
    char *room = buffer_reserve(&c->in, c->read_size);
    if (room == NULL) {
        connection_close(c);
        connection_release(c);
        return;
    }
    nng_iov iov = {.iov_buf = room, .iov_len = c->read_size};
    (void)nng_aio_set_iov(c->reading, 1, &iov);
    nng_aio_set_timeout(c->reading, c->has_hello ? frame_patience_ms(c) : HELLO_TIMEOUT_MS);
    connection_start(c, nng_stream_recv, c->reading);
}

void reader_go_on(Connection *c) {
    size_t used = 0;
    Step step = STEP_ON;
    while (step == STEP_ON) {
        Slice bytes = {.ptr = c->in.data + used, .len = c->in.len - used};
        size_t taken = 0;
        step = c->has_hello ? take_frame(c, bytes, &taken) : take_hello(c, bytes, &taken);
        used += step == STEP_ON ? taken : 0;
    }
    memmove(c->in.data, c->in.data + used, c->in.len - used);
    c->in.len -= used;
    if (used > 0)
        c->frame_ms = 0;
    if (c->in.len == 0 && c->in.capacity > CONNECTION_BUFFER_KEPT)
        buffer_deinit(&c->in);
    connection_send(c);
    if (step == STEP_READ) {
        reader_read(c);
    } else if (step == STEP_CLOSE) {
        connection_close(c);
        connection_release(c);
    } else {
        /* From here on it is the sender's. There may be room again already. */
        (void)pthread_mutex_lock(&c->all->lock);
        c->is_paused = true;
        c->all->paused++;
        c->all->must_resume = true;
        connections_tell_sender(c->all);
        (void)pthread_mutex_unlock(&c->all->lock);
    }
}

void reader_received(void *arg) {
    Connection *c = arg;
    size_t len = nng_aio_result(c->reading) == 0 ? nng_aio_count(c->reading) : 0;
    if (len == 0) {
        connection_close(c);
        connection_release(c);
        return;
    }
    buffer_grew(&c->in, len);
    if (len == c->read_size && c->read_size < READER_READ_MAX)
        c->read_size *= 2;
    else if (len <= c->read_size / 4 && c->read_size > READER_READ_MIN)
        c->read_size /= 2;
    reader_go_on(c);
}
