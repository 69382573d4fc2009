/*
 * Every statement of the PostgreSQL engine. Those that save are made from the lists of columns; of the others only the
 * columns are, where a name stands in braces:
 *
 *     {project} p.*   {stack} s.*   {request} r.*   {key} k.*   {event} e.*     as columns_read expects them
 *     {wants}         what is asked for, one row a want w, and `at`, which one it is; {renewals} and {calls}: likewise, v
 *
 * The states written as numbers are those of the partial indexes in postgres_schema/: a statement finds such an index only
 * if it repeats its condition word for word.
 *
 * Plans are made once, perhaps while the tables are empty and nothing is known of them, and the wrong index with a filter
 * then costs the same as the right one. So each load asks for an order that one index alone has, and sessions may not
 * sort (postgres_connection.c): there is nothing to choose. An order by a column that equals a constant would be none,
 * hence IS. tests/contract/test_postgres.c looks at the plans. The wants are gone through one by one, so the rows of one
 * come together and in its order.
 */
#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "store/postgres.h"

_Static_assert(STACK_AVAILABLE == 0 && STACK_DIRTY == 2 && STACK_RETIRING == 4 && REQUEST_QUEUED == 0 &&
                   REQUEST_OVER == 2,
               "the texts below and the schema's indexes say so");

typedef enum Form { FORM_TEXT, FORM_INSERT, FORM_UPDATE, FORM_DELETE } Form;

typedef struct Statement {
    Form form;
    const Table *table; /* of what is saved */
    const char *text;   /* FORM_TEXT */
} Statement;

/* Equal, said so that an order by the column is no order by a constant. */
#define IS(column, value) column " >= " value " AND " column " <= " value
#define FREE "s.state = 0 AND s.quiet_until_ms = 0"
/* The first rows of an order, for each want. */
#define FIRST_STACKS(condition, order)                                                                                 \
    {                                                                                                                  \
        .text = "SELECT w.at, {stack} FROM {wants} CROSS JOIN LATERAL (SELECT * FROM stack s WHERE "                   \
                "s.project = w.project AND " condition " ORDER BY " order " LIMIT w.most) s"                           \
    }
#define FIRST_REQUESTS(condition, order)                                                                               \
    {                                                                                                                  \
        .text = "SELECT w.at, {request} FROM {wants} CROSS JOIN LATERAL (SELECT * FROM request r WHERE "               \
                "r.project = w.project AND " condition " ORDER BY " order " LIMIT w.most) r"                           \
    }
#define WAITING IS("r.purpose", "w.purpose") " AND r.state = 0 AND r.is_heard"
#define WATCHED "(s.quiet_until_ms <> 0 OR (s.ticket <> 0 AND (s.lease_seconds > 0 OR NOT s.is_collected)))"
/* More numbers than a project may have stacks: at most so many are used from the first unused one on. */
#define NUMBERS_LOOKED_AT "2000000"

static const Statement statements[PG_STATEMENT_COUNT] = {
    /* Whether it may write is the server's to say: by default_transaction_read_only an admin takes that back. */
    [PG_BEGIN] = {.text = "BEGIN ISOLATION LEVEL READ COMMITTED"},
    [PG_COMMIT] = {.text = "COMMIT"},
    [PG_ROLLBACK] = {.text = "ROLLBACK"},
    /* In one order everywhere, so nobody waits in a circle. */
    [PG_LOCK_PROJECTS] = {.text = "SELECT {project} FROM project p WHERE p.name = ANY ($1::text[]) ORDER BY p.name "
                                  "FOR NO KEY UPDATE"},
    [PG_LOCK_NAME] = {.text = "SELECT pg_advisory_xact_lock($1::bigint::integer, hashtext($2::text))"},

    [PG_LOAD_STACK_BY_NUMBER] = FIRST_STACKS(IS("s.number", "w.number"), "s.number"),
    [PG_LOAD_STACK_HIGHEST] = FIRST_STACKS("s.state <> 4", "s.number DESC"),
    [PG_LOAD_FREE_ON_BRANCH] =
        FIRST_STACKS(IS("s.branch", "w.text1") " AND " FREE, "s.branch, s.requested DESC, s.number DESC"),
    [PG_LOAD_FREE_AT_COMMIT] = FIRST_STACKS(
        "s.branch = w.text1 AND " IS("s.last_commit", "w.text2") " AND " FREE " AND NOT s.is_content_unknown",
        "s.last_commit, s.requested DESC, s.number DESC"),
    [PG_LOAD_FREE_OLDEST] = FIRST_STACKS(FREE, "s.requested, s.number"),
    [PG_LOAD_DIRTY_OLDEST] = FIRST_STACKS("s.state = 2 AND s.quiet_until_ms = 0", "s.dirty_since"),
    [PG_LOAD_QUEUE] = FIRST_REQUESTS(WAITING, "r.purpose, r.ticket"),
    [PG_LOAD_QUEUED_BEFORE] = {.text = "SELECT w.at, (SELECT count(*) FROM (SELECT 1 FROM request r WHERE "
                                       "r.project = w.project AND " WAITING " AND r.ticket < w.number "
                                       "ORDER BY r.purpose, r.ticket) q) FROM {wants}"},
    /* The series is made as it is looked at: what is read are the used numbers before the last one found. */
    [PG_LOAD_NUMBERS_UNUSED] =
        {.text = "SELECT w.at, n.number FROM {wants} CROSS JOIN LATERAL (SELECT g.number FROM "
                 "(SELECT generate_series(f.first, f.first + " NUMBERS_LOOKED_AT ") AS number FROM (SELECT coalesce("
                 "(SELECT p.first_unused FROM project p WHERE p.name = w.project), 1) AS first) f) g "
                 "WHERE (SELECT s.number FROM stack s WHERE s.project = w.project AND " IS(
                     "s.number", "g.number") " ORDER BY s.number LIMIT 1) IS NULL LIMIT w.most) n"},
    [PG_LOAD_REQUEST_BY_ID] = FIRST_REQUESTS(IS("r.request_id", "w.text1"), "r.request_id"),
    [PG_LOAD_REQUEST_BY_TICKET] = FIRST_REQUESTS(IS("r.ticket", "w.number"), "r.ticket"),
    [PG_LOAD_KEY_BY_ID] = {.text = "SELECT w.at, {key} FROM {wants} JOIN api_key k ON k.id = w.text1"},
    [PG_LOAD_KEYS] = {.text = "SELECT w.at, {key} FROM {wants} CROSS JOIN LATERAL (SELECT * FROM api_key k WHERE "
                              "k.project = w.project ORDER BY k.created_ms, k.id LIMIT w.most) k"},

    [PG_PROJECT_INSERT] = {FORM_INSERT, &postgres_projects, NULL},
    [PG_PROJECT_UPDATE] = {FORM_UPDATE, &postgres_projects, NULL},
    [PG_STACK_INSERT] = {FORM_INSERT, &postgres_stacks, NULL},
    [PG_STACK_UPDATE] = {FORM_UPDATE, &postgres_stacks, NULL},
    [PG_STACK_DELETE] = {FORM_DELETE, &postgres_stacks, NULL},
    [PG_REQUEST_INSERT] = {FORM_INSERT, &postgres_requests, NULL},
    [PG_REQUEST_UPDATE] = {FORM_UPDATE, &postgres_requests, NULL},
    [PG_KEY_INSERT] = {FORM_INSERT, &postgres_keys, NULL},
    [PG_KEY_UPDATE] = {FORM_UPDATE, &postgres_keys, NULL},
    [PG_KEY_DELETE] = {FORM_DELETE, &postgres_keys, NULL},
    [PG_KEY_USED] = {.text = "UPDATE api_key SET last_used_ms = $2::bigint WHERE id = $1::text"},
    [PG_EVENT_INSERT] = {FORM_INSERT, &postgres_events, NULL},
    [PG_WRITER_NOTE] = {.text = "INSERT INTO writer (project, id, number, written_by, written_at) "
                                "SELECT p, $2::text, $3::bigint, pg_current_xact_id()::text::bigint, clock_timestamp() "
                                "FROM unnest($1::text[]) AS u(p) ON CONFLICT (project, id) "
                                "DO UPDATE SET number = excluded.number, written_by = excluded.written_by, "
                                "written_at = excluded.written_at"},
    [PG_WRITER_NUMBER] = {.text = "SELECT number FROM writer WHERE project = $1::text AND id = $2::text"},

    [PG_FIND_PROJECT] = {.text = "SELECT {project} FROM project p WHERE p.name = $1::text"},
    [PG_FIND_KEY] = {.text = "SELECT {key}, {project} FROM api_key k JOIN project p ON p.name = k.project "
                             "WHERE k.id = $1::text AND NOT p.is_deleted"},

    /* Lists: $1 project, $2 after, $3 how many (NULL: all), $4 the stack's name. */
    [PG_LIST_STACKS] = {.text = "SELECT {stack} FROM stack s WHERE s.project = $1::text AND s.number > $2::bigint "
                                "ORDER BY s.number LIMIT $3::bigint"},
    [PG_LIST_QUEUE] = {.text = "SELECT {request} FROM request r WHERE r.project = $1::text AND r.ticket > $2::bigint "
                               "AND r.state = 0 ORDER BY r.ticket LIMIT $3::bigint"},
    [PG_LIST_EVENTS] = {.text = "SELECT {event} FROM event e WHERE e.project = $1::text AND e.id > $2::bigint "
                                "ORDER BY e.id LIMIT $3::bigint"},
    [PG_LIST_EVENTS_BACKWARDS] = {.text = "SELECT {event} FROM event e WHERE e.project = $1::text AND "
                                          "e.id > $2::bigint ORDER BY e.id DESC LIMIT $3::bigint"},
    [PG_LIST_STACK_EVENTS] = {.text = "SELECT {event} FROM event e WHERE e.project = $1::text AND e.id > $2::bigint "
                                      "AND " IS("e.stack_name", "$4::text") " ORDER BY e.stack_name, e.id "
                                                                            "LIMIT $3::bigint"},
    [PG_LIST_STACK_EVENTS_BACKWARDS] = {.text =
                                            "SELECT {event} FROM event e WHERE e.project = $1::text AND "
                                            "e.id > $2::bigint AND " IS(
                                                "e.stack_name",
                                                "$4::text") " ORDER BY e.stack_name DESC, e.id DESC LIMIT $3::bigint"},
    /* … but $2 of keys is the last one of the page before (NULL: none). */
    [PG_LIST_KEYS] = {.text = "SELECT {key} FROM api_key k WHERE k.project = $1::text AND ($2::text IS NULL OR "
                              "(k.created_ms, k.id) > (SELECT a.created_ms, a.id FROM api_key a WHERE a.id = $2)) "
                              "ORDER BY k.created_ms, k.id LIMIT $3::bigint"},
    /* Of all projects: $1 the last one of the page before, $2 how many. */
    [PG_LIST_PROJECTS] = {.text = "SELECT {project} FROM project p WHERE p.name > coalesce($1::text, '') AND "
                                  "NOT p.is_deleted ORDER BY p.name LIMIT $2::bigint"},
    [PG_LIST_ALL_KEYS] = {.text = "SELECT {key} FROM api_key k WHERE $1::text IS NULL OR (k.project, k.created_ms, "
                                  "k.id) > (SELECT a.project, a.created_ms, a.id FROM api_key a WHERE a.id = $1) "
                                  "ORDER BY k.project, k.created_ms, k.id LIMIT $2::bigint"},
    [PG_LIST_WATCHED_STACKS] = {.text = "SELECT {stack}, {project} FROM stack s JOIN project p ON p.name = s.project "
                                        "WHERE " WATCHED},
    [PG_LIST_WATCHED_REQUESTS] = {.text = "SELECT {request}, {project} FROM request r JOIN project p ON "
                                          "p.name = r.project WHERE r.state = 0 ORDER BY r.project, r.ticket"},
    [PG_LIST_WATCHED_STACKS_OF] = {.text = "SELECT {stack}, {project} FROM unnest($1::text[]) AS u(name) "
                                           "JOIN project p ON p.name = u.name JOIN stack s ON s.project = p.name "
                                           "WHERE " WATCHED},
    [PG_LIST_WATCHED_REQUESTS_OF] = {.text = "SELECT {request}, {project} FROM unnest($1::text[]) AS u(name) "
                                             "JOIN project p ON p.name = u.name JOIN request r ON r.project = p.name "
                                             "WHERE r.state = 0"},
    [PG_COUNT_STACKS] = {.text = "SELECT state, count(*) FROM stack GROUP BY state"},

    /* Everything, of one moment: what is committed later is not seen. */
    [PG_DUMP_BEGIN] = {.text = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"},
    [PG_DUMP_PROJECTS] = {.text = "SELECT p.name, {project} FROM project p ORDER BY p.name"},
    [PG_DUMP_KEYS] = {.text = "SELECT k.project, {key} FROM api_key k ORDER BY k.project, k.created_ms, k.id"},
    [PG_DUMP_STACKS] = {.text = "SELECT s.project, {stack} FROM stack s ORDER BY s.project, s.number"},
    [PG_DUMP_REQUESTS] = {.text = "SELECT r.project, {request} FROM request r ORDER BY r.project, r.ticket"},
    [PG_DUMP_EVENTS] = {.text = "SELECT e.project, {event} FROM event e ORDER BY e.project, e.id"},
    /* Nobody makes a project between the look and the COMMIT; and whoever brings the rows may take his time. */
    [PG_PUT_LOCK] = {.text = "LOCK TABLE project IN SHARE ROW EXCLUSIVE MODE"},
    [PG_PUT_PATIENCE] = {.text = "SET LOCAL idle_in_transaction_session_timeout = 0"},
    [PG_PUT_CHECK] = {.text = "SELECT count(*) FROM (SELECT FROM project LIMIT 1) p"},

    /* $1: older than this; $2: how many at most. They answer how many went. What another coordinator prunes is its own. */
    [PG_PRUNE_EVENTS] =
        {.text =
             "WITH gone AS (DELETE FROM event e USING (SELECT project, id FROM event WHERE "
             "at_ms < $1::bigint ORDER BY at_ms LIMIT $2::bigint FOR UPDATE SKIP LOCKED) o WHERE e.project = o.project "
             "AND e.id = o.id RETURNING 1) SELECT count(*) FROM gone"},
    [PG_PRUNE_REQUESTS] = {.text = "WITH gone AS (DELETE FROM request r USING (SELECT project, ticket FROM request "
                                   "WHERE state = 2 AND ended_ms < $1::bigint ORDER BY ended_ms LIMIT $2::bigint "
                                   "FOR UPDATE SKIP LOCKED) o "
                                   "WHERE r.project = o.project AND r.ticket = o.ticket RETURNING 1) "
                                   "SELECT count(*) FROM gone"},
    /* Of a server whose dump this was, too: transactions that none has begun here. */
    [PG_PRUNE_WRITERS] =
        {.text = "DELETE FROM writer w USING (SELECT project, id, written_by FROM writer WHERE "
                 "written_at < clock_timestamp() - interval '1 day' OR "
                 "written_by >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint) o WHERE w.project = o.project "
                 "AND w.id = o.id AND w.written_by = o.written_by"},
    [PG_PRUNE_COORDINATORS] = {.text =
                                   "DELETE FROM coordinator WHERE beat_at < clock_timestamp() - interval '10 minutes'"},

    /* What a crash of the server may forget: a renewal of the last moment, a sign of life, a hint. */
    [PG_LAZILY] = {.text = "SELECT set_config('synchronous_commit', 'off', true)"},
    /* Without the project's lock. Whose row somebody is at is left out, so it waits for nobody, and nobody in a circle. */
    [PG_RENEW] = {.text = "WITH due AS (SELECT v.at, s.project, s.number FROM {renewals} "
                          "CROSS JOIN LATERAL (SELECT * FROM stack t WHERE "
                          "t.project = v.project AND t.number = v.number AND t.ticket = v.ticket AND "
                          "t.generation = v.generation AND t.is_collected AND t.lease_seconds >= v.seconds "
                          "FOR NO KEY UPDATE SKIP LOCKED) s) UPDATE stack t SET renewals = t.renewals + 1 FROM due "
                          "WHERE t.project = due.project AND t.number = due.number RETURNING due.at, t.renewals"},
    [PG_BEAT] = {.text = "INSERT INTO coordinator (id, beats, program, beat_at) VALUES ($1::bigint, 1, $2::text, "
                         "clock_timestamp()) ON CONFLICT (id) DO UPDATE SET beats = coordinator.beats + 1, "
                         "beat_at = excluded.beat_at"},
    /* Those that live first: what a failing start leaves, again and again, takes nobody's place. */
    [PG_BEATS] = {.text =
                      "SELECT c.id, c.beats, (c.id & 2147483647) <> ALL (ARRAY(SELECT l.objid::bigint FROM pg_locks l "
                      "WHERE l.locktype = 'advisory' AND l.classid = $2::bigint::oid)) AS has_ended FROM coordinator c "
                      "WHERE c.id <> $1::bigint ORDER BY has_ended, c.beat_at DESC LIMIT " TEXT_OF(NEIGHBOURS_MAX)},
    [PG_HORIZON] = {.text = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, "
                            "current_setting('synchronous_standby_names') <> '', "
                            "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"},
    [PG_CHANGED] = {.text = "SELECT w.project FROM writer w WHERE w.written_by >= $1::bigint AND w.id <> $2::text"},
    [PG_CALL] = {.text = "SELECT pg_notify('" POSTGRES_CHANNEL
                         "' || v.heard_at, v.ticket || ' ' || v.stack_number || ' ' || "
                         "v.project) FROM {calls}"},
};

/* ---- making the texts ---- */

static void add_columns(Buffer *out, const char *alias, const Table *table) {
    for (size_t i = 0; i < table->column_count; i++)
        buffer_printf(out, "%s%s.%s", i > 0 ? ", " : "", alias, table->columns[i].name);
}

/* "project, number, …": what a saved row has. */
static void add_names(Buffer *out, const Table *table, const char *before) {
    if (table->belongs_to_project)
        buffer_printf(out, "%sproject", before);
    for (size_t i = 0; i < table->column_count; i++)
        buffer_printf(out, "%s%s%s", i > 0 || table->belongs_to_project ? ", " : "", before, table->columns[i].name);
}

static void add_unnest(Buffer *out, const Table *table) {
    buffer_printf(out, "unnest($1::%s[])", table->row_type);
}

static void add_asked(Buffer *out, const Table *table) {
    add_unnest(out, table);
    buffer_printf(out, " WITH ORDINALITY AS %s(", table->name);
    add_names(out, table, "");
    buffer_add_text(out, ", at)");
}

static void add_insert(Buffer *out, const Table *table) {
    buffer_printf(out, "INSERT INTO %s (", table->name);
    add_names(out, table, "");
    buffer_add_text(out, ") SELECT ");
    add_names(out, table, "v.");
    buffer_add_text(out, " FROM ");
    add_unnest(out, table);
    buffer_add_text(out, " AS v");
}

/* Which of the rows, v. They are those that were loaded, or the division by zero fails and COMMIT with it: a row that is not
 * found is no error of its own. A guard "loaded_x" is for column x. */
static void add_guard(Buffer *out, const Table *table) {
    add_unnest(out, table);
    buffer_add_text(out, " AS v WHERE true");
    if (table->belongs_to_project)
        buffer_add_text(out, " AND t.project = v.project");
    for (size_t i = 0; i < table->key_count; i++)
        buffer_printf(out, " AND t.%s = v.%s", table->columns[i].name, table->columns[i].name);
    for (size_t i = 0; i < table->guard_count; i++) {
        const char *guard = table->columns[table->column_count + i].name;
        if (table->columns[table->column_count + i].kind == COLUMN_GUARD)
            buffer_printf(out, " AND (v.%s IS NULL OR t.%s = v.%s)", guard, guard + strlen("loaded_"), guard);
        else
            buffer_printf(out, " AND t.%s = v.%s", guard + strlen("loaded_"), guard);
    }
    buffer_add_text(out, " RETURNING 1) SELECT 1 / CASE WHEN (SELECT count(*) FROM saved) = cardinality($1) "
                         "THEN 1 ELSE 0 END");
}

static void add_update(Buffer *out, const Table *table) {
    buffer_printf(out, "WITH saved AS (UPDATE %s t SET ", table->name);
    for (size_t i = table->key_count; i < table->column_count; i++) {
        const char *name = table->columns[i].name;
        buffer_printf(out, "%s%s = ", i > table->key_count ? ", " : "", name);
        if (table->columns[i].kind == COLUMN_GROWTH)
            buffer_printf(out, "t.%s + ", name);
        buffer_printf(out, "v.%s", name);
    }
    buffer_add_text(out, " FROM ");
    add_guard(out, table);
}

static void add_delete(Buffer *out, const Table *table) {
    buffer_printf(out, "WITH saved AS (DELETE FROM %s t USING ", table->name);
    add_guard(out, table);
}

static void add_named(Buffer *out, Slice name) {
    static const struct {
        const char *name, *alias;
        const Table *table;
    } lists[] = {
        {"project", "p", &postgres_projects}, {"stack", "s", &postgres_stacks}, {"request", "r", &postgres_requests},
        {"key", "k", &postgres_keys},         {"event", "e", &postgres_events},
    };
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        if (slice_equal_text(name, lists[i].name)) {
            add_columns(out, lists[i].alias, lists[i].table);
            return;
        }
    add_asked(out, slice_equal_text(name, "wants")      ? &postgres_wants
                   : slice_equal_text(name, "renewals") ? &postgres_renewals
                                                        : &postgres_calls);
}

static void add_text(Buffer *out, Slice text) {
    Slice before;
    while (slice_split(&text, '{', &before)) {
        Slice name;
        buffer_add_slice(out, before);
        bool is_closed = slice_split(&text, '}', &name);
        assert(is_closed);
        (void)is_closed;
        add_named(out, name);
    }
    buffer_add_slice(out, text);
}

void postgres_statement_text(PostgresStatement id, Buffer *out) {
    const Statement *statement = &statements[id];
    switch (statement->form) {
    case FORM_TEXT:
        assert(statement->text != NULL);
        add_text(out, slice_of(statement->text));
        break;
    case FORM_INSERT:
        add_insert(out, statement->table);
        break;
    case FORM_UPDATE:
        add_update(out, statement->table);
        break;
    case FORM_DELETE:
        add_delete(out, statement->table);
        break;
    }
}
