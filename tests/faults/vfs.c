#include "faults/vfs.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "seeded_random.h"

#define SECTOR 512
#define IMAGES_MAX 16

typedef struct Pending {
    int64_t offset;
    size_t len;
    char *data; /* NULL: a truncation to `offset` */
} Pending;

/* One file: what is durable of it, and what is not yet. */
typedef struct Image {
    char path[512];
    char *synced;
    size_t synced_len;
    bool was_synced;          /* its name is durable */
    bool is_deleted, is_gone; /* gone: durably deleted */
    Pending *pending;
    size_t pending_count, pending_capacity;
    /* What a power loss left; made when the power goes. */
    char *left;
    size_t left_len;
    bool is_left;
} Image;

struct FaultVfs {
    sqlite3_vfs base;
    sqlite3_vfs *real;
    Image images[IMAGES_MAX];
    size_t image_count;
    int64_t counts[FAULT_CALLS];
    struct {
        int64_t at;
        bool for_ever;
        int code;
    } plans[FAULT_CALLS];
    bool has_failed;
    bool has_room_limit;
    int64_t room;
    int64_t changes, cut_at;
    bool is_cut;
    SeededRandom random;
};

typedef struct FaultFile {
    sqlite3_file base;
    FaultVfs *vfs;
    Image *image;
    sqlite3_file *real;
    bool syncs_dir; /* as SQLite's own VFS does with the first sync of a journal or a log it made */
} FaultFile;

static void *must(void *memory) {
    if (memory == NULL)
        abort();
    return memory;
}

static FaultVfs *vfs_of(sqlite3_vfs *vfs) {
    return (FaultVfs *)vfs->pAppData;
}
static FaultFile *file_of(sqlite3_file *file) {
    return (FaultFile *)file;
}

/* ---- images ---- */

static void read_whole(const char *path, char **data, size_t *len) {
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *data = NULL;
    *len = 0;
    if (fd < 0)
        return;
    if (fstat(fd, &info) != 0)
        abort();
    *len = (size_t)info.st_size;
    *data = must(malloc(*len + 1));
    if (pread(fd, *data, *len, 0) != (ssize_t)*len)
        abort();
    (void)close(fd);
}

static void write_whole(const char *path, const char *data, size_t len) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || (len > 0 && write(fd, data, len) != (ssize_t)len))
        abort();
    (void)close(fd);
}

static void forget_pending(Image *image) {
    for (size_t i = 0; i < image->pending_count; i++)
        free(image->pending[i].data);
    image->pending_count = 0;
}

static Image *image_for(FaultVfs *v, const char *path) {
    for (size_t i = 0; i < v->image_count; i++)
        if (strcmp(v->images[i].path, path) == 0)
            return &v->images[i];
    assert(v->image_count < IMAGES_MAX);
    Image *image = &v->images[v->image_count++];
    *image = (Image){0};
    (void)snprintf(image->path, sizeof image->path, "%s", path);
    read_whole(path, &image->synced, &image->synced_len);
    image->was_synced = image->synced_len > 0; /* it was there before us, so it is on the disk */
    return image;
}

static void apply(char **data, size_t *len, int64_t offset, const char *bytes, size_t count) {
    size_t end = (size_t)offset + count;
    if (bytes == NULL) {
        if ((size_t)offset < *len)
            *len = (size_t)offset;
        return;
    }
    if (end > *len) {
        *data = must(realloc(*data, end + 1));
        memset(*data + *len, 0, end - *len);
        *len = end;
    }
    memcpy(*data + offset, bytes, count);
}

static void add_pending(Image *image, int64_t offset, const void *data, size_t len) {
    if (image->pending_count == image->pending_capacity) {
        image->pending_capacity = image->pending_capacity != 0 ? image->pending_capacity * 2 : 64;
        image->pending = must(realloc(image->pending, image->pending_capacity * sizeof(*image->pending)));
    }
    Pending *p = &image->pending[image->pending_count++];
    *p = (Pending){.offset = offset, .len = len};
    if (data != NULL) {
        p->data = must(malloc(len + 1));
        memcpy(p->data, data, len);
    }
}

static bool toss(FaultVfs *v) {
    return seeded_random_below(&v->random, 2) == 1;
}

/* What the disk holds of one file after the power went. */
static void lose_power_of(FaultVfs *v, Image *image) {
    bool is_there = (image->was_synced || toss(v)) && !image->is_gone && (!image->is_deleted || toss(v));
    char *data = must(malloc(image->synced_len + 1));
    size_t len = image->synced_len;
    memcpy(data, image->synced != NULL ? image->synced : "", image->synced_len);
    /* How lucky this file is: all, nothing, or any part of what was not synced. */
    uint64_t luck = seeded_random_below(&v->random, 4);
    for (size_t i = 0; i < image->pending_count; i++) {
        const Pending *p = &image->pending[i];
        if (p->data == NULL) {
            if (luck == 0 || (luck > 1 && toss(v)))
                apply(&data, &len, p->offset, NULL, 0);
            continue;
        }
        for (size_t done = 0; done < p->len;) {
            size_t in_sector = SECTOR - ((size_t)p->offset + done) % SECTOR;
            size_t part = p->len - done < in_sector ? p->len - done : in_sector;
            if (luck == 0 || (luck > 1 && toss(v)))
                apply(&data, &len, p->offset + (int64_t)done, p->data + done, part);
            done += part;
        }
    }
    free(image->left);
    image->left = data;
    image->left_len = len;
    image->is_left = is_there;
}

/* Counts a change; true when the power goes with it. */
static bool change(FaultVfs *v) {
    v->changes++;
    if (v->is_cut || v->cut_at == 0 || v->changes < v->cut_at)
        return false;
    for (size_t i = 0; i < v->image_count; i++)
        lose_power_of(v, &v->images[i]);
    v->is_cut = true;
    return true;
}

/* SQLITE_OK, or the code this call is to fail with. */
static int planned(FaultVfs *v, FaultCall call) {
    v->counts[call]++;
    if (v->is_cut)
        return SQLITE_IOERR;
    if (v->plans[call].at == 0 || v->counts[call] < v->plans[call].at)
        return SQLITE_OK;
    v->has_failed = true;
    if (!v->plans[call].for_ever)
        v->plans[call].at = 0;
    return v->plans[call].code;
}

/* ---- files ---- */

static int file_close(sqlite3_file *f) {
    FaultFile *file = file_of(f);
    return file->real->pMethods != NULL ? file->real->pMethods->xClose(file->real) : SQLITE_OK;
}

static int file_read(sqlite3_file *f, void *out, int amount, sqlite3_int64 offset) {
    FaultFile *file = file_of(f);
    int rc = planned(file->vfs, FAULT_READ);
    return rc != SQLITE_OK ? rc : file->real->pMethods->xRead(file->real, out, amount, offset);
}

static int write_part(FaultFile *file, const void *data, int amount, sqlite3_int64 offset) {
    if (amount <= 0)
        return SQLITE_OK;
    add_pending(file->image, offset, data, (size_t)amount);
    return file->real->pMethods->xWrite(file->real, data, amount, offset);
}

static int file_write(sqlite3_file *f, const void *data, int amount, sqlite3_int64 offset) {
    FaultFile *file = file_of(f);
    FaultVfs *v = file->vfs;
    int rc = planned(v, FAULT_WRITE);
    if (rc == SQLITE_FULL)
        (void)write_part(file, data, amount / 2, offset);
    if (rc == SQLITE_IOERR)
        (void)write_part(file, data, amount, offset);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_int64 size = 0;
    if (v->has_room_limit) {
        rc = file->real->pMethods->xFileSize(file->real, &size);
        int64_t growth = offset + amount > size ? offset + amount - size : 0;
        if (rc == SQLITE_OK && growth > v->room) {
            (void)write_part(file, data, (int)(amount - (growth - v->room)), offset);
            v->room = 0;
            v->has_failed = true;
            return SQLITE_FULL;
        }
        v->room -= growth;
    }
    rc = write_part(file, data, amount, offset);
    return change(v) ? SQLITE_IOERR_WRITE : rc;
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size) {
    FaultFile *file = file_of(f);
    int rc = planned(file->vfs, FAULT_TRUNCATE);
    if (rc != SQLITE_OK)
        return rc;
    add_pending(file->image, size, NULL, 0);
    rc = file->real->pMethods->xTruncate(file->real, size);
    return change(file->vfs) ? SQLITE_IOERR_TRUNCATE : rc;
}

/* Names made and removed are durable from here on; all files of a test lie in one directory. */
static void sync_dir(FaultVfs *v) {
    for (size_t i = 0; i < v->image_count; i++) {
        Image *image = &v->images[i];
        image->was_synced = true;
        if (image->is_deleted)
            image->is_gone = true;
    }
}

static int file_sync(sqlite3_file *f, int flags) {
    FaultFile *file = file_of(f);
    Image *image = file->image;
    (void)flags;
    int rc = planned(file->vfs, FAULT_SYNC);
    if (rc == SQLITE_OK && change(file->vfs))
        rc = SQLITE_IOERR_FSYNC;
    for (size_t i = 0; rc == SQLITE_OK && i < image->pending_count; i++)
        apply(&image->synced, &image->synced_len, image->pending[i].offset, image->pending[i].data,
              image->pending[i].len);
    image->was_synced |= rc == SQLITE_OK;
    if (rc == SQLITE_OK && file->syncs_dir) {
        sync_dir(file->vfs);
        file->syncs_dir = false;
    }
    if (!file->vfs->is_cut)
        forget_pending(image);
    return rc;
}

static int file_size(sqlite3_file *f, sqlite3_int64 *out) {
    return file_of(f)->real->pMethods->xFileSize(file_of(f)->real, out);
}
static int file_lock(sqlite3_file *f, int level) {
    return file_of(f)->real->pMethods->xLock(file_of(f)->real, level);
}
static int file_unlock(sqlite3_file *f, int level) {
    return file_of(f)->real->pMethods->xUnlock(file_of(f)->real, level);
}
static int file_check_lock(sqlite3_file *f, int *out) {
    return file_of(f)->real->pMethods->xCheckReservedLock(file_of(f)->real, out);
}
static int file_control(sqlite3_file *f, int op, void *arg) {
    /* Growing ahead would go past the room and the images. */
    if (op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE)
        return SQLITE_OK;
    return file_of(f)->real->pMethods->xFileControl(file_of(f)->real, op, arg);
}
static int file_sector_size(sqlite3_file *f) {
    return file_of(f)->real->pMethods->xSectorSize(file_of(f)->real);
}
static int file_characteristics(sqlite3_file *f) {
    return file_of(f)->real->pMethods->xDeviceCharacteristics(file_of(f)->real);
}

/* Version 1: no shared memory, which a log with an exclusive lock does not need. */
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

/* ---- the VFS ---- */

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *out_flags) {
    FaultVfs *v = vfs_of(vfs);
    FaultFile *file = file_of(f);
    file->base.pMethods = NULL;
    int rc = planned(v, FAULT_OPEN);
    if (rc != SQLITE_OK)
        return rc;
    file->vfs = v;
    file->real = (sqlite3_file *)(file + 1);
    rc = v->real->xOpen(v->real, name, file->real, flags, out_flags);
    if (rc != SQLITE_OK)
        return rc;
    file->image = image_for(v, name != NULL ? name : "(temporary)");
    if (file->image->is_deleted) { /* a new file under an old name */
        file->image->is_deleted = file->image->is_gone = file->image->was_synced = false;
        file->image->synced_len = 0;
        forget_pending(file->image);
    }
    file->syncs_dir = (flags & SQLITE_OPEN_CREATE) != 0 && (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
    file->base.pMethods = &methods;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir) {
    FaultVfs *v = vfs_of(vfs);
    int rc = planned(v, FAULT_DELETE);
    if (rc != SQLITE_OK)
        return rc;
    image_for(v, name)->is_deleted = true;
    rc = v->real->xDelete(v->real, name, sync_dir);
    if (rc == SQLITE_OK && change(v))
        return SQLITE_IOERR_DELETE;
    return rc;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out) {
    return vfs_of(vfs)->real->xAccess(vfs_of(vfs)->real, name, flags, out);
}
static int vfs_full_pathname(sqlite3_vfs *vfs, const char *name, int size, char *out) {
    return vfs_of(vfs)->real->xFullPathname(vfs_of(vfs)->real, name, size, out);
}
static int vfs_randomness(sqlite3_vfs *vfs, int size, char *out) {
    return vfs_of(vfs)->real->xRandomness(vfs_of(vfs)->real, size, out);
}
static int vfs_sleep(sqlite3_vfs *vfs, int microseconds) {
    return vfs_of(vfs)->real->xSleep(vfs_of(vfs)->real, microseconds);
}
static int vfs_current_time(sqlite3_vfs *vfs, double *out) {
    return vfs_of(vfs)->real->xCurrentTime(vfs_of(vfs)->real, out);
}
static int vfs_last_error(sqlite3_vfs *vfs, int size, char *out) {
    return vfs_of(vfs)->real->xGetLastError(vfs_of(vfs)->real, size, out);
}

FaultVfs *fault_vfs_new(const char *name) {
    FaultVfs *v = must(calloc(1, sizeof *v));
    v->real = must(sqlite3_vfs_find(NULL));
    v->base = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = (int)sizeof(FaultFile) + v->real->szOsFile,
        .mxPathname = v->real->mxPathname,
        .zName = name,
        .pAppData = v,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_pathname,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_current_time,
        .xGetLastError = vfs_last_error,
    };
    if (sqlite3_vfs_register(&v->base, 0) != SQLITE_OK)
        abort();
    return v;
}

FaultVfs *fault_vfs_free(FaultVfs *v) {
    (void)sqlite3_vfs_unregister(&v->base);
    for (size_t i = 0; i < v->image_count; i++) {
        forget_pending(&v->images[i]);
        free(v->images[i].pending);
        free(v->images[i].synced);
        free(v->images[i].left);
    }
    free(v);
    return NULL;
}

void fault_vfs_fail(FaultVfs *v, FaultCall call, int64_t nth, bool for_ever, int code) {
    v->plans[call].at = v->counts[call] + nth;
    v->plans[call].for_ever = for_ever;
    v->plans[call].code = code;
    v->has_failed = false;
}

void fault_vfs_heal(FaultVfs *v) {
    memset(v->plans, 0, sizeof v->plans);
    v->has_room_limit = false;
}

bool fault_vfs_has_failed(const FaultVfs *v) {
    return v->has_failed;
}

int64_t fault_vfs_count(const FaultVfs *v, FaultCall call) {
    return v->counts[call];
}

void fault_vfs_room(FaultVfs *v, int64_t bytes) {
    v->has_room_limit = true;
    v->room = bytes;
    v->has_failed = false;
}

int64_t fault_vfs_unsynced(const FaultVfs *v, const char *suffix) {
    int64_t bytes = 0;
    for (size_t i = 0; i < v->image_count; i++) {
        const Image *image = &v->images[i];
        size_t len = strlen(image->path);
        if (len < strlen(suffix) || strcmp(image->path + len - strlen(suffix), suffix) != 0)
            continue;
        for (size_t p = 0; p < image->pending_count; p++)
            bytes += (int64_t)image->pending[p].len;
    }
    return bytes;
}

void fault_vfs_cut(FaultVfs *v, int64_t nth, uint64_t seed) {
    v->cut_at = v->changes + nth;
    seeded_random_init(&v->random, seed);
}

bool fault_vfs_is_cut(const FaultVfs *v) {
    return v->is_cut;
}

void fault_vfs_restore(FaultVfs *v) {
    assert(v->is_cut);
    for (size_t i = 0; i < v->image_count; i++) {
        const Image *image = &v->images[i];
        if (image->is_left)
            write_whole(image->path, image->left, image->left_len);
        else
            (void)unlink(image->path);
    }
}
