/*
 * A disk that fails, fills up, or loses its power, under SQLite. It wraps the default VFS; files lie where they belong, so
 * any other VFS can open what it left.
 *
 * What a power loss leaves is modelled per file: an image of what was synced, and the writes since. A loss keeps each
 * 512-byte sector of each of those writes, or does not, by chance; a file never synced, or deleted, is there or not. A sync
 * that fails forgets the writes it was to make durable: no later sync writes them out (Linux marks their pages clean).
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum FaultCall {
    FAULT_OPEN,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_TRUNCATE,
    FAULT_DELETE,
    FAULT_CALLS
} FaultCall;

typedef struct FaultVfs FaultVfs;

/* Registers a VFS of this name. Aborts when memory is short. */
FaultVfs *fault_vfs_new(const char *name);
FaultVfs *fault_vfs_free(FaultVfs *v);

/* The nth call of this kind from now on (1: the next) answers `code`; so do all later ones if `for_ever`. SQLITE_FULL on a
 * write leaves half of it, SQLITE_IOERR all. */
void fault_vfs_fail(FaultVfs *v, FaultCall call, int64_t nth, bool for_ever, int code);
/* Heals: no call fails any more, there is room without end. */
void fault_vfs_heal(FaultVfs *v);
/* Whether a planned failure has happened. */
bool fault_vfs_has_failed(const FaultVfs *v);
/* Calls so far. */
int64_t fault_vfs_count(const FaultVfs *v, FaultCall call);
/* Files may grow by so many bytes in all; then SQLITE_FULL. */
void fault_vfs_room(FaultVfs *v, int64_t bytes);
/* Bytes written to files whose name ends so, and not synced yet. */
int64_t fault_vfs_unsynced(const FaultVfs *v, const char *suffix);

/* The power goes at the nth change from now on (write, sync, truncate, delete), which may still happen in part; from then
 * on every call fails. */
void fault_vfs_cut(FaultVfs *v, int64_t nth, uint64_t seed);
bool fault_vfs_is_cut(const FaultVfs *v);
/* After everything is closed: puts onto the real files what the power loss left. */
void fault_vfs_restore(FaultVfs *v);
