#include "store/change_log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

typedef struct SlotHead {
    uint64_t database;
    int64_t number;
    uint32_t used, is_last;
} SlotHead;
_Static_assert(sizeof(SlotHead) == 24, "its bytes are the file's");
#define CHECKSUM_AT (CHANGE_LOG_SLOT - sizeof(uint64_t)) /* at the end: a write that was cut short has none */
#define WRITE_MAX ((size_t)16 * CHANGE_LOG_SLOT)
#define SLOT_ROOM (CHECKSUM_AT - sizeof(SlotHead))

void change_log_init(ChangeLog *log) {
    *log = (ChangeLog){.file = NULL};
    (void)pthread_mutex_init(&log->syncing, NULL);
    (void)pthread_mutex_init(&log->mutex, NULL);
    buffer_init(&log->unsynced, (size_t)LOG_SLOTS_MAX * CHANGE_LOG_SLOT + CHANGES_MAX);
}

void change_log_deinit(ChangeLog *log) {
    if (log->file != NULL && log->file->pMethods != NULL)
        (void)log->file->pMethods->xClose(log->file);
    free(log->file);
    log->file = NULL;
    buffer_deinit(&log->unsynced);
    (void)pthread_mutex_destroy(&log->mutex);
    (void)pthread_mutex_destroy(&log->syncing);
}

int change_log_open(ChangeLog *log, sqlite3_vfs *vfs, sqlite3_filename path) {
    log->file = calloc(1, (size_t)vfs->szOsFile);
    if (log->file == NULL)
        return SQLITE_NOMEM;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL; /* its directory is synced with it */
    return vfs->xOpen(vfs, path, log->file, flags, &flags);
}

static uint64_t checksum_of(uint64_t before, const char *slot, size_t used) {
    return slice_hash_on(before, (Slice){.ptr = slot, .len = sizeof(SlotHead) + used});
}

/* ---- reading ---- */

/* The slot at `at`: true if it is one, and follows on *checksum, which then is its own. */
static bool is_slot(const char *slot, SlotHead *head, uint64_t *checksum) {
    uint64_t found;
    memcpy(head, slot, sizeof *head);
    memcpy(&found, slot + CHECKSUM_AT, sizeof found);
    if (head->used == 0 || head->used > SLOT_ROOM || found != checksum_of(*checksum, slot, head->used))
        return false;
    *checksum = found;
    return true;
}

int change_log_read(ChangeLog *log, uint64_t database, int64_t done, Buffer *bytes, int64_t *last) {
    char slot[CHANGE_LOG_SLOT];
    uint64_t checksum = database;
    size_t whole = bytes->len;
    int64_t number = 0;
    *last = done;
    log->database = database;
    for (int64_t at = 0;; at++) {
        SlotHead head;
        int rc = log->file->pMethods->xRead(log->file, slot, sizeof slot, at * CHANGE_LOG_SLOT);
        if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ) /* a short one is filled up with zeros */
            return rc;
        if (!is_slot(slot, &head, &checksum) || head.database != database ||
            (at == 0 ? head.number > done + 1 : head.number != number + 1))
            break;
        number = head.number;
        if (number <= done) /* the tables have it */
            continue;
        buffer_add(bytes, slot + sizeof head, head.used);
        if (head.is_last != 0) {
            *last = number;
            whole = bytes->len;
        }
    }
    if (buffer_error(bytes) == 0)
        bytes->len = whole;
    return SQLITE_OK;
}

void change_log_restart(ChangeLog *log, int64_t number) {
    (void)pthread_mutex_lock(&log->mutex);
    log->number = number;
    log->checksum = log->database;
    log->slot_count = 0;
    buffer_clear(&log->unsynced);
    log->must_rewrite = false;
    log->restarts++;
    (void)pthread_mutex_unlock(&log->mutex);
}

/* ---- appending ---- */

static void fill_slot(char *slot, const SlotHead *head, Slice changes, uint64_t *checksum) {
    memcpy(slot, head, sizeof *head);
    memcpy(slot + sizeof *head, changes.ptr, changes.len);
    memset(slot + sizeof *head + changes.len, 0, SLOT_ROOM - changes.len);
    *checksum = checksum_of(*checksum, slot, changes.len);
    memcpy(slot + CHECKSUM_AT, checksum, sizeof *checksum);
}

/* In pieces: SQLite's own VFS writes less than 128 KB at a time. */
static int write_slots(ChangeLog *log, int64_t at, const char *slots, size_t len) {
    int rc = SQLITE_OK;
    for (size_t done = 0; rc == SQLITE_OK && done < len; done += WRITE_MAX) {
        size_t part = len - done < WRITE_MAX ? len - done : WRITE_MAX;
        rc = log->file->pMethods->xWrite(log->file, slots + done, (int)part, at * CHANGE_LOG_SLOT + (int64_t)done);
    }
    return rc;
}

static int append(ChangeLog *log, Slice changes) {
    size_t count = (changes.len + SLOT_ROOM - 1) / SLOT_ROOM, len = count * CHANGE_LOG_SLOT;
    char *slots = buffer_reserve(&log->unsynced, len);
    uint64_t checksum = log->checksum;
    SlotHead head = {.database = log->database, .number = log->number};
    if (slots == NULL) {
        log->unsynced.error = 0; /* what is there stays */
        return SQLITE_NOMEM;
    }
    for (char *slot = slots; changes.len > 0; slot += CHANGE_LOG_SLOT) {
        size_t used = changes.len < SLOT_ROOM ? changes.len : SLOT_ROOM;
        head.number++;
        head.used = (uint32_t)used;
        head.is_last = used == changes.len;
        fill_slot(slot, &head, (Slice){.ptr = changes.ptr, .len = used}, &checksum);
        changes.ptr += used;
        changes.len -= used;
    }
    int rc = write_slots(log, log->slot_count, slots, len);
    if (rc != SQLITE_OK) {
        if ((rc & 0xff) != SQLITE_FULL)
            log->number = head.number; /* the bytes may be there: what comes next must be newer */
        return rc;
    }
    buffer_grew(&log->unsynced, len);
    log->slot_count += (int64_t)count;
    log->number = head.number;
    log->checksum = checksum;
    return SQLITE_OK;
}

int change_log_append(ChangeLog *log, Slice changes) {
    assert(changes.len > 0 && changes.len <= CHANGES_MAX);
    (void)pthread_mutex_lock(&log->mutex);
    int rc = append(log, changes);
    (void)pthread_mutex_unlock(&log->mutex);
    return rc;
}

/* ---- syncing ---- */

static int rewrite(ChangeLog *log) {
    int64_t first = log->slot_count - (int64_t)(log->unsynced.len / CHANGE_LOG_SLOT);
    return log->must_rewrite ? write_slots(log, first, log->unsynced.data, log->unsynced.len) : SQLITE_OK;
}

/* After a sync that spoke for the first `len` bytes of what was not synced; of nothing, if the log was restarted since. */
static void note_sync(ChangeLog *log, int rc, size_t len, bool is_same_log) {
    log->must_rewrite |= rc != SQLITE_OK;
    if (rc != SQLITE_OK || !is_same_log)
        return;
    log->must_rewrite = false;
    memmove(log->unsynced.data, log->unsynced.data + len, log->unsynced.len - len);
    log->unsynced.len -= len;
}

static int sync_all(ChangeLog *log) {
    (void)pthread_mutex_lock(&log->mutex);
    size_t len = log->unsynced.len;
    int64_t restarts = log->restarts;
    int rc = len > 0 ? rewrite(log) : SQLITE_OK;
    (void)pthread_mutex_unlock(&log->mutex);
    if (len == 0 || rc != SQLITE_OK)
        return rc;
    rc = log->file->pMethods->xSync(log->file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
    (void)pthread_mutex_lock(&log->mutex);
    note_sync(log, rc, len, restarts == log->restarts);
    (void)pthread_mutex_unlock(&log->mutex);
    return rc;
}

int change_log_sync(ChangeLog *log) {
    (void)pthread_mutex_lock(&log->syncing);
    int rc = sync_all(log);
    (void)pthread_mutex_unlock(&log->syncing);
    return rc;
}

bool change_log_has_failed(ChangeLog *log) {
    (void)pthread_mutex_lock(&log->mutex);
    bool has_failed = log->must_rewrite;
    (void)pthread_mutex_unlock(&log->mutex);
    return has_failed;
}
