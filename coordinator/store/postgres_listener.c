/*
 * Others' calls, on a session and a thread of their own: NOTIFY for this coordinator's channel. A session that is lost is
 * made anew; what was told meanwhile a look finds.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/limits.h"
#include "store/postgres.h"

typedef struct PostgresListener {
    pthread_t thread;
    int stop; /* eventfd */
    const char *url;
    int64_t coordinator;
    void (*on_call)(void *arg, const StoreCall *call);
    void *arg;
    int64_t backoff_ms;
} Listener;

/* Until there is something to read, or it is time; true: the end. */
static bool wait_for(const Listener *l, int fd, int64_t patience_ms) {
    struct pollfd fds[] = {{.fd = l->stop, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    (void)poll(fds, fd >= 0 ? 2 : 1, (int)patience_ms);
    return fds[0].revents != 0;
}

/* One number of a text and the blank behind it; 0: that is not there. */
static int64_t read_number(const char **text) {
    char *end = NULL;
    errno = 0;
    long long number = strtoll(*text, &end, 10);
    bool is_number = errno == 0 && number > 0 && *end == ' ';
    *text = is_number ? end + 1 : end;
    return is_number ? number : 0;
}

/* "TICKET STACK PROJECT"; what is not like that nobody here sent. */
static void hear(const Listener *l, const char *text) {
    StoreCall call = {.ticket = read_number(&text)};
    if (call.ticket != 0)
        call.stack_number = read_number(&text);
    call.project = slice_of(text);
    if (call.stack_number != 0)
        l->on_call(l->arg, &call);
}

static void hear_all(const Listener *l, PGconn *connection) {
    PGnotify *told;
    while ((told = PQnotifies(connection)) != NULL) {
        hear(l, told->extra);
        PQfreemem(told);
    }
}

/* A session that listens; NULL: not now. */
static PGconn *begin(const Listener *l) {
    char reason[STORE_REASON_SIZE]; /* the looks tell it */
    PGconn *connection = postgres_open_connection(l->url, reason, sizeof reason);
    if (connection == NULL)
        return NULL;
    char text[64];
    (void)snprintf(text, sizeof text, "LISTEN " POSTGRES_CHANNEL "%lld", (long long)l->coordinator);
    int r = PQsendQuery(connection, text) == 1 ? postgres_await(connection, STORE_ANSWER_MS) : -EIO;
    PGresult *listening = r == 0 ? PQgetResult(connection) : NULL;
    bool is_listening = PQresultStatus(listening) == PGRES_COMMAND_OK;
    PQclear(listening);
    if (is_listening && postgres_await(connection, STORE_ANSWER_MS) == 0 && PQgetResult(connection) == NULL)
        return connection;
    PQfinish(connection);
    return NULL;
}

/* Until the session is lost (false) or the end has come (true). */
static bool listen_on(Listener *l, PGconn *connection) {
    for (;;) {
        hear_all(l, connection); /* the first ones may have come with the answer to LISTEN */
        if (wait_for(l, PQsocket(connection), -1))
            return true;
        if (PQconsumeInput(connection) == 0)
            return false;
    }
}

static void *run(void *arg) {
    Listener *l = arg;
    bool is_over = false;
    while (!is_over) {
        PGconn *connection = begin(l);
        if (connection != NULL) {
            l->backoff_ms = 0;
            is_over = listen_on(l, connection);
            PQfinish(connection);
        }
        l->backoff_ms = l->backoff_ms == 0                       ? STORE_RETRY_MIN_MS
                        : l->backoff_ms < STORE_RETRY_MAX_MS / 2 ? l->backoff_ms * 2
                                                                 : STORE_RETRY_MAX_MS;
        is_over = is_over || wait_for(l, -1, l->backoff_ms);
    }
    return NULL;
}

int postgres_listen(Store *store, void (*on_call)(void *arg, const StoreCall *call), void *arg) {
    PostgresStore *s = postgres_store(store);
    postgres_stop_listening(s);
    if (on_call == NULL)
        return 0;
    Listener *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    *l = (Listener){
        .stop = eventfd(0, EFD_CLOEXEC), .url = s->url, .coordinator = s->coordinator, .on_call = on_call, .arg = arg};
    int r = l->stop < 0 ? -errno : -pthread_create(&l->thread, NULL, run, l);
    if (r < 0) {
        if (l->stop >= 0)
            (void)close(l->stop);
        free(l);
        return r;
    }
    s->listener = l;
    return 0;
}

void postgres_stop_listening(PostgresStore *s) {
    Listener *l = s->listener;
    if (l == NULL)
        return;
    s->listener = NULL;
    (void)eventfd_write(l->stop, 1);
    (void)pthread_join(l->thread, NULL);
    (void)close(l->stop);
    free(l);
}
