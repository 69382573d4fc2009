/* The contract suite over SQLite. */
#include "contract/store_suite.h"
#include "contract/temporary_dir.h"

static int open_sqlite(Store **out, void *arg) {
    TemporaryDir *dir = arg;
    temporary_dir_make(dir);
    StoreOptions options = {.data_dir = dir->path, .clock = clock_system()};
    return store_open_sqlite(out, &options, NULL);
}

static void remove_files(void *arg) {
    temporary_dir_remove(arg);
}

int main(void) {
    TemporaryDir dir;
    return store_suite_run("store: sqlite", open_sqlite, remove_files, &dir);
}
