/*
 * Every statement of the SQLite engine. Column lists stand here once; sqlite_rows.c decodes them in this order.
 *
 * The states written as numbers are those of the partial indexes in schema/: a statement finds such an index only if it
 * repeats its condition word for word.
 */
#include "store/sqlite.h"

_Static_assert(REQUEST_QUEUED == 0, "the texts below and the schema's indexes say so");

#define PROJECT_COLUMNS                                                                                                \
    "id, name, is_deleted, prefix, initial_commit, max_stacks, max_hold_seconds, expiry_grace_seconds, is_cleaning, "  \
    "lease_key, created_ms, stack_count, leased_count, first_unused, last_generation, last_ticket, last_event, "       \
    "queued_count"
#define STACK_COLUMNS                                                                                                  \
    "id, name, state, generation, quiet_until_ms, requested, branch, last_commit, is_content_unknown, requested_ms, "  \
    "created_ms, modified_ms, ticket, lease_seconds, since_ms, is_collected, purpose, dirty_since, clean_failures, "   \
    "url, note, holder, before_branch, before_requested, before_requested_ms, quiet_seconds, quiet_untold_seconds, "   \
    "quiet_ticket"
#define REQUEST_COLUMNS                                                                                                \
    "id, state, why, outcome, created_ms, ended_ms, lease_seconds, purpose, stack_number, generation, is_reused, "     \
    "from_queue, request_id, branch, commit_id, stack_name, ended_by, ended_reason, holder, is_heard, "                \
    "is_joined"
#define KEY_COLUMNS "k.id, p.name, k.scope, k.hash, k.label, k.created_ms, k.last_used_ms, k.revoked_ms"

/* Bound by bind_stack. */
#define STACK_SET                                                                                                      \
    "state = ?3, generation = ?4, quiet_until_ms = ?5, requested = ?6, branch = ?7, last_commit = ?8, "                \
    "is_content_unknown = ?9, requested_ms = ?10, created_ms = ?11, modified_ms = ?12, ticket = ?13, "                 \
    "lease_seconds = ?14, since_ms = ?15, is_collected = ?16, purpose = ?17, dirty_since = ?18, "                      \
    "clean_failures = ?19, url = ?20, note = ?21, holder = ?22, before_branch = ?26, before_requested = ?27, "         \
    "before_requested_ms = ?28, quiet_seconds = ?29, quiet_untold_seconds = ?30, quiet_ticket = ?31"

const char *const sqlite_statement_texts[STATEMENT_COUNT] = {
    [SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [SQL_COMMIT_WRITE] = "COMMIT",
    [SQL_ROLLBACK_WRITE] = "ROLLBACK",

    [SQL_PROJECT_BY_NAME] = "SELECT " PROJECT_COLUMNS " FROM project WHERE name = ?1",
    [SQL_PROJECT_BY_NUMBER] = "SELECT " PROJECT_COLUMNS " FROM project WHERE id = ?1",
    [SQL_PROJECT_INSERT] =
        "INSERT INTO project (name, is_deleted, prefix, initial_commit, max_stacks, max_hold_seconds, "
        "expiry_grace_seconds, is_cleaning, lease_key, created_ms, stack_count, leased_count, first_unused, "
        "last_generation, last_ticket, last_event, queued_count) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    /* ?1 is the id here; the rest as for SQL_PROJECT_INSERT. */
    [SQL_PROJECT_UPDATE] =
        "UPDATE project SET is_deleted = ?2, prefix = ?3, initial_commit = ?4, max_stacks = ?5, "
        "max_hold_seconds = ?6, expiry_grace_seconds = ?7, is_cleaning = ?8, lease_key = ?9, "
        "created_ms = ?10, stack_count = ?11, leased_count = ?12, first_unused = ?13, "
        "last_generation = ?14, last_ticket = ?15, last_event = ?16, queued_count = ?17 WHERE id = ?1",

    [SQL_STACK_INSERT] =
        "INSERT INTO stack (id, project, name, state, generation, quiet_until_ms, requested, branch, "
        "last_commit, is_content_unknown, requested_ms, created_ms, modified_ms, ticket, lease_seconds, "
        "since_ms, is_collected, purpose, dirty_since, clean_failures, url, note, holder, before_branch, "
        "before_requested, before_requested_ms, quiet_seconds, quiet_untold_seconds, quiet_ticket) "
        "VALUES (?1, ?23, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, "
        "?20, ?21, ?22, ?26, ?27, ?28, ?29, ?30, ?31)",
    [SQL_STACK_UPDATE] = "UPDATE stack SET name = ?2, " STACK_SET " WHERE id = ?1",
    [SQL_STACK_DELETE] = "DELETE FROM stack WHERE id = ?1",

    [SQL_REQUEST_BY_ID] = "SELECT " REQUEST_COLUMNS " FROM request WHERE project = ?1 AND request_id = ?2",
    [SQL_REQUEST_BY_TICKET] = "SELECT " REQUEST_COLUMNS " FROM request WHERE id = ?1",
    [SQL_REQUEST_INSERT] =
        "INSERT INTO request (id, project, state, why, outcome, created_ms, ended_ms, lease_seconds, purpose, "
        "stack_number, generation, is_reused, from_queue, request_id, branch, commit_id, stack_name, "
        "ended_by, holder, is_heard, is_joined, ended_reason) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
    /* What was asked never changes; only what became of it. */
    [SQL_REQUEST_UPDATE] =
        "UPDATE request SET state = ?2, why = ?3, outcome = ?4, ended_ms = ?5, stack_number = ?6, "
        "generation = ?7, is_reused = ?8, from_queue = ?9, stack_name = ?10, ended_by = ?11, holder = ?12, "
        "is_heard = ?13, is_joined = ?14, ended_reason = ?15 WHERE id = ?1",

    /* Loads are bound alike: ?1 project, ?2 text, ?3 limit. */
    [SQL_KEY_BY_ID] = "SELECT " KEY_COLUMNS " FROM api_key k JOIN project p ON p.id = k.project WHERE k.id = ?2",
    [SQL_KEYS_OF_PROJECT] = "SELECT " KEY_COLUMNS " FROM api_key k CROSS JOIN project p ON p.id = k.project "
                            "WHERE k.project = ?1 ORDER BY k.created_ms, k.id LIMIT ?3",
    [SQL_KEY_INSERT] = "INSERT INTO api_key (id, project, scope, hash, label, created_ms, last_used_ms, revoked_ms) "
                       "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [SQL_KEY_UPDATE] = "UPDATE api_key SET scope = ?3, hash = ?4, label = ?5, created_ms = ?6, last_used_ms = ?7, "
                       "revoked_ms = ?8 WHERE id = ?1 AND project = ?2",
    [SQL_KEY_DELETE] = "DELETE FROM api_key WHERE id = ?1 AND project = ?2",
    [SQL_KEY_USED] = "UPDATE api_key SET last_used_ms = ?2 WHERE id = ?1",

    [SQL_HISTORY_PUT] =
        "INSERT OR REPLACE INTO history (id, last_ms, count, stacks, bytes) VALUES (?1, ?2, ?3, ?4, ?5)",
    [SQL_HISTORY_LAST] = "SELECT id, last_ms, count, stacks, bytes FROM history WHERE id >= ?1 AND id <= ?2 "
                         "ORDER BY id DESC LIMIT 1",

    [SQL_LOG_STATE] = "SELECT database, number FROM change_log WHERE id = 1",
    [SQL_LOG_SET_NUMBER] = "UPDATE change_log SET number = ?1, flushes = flushes + 1 WHERE id = 1",

    [SQL_LIST_STACKS_FROM] = "SELECT " STACK_COLUMNS " FROM stack WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3",
    [SQL_LIST_QUEUE_FROM] =
        "SELECT " REQUEST_COLUMNS " FROM request WHERE id > ?1 AND id <= ?2 AND state = 0 ORDER BY id LIMIT ?3",
    [SQL_LIST_WATCHED_STACKS] = "SELECT " STACK_COLUMNS " FROM stack WHERE quiet_until_ms <> 0 "
                                "OR (ticket <> 0 AND (lease_seconds > 0 OR is_collected = 0)) ORDER BY id",
    [SQL_LIST_WATCHED_REQUESTS] = "SELECT " REQUEST_COLUMNS " FROM request WHERE state = 0 ORDER BY id",
    [SQL_HISTORY_FROM] = "SELECT stacks, bytes FROM history WHERE id >= ?1 AND id <= ?2 ORDER BY id",
    [SQL_HISTORY_BACKWARDS] = "SELECT stacks, bytes FROM history WHERE id >= ?1 AND id <= ?2 ORDER BY id DESC",
    [SQL_LIST_PROJECTS_FROM] =
        "SELECT " PROJECT_COLUMNS " FROM project WHERE name > ?1 AND is_deleted = 0 ORDER BY name LIMIT ?2",
    [SQL_LIST_KEYS_FROM] =
        "SELECT " KEY_COLUMNS " FROM api_key k CROSS JOIN project p ON p.id = k.project WHERE k.project = ?1 "
        "AND (?2 IS NULL OR (k.created_ms, k.id) > (SELECT created_ms, id FROM api_key WHERE id = ?2)) "
        "ORDER BY k.created_ms, k.id LIMIT ?3",
    [SQL_LIST_ALL_KEYS_FROM] =
        "SELECT " KEY_COLUMNS " FROM project p CROSS JOIN api_key k ON k.project = p.id "
        "WHERE ?2 IS NULL OR (p.name, k.created_ms, k.id) > "
        "(SELECT b.name, a.created_ms, a.id FROM api_key a JOIN project b ON b.id = a.project WHERE a.id = ?2) "
        "ORDER BY p.name, k.created_ms, k.id LIMIT ?3",
    [SQL_DUMP_PROJECTS] = "SELECT " PROJECT_COLUMNS " FROM project ORDER BY name",
    [SQL_DUMP_REQUESTS] = "SELECT " REQUEST_COLUMNS " FROM request WHERE id > ?1 AND id <= ?2 ORDER BY id",
    [SQL_COUNT_STACKS] = "SELECT state, count(*) FROM stack GROUP BY state",

    [SQL_PRUNE_HISTORY_FROM] = "SELECT id, last_ms, count FROM history WHERE id >= ?1 ORDER BY id LIMIT 1",
    [SQL_PRUNE_HISTORY] = "DELETE FROM history WHERE id = ?1",
    [SQL_PRUNE_REQUESTS_FROM] =
        "SELECT id, state, created_ms, ended_ms FROM request WHERE id >= ?1 ORDER BY id LIMIT ?2",
    [SQL_PRUNE_REQUEST] = "DELETE FROM request WHERE id = ?1",
};
