#include "contract/postgres_server.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void give_up(const char *doing, const char *why) {
    (void)fprintf(stderr, "a server for this test: %s: %s\n", doing, why);
    abort();
}

static void run_script(int input, int output) {
    (void)dup2(input, STDIN_FILENO);
    (void)dup2(output, STDOUT_FILENO);
    (void)execl(SOURCE_DIR "/tests/postgres/server", "server", (char *)NULL);
    _exit(127);
}

void postgres_server_start(PostgresServer *server) {
    int input[2], output[2];
    if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0)
        give_up("a pipe", "none left");
    server->pid = fork();
    if (server->pid == 0)
        run_script(input[0], output[1]);
    (void)close(input[0]);
    (void)close(output[1]);
    server->input = input[1];
    FILE *lines = fdopen(output[0], "r");
    if (lines == NULL || fscanf(lines, "%199s %d", server->folder, &server->port) != 2)
        give_up("starting", "it says above why");
    (void)fclose(lines);
}

void postgres_server_stop(PostgresServer *server) {
    (void)close(server->input);
    (void)waitpid(server->pid, NULL, 0);
}

const char *postgres_server_url(const PostgresServer *server, const char *database) {
    static char url[512];
    (void)snprintf(url, sizeof url, "postgres://postgres@/%s?host=%s&port=%d", database, server->folder, server->port);
    return url;
}

PGconn *postgres_server_connect(const PostgresServer *server, const char *database) {
    PGconn *connection = PQconnectdb(postgres_server_url(server, database));
    if (PQstatus(connection) != CONNECTION_OK)
        give_up("connecting", PQerrorMessage(connection));
    return connection;
}

const char *postgres_run(PGconn *connection, const char *sql) {
    static char value[1024];
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        give_up(sql, PQerrorMessage(connection));
    (void)snprintf(value, sizeof value, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return value;
}
