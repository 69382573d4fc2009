/*
 * Connecting, of several hosts to the one that will do: all are asked at once, and the first that is found good is taken.
 * libpq asks one after the other and gives each its whole connect_timeout, which after a failover is spent on the machine
 * that is gone, each time. What libpq would have to make up a host for (an empty name) is left to it, and so is one host.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/postgres.h"

#define DEFAULT_PORT "5432"
#define PARAMETERS_MAX 16

typedef struct Parameters {
    const char *names[PARAMETERS_MAX], *values[PARAMETERS_MAX]; /* up to a name that is NULL */
    int count;
} Parameters;

typedef struct List { /* a value with commas, in its pieces */
    const char *pieces[STORE_HOSTS_MAX];
    size_t count; /* as many as there are */
    bool has_empty;
} List;

typedef struct Hosts {
    List names, addresses, ports;
    size_t count;
    int64_t patience_ms;
} Hosts;

typedef struct Attempt {
    PGconn *connection;
    PostgresPollingStatusType wants;
} Attempt;

static void add(Parameters *p, const char *name, const char *value) {
    p->names[p->count] = name;
    p->values[p->count++] = value;
}

/* What the URL leaves open stands before it, what it must not change behind it. */
static Parameters parameters_of(const char *url) {
    static const struct {
        const char *name, *value;
    } defaults[] = {
        {"connect_timeout", TEXT_OF(STORE_CONNECT_SECONDS)},
        {"keepalives_idle", "5"},
        {"keepalives_interval", "2"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", TEXT_OF(STORE_UNHEARD_MS)},
        {"target_session_attrs", "read-write"},
        {"fallback_application_name", "stack-coordinator"},
    };
    Parameters p = {.count = 0};
    for (size_t i = 0; i < COUNT_OF(defaults); i++)
        add(&p, defaults[i].name, defaults[i].value);
    add(&p, "dbname", url);
    add(&p, "client_encoding", "UTF8");
    return p;
}

/* ---- which hosts ---- */

static char *value_of(PQconninfoOption *parts, const char *name) {
    for (PQconninfoOption *part = parts; part->keyword != NULL; part++)
        if (strcmp(part->keyword, name) == 0)
            return part->val;
    return NULL;
}

static List split(char *value) {
    List list = {.count = 0};
    for (char *piece; (piece = strsep(&value, ",")) != NULL; list.count++) {
        list.has_empty |= *piece == '\0';
        if (list.count < STORE_HOSTS_MAX)
            list.pieces[list.count] = piece;
    }
    return list;
}

static bool fits(const List *list, size_t count) {
    return list->count == 0 || (list->count == count && !list->has_empty);
}

/* The pieces are those of `parts`. False: it is one, or none that can be told apart here. */
static bool find_hosts(PQconninfoOption *parts, Hosts *out) {
    const char *seconds = value_of(parts, "connect_timeout");
    *out = (Hosts){.names = split(value_of(parts, "host")),
                   .addresses = split(value_of(parts, "hostaddr")),
                   .ports = split(value_of(parts, "port")),
                   .patience_ms = (seconds != NULL ? atoi(seconds) : STORE_CONNECT_SECONDS) * 1000LL};
    out->count = out->names.count > 0 ? out->names.count : out->addresses.count;
    return out->count > 1 && out->count <= STORE_HOSTS_MAX && fits(&out->names, out->count) &&
           fits(&out->addresses, out->count) && (out->ports.count <= 1 || out->ports.count == out->count);
}

/* ---- all of them at once ---- */

static void start(Attempt *attempt, const char *url, const Hosts *hosts, size_t i) {
    Parameters p = parameters_of(url);
    if (hosts->names.count > 0)
        add(&p, "host", hosts->names.pieces[i]);
    if (hosts->addresses.count > 0)
        add(&p, "hostaddr", hosts->addresses.pieces[i]);
    if (hosts->ports.count > 1)
        add(&p, "port", *hosts->ports.pieces[i] != '\0' ? hosts->ports.pieces[i] : DEFAULT_PORT);
    attempt->connection = PQconnectStartParams(p.names, p.values, 1);
    bool has_begun = attempt->connection != NULL && PQstatus(attempt->connection) != CONNECTION_BAD;
    attempt->wants = has_begun ? PGRES_POLLING_WRITING : PGRES_POLLING_FAILED;
}

static bool is_under_way(const Attempt *attempt) {
    return attempt->wants == PGRES_POLLING_READING || attempt->wants == PGRES_POLLING_WRITING;
}

static PGconn *keep(Attempt *attempt) {
    PGconn *connection = attempt->connection;
    attempt->connection = NULL;
    return connection;
}

/* The one that is ready; NULL: none yet. */
static PGconn *go_on(Attempt *attempts, size_t count, int64_t patience_ms) {
    struct pollfd fds[STORE_HOSTS_MAX];
    for (size_t i = 0; i < count; i++)
        fds[i] = (struct pollfd){
            .fd = is_under_way(&attempts[i]) ? PQsocket(attempts[i].connection) : -1,
            .events = attempts[i].wants == PGRES_POLLING_READING ? POLLIN : POLLOUT,
        };
    if (poll(fds, count, (int)patience_ms) <= 0)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (fds[i].revents != 0)
            attempts[i].wants = PQconnectPoll(attempts[i].connection);
        if (attempts[i].wants == PGRES_POLLING_OK)
            return keep(&attempts[i]);
    }
    return NULL;
}

static bool is_any_under_way(const Attempt *attempts, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (is_under_way(&attempts[i]))
            return true;
    return false;
}

static PGconn *first_ready(Attempt *attempts, size_t count, int64_t patience_ms) {
    const Clock *clock = clock_system(); /* it bounds a real wait, whatever time a test plays */
    int64_t until_ms = clock_boot_ms(clock) + patience_ms, left_ms = patience_ms;
    PGconn *ready = NULL;
    while (ready == NULL && left_ms > 0 && is_any_under_way(attempts, count)) {
        ready = go_on(attempts, count, left_ms);
        left_ms = until_ms - clock_boot_ms(clock);
    }
    return ready;
}

static void say_why(const Attempt *attempt, char *reason, size_t size) {
    size_t length = strlen(reason);
    if (!is_under_way(attempt))
        (void)snprintf(reason + length, size - length, "%s", PQerrorMessage(attempt->connection));
    else
        (void)snprintf(reason + length, size - length, "%s does not answer\n", PQhost(attempt->connection));
}

static PGconn *open_first(const char *url, const Hosts *hosts, char *reason, size_t size) {
    Attempt attempts[STORE_HOSTS_MAX];
    for (size_t i = 0; i < hosts->count; i++)
        start(&attempts[i], url, hosts, i);
    PGconn *ready = first_ready(attempts, hosts->count, hosts->patience_ms);
    reason[0] = '\0';
    for (size_t i = 0; i < hosts->count; i++) {
        if (ready == NULL)
            say_why(&attempts[i], reason, size);
        PQfinish(attempts[i].connection);
    }
    return ready;
}

/* ---- */

static PGconn *open_one(const char *url, char *reason, size_t size) {
    Parameters p = parameters_of(url);
    PGconn *connection = PQconnectdbParams(p.names, p.values, 1);
    if (PQstatus(connection) == CONNECTION_OK)
        return connection;
    (void)snprintf(reason, size, "%s", PQerrorMessage(connection));
    PQfinish(connection);
    return NULL;
}

PGconn *postgres_open_connection(const char *url, char *reason, size_t size) {
    Hosts hosts;
    PQconninfoOption *parts = PQconninfoParse(url, NULL);
    PGconn *connection = parts != NULL && find_hosts(parts, &hosts) ? open_first(url, &hosts, reason, size)
                                                                    : open_one(url, reason, size);
    PQconninfoFree(parts);
    return connection;
}
