/* The contract suite over SQLite: as it comes, and with nothing in memory, so that every row comes from its table. */
#include "contract/store_suite.h"
#include "contract/temporary_dir.h"
#include "store/sqlite.h"

static int open_sqlite(Store **out, void *arg) {
    TemporaryDir *dir = arg;
    temporary_dir_make(dir);
    StoreOptions options = {.data_dir = dir->path, .clock = clock_system()};
    return store_open_sqlite(out, &options, NULL);
}

/* ---- an engine that forgets before it does anything ---- */

static const StoreVtable *real;

static int forgetful_begin(Store *store) {
    int r = sqlite_forget(store);
    return r == 0 ? real->begin(store) : r;
}

static int forgetful_read(Store *store, const ReadQuery *query, const StoreRows *rows) {
    int r = sqlite_forget(store);
    return r == 0 ? real->read(store, query, rows) : r;
}

static int open_forgetful(Store **out, void *arg) {
    static StoreVtable forgetful;
    int r = open_sqlite(out, arg);
    if (r != 0)
        return r;
    real = (*out)->vtable;
    forgetful = *real;
    forgetful.begin = forgetful_begin;
    forgetful.read = forgetful_read;
    (*out)->vtable = &forgetful;
    return 0;
}

static void remove_files(void *arg) {
    temporary_dir_remove(arg);
}

int main(void) {
    TemporaryDir dir;
    int failed = store_suite_run("store: sqlite", open_sqlite, remove_files, &dir);
    return failed + store_suite_run("store: sqlite, nothing in memory", open_forgetful, remove_files, &dir);
}
