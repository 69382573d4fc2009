/* See the header. */
#include "coordinator/transfer_verbs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "base/limits.h"
#include "coordinator/store_choice.h"
#include "transfer/export.h"
#include "transfer/import.h"
#include "transfer/original.h"

#define REASON_MAX 4096
#define COPY_PREFIX "export-" /* folders in the daemon's */

/* One run of a verb. */
typedef struct Transfer {
    const Admin *admin;
    const CoordinatorDeps *outside;
    const char *path; /* the file's */
    char *store_url;  /* NULL: SQLite */
    char program[64];
    Buffer reason;
    /* Of an export. */
    int fd;        /* the file; -1 */
    bool has_name; /* already */
    int folder_fd; /* of the daemon's copy; -1 */
    TransferCounts counts;
} Transfer;

static int complain(Transfer *t, int code, const char *format, ...) PRINTF_LIKE(3, 4);
static int complain(Transfer *t, int code, const char *format, ...) {
    OWN(freep) char *sentence = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&sentence, format, arguments) < 0)
        sentence = NULL;
    va_end(arguments);
    return admin_complain(t->admin, code, slice_of(sentence != NULL ? sentence : "out of memory"));
}

static const char *reason_of(Transfer *t, int error) {
    const char *text = buffer_text(&t->reason);
    return text != NULL && text[0] != '\0' ? text : strerror(error < 0 ? -error : EIO);
}

/* ---- the store ---- */

/* What root would make in the daemon's folder, the daemon could not open: root is the daemon's user there. */
static void become_owner(const char *data_dir) {
    struct stat info;
    if (geteuid() != 0 || stat(data_dir, &info) != 0 || info.st_uid == 0)
        return;
    (void)(setegid(info.st_gid) == 0 && seteuid(info.st_uid) == 0); /* where not, the folder is refused */
}

static void store_closep(Store **store) {
    *store = store_close(*store);
}

static int open_store(Transfer *t, const char *data_dir, Store **out) {
    const StoreOptions options = {.data_dir = t->store_url == NULL ? data_dir : NULL,
                                  .vfs = t->outside->vfs,
                                  .url = t->store_url,
                                  .clock = t->outside->clock,
                                  .program = t->program};
    return t->store_url != NULL ? store_open_postgres(out, &options, &t->reason)
                                : store_open_sqlite(out, &options, &t->reason);
}

/* ---- what was done ---- */

static void add_counts(const TransferCounts *counts, Buffer *out) {
    for (int kind = 0; kind < STORED_KINDS; kind++)
        buffer_printf(out, "%s%" PRId64 " %s%s", kind > 0 ? ", " : "", counts->rows[kind], transfer_kind_names[kind],
                      counts->rows[kind] == 1 ? "" : "s");
}

static int print(Transfer *t, const char *done, const TransferCounts *counts) {
    OWN(buffer_deinit) Buffer text, json;
    buffer_init(&text, REASON_MAX);
    buffer_init(&json, REASON_MAX);
    buffer_printf(&text, "%s: ", done);
    add_counts(counts, &text);
    buffer_add_char(&text, '\n');
    fields_encode(&transfer_end_fields, counts, &json);
    OWN(json_decrefp) json_t *body = json_loadb(json.data, json.len, 0, NULL);
    return admin_print_result(t->admin, body, buffer_slice(&text));
}

/* ---- export ---- */

static void fclosep(FILE **file) {
    if (*file != NULL)
        (void)fclose(*file);
    *file = NULL;
}

static int write_file(Transfer *t, Store *store, FILE *file) {
    int r = export_write(store, file, t->program, &t->counts, &t->reason);
    if (r == 0 && fsync(fileno(file)) != 0)
        r = -errno;
    return r;
}

/* Into the file that is there already, so that the store may be another user's. */
static int export_store(Transfer *t, Store *store) {
    int fd = fcntl(t->fd, F_DUPFD_CLOEXEC, 0);
    OWN(fclosep) FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    int r = file != NULL ? write_file(t, store, file) : -errno;
    return r == 0 ? 0 : complain(t, EX_SOFTWARE, "cannot write %s: %s", t->path, reason_of(t, r));
}

static int open_folder_of(const char *path) {
    OWN(freep) char *copy = strdup(path);
    return copy != NULL ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

/* A file that nobody else can read. It has no name before it is complete, where the file system can do that; else one that is
 * not complete would not be read by `import`. */
static int make_file(Transfer *t) {
    OWN(closep) int folder = open_folder_of(t->path);
    struct stat info;
    if (lstat(t->path, &info) == 0)
        return complain(t, EX_NOINPUT, "cannot make %s: %s", t->path, strerror(EEXIST));
    t->fd = folder >= 0 ? openat(folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600) : -1;
    if (t->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        t->fd = open(t->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        t->has_name = t->fd >= 0;
    }
    return t->fd >= 0 ? 0 : complain(t, EX_SOFTWARE, "cannot make %s: %s", t->path, strerror(errno));
}

static int name_file(Transfer *t) {
    char self[64];
    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", t->fd);
    if (!t->has_name && linkat(AT_FDCWD, self, AT_FDCWD, t->path, AT_SYMLINK_FOLLOW) != 0)
        return complain(t, errno == EEXIST ? EX_NOINPUT : EX_SOFTWARE, "cannot make %s: %s", t->path, strerror(errno));
    OWN(closep) int folder = open_folder_of(t->path);
    if (folder < 0 || fsync(folder) != 0)
        return complain(t, EX_SOFTWARE, "cannot write the folder of %s: %s", t->path, strerror(errno));
    return print(t, "exported", &t->counts);
}

/* A folder for the daemon's copy in the daemon's own, since the file is of its user and for its user alone. Locked, so that
 * what a killed export left is told from what a living one uses. */
static int make_folder(Transfer *t, const char *data_dir, char *folder, size_t size) {
    (void)snprintf(folder, size, "%s/" COPY_PREFIX "XXXXXX", data_dir);
    if (mkdtemp(folder) == NULL) {
        int error = errno;
        folder[0] = '\0';
        return complain(t, EX_SOFTWARE,
                        "a daemon has the data folder %s, and an export beside it needs a place there: %s; be the "
                        "daemon's user, or root",
                        data_dir, strerror(error));
    }
    t->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->folder_fd < 0 || flock(t->folder_fd, LOCK_EX | LOCK_NB) != 0)
        return complain(t, EX_SOFTWARE, "%s: %s", folder, strerror(errno));
    return 0;
}

static void remove_folder(const char *folder) {
    static const char *const names[] = {
        "stacks.db", "stacks.db.partial", "stacks.db-wal", "stacks.db-shm", "stacks.db-log", "lock", ""};
    char path[PATH_MAX + 32];
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)(names[i][0] != '\0' ? unlink(path) : rmdir(folder));
    }
}

static void sweep(const char *data_dir) {
    DIR *directory = opendir(data_dir);
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char path[PATH_MAX + 32];
        (void)snprintf(path, sizeof path, "%s/%s", data_dir, entry->d_name);
        if (strncmp(entry->d_name, COPY_PREFIX, strlen(COPY_PREFIX)) != 0)
            continue;
        OWN(closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            remove_folder(path);
    }
    if (directory != NULL)
        (void)closedir(directory);
}

/* The daemon's copy, opened as if it were a data folder of its own. */
static int export_copy(Transfer *t, const char *folder) {
    char path[PATH_MAX + 32];
    OWN(json_decrefp) json_t *answer = NULL;
    OWN(store_closep) Store *store = NULL;
    (void)snprintf(path, sizeof path, "%s/stacks.db", folder);
    const char *const arguments[] = {path};
    Admin backup = *t->admin;
    backup.verb = VERB_BACKUP;
    backup.arguments = arguments;
    int code = admin_ask(&backup, &answer);
    if (code != 0)
        return code;
    buffer_clear(&t->reason);
    int r = open_store(t, folder, &store);
    if (r != 0)
        return complain(t, EX_SOFTWARE, "the daemon's copy cannot be opened: %s", reason_of(t, r));
    remove_folder(folder); /* it lives on as long as it is open, and is gone whatever happens to us */
    return export_store(t, store);
}

static int export_beside_daemon(Transfer *t, const char *data_dir) {
    char folder[PATH_MAX];
    sweep(data_dir);
    int code = make_folder(t, data_dir, folder, sizeof folder);
    if (code == 0)
        code = export_copy(t, folder);
    if (folder[0] != '\0')
        remove_folder(folder);
    return code;
}

static int export_sqlite(Transfer *t) {
    OWN(freep) char *data_dir = realpath(t->admin->data_dir, NULL);
    OWN(store_closep) Store *store = NULL;
    char database[PATH_MAX + 32];
    (void)snprintf(database, sizeof database, "%s/stacks.db", data_dir != NULL ? data_dir : t->admin->data_dir);
    /* A folder that cannot be looked into has a daemon perhaps. */
    if (data_dir == NULL || (access(database, F_OK) != 0 && errno == ENOENT))
        return complain(t, EX_NOINPUT,
                        "there is no %s: say with --data where it is, or with --store which PostgreSQL server has the "
                        "rows",
                        database);
    become_owner(data_dir);
    /* What this user would make in somebody else's folder, the owner could not open. */
    if (coordinator_check_data_dir(data_dir, &t->reason) == -EPERM)
        return export_beside_daemon(t, data_dir);
    int r = open_store(t, data_dir, &store);
    if (r == STORE_LOCKED)
        return export_beside_daemon(t, data_dir);
    return r == 0 ? export_store(t, store) : complain(t, EX_SOFTWARE, "%s", reason_of(t, r));
}

static int export_postgres(Transfer *t) {
    OWN(store_closep) Store *store = NULL;
    int r = open_store(t, NULL, &store);
    return r == 0 ? export_store(t, store) : complain(t, EX_SOFTWARE, "%s", reason_of(t, r));
}

static int run_export(Transfer *t) {
    uid_t user = geteuid();
    int code = make_file(t);
    if (code == 0)
        code = t->store_url != NULL ? export_postgres(t) : export_sqlite(t);
    if (geteuid() != user && seteuid(user) != 0)
        return complain(t, EX_SOFTWARE, "%s", strerror(errno));
    if (code != 0 && t->has_name)
        (void)unlink(t->path);
    return code == 0 ? name_file(t) : code;
}

/* ---- import ---- */

/* What a failure means for whoever wants to have imported something. */
static int import_failed(Transfer *t, int r) {
    if (r == TRANSFER_REFUSED)
        return complain(t, EX_USAGE, "%s: %s; nothing was imported", t->path, reason_of(t, r));
    if (r == STORE_CONFLICT)
        return complain(t, EX_NOINPUT,
                        "%s; nothing was imported: that needs an empty %s, and a file in which nothing is there twice",
                        reason_of(t, r), t->store_url != NULL ? "database" : "data folder (--data)");
    if (r == STORE_LOCKED)
        return complain(t, EX_NOINPUT, "%s; an import needs a store that no daemon uses", reason_of(t, r));
    if (r == STORE_UNKNOWN)
        return complain(t, EX_SOFTWARE,
                        "%s; whether everything was imported or nothing is not known: `export` shows it",
                        reason_of(t, r));
    return complain(t, EX_SOFTWARE, "%s: %s; nothing was imported", t->path, reason_of(t, r));
}

static int import_file(Transfer *t, Store *store, FILE *file) {
    const CoordinatorOptions *o = t->admin->options;
    const OriginalOptions original = {.renames = &o->renames, .clock = t->outside->clock, .random = t->outside->random};
    TransferCounts counts;
    size_t skipped = 0;
    int r = o->is_original ? original_read(store, file, &original, &counts, &skipped, &t->reason)
                           : import_read(store, file, &counts, &t->reason);
    if (r != 0)
        return import_failed(t, r);
    if (skipped > 0)
        (void)complain(t, 0, "left out: %zu stacks of keys that no project has", skipped);
    return print(t, "imported", &counts);
}

static int run_import(Transfer *t) {
    OWN(store_closep) Store *store = NULL;
    const CoordinatorOptions *o = t->admin->options;
    if (o->renames.count > 0 && !o->is_original)
        return complain(t, EX_USAGE, "--rename goes with --from-original");
    OWN(fclosep) FILE *file = fopen(t->path, "re");
    if (file == NULL)
        return complain(t, EX_NOINPUT, "cannot open %s: %s", t->path, strerror(errno));
    if (t->store_url == NULL)
        become_owner(t->admin->data_dir);
    int r = t->store_url == NULL ? coordinator_check_data_dir(t->admin->data_dir, &t->reason) : 0;
    if (r == 0)
        r = open_store(t, t->admin->data_dir, &store);
    if (r == STORE_LOCKED)
        return import_failed(t, r);
    return r == 0 ? import_file(t, store, file) : complain(t, EX_SOFTWARE, "%s", reason_of(t, r));
}

int transfer_run(const Admin *admin, const CoordinatorDeps *outside) {
    Transfer t = {.admin = admin, .outside = outside, .path = admin->arguments[0], .fd = -1, .folder_fd = -1};
    buffer_init(&t.reason, REASON_MAX);
    (void)snprintf(t.program, sizeof t.program, "%s %s", coordinator_program.name, coordinator_program.version);
    (void)umask(027); /* as the daemon's */
    int r = store_choose(admin->options, &t.store_url, &t.reason);
    int code = r != 0                       ? complain(&t, EX_USAGE, "%s", reason_of(&t, r))
               : admin->verb == VERB_EXPORT ? run_export(&t)
                                            : run_import(&t);
    closep(&t.fd);
    closep(&t.folder_fd);
    buffer_deinit(&t.reason);
    free(t.store_url);
    return code;
}
