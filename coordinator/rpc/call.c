/* Counts, the list of a connection's calls, and what the service tells of them. */
#include "rpc/call.h"

#include <string.h>

/* ---- answers ---- */

bool call_append_answer(Call *call) {
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

void call_end(Call *call) {
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
    c->lists -= call->is_list;
    all->lists -= call->is_list;
    if (all->paused > 0) {
        all->must_resume = true;
        connections_tell_sender(all);
    }
    connections_note_rest(all);
    (void)pthread_mutex_unlock(&all->lock);
    buffer_deinit(&call->message.refusal);
    free(call);
    connection_release(c);
}

/* Without its answer a peer would wait in vain: better it hears that the connection is gone. */
static void answer(Call *call) {
    Connection *c = call->connection;
    (void)pthread_mutex_lock(&c->all->lock);
    bool is_appended = call_append_answer(call);
    (void)pthread_mutex_unlock(&c->all->lock);
    if (!is_appended)
        connection_close(c);
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
        connections_tell_sender(all);
    (void)pthread_mutex_unlock(&all->lock);
}

const OperationOwner call_owner = {.done = operation_done,
                                   .parked = operation_parked,
                                   .unparked = operation_unparked,
                                   .is_peer_there = operation_has_peer};

/* ---- a new one ---- */

/* A place for one more call; false: there is none, and the reader pauses. */
static bool admit(Call *call) {
    Connection *c = call->connection;
    Connections *all = c->all;
    (void)pthread_mutex_lock(&all->lock);
    bool is_admitted = connection_has_room(c);
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

/* As if each under way were as long as may be; where that is too much, it is brief. What nobody reads leaves no room for more
 * of it, and for nothing else. False: it is answered so. */
static bool admit_list(Call *call) {
    Connection *c = call->connection;
    Connections *all = c->all;
    Operation *op = call->message.op;
    if (!operation_lists(op))
        return true;
    (void)pthread_mutex_lock(&all->lock);
    call->is_list = all->unsent < RPC_UNSENT_MAX;
    op->is_brief = all->unsent + all->lists * RPC_ANSWER_MAX >= RPC_UNSENT_MAX;
    c->lists += call->is_list;
    all->lists += call->is_list;
    (void)pthread_mutex_unlock(&all->lock);
    if (!call->is_list)
        service_refuse(op, OUTCOME_STORE_UNAVAILABLE, NULL,
                       "lists that were asked for and are not read yet fill the memory for lists: repeat in a moment");
    return call->is_list;
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

CallStart call_start(Connection *c, Slice message) {
    Call *call = calloc(1, sizeof *call);
    Slice trace = SLICE_ABSENT;
    if (call == NULL || !sp_split_trace(&message, &trace)) {
        free(call);
        return CALL_MALFORMED;
    }
    call->connection = c;
    call->trace_len = trace.len;
    memcpy(call->trace, trace.ptr, trace.len);
    message_init(&call->message);
    if (!admit(call)) {
        free(call);
        return CALL_NO_ROOM;
    }
    if (message_open(&call->message, &c->all->shared, message, slice_of(c->address), call) || !admit_list(call)) {
        answer(call);
        call_end(call);
    } else {
        submit(call);
    }
    return CALL_STARTED;
}
