/* The sender thread, and what is done with all connections. */
#include "rpc/connections.h"

#include <assert.h>
#include <errno.h>

#include "rpc/call.h"
#include "rpc/reader.h"

/* ---- the sender thread ---- */

/* Answers in the order they came, appended together, sent together. */
static void send_answers(Connections *all, Operation *first) {
    (void)pthread_mutex_lock(&all->lock);
    for (const Operation *op = first; op != NULL; op = op->next) {
        Call *call = op->call;
        call->is_unanswerable = !call_append_answer(call);
    }
    (void)pthread_mutex_unlock(&all->lock);
    for (const Operation *op = first; op != NULL; op = op->next) {
        const Call *call = op->call;
        if (call->is_unanswerable)
            connection_close(call->connection);
        connection_send(call->connection);
    }
    for (Operation *op = first, *next; op != NULL; op = next) {
        next = op->next;
        call_end(op->call);
    }
}

/* Lock held: those whose reader may go on, or has to end. */
static Connection *take_resumed(Connections *all) {
    Connection *resumed = NULL;
    all->must_resume = false;
    for (Connection *c = all->first; all->paused > 0 && c != NULL; c = c->next) {
        if (!c->is_paused || !(c->is_closed || connection_has_room(c)))
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
        connection_release(c);
    else
        reader_go_on(c);
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
            connection_bury(dead);
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
    all->shared = (MessageContext){.service = service, .transport = transport, .owner = &call_owner};
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
        connection_close(open);
        connection_release(open);
        (void)pthread_mutex_lock(&all->lock);
    }
    all->is_stopping = true;
    connections_tell_sender(all);
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
