/*
 * nng calls received and sent on its own threads, each for one connection one at a time. They decode and authenticate (CPU
 * only) and never wait. `lock` guards lists, counts, flags and the bytes that wait to be sent; what a connection reads
 * belongs to its reader, which is the aio, then its callback, or the sender thread when it goes on after a pause.
 *
 * A connection lives as long as somebody counts on it (refs): its reader, a send under way, each of its calls. An aio
 * cannot be freed by its own callback, so the sender thread buries the dead.
 */
#include "rpc/connections.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

#include <arpa/inet.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/limits.h"
#include "protocol/sp.h"

#define FRAME_MAX (BODY_MAX + RPC_ENVELOPE_MAX)
#define READ_MIN 4096
#define READ_MAX (64 * 1024)
#define KEPT_MAX (16 * 1024) /* bytes of each buffer that stay with an idle connection */
#define HELLO_TIMEOUT_MS 10000
#define SEND_TIMEOUT_MS 5000 /* a peer that does not read loses its connection after this */

typedef struct Call {
    struct Call *next, *previous; /* of its connection */
    struct Connection *connection;
    Message message;
    bool is_parked, is_waiter, is_unanswerable;
    size_t trace_len;
    char trace[SP_TRACE_MAX];
} Call;

typedef struct Connection {
    struct Connection *next, *previous; /* all of them */
    struct Connection *next_told;       /* dead ones; or those whose reader goes on */
    Connections *all;
    nng_stream *stream;
    nng_aio *reading, *sending;
    bool is_ipc;
    char address[INET6_ADDRSTRLEN];
    /* The reader's. */
    bool has_hello;
    size_t read_size;
    Buffer in;
    /* Under the lock. */
    size_t refs;
    bool is_closed, is_paused, is_sending, has_answered;
    Call *calls;
    Buffer out;
    /* The send's that is under way. */
    Buffer sent;
    size_t sent_len;
} Connection;

struct Connections {
    MessageContext shared;
    pthread_t sender;

    pthread_mutex_t lock;
    pthread_cond_t work;    /* for the sender */
    pthread_cond_t changed; /* for who waits for rest */
    Connection *first;
    size_t count, paused;
    size_t calls, waiters; /* under way; of which may come to wait for a stack */
    size_t unsent;         /* bytes of answers */
    int64_t last_sent_ms;
    Operation *first_answered, *last_answered;
    Connection *dead;
    bool must_resume, is_quiescing, is_stopping;
};

/* ---- life ---- */

static void tell_sender(Connections *all) {
    (void)pthread_cond_signal(&all->work);
}

static void release(Connection *c) {
    Connections *all = c->all;
    (void)pthread_mutex_lock(&all->lock);
    if (--c->refs == 0) {
        c->next_told = all->dead;
        all->dead = c;
        tell_sender(all);
    }
    (void)pthread_mutex_unlock(&all->lock);
}

/* Lock held. */
static void note_rest(Connections *all) {
    if (all->calls == 0 && all->unsent == 0)
        (void)pthread_cond_broadcast(&all->changed);
}

/* Whoever waits behind it does so no longer; what was to be sent is dropped. */
static void close_connection(Connection *c) {
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
            tell_sender(all);
        }
        note_rest(all);
    }
    (void)pthread_mutex_unlock(&all->lock);
    nng_stream_close(c->stream);
    nng_aio_cancel(c->reading);
    nng_aio_cancel(c->sending);
}

static void bury(Connection *c) {
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
static void start(Connection *c, void (*move)(nng_stream *stream, nng_aio *aio), nng_aio *aio) {
    Connections *all = c->all;
    (void)pthread_mutex_lock(&all->lock);
    c->refs++;
    (void)pthread_mutex_unlock(&all->lock);
    move(c->stream, aio);
    (void)pthread_mutex_lock(&all->lock);
    bool is_closed = c->is_closed;
    (void)pthread_mutex_unlock(&all->lock);
    if (is_closed)
        nng_aio_cancel(aio);
    release(c);
}

/* ---- sending ---- */

static void send_rest(Connection *c) {
    nng_iov iov = {.iov_buf = c->sent.data + c->sent_len, .iov_len = c->sent.len - c->sent_len};
    (void)nng_aio_set_iov(c->sending, 1, &iov); /* fails only for more pieces than nng's eight */
    nng_aio_set_timeout(c->sending, SEND_TIMEOUT_MS);
    start(c, nng_stream_send, c->sending);
}

/* All that waits to be sent, unless a send is under way: that one goes on with it. */
static void send_waiting(Connection *c) {
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
        close_connection(c);
    (void)pthread_mutex_lock(&all->lock);
    all->unsent -= c->sent.len;
    if (c->has_answered)
        all->last_sent_ms = clock_boot_ms(clock_system());
    c->is_sending = false;
    if (c->sent.capacity > KEPT_MAX)
        buffer_deinit(&c->sent);
    else
        buffer_clear(&c->sent);
    if (c->is_paused) {
        all->must_resume = true;
        tell_sender(all);
    }
    note_rest(all);
    (void)pthread_mutex_unlock(&all->lock);
    send_waiting(c);
    release(c);
}

/* Lock held. Puts the answer behind those that wait to be sent. False: memory is short. */
static bool append_answer(Call *call) {
    Connection *c = call->connection;
    size_t size = message_answer_size(&call->message), length = call->trace_len + size;
    if (c->is_closed)
        return true;
    char *room = buffer_reserve(&c->out, SP_HEAD_MAX + length);
    if (room == NULL)
        return false;
    size_t head = sp_head_size(c->is_ipc);
    sp_write_head((unsigned char *)room, c->is_ipc, length);
    memcpy(room + head, call->trace, call->trace_len);
    message_answer_write(&call->message, room + head + call->trace_len);
    buffer_grew(&c->out, head + length);
    c->all->unsent += head + length;
    c->has_answered = true;
    return true;
}

/* The answer is on its way, or will never be. */
static void end_call(Call *call) {
    Connection *c = call->connection;
    Connections *all = c->all;
    message_close(&call->message); /* first: at rest no operation is left */
    (void)pthread_mutex_lock(&all->lock);
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        c->calls = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
    all->calls--;
    if (all->paused > 0) {
        all->must_resume = true;
        tell_sender(all);
    }
    note_rest(all);
    (void)pthread_mutex_unlock(&all->lock);
    buffer_deinit(&call->message.refusal);
    free(call);
    release(c);
}

/* Without its answer a peer would wait in vain: better it hears that the connection is gone. */
static void answer(Call *call) {
    Connection *c = call->connection;
    (void)pthread_mutex_lock(&c->all->lock);
    bool is_appended = append_answer(call);
    (void)pthread_mutex_unlock(&c->all->lock);
    if (!is_appended)
        close_connection(c);
}

/* ---- the worker's thread calls these ---- */

static void operation_parked(Operation *op) {
    Call *call = op->call;
    Connections *all = call->connection->all;
    (void)pthread_mutex_lock(&all->lock);
    call->is_parked = true;
    bool is_gone = call->connection->is_closed;
    (void)pthread_mutex_unlock(&all->lock);
    if (is_gone)
        service_hang_up(all->shared.service, op->id);
}

static void operation_unparked(Operation *op) {
    Call *call = op->call;
    (void)pthread_mutex_lock(&call->connection->all->lock);
    call->is_parked = false;
    (void)pthread_mutex_unlock(&call->connection->all->lock);
}

static bool operation_has_peer(Operation *op) {
    const Connection *c = ((Call *)op->call)->connection;
    (void)pthread_mutex_lock(&c->all->lock);
    bool is_gone = c->is_closed;
    (void)pthread_mutex_unlock(&c->all->lock);
    return !is_gone;
}

static void operation_done(Operation *op) {
    Call *call = op->call;
    Connections *all = call->connection->all;
    op->next = NULL;
    (void)pthread_mutex_lock(&all->lock);
    all->waiters -= call->is_waiter;
    call->is_waiter = false;
    bool was_empty = all->first_answered == NULL;
    if (was_empty)
        all->first_answered = op;
    else
        all->last_answered->next = op;
    all->last_answered = op;
    if (was_empty)
        tell_sender(all);
    (void)pthread_mutex_unlock(&all->lock);
}

static const OperationOwner owner = {.done = operation_done,
                                     .parked = operation_parked,
                                     .unparked = operation_unparked,
                                     .is_peer_there = operation_has_peer};

/* ---- reading ---- */

typedef enum Step { STEP_ON, STEP_READ, STEP_PAUSE, STEP_CLOSE } Step;

static bool has_room(const Connection *c) {
    return c->all->calls < RPC_CALLS_MAX && c->out.len + c->sent.len <= RPC_ANSWER_MAX;
}

/* A place for one more call; false: there is none, and the reader pauses. */
static bool admit(Call *call) {
    Connection *c = call->connection;
    Connections *all = c->all;
    (void)pthread_mutex_lock(&all->lock);
    bool is_admitted = has_room(c);
    if (is_admitted) {
        all->calls++;
        c->refs++;
        call->next = c->calls;
        if (c->calls != NULL)
            c->calls->previous = call;
        c->calls = call;
    }
    (void)pthread_mutex_unlock(&all->lock);
    return is_admitted;
}

/* The last calls never wait: requests that end a wait must find room. */
static void submit(Call *call) {
    Connections *all = call->connection->all;
    Operation *op = call->message.op;
    if (operation_may_wait(op)) {
        (void)pthread_mutex_lock(&all->lock);
        call->is_waiter = true;
        op->may_park = all->waiters++ < RPC_CALLS_MAX - RPC_CALLS_KEPT;
        (void)pthread_mutex_unlock(&all->lock);
    }
    message_submit(&call->message);
}

static Step begin_call(Connection *c, Slice message) {
    Call *call = calloc(1, sizeof *call);
    Slice trace = SLICE_ABSENT;
    if (call == NULL || !sp_split_trace(&message, &trace)) {
        free(call);
        return STEP_CLOSE;
    }
    call->connection = c;
    call->trace_len = trace.len;
    memcpy(call->trace, trace.ptr, trace.len);
    message_init(&call->message);
    if (!admit(call)) {
        free(call);
        return STEP_PAUSE;
    }
    if (message_open(&call->message, &c->all->shared, message, slice_of(c->address), call)) {
        answer(call);
        end_call(call);
    } else {
        submit(call);
    }
    return STEP_ON;
}

static Step take_hello(Connection *c, Slice bytes, size_t *taken) {
    if (bytes.len < SP_HELLO_SIZE)
        return STEP_READ;
    *taken = SP_HELLO_SIZE;
    c->has_hello = true;
    return memcmp(bytes.ptr, sp_hello_req, SP_HELLO_SIZE) == 0 ? STEP_ON : STEP_CLOSE;
}

static Step take_frame(Connection *c, Slice bytes, size_t *taken) {
    size_t head = sp_head_size(c->is_ipc);
    uint64_t length = 0;
    if (bytes.len < head)
        return STEP_READ;
    if (!sp_read_head((const unsigned char *)bytes.ptr, c->is_ipc, &length) || length > FRAME_MAX)
        return STEP_CLOSE; /* nng's own default is no limit at all, and it allocates what a peer announces */
    if (bytes.len - head < length)
        return length < SP_ID_SIZE ? STEP_CLOSE : STEP_READ;
    *taken = head + (size_t)length;
    return begin_call(c, (Slice){.ptr = bytes.ptr + head, .len = (size_t)length});
}

static void read_more(Connection *c) {
    char *room = buffer_reserve(&c->in, c->read_size);
    if (room == NULL) {
        close_connection(c);
        release(c);
        return;
    }
    nng_iov iov = {.iov_buf = room, .iov_len = c->read_size};
    (void)nng_aio_set_iov(c->reading, 1, &iov);
    nng_aio_set_timeout(c->reading, c->has_hello ? NNG_DURATION_INFINITE : HELLO_TIMEOUT_MS);
    start(c, nng_stream_recv, c->reading);
}

/* Takes all whole frames there are. Afterwards the connection may be gone. */
static void go_on(Connection *c) {
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
    if (c->in.len == 0 && c->in.capacity > KEPT_MAX)
        buffer_deinit(&c->in);
    send_waiting(c);
    if (step == STEP_READ) {
        read_more(c);
    } else if (step == STEP_CLOSE) {
        close_connection(c);
        release(c);
    } else {
        /* From here on it is the sender's. There may be room again already. */
        (void)pthread_mutex_lock(&c->all->lock);
        c->is_paused = true;
        c->all->paused++;
        c->all->must_resume = true;
        tell_sender(c->all);
        (void)pthread_mutex_unlock(&c->all->lock);
    }
}

static void received(void *arg) {
    Connection *c = arg;
    size_t len = nng_aio_result(c->reading) == 0 ? nng_aio_count(c->reading) : 0;
    if (len == 0) {
        close_connection(c);
        release(c);
        return;
    }
    buffer_grew(&c->in, len);
    if (len == c->read_size && c->read_size < READ_MAX)
        c->read_size *= 2;
    else if (len <= c->read_size / 4 && c->read_size > READ_MIN)
        c->read_size /= 2;
    go_on(c);
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

static bool enter(Connections *all, Connection *c) {
    (void)pthread_mutex_lock(&all->lock);
    bool has_place = !all->is_quiescing && all->count < RPC_CONNECTIONS_MAX;
    if (has_place) {
        c->next = all->first;
        if (all->first != NULL)
            all->first->previous = c;
        all->first = c;
        all->count++;
        buffer_add(&c->out, sp_hello_rep, SP_HELLO_SIZE);
        all->unsent += c->out.len;
    }
    (void)pthread_mutex_unlock(&all->lock);
    return has_place;
}

void connections_add(Connections *all, nng_stream *stream, bool is_ipc) {
    Connection *c = calloc(1, sizeof *c);
    if (c != NULL) {
        *c = (Connection){.all = all, .stream = stream, .is_ipc = is_ipc, .refs = 1, .read_size = READ_MIN};
        buffer_init(&c->in, FRAME_MAX + SP_HEAD_MAX + READ_MAX);
        buffer_init(&c->out, SIZE_MAX / 2);
        buffer_init(&c->sent, SIZE_MAX / 2);
        write_address(c);
    }
    if (c == NULL || nng_aio_alloc(&c->reading, received, c) != 0 || nng_aio_alloc(&c->sending, sent, c) != 0 ||
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
    send_waiting(c);
    read_more(c);
}

/* ---- the sender thread ---- */

/* Answers in the order they came, appended together, sent together. */
static void send_answers(Connections *all, Operation *first) {
    (void)pthread_mutex_lock(&all->lock);
    for (const Operation *op = first; op != NULL; op = op->next) {
        Call *call = op->call;
        call->is_unanswerable = !append_answer(call);
    }
    (void)pthread_mutex_unlock(&all->lock);
    for (const Operation *op = first; op != NULL; op = op->next) {
        const Call *call = op->call;
        if (call->is_unanswerable)
            close_connection(call->connection);
        send_waiting(call->connection);
    }
    for (Operation *op = first, *next; op != NULL; op = next) {
        next = op->next;
        end_call(op->call);
    }
}

/* Lock held: those whose reader may go on, or has to end. */
static Connection *take_resumed(Connections *all) {
    Connection *resumed = NULL;
    all->must_resume = false;
    for (Connection *c = all->first; all->paused > 0 && c != NULL; c = c->next) {
        if (!c->is_paused || !(c->is_closed || has_room(c)))
            continue;
        c->is_paused = false;
        all->paused--;
        c->next_told = resumed;
        resumed = c;
    }
    return resumed;
}

static void resume(Connection *c) {
    (void)pthread_mutex_lock(&c->all->lock);
    bool is_closed = c->is_closed;
    (void)pthread_mutex_unlock(&c->all->lock);
    if (is_closed)
        release(c);
    else
        go_on(c);
}

static bool has_work(const Connections *all) {
    return all->first_answered != NULL || all->dead != NULL || (all->must_resume && all->paused > 0);
}

static void *run_sender(void *arg) {
    Connections *all = arg;
    (void)pthread_mutex_lock(&all->lock);
    for (;;) {
        while (!has_work(all) && !all->is_stopping)
            (void)pthread_cond_wait(&all->work, &all->lock);
        if (!has_work(all))
            break;
        Operation *answered = steal(&all->first_answered);
        Connection *dead = steal(&all->dead), *resumed = take_resumed(all);
        (void)pthread_mutex_unlock(&all->lock);
        send_answers(all, answered);
        for (Connection *next; resumed != NULL; resumed = next) {
            next = resumed->next_told;
            resume(resumed);
        }
        for (Connection *next; dead != NULL; dead = next) {
            next = dead->next_told;
            bury(dead);
        }
        (void)pthread_mutex_lock(&all->lock);
    }
    (void)pthread_mutex_unlock(&all->lock);
    return NULL;
}

/* ---- all of them ---- */

int connections_new(Connections **out, Service *service, Transport transport) {
    Connections *all = calloc(1, sizeof *all);
    if (all == NULL)
        return -ENOMEM;
    all->shared = (MessageContext){.service = service, .transport = transport, .owner = &owner};
    (void)pthread_mutex_init(&all->lock, NULL);
    (void)pthread_cond_init(&all->work, NULL);
    int error = clock_condition_init(&all->changed);
    if (error == 0)
        error = -pthread_create(&all->sender, NULL, run_sender, all);
    if (error != 0) {
        free(all);
        return error;
    }
    *out = all;
    return 0;
}

void connections_quiesce(Connections *all) {
    (void)pthread_mutex_lock(&all->lock);
    all->is_quiescing = true;
    (void)pthread_mutex_unlock(&all->lock);
}

void connections_wait_idle(Connections *all, int64_t until_ms) {
    const Clock *clock = clock_system();
    (void)pthread_mutex_lock(&all->lock);
    while ((all->calls > 0 || all->unsent > 0) && clock_boot_ms(clock) < until_ms)
        clock->vtable->wait(clock, &all->changed, &all->lock, until_ms);
    (void)pthread_mutex_unlock(&all->lock);
}

void connections_linger(Connections *all, int64_t ms, int64_t until_ms) {
    const Clock *clock = clock_system();
    (void)pthread_mutex_lock(&all->lock);
    if (all->last_sent_ms + ms < until_ms)
        until_ms = all->last_sent_ms + ms;
    while (all->count > 0 && clock_boot_ms(clock) < until_ms)
        clock->vtable->wait(clock, &all->changed, &all->lock, until_ms);
    (void)pthread_mutex_unlock(&all->lock);
}

/* The sender buries them one by one; what is still to be closed is looked for again after each. */
static void close_all(Connections *all) {
    (void)pthread_mutex_lock(&all->lock);
    while (all->count > 0) {
        Connection *open = all->first;
        while (open != NULL && open->is_closed)
            open = open->next;
        if (open == NULL) {
            (void)pthread_cond_wait(&all->changed, &all->lock);
            continue;
        }
        open->refs++;
        (void)pthread_mutex_unlock(&all->lock);
        close_connection(open);
        release(open);
        (void)pthread_mutex_lock(&all->lock);
    }
    all->is_stopping = true;
    tell_sender(all);
    (void)pthread_mutex_unlock(&all->lock);
}

Connections *connections_free(Connections *all) {
    if (all == NULL)
        return NULL;
    connections_quiesce(all);
    close_all(all);
    (void)pthread_join(all->sender, NULL);
    assert(all->calls == 0 && all->unsent == 0);
    (void)pthread_cond_destroy(&all->work);
    (void)pthread_cond_destroy(&all->changed);
    (void)pthread_mutex_destroy(&all->lock);
    free(all);
    return NULL;
}
