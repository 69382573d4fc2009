/* What is kept long enough goes, in one round trip: the oldest of the history, of the requests that are over, and the notes
 * of coordinators that are no more. */
#include <limits.h>

#include "base/failpoint.h"
#include "store/postgres.h"

static int send_prune(PostgresStore *s, PostgresStatement id, int64_t before_ms, int64_t budget) {
    arguments_clear(&s->arguments);
    arguments_add_number(&s->arguments, before_ms);
    arguments_add_number(&s->arguments, budget);
    return postgres_send(s, id, &s->arguments);
}

static int receive_count(PostgresStore *s, int64_t *count) {
    OWN(postgres_clearp) PGresult *rows = NULL;
    int r = postgres_receive(s, &rows);
    if (r == 0)
        *count = column_read_number(rows, 0, 0);
    return r;
}

int postgres_prune(Store *store, int64_t events_before_ms, int64_t requests_before_ms, size_t budget) {
    PostgresStore *s = postgres_store(store);
    int64_t most = budget < INT_MAX ? (int64_t)budget : INT_MAX, events = 0, requests = 0;
    int r = postgres_ensure_connection(s);
    if (r == 0)
        r = send_prune(s, PG_PRUNE_EVENTS, events_before_ms, most);
    if (r == 0)
        r = send_prune(s, PG_PRUNE_REQUESTS, requests_before_ms, most);
    if (r == 0)
        r = postgres_send_bare(s, PG_PRUNE_WRITERS);
    if (r == 0)
        r = postgres_send_bare(s, PG_PRUNE_COORDINATORS);
    if (r == 0)
        r = postgres_sync(s);
    if (r == 0)
        r = receive_count(s, &events);
    if (r == 0)
        r = receive_count(s, &requests);
    if (r == 0)
        r = postgres_finish(s);
    FAILPOINT("pruned");
    return r != 0 || events >= most || requests >= most ? r : STORE_DONE;
}
