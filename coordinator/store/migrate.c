/*
 * Invariant: PRAGMA user_version is the last row of table schema, and both change in the migration's own transaction. So
 * a crash leaves a version or the next one, never a mixture.
 */
#include "store/migrate.h"

#include <errno.h>
#include <stdio.h>

#include "base/failpoint.h"
#include "store/store.h"

static int read_pragma(sqlite3 *db, const char *sql, int64_t *out) {
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(statement, 0);
    int finalized = sqlite3_finalize(statement);
    return rc == SQLITE_ROW ? finalized : rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
}

static int failed(sqlite3 *db, int rc, const char *path, const char *doing, Buffer *reason) {
    switch (rc & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        buffer_printf(reason,
                      "%s is not a database of stack-coordinator, or is damaged (%s): move it away, or put a backup "
                      "in its place",
                      path, sqlite3_errmsg(db));
        return -EBADMSG;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        buffer_printf(reason, "no room while %s %s: make room on its disk and start again", doing, path);
        return STORE_FULL;
    default:
        buffer_printf(reason, "%s %s failed: %s", doing, path, sqlite3_errmsg(db));
        return STORE_IO;
    }
}

/* Whose program wrote the last version; "an unknown program" when the table does not say. */
static void print_writer(sqlite3 *db, Buffer *reason) {
    sqlite3_stmt *statement = NULL;
    const unsigned char *writer = NULL;
    if (sqlite3_prepare_v2(db, "SELECT written_by FROM schema ORDER BY version DESC LIMIT 1", -1, &statement, NULL) ==
            SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        writer = sqlite3_column_text(statement, 0);
    buffer_add_text(reason, writer != NULL ? (const char *)writer : "an unknown program");
    (void)sqlite3_finalize(statement);
}

/* Whether the file is new or ours. */
static int check_owner(sqlite3 *db, const char *path, Buffer *reason) {
    int64_t application = 0, pages = 0;
    int rc = read_pragma(db, "PRAGMA application_id", &application);
    if (rc == SQLITE_OK)
        rc = read_pragma(db, "SELECT count(*) FROM sqlite_schema", &pages);
    if (rc != SQLITE_OK)
        return failed(db, rc, path, "reading", reason);
    if (application == STORE_APPLICATION_ID || (application == 0 && pages == 0))
        return 0;
    buffer_printf(reason, "%s is the database of another program: stack-coordinator needs a data directory of its own",
                  path);
    return -EBADMSG;
}

static int apply(sqlite3 *db, const Migration *migration, const char *program, int64_t wall_ms) {
    int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, migration->sql, NULL, NULL, NULL);
    FAILPOINT("migrating");
    sqlite3_stmt *row = NULL;
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "INSERT INTO schema (version, name, written_by, applied_ms) VALUES (?, ?, ?, ?)",
                                -1, &row, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int(row, 1, migration->version);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(row, 2, migration->name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(row, 3, program != NULL ? program : "stack-coordinator", -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(row, 4, wall_ms);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(row) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(db);
    (void)sqlite3_finalize(row);
    char marks[96];
    (void)snprintf(marks, sizeof marks, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
                   STORE_APPLICATION_ID, migration->version);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, marks, NULL, NULL, NULL);
    FAILPOINT("migrated");
    return rc;
}

int migrate(sqlite3 *db, const char *path, const char *program, int64_t wall_ms, Buffer *reason) {
    int r = check_owner(db, path, reason);
    if (r != 0)
        return r;
    int64_t version = 0;
    int rc = read_pragma(db, "PRAGMA user_version", &version);
    if (rc != SQLITE_OK)
        return failed(db, rc, path, "reading", reason);
    int last = migrations[migration_count - 1].version;
    if (version > last) {
        buffer_printf(reason, "%s has schema %lld, written by ", path, (long long)version);
        print_writer(db, reason);
        buffer_printf(reason, "; this program (%s) knows schemas up to %d: run one at least as new",
                      program != NULL ? program : "stack-coordinator", last);
        return STORE_NEWER_SCHEMA;
    }
    for (size_t i = 0; i < migration_count; i++) {
        if (migrations[i].version <= version)
            continue;
        rc = apply(db, &migrations[i], program, wall_ms);
        if (rc != SQLITE_OK) {
            r = failed(db, rc, path, "migrating", reason);
            if (!sqlite3_get_autocommit(db))
                (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
            return r;
        }
    }
    return 0;
}
