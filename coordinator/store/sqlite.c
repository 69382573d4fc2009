/*
 * One SQLite database, one process, one connection. Owns the lock file, the connection and its transactions.
 *
 * What a failed write or sync leaves behind, and why the connection is kept rather than reopened. Of the log of changes
 * its header tells. Of a COMMIT of SQLite's, which the tables' own transactions end with:
 *
 *   COMMIT appends the transaction's pages to the write-ahead log as frames, the last one marked as a commit, and then
 *   syncs it. When a write or the sync fails, SQLite rolls back: the end of the write-ahead log that it keeps in memory
 *   stays where it was. The failed frames still lie in the file behind that end, and a sync that failed may have left them
 *   on the disk or not, marked clean in the page cache either way. So
 *
 *   - a crash now may bring the failed transaction back: recovery reads the file, not our memory. Opening the file anew
 *     would do the same. Hence STORE_UNKNOWN, and hence the connection stays;
 *   - the next transaction of SQLite's writes its frames over the failed ones, from the same offset on. That makes their
 *     pages dirty again, so its own sync covers every byte it depends on. Each frame's checksum continues the one before,
 *     so what is left of a longer failed transaction behind the new end fits no chain and is never read as a transaction;
 *   - until then the log of changes must not go on: what is decided without the failed transaction cannot follow on it
 *     (`is_unsettled`). A flush that failed may come back: it says what the log says too;
 *   - the write-ahead log's header is rewritten and synced before its first frame, each time it is started anew;
 *   - a checkpoint counts pages as copied only after the database file was synced. When that sync fails, the next
 *     checkpoint copies the same pages again, all of them; until then the write-ahead log is not started anew.
 *
 *   So nothing acknowledged after a failed sync depends on it. A disk that fails several in a row is given up
 *   (STORE_BROKEN): it may lie about the next one. tests/faults proves this with a VFS that forgets what was not synced.
 *
 *   SQLITE_FULL out of COMMIT is certain, since it comes from a write that did not fit, before the commit frame was whole.
 *   Any other error may stem from after the frames were written (the sync; memory for the index of the log): unknown.
 */
#include "store/sqlite.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/failpoint.h"
#include "base/limits.h"
#include "store/data_dir.h"
#include "store/migrate.h"

/* ---- errors ---- */

static int result_of(SqliteStore *s, int rc) {
    if (rc == SQLITE_IOERR_NOMEM)
        return -ENOMEM;
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return STORE_FULL;
    case SQLITE_CONSTRAINT:
        return STORE_CONFLICT;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        s->is_broken = true;
        return STORE_BROKEN;
    default:
        return STORE_IO;
    }
}

int sqlite_failed(SqliteStore *s, int rc, const char *doing) {
    (void)snprintf(s->reason, sizeof s->reason, "%s: %s (SQLite error %d, errno %d) at: %.160s", s->db_path,
                   s->db != NULL ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc), rc,
                   s->db != NULL ? sqlite3_system_errno(s->db) : 0, doing);
    return result_of(s, rc);
}

int sqlite_log_failed(SqliteStore *s, int rc, const char *doing) {
    int error = errno;
    (void)snprintf(s->reason, sizeof s->reason, "%s: %s: %s (errno %d)", s->log_path, doing, sqlite3_errstr(rc), error);
    return result_of(s, rc);
}

static bool is_failed_sync(int rc) {
    return rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC;
}

/* A sync failed: true once that makes the store broken. */
static bool count_failed_sync(SqliteStore *s, int rc) {
    if (is_failed_sync(rc) && ++s->failed_syncs >= FAILED_SYNCS_MAX)
        s->is_broken = true;
    return s->is_broken;
}

static const char *sqlite_reason(const Store *store) {
    return ((const SqliteStore *)store)->reason;
}

/* ---- transactions ---- */

static int count_wal_pages(void *arg, sqlite3 *db, const char *name, int pages) {
    SqliteStore *s = arg;
    (void)db;
    (void)name;
    s->wal_pages = pages;
    return SQLITE_OK;
}

/* Copies the write-ahead log into the database, so that the next transaction starts it anew. */
static int checkpoint(SqliteStore *s) {
    int pages = 0, copied = 0;
    FAILPOINT("checkpoint");
    int rc = sqlite3_wal_checkpoint_v2(s->db, "main", SQLITE_CHECKPOINT_PASSIVE, &pages, &copied);
    FAILPOINT("checkpointed");
    if (rc == SQLITE_OK) {
        s->wal_pages = pages - copied;
        s->checkpoint_at = WAL_PAGES_MAX;
        return 0;
    }
    s->checkpoint_at = s->wal_pages + WAL_PAGES_MAX / 4;
    int r = sqlite_failed(s, rc, "checkpoint");
    return count_failed_sync(s, rc) ? STORE_BROKEN : r;
}

int sqlite_begin_write(SqliteStore *s) {
    return sqlite3_get_autocommit(s->db) != 0 ? sqlite_run(s, SQL_BEGIN_WRITE) : 0;
}

/* The log is bounded: where it cannot be flushed any more, nothing is added to it. */
static int refuse_long_log(SqliteStore *s) {
    if (s->log.slot_count < LOG_SLOTS_MAX)
        return 0;
    (void)snprintf(s->reason, sizeof s->reason, "%s: the log of changes is full and cannot be flushed", s->db_path);
    return STORE_FULL;
}

/* What is due between two transactions; failures are tried again later, the next transaction does not need it. */
static void maintain(SqliteStore *s) {
    if (s->wal_pages >= s->checkpoint_at)
        (void)(checkpoint(s) == 0);
    if (s->log.slot_count >= s->flush_at)
        (void)(sqlite_flush(s) == 0);
    if (resident_is_full(&s->resident) && !s->is_broken && sqlite_flush(s) == 0)
        resident_evict(&s->resident);
}

/* After a failure nothing new is decided before the disk has taken what was decided already. */
static int settle(SqliteStore *s) {
    int r = 0;
    if (s->is_unsettled)
        r = sqlite_flush(s);
    if (r == 0 && change_log_has_failed(&s->log))
        r = store_sync(&s->base, s->reason);
    return r == STORE_UNKNOWN ? STORE_IO : r; /* of what is to begin nothing happened */
}

int sqlite_begin(Store *store) {
    SqliteStore *s = sqlite_store(store);
    resident_sweep(&s->resident);
    buffer_clear(&s->changes);
    maintain(s);
    int r = s->is_broken ? STORE_BROKEN : settle(s);
    return r == 0 ? refuse_long_log(s) : r;
}

void sqlite_rollback(Store *store) {
    SqliteStore *s = sqlite_store(store);
    s->history.project = 0;
    buffer_clear(&s->changes);
    resident_discard(&s->resident);
    if (sqlite3_get_autocommit(s->db) != 0)
        return;
    (void)sqlite3_step(s->statements[SQL_ROLLBACK_WRITE]);
    (void)sqlite3_reset(s->statements[SQL_ROLLBACK_WRITE]);
    if (sqlite3_get_autocommit(s->db) == 0) {
        /* Nobody may go on inside of a transaction that was answered as failed. */
        (void)snprintf(s->reason, sizeof s->reason, "%s: a transaction could not be rolled back: %s", s->db_path,
                       sqlite3_errmsg(s->db));
        s->is_broken = true;
    }
}

int sqlite_end_write(SqliteStore *s) {
    assert(sqlite3_get_autocommit(s->db) == 0);
    int rc = sqlite3_step(s->statements[SQL_COMMIT_WRITE]);
    (void)sqlite3_reset(s->statements[SQL_COMMIT_WRITE]);
    if (rc == SQLITE_DONE) {
        s->failed_syncs = 0;
        return 0;
    }
    int r = sqlite_failed(s, rc, "COMMIT");
    bool is_broken = count_failed_sync(s, rc);
    sqlite_rollback(&s->base);
    if (is_broken || s->is_broken)
        return STORE_BROKEN;
    if (r == STORE_FULL)
        s->checkpoint_at = 0; /* a checkpoint makes the log's room usable again, if the database has room */
    return r == STORE_FULL || r == STORE_CONFLICT ? r : STORE_UNKNOWN;
}

int sqlite_commit(Store *store) {
    SqliteStore *s = sqlite_store(store);
    return sqlite3_get_autocommit(s->db) == 0 ? sqlite_commit_tables(s) : sqlite_append(s);
}

static int sqlite_sync(Store *store, char *reason) {
    SqliteStore *s = sqlite_store(store);
    if (s->is_broken) {
        (void)snprintf(reason, STORE_REASON_SIZE, "%s: given up after an earlier failure", s->db_path);
        return STORE_BROKEN;
    }
    int rc = change_log_sync(&s->log);
    if (rc == SQLITE_OK) {
        s->failed_syncs = 0;
        return 0;
    }
    int error = errno;
    (void)snprintf(reason, STORE_REASON_SIZE, "%s: cannot be made durable: %s (errno %d)", s->log_path,
                   sqlite3_errstr(rc), error);
    if (++s->failed_syncs >= FAILED_SYNCS_MAX)
        s->is_broken = true;
    return s->is_broken ? STORE_BROKEN : STORE_UNKNOWN;
}

static int sqlite_idle(Store *store) {
    SqliteStore *s = sqlite_store(store);
    if (s->is_broken)
        return STORE_BROKEN;
    int r = sqlite_flush(s);
    return r == 0 && s->wal_pages > 0 ? checkpoint(s) : r;
}

/* ---- the data directory ---- */

/* SQLite would make the file readable for all, as far as umask lets it; the keys of leases are in it. */
static int make_private_file(const char *path, Buffer *reason) {
    OWN(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0)
        return 0;
    int error = errno;
    buffer_printf(reason, "cannot open %s: %s", path, strerror(error));
    return -error;
}

/* ---- open and close ---- */

/* Once a process, before SQLite's first use; where that came first, it keeps what it has. */
static void configure_library(void) {
    (void)sqlite3_config(
        SQLITE_CONFIG_MULTITHREAD); /* a connection is used by one thread at a time: no mutex of its own */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* locking_mode comes before the log: with it the log's index lives in memory, and no other process can open the file.
 * Nothing is written before COMMIT (cache_spill), so no transaction meets a full disk half way. */
static const char *const pragmas[] = {
    "PRAGMA locking_mode = EXCLUSIVE", "PRAGMA synchronous = FULL",   "PRAGMA journal_mode = WAL",
    "PRAGMA wal_autocheckpoint = 0",   "PRAGMA cache_size = -8192",   "PRAGMA cache_spill = OFF",
    "PRAGMA temp_store = MEMORY",      "PRAGMA mmap_size = 0",        "PRAGMA foreign_keys = OFF",
    "PRAGMA secure_delete = OFF",      "PRAGMA trusted_schema = OFF",
};

static int open_failed(SqliteStore *s, int rc, Buffer *reason) {
    if (s->db == NULL || (rc & 0xff) == SQLITE_NOMEM)
        return -ENOMEM;
    const char *hint = "";
    int r = STORE_IO;
    switch (rc & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        hint = ": it is not a database of stack-coordinator, or is damaged; move it away, or put a backup in its place";
        r = -EBADMSG;
        break;
    case SQLITE_BUSY:
        hint = ": another program (the sqlite3 shell?) has it open";
        r = STORE_LOCKED;
        break;
    case SQLITE_FULL:
        hint = ": its disk is full";
        r = STORE_FULL;
        break;
    default:
        break;
    }
    buffer_printf(reason, "cannot open %s: %s%s", s->db_path, sqlite3_errmsg(s->db), hint);
    return r;
}

static int check_wal_mode(SqliteStore *s, Buffer *reason) {
    sqlite3_stmt *mode = NULL;
    int rc = sqlite3_prepare_v2(s->db, "PRAGMA journal_mode", -1, &mode, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(mode);
    const char *name = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(mode, 0) : NULL;
    bool is_wal = name != NULL && strcmp(name, "wal") == 0;
    int finalized = sqlite3_finalize(mode);
    if (is_wal)
        return 0;
    if (rc != SQLITE_ROW)
        return open_failed(s, finalized, reason);
    buffer_printf(reason, "%s does not take a write-ahead log: is its file system a network one?", s->db_path);
    return STORE_IO;
}

static int open_connection(SqliteStore *s, Buffer *reason) {
    int rc =
        sqlite3_open_v2(s->db_path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, s->vfs);
    if (rc != SQLITE_OK)
        return open_failed(s, rc, reason);
    (void)sqlite3_extended_result_codes(s->db, 1);
    int r = sqlite_refuse_former_logs(s, reason);
    if (r != 0)
        return r;
    for (size_t i = 0; i < COUNT_OF(pragmas); i++) {
        rc = sqlite3_exec(s->db, pragmas[i], NULL, NULL, NULL);
        if (rc != SQLITE_OK)
            return open_failed(s, rc, reason);
    }
    return check_wal_mode(s, reason);
}

static int prepare_all(SqliteStore *s, Buffer *reason) {
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        int rc = sqlite3_prepare_v3(s->db, sqlite_statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i],
                                    NULL);
        if (rc != SQLITE_OK)
            return open_failed(s, rc, reason);
    }
    return 0;
}

static void sqlite_close(Store *store) {
    SqliteStore *s = sqlite_store(store);
    sqlite_backup_abandon(s);
    if (s->db != NULL) {
        sqlite_rollback(store);
        if (s->is_open && !s->is_broken)
            (void)(sqlite_flush(s) == 0); /* else the next start does it */
        for (size_t i = 0; i < STATEMENT_COUNT; i++)
            (void)sqlite3_finalize(s->statements[i]);
        /* Closing checkpoints and removes the log; a disk that failed keeps it for the next start. */
        if (s->is_broken)
            (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        int rc = sqlite3_close(s->db);
        assert(rc == SQLITE_OK);
        (void)rc;
    }
    change_log_deinit(&s->log);
    sqlite3_free_filename(s->log_path);
    closep(&s->lock_fd); /* last: nobody opens the files while we still had them */
    resident_deinit(&s->resident);
    buffer_deinit(&s->changes);
    buffer_deinit(&s->history.bytes);
    free(s->db_path);
    free(s);
}

static void sqlite_closep(SqliteStore **s) {
    if (*s != NULL)
        sqlite_close(&(*s)->base);
}

static const StoreVtable sqlite_vtable = {
    .close = sqlite_close,
    .begin = sqlite_begin,
    .load = sqlite_load,
    .save = sqlite_save,
    .commit = sqlite_commit,
    .sync = sqlite_sync,
    .rollback = sqlite_rollback,
    .read = sqlite_read,
    .find_key = sqlite_find_key,
    .find_project = sqlite_find_project_row,
    .save_key_used = sqlite_save_key_used,
    .counts = sqlite_counts,
    .prune = sqlite_prune,
    .backup_step = sqlite_backup_step,
    .dump = sqlite_dump,
    .put = sqlite_put,
    .idle = sqlite_idle,
    .reason = sqlite_reason,
};

sqlite3 *sqlite_store_connection(Store *store) {
    return sqlite_store(store)->db;
}

static int open_log(SqliteStore *s, Buffer *reason) {
    OWN(freep) char *path = NULL;
    if (asprintf(&path, "%s-log", s->db_path) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    s->log_path = (char *)sqlite3_create_filename(path, "", "", 0, NULL);
    if (s->log_path == NULL)
        return -ENOMEM;
    int rc = change_log_open(&s->log, sqlite3_vfs_find(s->vfs), s->log_path);
    if (rc == SQLITE_OK)
        return 0;
    int r = sqlite_log_failed(s, rc, "cannot be opened");
    buffer_add_text(reason, s->reason);
    return r;
}

/* What an earlier process had no time to bring into the tables. */
static int replay(SqliteStore *s, Buffer *reason) {
    int r = sqlite_replay(s);
    if (r == 0 || r == -ENOMEM)
        return r;
    buffer_add_text(reason, s->reason);
    return r == STORE_FULL ? STORE_FULL : r == STORE_BROKEN ? -EBADMSG : STORE_IO;
}

static int open_store(SqliteStore *s, const StoreOptions *options, Buffer *reason) {
    if (asprintf(&s->db_path, "%s/stacks.db", options->data_dir) < 0) {
        s->db_path = NULL;
        return -ENOMEM;
    }
    int r = data_dir_lock(options->data_dir, &s->lock_fd, reason);
    if (r == 0)
        r = make_private_file(s->db_path, reason);
    if (r == 0)
        r = open_connection(s, reason);
    if (r == 0)
        r = migrate(s->db, s->db_path, options->program, clock_wall_ms(options->clock), reason);
    if (r == 0)
        r = prepare_all(s, reason);
    if (r == 0)
        r = open_log(s, reason);
    if (r == 0)
        r = replay(s, reason);
    return r;
}

int store_open_sqlite(Store **out, const StoreOptions *options, Buffer *reason) {
    static pthread_once_t configured = PTHREAD_ONCE_INIT;
    (void)pthread_once(&configured, configure_library);
    assert(store_is_complete(&sqlite_vtable));
    Buffer unread;
    buffer_init(&unread, 4096);
    OWN(sqlite_closep) SqliteStore *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    *s = (SqliteStore){
        .base = {.vtable = &sqlite_vtable},
        .clock = options->clock,
        .vfs = options->vfs,
        .lock_fd = -1,
        .checkpoint_at = WAL_PAGES_MAX,
        .flush_at = FLUSH_SLOTS,
    };
    change_log_init(&s->log);
    resident_init(&s->resident, RESIDENT_ROWS_MAX);
    buffer_init(&s->changes, CHANGES_MAX);
    buffer_init(&s->history.bytes, CHANGES_MAX);
    int r = open_store(s, options, reason != NULL ? reason : &unread);
    buffer_deinit(&unread);
    if (r != 0)
        return r;
    (void)sqlite3_wal_hook(s->db, count_wal_pages, s);
    /* What an earlier process left in the log; a full disk is no reason not to serve what is there. */
    (void)(checkpoint(s) == 0);
    if (s->is_broken) {
        if (reason != NULL)
            buffer_add_text(reason, s->reason);
        return STORE_IO;
    }
    s->is_open = true;
    *out = &steal(&s)->base;
    return 0;
}
