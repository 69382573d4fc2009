/*
 * Each file: what is on the real one, and over it the writes since the last sync, in their order. Truncating, deleting and
 * closing act at once. Only what the store needs is there: no memory map, no shared memory (locking_mode EXCLUSIVE).
 */
#include "history/volatile_disk.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"

/* Of all files: one thread may sync the log of changes while another one appends to it. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

typedef struct Write Write;
struct Write {
    Write *next;
    sqlite3_int64 offset;
    int count;
    char bytes[];
};

/* The real file's own structure lies behind this one. */
typedef struct VolatileFile {
    sqlite3_file base;
    Write *first, **last;
    sqlite3_int64 end; /* of the furthest write */
} VolatileFile;

static sqlite3_vfs *below(const sqlite3_vfs *vfs) {
    return vfs->pAppData;
}

static VolatileFile *of(sqlite3_file *file) {
    return (VolatileFile *)file;
}

static sqlite3_file *real(sqlite3_file *file) {
    return (sqlite3_file *)(void *)(of(file) + 1);
}

static void forget(VolatileFile *f) {
    for (Write *next, *w = f->first; w != NULL; w = next) {
        next = w->next;
        free(w);
    }
    f->first = NULL;
    f->last = &f->first;
    f->end = 0;
}

static int keep(sqlite3_file *file) {
    sqlite3_file *r = real(file);
    int rc = SQLITE_OK;
    (void)pthread_mutex_lock(&mutex);
    for (const Write *w = of(file)->first; rc == SQLITE_OK && w != NULL; w = w->next)
        rc = r->pMethods->xWrite(r, w->bytes, w->count, w->offset);
    forget(of(file));
    (void)pthread_mutex_unlock(&mutex);
    return rc;
}

static int disk_write(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 offset) {
    VolatileFile *f = of(file);
    Write *w = malloc(sizeof *w + (size_t)count);
    if (w == NULL)
        return SQLITE_NOMEM;
    w->next = NULL;
    w->offset = offset;
    w->count = count;
    memcpy(w->bytes, bytes, (size_t)count);
    (void)pthread_mutex_lock(&mutex);
    *f->last = w;
    f->last = &w->next;
    if (offset + count > f->end)
        f->end = offset + count;
    (void)pthread_mutex_unlock(&mutex);
    FAILPOINT("disk-written");
    return SQLITE_OK;
}

static int disk_read(sqlite3_file *file, void *bytes, int count, sqlite3_int64 offset) {
    const VolatileFile *f = of(file);
    sqlite3_file *r = real(file);
    int rc = r->pMethods->xRead(r, bytes, count, offset); /* a short one fills up with zeros */
    if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ)
        return rc;
    for (const Write *w = f->first; w != NULL; w = w->next) {
        sqlite3_int64 from = w->offset > offset ? w->offset : offset;
        sqlite3_int64 to = w->offset + w->count < offset + count ? w->offset + w->count : offset + count;
        if (from < to)
            memcpy((char *)bytes + (from - offset), w->bytes + (from - w->offset), (size_t)(to - from));
    }
    return rc == SQLITE_OK || offset + count <= f->end ? SQLITE_OK : rc;
}

static int disk_sync(sqlite3_file *file, int flags) {
    (void)flags;
    FAILPOINT("disk-sync");
    int rc = keep(file);
    FAILPOINT("disk-synced");
    return rc;
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 size) {
    int rc = keep(file);
    return rc == SQLITE_OK ? real(file)->pMethods->xTruncate(real(file), size) : rc;
}

static int disk_size(sqlite3_file *file, sqlite3_int64 *size) {
    int rc = real(file)->pMethods->xFileSize(real(file), size);
    if (rc == SQLITE_OK && of(file)->end > *size)
        *size = of(file)->end;
    return rc;
}

static int disk_close(sqlite3_file *file) {
    int kept = keep(file);
    int rc = real(file)->pMethods->xClose(real(file));
    return kept == SQLITE_OK ? rc : kept;
}

static int disk_lock(sqlite3_file *file, int level) {
    return real(file)->pMethods->xLock(real(file), level);
}
static int disk_unlock(sqlite3_file *file, int level) {
    return real(file)->pMethods->xUnlock(real(file), level);
}
static int disk_check_lock(sqlite3_file *file, int *out) {
    return real(file)->pMethods->xCheckReservedLock(real(file), out);
}
static int disk_control(sqlite3_file *file, int op, void *arg) {
    return real(file)->pMethods->xFileControl(real(file), op, arg);
}
static int disk_sector_size(sqlite3_file *file) {
    return real(file)->pMethods->xSectorSize(real(file));
}
static int disk_traits(sqlite3_file *file) {
    return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = disk_close,
    .xRead = disk_read,
    .xWrite = disk_write,
    .xTruncate = disk_truncate,
    .xSync = disk_sync,
    .xFileSize = disk_size,
    .xLock = disk_lock,
    .xUnlock = disk_unlock,
    .xCheckReservedLock = disk_check_lock,
    .xFileControl = disk_control,
    .xSectorSize = disk_sector_size,
    .xDeviceCharacteristics = disk_traits,
};

static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags) {
    *of(file) = (VolatileFile){.base.pMethods = NULL};
    of(file)->last = &of(file)->first;
    int rc = below(vfs)->xOpen(below(vfs), name, real(file), flags, out_flags);
    if (rc == SQLITE_OK)
        file->pMethods = &methods;
    return rc;
}

int volatile_disk_register(void) {
    static sqlite3_vfs vfs;
    sqlite3_vfs *system = sqlite3_vfs_find(NULL);
    if (system == NULL)
        return -1;
    vfs = *system; /* names, deletions, random numbers and time are the system's */
    vfs.zName = "volatile";
    vfs.pNext = NULL;
    vfs.pAppData = system;
    vfs.szOsFile = (int)sizeof(VolatileFile) + system->szOsFile;
    vfs.xOpen = disk_open;
    return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? 0 : -1;
}
