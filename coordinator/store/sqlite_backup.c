/*
 * A copy of the database while it is written: some pages a step, into PATH.partial, then synced and renamed. What the
 * one connection writes between two steps SQLite repeats in the copy, so the copy is the state of its last step.
 *
 * A second connection to another file belongs to it; it is gone with the copy.
 *
 * A copy says in its header that it has no write-ahead log, which ends with its first start in the place of a database.
 * SQLite would lay any log over it that bears its name, and a crash leaves one: the pages of two databases in one.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/failpoint.h"
#include "store/sqlite.h"

struct SqliteBackup {
    char *path, *partial;
    sqlite3 *db;
    sqlite3_backup *copy;
    int fd;           /* of the partial file: SQLite's locks on it end with the first descriptor closed */
    bool has_partial; /* the file is there, and ours to remove */
    int unsynced;     /* steps */
};

static SqliteBackup *backup_free(SqliteBackup *b) {
    if (b == NULL)
        return NULL;
    if (b->copy != NULL)
        (void)sqlite3_backup_finish(b->copy);
    (void)sqlite3_close(b->db);
    closep(&b->fd);
    if (b->has_partial)
        (void)unlink(b->partial);
    free(b->partial);
    free(b->path);
    free(b);
    return NULL;
}

static void backup_freep(SqliteBackup **b) {
    *b = backup_free(*b);
}

void sqlite_backup_abandon(SqliteStore *s) {
    s->backup = backup_free(s->backup);
}

static int system_failed(SqliteStore *s, const char *doing, const char *path) {
    int error = errno != 0 ? errno : EIO;
    (void)snprintf(s->reason, sizeof s->reason, "%s %s: %s", doing, path, strerror(error));
    return -error;
}

static int copy_failed(SqliteStore *s, const SqliteBackup *b, int rc) {
    (void)snprintf(s->reason, sizeof s->reason, "cannot write the copy %s: %s", b->partial,
                   b->db != NULL && sqlite3_errcode(b->db) != SQLITE_OK ? sqlite3_errmsg(b->db) : sqlite3_errstr(rc));
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return STORE_FULL;
    default:
        return STORE_IO;
    }
}

static int refuse_existing(SqliteStore *s, const char *path) {
    struct stat info;
    if (lstat(path, &info) == 0) {
        errno = EEXIST;
        return system_failed(s, "cannot back up to", path);
    }
    return errno == ENOENT ? 0 : system_failed(s, "cannot back up to", path);
}

/* Made here, so that only this user can read it; what a crash left of an earlier copy goes first. */
static int make_partial(SqliteStore *s, SqliteBackup *b) {
    struct stat info;
    if (lstat(b->partial, &info) == 0 && S_ISREG(info.st_mode))
        (void)unlink(b->partial);
    b->fd = open(b->partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (b->fd < 0)
        return system_failed(s, "cannot make", b->partial);
    b->has_partial = true;
    return 0;
}

static int backup_new(SqliteStore *s, const char *path) {
    OWN(backup_freep) SqliteBackup *b = calloc(1, sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    b->fd = -1;
    b->path = strdup(path);
    if (b->path == NULL)
        return -ENOMEM;
    if (asprintf(&b->partial, "%s.partial", path) < 0) {
        b->partial = NULL;
        return -ENOMEM;
    }
    int r = refuse_existing(s, path);
    if (r == 0)
        r = make_partial(s, b);
    if (r != 0)
        return r;
    int rc = sqlite3_open_v2(b->partial, &b->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, s->vfs);
    /* The copy is worth nothing before it is whole, synced and renamed: no journal, no sync on the way. */
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(b->db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF",
                          NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return copy_failed(s, b, rc);
    b->copy = sqlite3_backup_init(b->db, "main", s->db, "main");
    if (b->copy == NULL)
        return copy_failed(s, b, sqlite3_errcode(b->db));
    s->backup = steal(&b);
    return 0;
}

static int sync_directory(SqliteStore *s, const char *path) {
    OWN(closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? 0 : system_failed(s, "cannot sync", path);
}

static int sync_parent(SqliteStore *s, const char *path) {
    OWN(freep) char *parent = strdup(path);
    if (parent == NULL)
        return -ENOMEM;
    char *slash = strrchr(parent, '/');
    if (slash == NULL)
        return sync_directory(s, ".");
    slash[slash == parent ? 1 : 0] = '\0';
    return sync_directory(s, parent);
}

#define JOURNAL_VERSIONS                                                                                               \
    18 /* where the header has those of writing and reading: www.sqlite.org/fileformat2.html, 1.3.3 */
static const char rollback_journal[2] = {1, 1};

/* As sqlite3_deserialize's documentation says to. */
static int mark_without_log(SqliteStore *s, const SqliteBackup *b) {
    ssize_t written = pwrite(b->fd, rollback_journal, sizeof rollback_journal, JOURNAL_VERSIONS);
    return written == (ssize_t)sizeof rollback_journal ? 0 : system_failed(s, "cannot write", b->partial);
}

static bool is_unopened_backup(SqliteStore *s) {
    sqlite3_file *file = NULL;
    char versions[2];
    int rc = sqlite3_file_control(s->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    return rc == SQLITE_OK && file != NULL && file->pMethods != NULL &&
           file->pMethods->xRead(file, versions, sizeof versions, JOURNAL_VERSIONS) == SQLITE_OK &&
           memcmp(versions, rollback_journal, sizeof versions) == 0;
}

int sqlite_refuse_former_logs(SqliteStore *s, Buffer *reason) {
    if (!is_unopened_backup(s))
        return 0;
    static const char *const logs[] = {"wal", "log"};
    sqlite3_vfs *vfs = sqlite3_vfs_find(s->vfs);
    for (size_t i = 0; i < COUNT_OF(logs); i++) {
        char path[PATH_MAX];
        int is_there = 0; /* an empty one is not */
        (void)snprintf(path, sizeof path, "%s-%s", s->db_path, logs[i]);
        if (vfs->xAccess(vfs, path, SQLITE_ACCESS_EXISTS, &is_there) != SQLITE_OK || is_there == 0)
            continue;
        buffer_printf(reason,
                      "%s is a backup, and %s-%s is of the database that was there before: move away %s-log and %s-wal "
                      "to go on with the backup as it is",
                      s->db_path, s->db_path, logs[i], s->db_path, s->db_path);
        return -EBADMSG;
    }
    return 0;
}

/* All pages are copied: the file gets its name. */
static int finish(SqliteStore *s, SqliteBackup *b) {
    int rc = sqlite3_backup_finish(steal(&b->copy));
    if (rc == SQLITE_OK)
        rc = sqlite3_close(steal(&b->db));
    if (rc != SQLITE_OK)
        return copy_failed(s, b, rc);
    FAILPOINT("copied");
    int r = mark_without_log(s, b);
    if (r == 0)
        r = fsync(b->fd) == 0 ? refuse_existing(s, b->path) : system_failed(s, "cannot sync", b->partial);
    if (r == 0 && rename(b->partial, b->path) != 0)
        r = system_failed(s, "cannot rename the copy to", b->path);
    if (r != 0)
        return r;
    b->has_partial = false;
    return sync_parent(s, b->path);
}

/* Synced a little at a time: one sync of all at the end would hold everybody up. */
static int copy_some(SqliteStore *s, SqliteBackup *b) {
    int rc = sqlite3_backup_step(b->copy, BACKUP_PAGES_PER_STEP);
    if (rc == SQLITE_DONE) {
        int r = finish(s, b);
        return r == 0 ? STORE_DONE : r;
    }
    if (rc != SQLITE_OK)
        return copy_failed(s, b, rc);
    if (++b->unsynced < BACKUP_STEPS_PER_SYNC)
        return 0;
    b->unsynced = 0;
    return fdatasync(b->fd) == 0 ? 0 : system_failed(s, "cannot sync", b->partial);
}

int sqlite_backup_step(Store *store, const char *path) {
    SqliteStore *s = sqlite_store(store);
    if (path == NULL || (s->backup != NULL && strcmp(s->backup->path, path) != 0))
        sqlite_backup_abandon(s);
    if (path == NULL)
        return 0;
    int r = sqlite_flush(s); /* the copy has no log */
    if (r == 0 && s->backup == NULL)
        r = backup_new(s, path);
    if (r == 0)
        r = copy_some(s, s->backup);
    if (r != 0)
        sqlite_backup_abandon(s);
    return r;
}
