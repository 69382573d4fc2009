/* A directory for one test, removed with all that is in it. */
#pragma once

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct TemporaryDir {
    char path[256];
} TemporaryDir;

static inline void temporary_dir_make(TemporaryDir *dir) {
    const char *parent = getenv("TMPDIR");
    if (parent == NULL)
        parent = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp"; /* no test waits for a real disk */
    (void)snprintf(dir->path, sizeof dir->path, "%s/store_test.XXXXXX", parent);
    if (mkdtemp(dir->path) == NULL) {
        perror(dir->path);
        abort();
    }
}

static inline int temporary_dir_remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at) {
    (void)info, (void)kind, (void)at;
    return remove(path);
}

static inline void temporary_dir_remove(TemporaryDir *dir) {
    (void)nftw(dir->path, temporary_dir_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
