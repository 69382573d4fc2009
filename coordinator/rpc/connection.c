/* A connection from its accepted stream to its burial, and the bytes it sends. */
#include "rpc/connection.h"

#include <string.h>

#include <arpa/inet.h>

#include "base/failpoint.h"
#include "protocol/sp.h"
#include "rpc/call.h"
#include "rpc/reader.h"

#define SEND_TIMEOUT_MS 5000 /* a peer that does not read loses its connection after this */

/* ---- life ---- */

void connections_tell_sender(Connections *all) {
    (void)pthread_cond_signal(&all->work);
}

void connection_release(Connection *c) {
    Connections *all = c->all;
    (void)pthread_mutex_lock(&all->lock);
    if (--c->refs == 0) {
        c->next_told = all->dead;
        all->dead = c;
        connections_tell_sender(all);
    }
    (void)pthread_mutex_unlock(&all->lock);
}

void connections_note_rest(Connections *all) {
    if (all->calls == 0 && all->unsent == 0)
        (void)pthread_cond_broadcast(&all->changed);
}

bool connection_has_room(const Connection *c) {
    size_t owed = c->out.len + c->sent.len + c->lists * RPC_ANSWER_MAX;
    return c->all->calls < RPC_CALLS_MAX && owed < RPC_OWED_MAX;
}

void connection_close(Connection *c) {
    Connections *all = c->all;
    (void)pthread_mutex_lock(&all->lock);
    if (!c->is_closed) {
        c->is_closed = true;
        all->unsent -= c->out.len;
        buffer_clear(&c->out);
        for (const Call *call = c->calls; call != NULL; call = call->next)
            if (call->is_parked)
                service_hang_up(all->shared.service, call->message.op->id);
        if (c->is_paused) {
            all->must_resume = true;
            connections_tell_sender(all);
        }
        connections_note_rest(all);
    }
    (void)pthread_mutex_unlock(&all->lock);
    nng_stream_close(c->stream);
    nng_aio_cancel(c->reading);
    nng_aio_cancel(c->sending);
}

void connection_bury(Connection *c) {
    Connections *all = c->all;
    nng_aio_free(c->reading);
    nng_aio_free(c->sending);
    nng_stream_free(c->stream);
    (void)pthread_mutex_lock(&all->lock);
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        all->first = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    all->count--;
    (void)pthread_cond_broadcast(&all->changed);
    (void)pthread_mutex_unlock(&all->lock);
    buffer_deinit(&c->in);
    buffer_deinit(&c->out);
    buffer_deinit(&c->sent);
    free(c);
}

/*
 * Starts a read or a send. nng's streams never end what is started on them after they were closed, so who closes cancels
 * both, and who started one looks again. The connection stays until then, whatever its callback does meanwhile.
 */
void connection_start(Connection *c, void (*move)(nng_stream *stream, nng_aio *aio), nng_aio *aio) {
    Connections *all = c->all;
    (void)pthread_mutex_lock(&all->lock);
    c->refs++;
    c->moved_ms = clock_boot_ms(clock_system());
    (void)pthread_mutex_unlock(&all->lock);
    move(c->stream, aio);
    (void)pthread_mutex_lock(&all->lock);
    bool is_closed = c->is_closed;
    (void)pthread_mutex_unlock(&all->lock);
    if (is_closed)
        nng_aio_cancel(aio);
    connection_release(c);
}

/* ---- sending ---- */

static void send_rest(Connection *c) {
    nng_iov iov = {.iov_buf = c->sent.data + c->sent_len, .iov_len = c->sent.len - c->sent_len};
    (void)nng_aio_set_iov(c->sending, 1, &iov); /* fails only for more pieces than nng's eight */
    nng_aio_set_timeout(c->sending, SEND_TIMEOUT_MS);
    connection_start(c, nng_stream_send, c->sending);
}

void connection_send(Connection *c) {
    Connections *all = c->all;
    (void)pthread_mutex_lock(&all->lock);
    bool must_send = !c->is_sending && !c->is_closed && c->out.len > 0;
    if (must_send) {
        Buffer emptied = c->sent;
        c->sent = c->out;
        c->out = emptied;
        buffer_clear(&c->out);
        c->sent_len = 0;
        c->is_sending = true;
        c->refs++;
    }
    (void)pthread_mutex_unlock(&all->lock);
    if (must_send) {
        FAILPOINT("replying");
        send_rest(c);
    }
}

static void sent(void *arg) {
    Connection *c = arg;
    Connections *all = c->all;
    bool is_failed = nng_aio_result(c->sending) != 0;
    c->sent_len += is_failed ? 0 : nng_aio_count(c->sending);
    if (!is_failed && c->sent_len < c->sent.len) {
        send_rest(c);
        return;
    }
    if (is_failed)
        connection_close(c);
    (void)pthread_mutex_lock(&all->lock);
    all->unsent -= c->sent.len;
    if (c->has_answered)
        all->last_sent_ms = clock_boot_ms(clock_system());
    c->is_sending = false;
    if (c->sent.capacity > CONNECTION_BUFFER_KEPT)
        buffer_deinit(&c->sent);
    else
        buffer_clear(&c->sent);
    if (c->is_paused) {
        all->must_resume = true;
        connections_tell_sender(all);
    }
    connections_note_rest(all);
    (void)pthread_mutex_unlock(&all->lock);
    connection_send(c);
    connection_release(c);
}

/* ---- a new one ---- */

static void write_address(Connection *c) {
    nng_sockaddr address = {0};
    const char *written = NULL;
    if (nng_stream_get_addr(c->stream, NNG_OPT_REMADDR, &address) == 0) {
        if (address.s_family == NNG_AF_INET)
            written = inet_ntop(AF_INET, &address.s_in.sa_addr, c->address, sizeof c->address);
        else if (address.s_family == NNG_AF_INET6)
            written = inet_ntop(AF_INET6, address.s_in6.sa_addr, c->address, sizeof c->address);
    }
    if (written == NULL)
        memcpy(c->address, "local", sizeof "local");
}

/* Lock held. The one that is silent longest, and asks for nothing; NULL: all are busy. The list begins with the latest. */
static Connection *find_silent(const Connections *all) {
    Connection *found = NULL;
    for (Connection *c = all->first; c != NULL; c = c->next)
        if (!c->is_closed && !c->is_sending && c->calls == NULL && (found == NULL || c->moved_ms <= found->moved_ms))
            found = c;
    return found;
}

/* Where there is no place, who is silent makes room, as over HTTP: peers that only keep theirs must not shut the others out. */
static bool enter(Connections *all, Connection *c) {
    (void)pthread_mutex_lock(&all->lock);
    bool is_full = all->count >= RPC_CONNECTIONS_MAX;
    Connection *silent = is_full && !all->is_quiescing ? find_silent(all) : NULL;
    bool has_place = !all->is_quiescing && (!is_full || silent != NULL);
    if (silent != NULL)
        silent->refs++;
    if (has_place) {
        c->moved_ms = clock_boot_ms(clock_system());
        c->next = all->first;
        if (all->first != NULL)
            all->first->previous = c;
        all->first = c;
        all->count++;
        buffer_add(&c->out, sp_hello_rep, SP_HELLO_SIZE);
        all->unsent += c->out.len;
    }
    (void)pthread_mutex_unlock(&all->lock);
    if (silent != NULL) {
        connection_close(silent);
        connection_release(silent);
    }
    return has_place;
}

void connections_add(Connections *all, nng_stream *stream, bool is_ipc) {
    Connection *c = calloc(1, sizeof *c);
    if (c != NULL) {
        *c = (Connection){.all = all, .stream = stream, .is_ipc = is_ipc, .refs = 1, .read_size = READER_READ_MIN};
        buffer_init(&c->in, READER_FRAME_MAX + SP_HEAD_MAX + READER_READ_MAX);
        buffer_init(&c->out, SIZE_MAX / 2);
        buffer_init(&c->sent, SIZE_MAX / 2);
        write_address(c);
    }
    if (c == NULL || nng_aio_alloc(&c->reading, reader_received, c) != 0 || nng_aio_alloc(&c->sending, sent, c) != 0 ||
        !enter(all, c)) {
        nng_stream_close(stream);
        nng_stream_free(stream);
        if (c != NULL) {
            nng_aio_free(c->reading);
            nng_aio_free(c->sending);
        }
        free(c);
        return;
    }
    connection_send(c);
    reader_read(c);
}
