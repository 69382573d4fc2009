/*
 * nng calls receive_ended and send_ended on its own threads, one at a time for one context. They decode and authenticate
 * (CPU only) and never wait. `lock` guards the list of contexts, the counts and the answers waiting for the sender; no
 * nng function is called under it.
 */
#include "rpc/contexts.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

#include <arpa/inet.h>
#include <nng/protocol/reqrep0/rep.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/limits.h"

/* A peer that does not read holds a context this long; its next answer then fails. */
#define SEND_TIMEOUT_MS 5000

typedef struct Context {
    Contexts *contexts;
    nng_ctx id;
    nng_aio *aio;
    bool is_sending; /* what the aio is doing: sending, else receiving */
    uint32_t pipe;   /* under the lock: of the request under way; 0: none */
    bool is_pipe_gone, is_parked, is_waiter;
    Message message;
} Context;

struct Contexts {
    nng_socket socket;
    MessageContext shared;
    pthread_t sender;
    bool has_sender;

    pthread_mutex_t lock;
    pthread_cond_t answered; /* for the sender: answers wait, or it has to stop */
    pthread_cond_t changed;  /* for contexts_wait_idle: the last one under way has been sent */
    Context *items[RPC_CONTEXTS_MAX];
    size_t count, receiving;
    size_t waiters;   /* requests under way that may come to wait for a stack */
    size_t under_way; /* received, and its answer not yet taken by nng */
    int64_t last_sent_ms;
    Operation *first_answered, *last_answered;
    bool is_stopping;
};

static Context *context_free(Context *context) {
    if (context == NULL)
        return NULL;
    if (context->aio != NULL) {
        nng_aio_stop(context->aio);
        nng_msg *message = nng_aio_get_msg(context->aio);
        if (message != NULL)
            nng_msg_free(message);
        nng_aio_free(context->aio);
    }
    message_close(&context->message);
    buffer_deinit(&context->message.refusal);
    free(context);
    return NULL;
}

static void context_freep(Context **context) {
    *context = context_free(*context);
}

static void receive(Context *context) {
    context->is_sending = false;
    nng_aio_set_msg(context->aio, NULL);
    nng_aio_set_timeout(context->aio, NNG_DURATION_INFINITE);
    nng_ctx_recv(context->id, context->aio);
}

static void aio_ended(void *argument);

/* One more context that receives; no matter when there are enough or memory is short, as long as there is one. */
static int add_context(Contexts *contexts) {
    OWN(context_freep) Context *context = calloc(1, sizeof *context);
    if (context == NULL)
        return -ENOMEM;
    context->contexts = contexts;
    message_init(&context->message);
    if (nng_aio_alloc(&context->aio, aio_ended, context) != 0)
        return -ENOMEM;
    int error = nng_ctx_open(&context->id, contexts->socket);
    if (error != 0)
        return error == NNG_ENOMEM ? -ENOMEM : -ECONNABORTED;

    (void)pthread_mutex_lock(&contexts->lock);
    bool has_room = contexts->count < RPC_CONTEXTS_MAX;
    if (has_room) {
        contexts->items[contexts->count++] = context;
        contexts->receiving++;
    }
    (void)pthread_mutex_unlock(&contexts->lock);
    if (!has_room) {
        (void)nng_ctx_close(context->id);
        return 0;
    }
    receive(steal(&context));
    return 0;
}

/* Takes the answer out of the message, which is closed, and gives it to nng. */
static void send_answer(Context *context) {
    nng_msg *answer = NULL;
    int error = nng_msg_alloc(&answer, message_answer_size(&context->message));
    if (error == 0)
        message_answer_write(&context->message, nng_msg_body(answer));
    message_close(&context->message);
    context->is_sending = true;
    if (error != 0 && nng_msg_alloc(&answer, 0) != 0) {
        /* Not even an empty answer: the peer hears nothing, and its deadline ends the request. */
        answer = NULL;
    }
    if (answer == NULL) {
        nng_aio_set_msg(context->aio, NULL);
        nng_sleep_aio(0, context->aio);
        return;
    }
    nng_aio_set_msg(context->aio, answer);
    nng_aio_set_timeout(context->aio, SEND_TIMEOUT_MS);
    FAILPOINT("replying");
    nng_ctx_send(context->id, context->aio);
}

/* Whose request it is: asked for before nng is, so that a connection that ends meanwhile is told by one or the other. */
static void note_pipe(Context *context, nng_msg *message) {
    Contexts *contexts = context->contexts;
    (void)pthread_mutex_lock(&contexts->lock);
    context->pipe = (uint32_t)nng_pipe_id(nng_msg_get_pipe(message));
    context->is_pipe_gone = false;
    (void)pthread_mutex_unlock(&contexts->lock);
}

void contexts_pipe_gone(Contexts *contexts, nng_pipe pipe) {
    uint32_t id = (uint32_t)nng_pipe_id(pipe);
    (void)pthread_mutex_lock(&contexts->lock);
    for (size_t i = 0; i < contexts->count; i++) {
        Context *context = contexts->items[i];
        if (context->pipe != id)
            continue;
        context->is_pipe_gone = true;
        if (context->is_parked)
            service_hang_up(contexts->shared.service, context->message.op->id);
    }
    (void)pthread_mutex_unlock(&contexts->lock);
}

/* What the limit of failed authentications goes by. */
static Slice peer_address(Context *context, nng_msg *message, char text[INET6_ADDRSTRLEN]) {
    nng_sockaddr address = {0};
    if (nng_pipe_get_addr(nng_msg_get_pipe(message), NNG_OPT_REMADDR, &address) != 0) {
        (void)pthread_mutex_lock(&context->contexts->lock);
        context->is_pipe_gone = true;
        (void)pthread_mutex_unlock(&context->contexts->lock);
        return SLICE_ABSENT;
    }
    const char *written = NULL;
    if (address.s_family == NNG_AF_INET)
        written = inet_ntop(AF_INET, &address.s_in.sa_addr, text, INET6_ADDRSTRLEN);
    else if (address.s_family == NNG_AF_INET6)
        written = inet_ntop(AF_INET6, address.s_in6.sa_addr, text, INET6_ADDRSTRLEN);
    return slice_of(written != NULL ? written : "local");
}

/* The last contexts never wait: requests that end a wait must find one that receives. */
static void submit(Context *context) {
    Contexts *contexts = context->contexts;
    Operation *op = context->message.op;
    if (operation_may_wait(op)) {
        (void)pthread_mutex_lock(&contexts->lock);
        context->is_waiter = true;
        op->may_park = contexts->waiters++ < RPC_CONTEXTS_MAX - RPC_CONTEXTS_KEPT;
        (void)pthread_mutex_unlock(&contexts->lock);
    }
    message_submit(&context->message);
}

static void receive_ended(Context *context) {
    Contexts *contexts = context->contexts;
    int error = nng_aio_result(context->aio);
    nng_msg *request = error == 0 ? nng_aio_get_msg(context->aio) : NULL;
    nng_aio_set_msg(context->aio, NULL);

    (void)pthread_mutex_lock(&contexts->lock);
    contexts->receiving--;
    contexts->under_way += request != NULL ? 1 : 0;
    bool is_last = request != NULL && contexts->receiving == 0 && contexts->count < RPC_CONTEXTS_MAX;
    (void)pthread_mutex_unlock(&contexts->lock);
    if (request == NULL)
        return; /* the socket is closed */
    if (is_last)
        (void)add_context(contexts); /* without it requests wait until this one is answered */

    char address[INET6_ADDRSTRLEN];
    note_pipe(context, request);
    Slice text = {.ptr = nng_msg_body(request), .len = nng_msg_len(request)};
    bool is_answered =
        message_open(&context->message, &contexts->shared, text, peer_address(context, request, address), context);
    nng_msg_free(request);
    if (is_answered)
        send_answer(context);
    else
        submit(context);
}

static void send_ended(Context *context) {
    Contexts *contexts = context->contexts;
    if (nng_aio_result(context->aio) != 0) {
        nng_msg *unsent = nng_aio_get_msg(context->aio);
        if (unsent != NULL)
            nng_msg_free(unsent);
    }
    (void)pthread_mutex_lock(&contexts->lock);
    contexts->last_sent_ms = clock_boot_ms(clock_system());
    contexts->receiving++;
    if (--contexts->under_way == 0)
        (void)pthread_cond_broadcast(&contexts->changed);
    (void)pthread_mutex_unlock(&contexts->lock);
    receive(context);
}

static void aio_ended(void *argument) {
    Context *context = argument;
    if (context->is_sending)
        send_ended(context);
    else
        receive_ended(context);
}

/* These are called on the worker's thread. */
static void operation_parked(Operation *op) {
    Context *context = op->call;
    Contexts *contexts = context->contexts;
    (void)pthread_mutex_lock(&contexts->lock);
    context->is_parked = true;
    bool is_gone = context->is_pipe_gone;
    (void)pthread_mutex_unlock(&contexts->lock);
    if (is_gone)
        service_hang_up(contexts->shared.service, op->id);
}

static void operation_unparked(Operation *op) {
    Context *context = op->call;
    (void)pthread_mutex_lock(&context->contexts->lock);
    context->is_parked = false;
    (void)pthread_mutex_unlock(&context->contexts->lock);
}

static bool operation_has_peer(Operation *op) {
    Context *context = op->call;
    (void)pthread_mutex_lock(&context->contexts->lock);
    bool is_gone = context->is_pipe_gone;
    (void)pthread_mutex_unlock(&context->contexts->lock);
    return !is_gone;
}

static void operation_done(Operation *op) {
    Context *context = op->call;
    Contexts *contexts = context->contexts;
    op->next = NULL;
    (void)pthread_mutex_lock(&contexts->lock);
    contexts->waiters -= context->is_waiter;
    context->is_waiter = false;
    context->pipe = 0;
    bool was_empty = contexts->first_answered == NULL;
    if (was_empty)
        contexts->first_answered = op;
    else
        contexts->last_answered->next = op;
    contexts->last_answered = op;
    if (was_empty)
        (void)pthread_cond_signal(&contexts->answered);
    (void)pthread_mutex_unlock(&contexts->lock);
}

static void *run_sender(void *argument) {
    Contexts *contexts = argument;
    (void)pthread_mutex_lock(&contexts->lock);
    for (;;) {
        while (contexts->first_answered == NULL && !contexts->is_stopping)
            (void)pthread_cond_wait(&contexts->answered, &contexts->lock);
        Operation *op = contexts->first_answered;
        contexts->first_answered = NULL;
        if (op == NULL)
            break;
        (void)pthread_mutex_unlock(&contexts->lock);
        while (op != NULL) {
            Operation *next = op->next;
            send_answer(op->call);
            op = next;
        }
        (void)pthread_mutex_lock(&contexts->lock);
    }
    (void)pthread_mutex_unlock(&contexts->lock);
    return NULL;
}

void contexts_wait_idle(Contexts *contexts, int64_t until_ms) {
    const Clock *clock = clock_system();
    (void)pthread_mutex_lock(&contexts->lock);
    while (contexts->under_way > 0 && clock_boot_ms(clock) < until_ms)
        clock->vtable->wait(clock, &contexts->changed, &contexts->lock, until_ms);
    (void)pthread_mutex_unlock(&contexts->lock);
}

int64_t contexts_last_sent_ms(Contexts *contexts) {
    (void)pthread_mutex_lock(&contexts->lock);
    int64_t last_sent_ms = contexts->last_sent_ms;
    (void)pthread_mutex_unlock(&contexts->lock);
    return last_sent_ms;
}

void contexts_stop(Contexts *contexts) {
    if (!contexts->has_sender)
        return;
    (void)pthread_mutex_lock(&contexts->lock);
    contexts->is_stopping = true;
    (void)pthread_cond_signal(&contexts->answered);
    (void)pthread_mutex_unlock(&contexts->lock);
    (void)pthread_join(contexts->sender, NULL);
    contexts->has_sender = false;
}

Contexts *contexts_free(Contexts *contexts) {
    if (contexts == NULL)
        return NULL;
    contexts_stop(contexts);
    /* A context that is just being added by another's callback is in the list before that one has been stopped. */
    for (size_t i = 0;; i++) {
        (void)pthread_mutex_lock(&contexts->lock);
        Context *context = i < contexts->count ? contexts->items[i] : NULL;
        (void)pthread_mutex_unlock(&contexts->lock);
        if (context == NULL)
            break;
        nng_aio_stop(context->aio);
    }
    for (size_t i = 0; i < contexts->count; i++)
        contexts->items[i] = context_free(contexts->items[i]);
    (void)pthread_cond_destroy(&contexts->answered);
    (void)pthread_cond_destroy(&contexts->changed);
    (void)pthread_mutex_destroy(&contexts->lock);
    free(contexts);
    return NULL;
}

static void contexts_freep(Contexts **contexts) {
    *contexts = contexts_free(*contexts);
}

static const OperationOwner owner = {.done = operation_done,
                                     .parked = operation_parked,
                                     .unparked = operation_unparked,
                                     .is_peer_there = operation_has_peer};

int contexts_new(Contexts **out, nng_socket socket, Service *service, Transport transport) {
    OWN(contexts_freep) Contexts *contexts = calloc(1, sizeof *contexts);
    if (contexts == NULL)
        return -ENOMEM;
    contexts->socket = socket;
    contexts->shared = (MessageContext){.service = service, .transport = transport, .owner = &owner};
    (void)pthread_mutex_init(&contexts->lock, NULL);
    (void)pthread_cond_init(&contexts->answered, NULL);
    int error = clock_condition_init(&contexts->changed);
    if (error == 0)
        error = -pthread_create(&contexts->sender, NULL, run_sender, contexts);
    if (error != 0)
        return error;
    contexts->has_sender = true;
    error = add_context(contexts);
    if (error != 0)
        return error;
    *out = steal(&contexts);
    return 0;
}
