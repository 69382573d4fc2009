/* A PostgreSQL server of the test's own (tests/postgres/server). Whatever goes wrong with it ends the test program. */
#pragma once

#include <libpq-fe.h>
#include <sys/types.h>

typedef struct PostgresServer {
    pid_t pid;
    int input; /* it runs until this is closed */
    char folder[200];
    int port;
} PostgresServer;

void postgres_server_start(PostgresServer *server);
void postgres_server_stop(PostgresServer *server);
/* The URL of a database over its socket; valid until the next call. */
const char *postgres_server_url(const PostgresServer *server, const char *database);
/* The test's own session with it. */
PGconn *postgres_server_connect(const PostgresServer *server, const char *database);
/* Runs a statement; the first value of its result, "" when there is none. Valid until the next call. */
const char *postgres_run(PGconn *connection, const char *sql);
