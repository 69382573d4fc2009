/* The contract suite over PostgreSQL. */
#include "contract/postgres_server.h"
#include "contract/store_suite.h"

typedef struct Database {
    PostgresServer server;
    PGconn *connection;
} Database;

static int open_postgres(Store **out, void *arg) {
    Database *database = arg;
    (void)postgres_run(database->connection, "SET client_min_messages = warning; "
                                             "DROP SCHEMA IF EXISTS stack_coordinator CASCADE");
    StoreOptions options = {.url = postgres_server_url(&database->server, "postgres"), .clock = clock_system()};
    return store_open_postgres(out, &options, NULL);
}

int main(void) {
    Database database;
    postgres_server_start(&database.server);
    database.connection = postgres_server_connect(&database.server, "postgres");
    int failed = store_suite_run("store: postgres", open_postgres, NULL, &database);
    PQfinish(database.connection);
    postgres_server_stop(&database.server);
    return failed;
}
