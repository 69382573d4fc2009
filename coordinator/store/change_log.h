/*
 * The log of changes that are committed and not in the tables yet: a file of slots beside the database, written over and
 * over. It goes through an SQLite VFS, as the database does, so what the tests do to that disk they do to this file too.
 *
 *     slot = database (8 bytes), number (8), bytes used (4), whether a transaction ends here (4), the bytes, checksum (the last 8)
 *
 *     append ──► in the file, kept in memory too ──── sync ────► durable ──── restart: the tables have it ────► slot 0
 *                          ▲                            │
 *                          └──── written again ◄── it failed
 *
 * A checksum continues the one of the slot before, the first one continues the database's number; slot numbers only grow.
 * So neither half of a transaction, nor what is left of a longer one that was given up, nor an older log follows on.
 *
 * A sync that failed may have left the bytes on the disk or not, marked clean in the page cache either way (Rebello and
 * others, "Can Applications Recover from fsync Failures?", USENIX ATC 2020). What was not synced is kept in memory, and
 * is written again before the next sync: then that one covers every byte it speaks for.
 *
 * One thread reads, appends and restarts; any thread syncs.
 */
#pragma once

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "base/buffer.h"

#define CHANGE_LOG_SLOT 4096 /* bytes; a transaction takes whole slots, so that no later write touches them */

typedef struct ChangeLog {
    sqlite3_file *file;      /* NULL: not open */
    uint64_t database;       /* whose changes these are: a random number of its own */
    int64_t number;          /* of the last slot */
    uint64_t checksum;       /* of the last slot */
    pthread_mutex_t syncing; /* taken before the other one */
    pthread_mutex_t mutex;   /* for what follows */
    int64_t slot_count;      /* in use: the next one is written there */
    Buffer unsynced;         /* the last slots, whole */
    bool must_rewrite;       /* a sync failed */
    int64_t restarts;
} ChangeLog;

void change_log_init(ChangeLog *log);
void change_log_deinit(ChangeLog *log);
/* Opens or creates the file; its name is durable with the first sync. `path` is SQLite's (sqlite3_create_filename) and
 * must outlive the log. An error code of SQLite's. */
int change_log_open(ChangeLog *log, sqlite3_vfs *vfs, sqlite3_filename path) MUST_USE;

/*
 * Once, before the others: what an earlier process left of this database. Appends to `bytes` the changes of all
 * transactions behind slot number `done` that are whole, *last is the number of their last slot (`done`: there are none).
 * An error code of SQLite's; failures of memory stick in `bytes`.
 */
int change_log_read(ChangeLog *log, uint64_t database, int64_t done, Buffer *bytes, int64_t *last) MUST_USE;

/* From slot 0 on, after slot number `number`: everything up to it is durable elsewhere. */
void change_log_restart(ChangeLog *log, int64_t number);

/* One transaction. An error code of SQLite's: then it is not in the log, but for a crash after a failure other than
 * SQLITE_FULL and SQLITE_NOMEM, which may bring it back until the next append or a restart behind it. */
int change_log_append(ChangeLog *log, Slice changes) MUST_USE;

/* Everything appended before the call is durable when it answers SQLITE_OK. */
int change_log_sync(ChangeLog *log) MUST_USE;
/* Whether a sync failed and none succeeded since. */
bool change_log_has_failed(ChangeLog *log);
