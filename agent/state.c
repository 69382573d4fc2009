/*
 * The files. Invariants: a file is replaced as a whole (written beside, renamed), so a reader sees the old or the new one;
 * nothing is opened that could be a link, block (a FIFO) or belong to somebody else.
 */
#include "agent/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "agent/globs.h"
#include "agent/limits.h"
#include "base/fields.h"
#include "base/json_guard.h"
#include "base/log.h"
#include "base/output.h"
#include "base/random.h"
#include "protocol/rules.h"

#define NAME_PREFIX "lease-"
#define NAME_SUFFIX ".json"
enum { LOCK_TRIES = 20, LOCK_PAUSE_MS = 5 };

#define LOG_PREFIX "keeper-"
#define LOG_SUFFIX ".log"
#define NAME_SIZE (sizeof LOG_PREFIX + REQUEST_ID_MAX + sizeof NAME_SUFFIX + 24)

static const Field rows[] = {
    {.name = "requestId",
     .kind = FIELD_TEXT,
     .offset = offsetof(LeaseState, request_id),
     .is_required = true,
     .min = REQUEST_ID_MIN,
     .max = REQUEST_ID_MAX,
     .check = rule_request_id},
    {.name = "urls",
     .kind = FIELD_TEXT,
     .offset = offsetof(LeaseState, urls),
     .is_required = true,
     .min = 1,
     .check = rule_one_line},
    {.name = "caFile", .kind = FIELD_TEXT, .offset = offsetof(LeaseState, ca_file)},
    {.name = "worktree", .kind = FIELD_TEXT, .offset = offsetof(LeaseState, worktree)},
    {.name = "commit",
     .kind = FIELD_TEXT,
     .offset = offsetof(LeaseState, commit),
     .max = COMMIT_MAX,
     .check = rule_commit},
    {.name = "stack",
     .kind = FIELD_TEXT,
     .offset = offsetof(LeaseState, stack),
     .max = STACK_NAME_MAX,
     .check = rule_stack_name},
    {.name = "paths", .kind = FIELD_TEXT, .offset = offsetof(LeaseState, paths), .max = GLOBS_MAX},
    {.name = "lastDeployedCommit",
     .kind = FIELD_TEXT,
     .offset = offsetof(LeaseState, last_deployed_commit),
     .max = COMMIT_MAX,
     .check = rule_commit},
    {.name = "secret", .kind = FIELD_TEXT, .offset = offsetof(LeaseState, secret), .max = 1024, .check = rule_one_line},
    {.name = "generation", .kind = FIELD_INTEGER, .offset = offsetof(LeaseState, generation), .fallback = FIELD_ABSENT},
    {.name = "leaseSeconds",
     .kind = FIELD_INTEGER,
     .offset = offsetof(LeaseState, lease_seconds),
     .fallback = FIELD_ABSENT,
     .min = LEASE_SECONDS_MIN,
     .max = LEASE_SECONDS_MAX},
    {.name = "isDeployed", .kind = FIELD_BOOLEAN, .offset = offsetof(LeaseState, is_deployed)},
    {.name = "isDeployNeeded", .kind = FIELD_BOOLEAN, .offset = offsetof(LeaseState, is_deploy_needed)},
    {.name = "isJoined", .kind = FIELD_BOOLEAN, .offset = offsetof(LeaseState, is_joined)},
    {.name = "lostWhy", .kind = FIELD_TEXT, .offset = offsetof(LeaseState, lost_why), .check = rule_one_line},
    {.name = "isGivingBack", .kind = FIELD_BOOLEAN, .offset = offsetof(LeaseState, is_giving_back)},
    {.name = "isLeft", .kind = FIELD_BOOLEAN, .offset = offsetof(LeaseState, is_left)},
    {.name = "lostBy", .kind = FIELD_TEXT, .offset = offsetof(LeaseState, lost_by), .check = rule_one_line},
    {.name = "lostAt", .kind = FIELD_TEXT, .offset = offsetof(LeaseState, lost_at), .check = rule_one_line},
};
static const FieldTable lease_state_fields = {.name = "Lease", .rows = rows, .count = COUNT_OF(rows)};

void lease_state_deinit(LeaseState *s) {
    if (s == NULL)
        return;
    json_decref(s->json);
    *s = LEASE_STATE_EMPTY;
}

void lease_states_deinit(LeaseStates *list) {
    for (size_t i = 0; i < list->count; i++)
        lease_state_deinit(&list->items[i]);
    list->count = 0;
}

static void file_name(Slice request_id, char out[NAME_SIZE]) {
    (void)snprintf(out, NAME_SIZE, NAME_PREFIX "%.*s" NAME_SUFFIX, SLICE_PRINT(request_id));
}

static void log_name(Slice request_id, char out[NAME_SIZE]) {
    (void)snprintf(out, NAME_SIZE, LOG_PREFIX "%.*s" LOG_SUFFIX, SLICE_PRINT(request_id));
}

static int write_beside(const StateFolder *folder, const char *name, Slice text) {
    OWN(closep) int fd = openat(folder->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : output_write(fd, text);
}

/*
 * Whole or not at all: written beside, then renamed. Not synced: what has to survive is the death of this process, and a
 * machine that loses its power loses the job with it. Two syncs would cost more than the whole request.
 */
int lease_state_save(const StateFolder *folder, const LeaseState *state) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, STATE_FILE_BYTES_MAX);
    fields_encode(&lease_state_fields, state, &text);
    buffer_add_char(&text, '\n');
    if (buffer_error(&text) != 0)
        return buffer_error(&text);

    uint64_t unique = 0;
    int r = random_fill(random_system(), &unique, sizeof unique);
    if (r != 0)
        return r;
    char name[NAME_SIZE], beside[NAME_SIZE];
    file_name(state->request_id, name);
    (void)snprintf(beside, sizeof beside, "new-%016llx", (unsigned long long)unique);
    r = write_beside(folder, beside, buffer_slice(&text));
    if (r == 0 && renameat(folder->fd, beside, folder->fd, name) < 0)
        r = -errno;
    if (r != 0) {
        (void)unlinkat(folder->fd, beside, 0);
    }
    return r;
}

static int refuse(Buffer *reason, const StateFolder *folder, const char *name, const char *why) {
    log_add_printable(reason, slice_of(folder->path));
    buffer_add_char(reason, '/');
    log_add_printable(reason, slice_of(name));
    buffer_printf(reason, " cannot be used: %s", why);
    return STATE_REFUSED;
}

/* 0 with the file's text | STATE_ABSENT | STATE_REFUSED | -errno */
static int read_guarded(const StateFolder *folder, const char *name, Buffer *text, Buffer *reason) {
    /* O_NONBLOCK: opening a FIFO must not wait for its writer. */
    OWN(closep) int fd = openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat about;
    if (fd < 0 && errno == ENOENT)
        return STATE_ABSENT;
    if (fd < 0)
        return refuse(reason, folder, name, errno == ELOOP ? "it is a link" : strerror(errno));
    if (fstat(fd, &about) < 0)
        return -errno;
    if (!S_ISREG(about.st_mode))
        return refuse(reason, folder, name, "it is no plain file");
    if (about.st_uid != geteuid())
        return refuse(reason, folder, name, "it belongs to another user");
    if (about.st_nlink > 1)
        return refuse(reason, folder, name, "it has a second name");
    if ((about.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return refuse(reason, folder, name, "other users may write it");
    for (;;) {
        char *room = buffer_reserve(text, 4096);
        if (room == NULL)
            return buffer_error(text) == -ENOMEM ? -ENOMEM : refuse(reason, folder, name, "it is too long");
        ssize_t got = read(fd, room, 4096);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return 0;
        if (got > 0)
            buffer_grew(text, (size_t)got);
    }
}

static int load(const StateFolder *folder, const char *name, LeaseState *out, Buffer *reason) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, STATE_FILE_BYTES_MAX + 4096);
    int r = read_guarded(folder, name, &text, reason);
    if (r != 0)
        return r;
    JsonProblem bad_json = {.detail = "it is empty"};
    FieldProblem bad_field;
    LeaseState state = LEASE_STATE_EMPTY;
    OWN(json_decrefp) json_t *json = NULL;
    r = json_parse(buffer_slice(&text), 2, &json, &bad_json);
    if (r < 0)
        return r;
    if (r != 0)
        return refuse(reason, folder, name, bad_json.detail);
    if (fields_decode(&lease_state_fields, json, FIELDS_FROM_JSON, &state, &bad_field) != 0)
        return refuse(reason, folder, name, bad_field.detail);
    char expected[NAME_SIZE];
    file_name(state.request_id, expected);
    if (strcmp(expected, name) != 0)
        return refuse(reason, folder, name, "it is another lease's");
    state.json = steal(&json);
    *out = state;
    return 0;
}

int lease_state_load(const StateFolder *folder, Slice request_id, LeaseState *out, Buffer *reason) {
    char name[NAME_SIZE];
    file_name(request_id, name);
    return load(folder, name, out, reason);
}

static bool is_lease_file(const char *name) {
    size_t len = strlen(name), suffix = strlen(NAME_SUFFIX);
    return strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) == 0 && len > suffix &&
           strcmp(name + len - suffix, NAME_SUFFIX) == 0;
}

static int add_file(const StateFolder *folder, const char *name, LeaseStates *out, Buffer *reason) {
    OWN(buffer_deinit) Buffer unsaid;
    buffer_init(&unsaid, REASON_MAX);
    Buffer *why = out->refused_count == 0 ? reason : &unsaid;
    int r = out->count < COUNT_OF(out->items)
                ? load(folder, name, &out->items[out->count], why)
                : refuse(why, folder, name, "more leases are noted there than one job can have (--state-dir)");
    if (r == 0)
        out->count++;
    if (r == STATE_REFUSED)
        out->refused_count++;
    return r < 0 ? r : 0; /* absent: removed since the folder was read */
}

static void directory_closep(DIR **directory) {
    if (*directory != NULL)
        (void)closedir(*directory);
    *directory = NULL;
}

static int by_request_id(const void *a, const void *b) {
    return slice_compare(((const LeaseState *)a)->request_id, ((const LeaseState *)b)->request_id);
}

int lease_states_load(const StateFolder *folder, LeaseStates *out, Buffer *reason) {
    /* A descriptor of its own: reading moves the offset that a duplicate would share. */
    OWN(closep) int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    OWN(directory_closep) DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (directory == NULL)
        return -errno;
    fd = -1;
    OWN(lease_states_deinit) LeaseStates list = {.count = 0};
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        int r = is_lease_file(entry->d_name) ? add_file(folder, entry->d_name, &list, reason) : 0;
        if (r != 0)
            return r;
    }
    qsort(list.items, list.count, sizeof list.items[0], by_request_id);
    *out = list;
    list.count = 0;
    return 0;
}

/*
 * The lock of a lease is its file's, which is replaced by each save: whoever waited for a file that is no more looks again.
 * 0 with a descriptor that holds the lock | STATE_ABSENT | -errno
 */
static int lock_file(const StateFolder *folder, const char *name, int *out) {
    for (;;) {
        OWN(closep) int fd = openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat about;
        if (fd < 0 || flock(fd, LOCK_EX) < 0 || fstat(fd, &about) < 0)
            return errno == ENOENT ? STATE_ABSENT : -errno;
        if (about.st_nlink == 0)
            continue;
        *out = fd;
        fd = -1;
        return 0;
    }
}

int lease_state_change(const StateFolder *folder, Slice request_id, void (*change)(LeaseState *state, const void *arg),
                       const void *arg, Buffer *reason) {
    OWN(closep) int lock = -1;
    OWN(lease_state_deinit) LeaseState state = LEASE_STATE_EMPTY;
    char name[NAME_SIZE];
    file_name(request_id, name);
    int r = lock_file(folder, name, &lock);
    if (r == 0)
        r = load(folder, name, &state, reason);
    if (r != 0)
        return r;
    change(&state, arg);
    return lease_state_save(folder, &state);
}

bool lease_state_exists(const StateFolder *folder, Slice request_id) {
    char name[NAME_SIZE];
    file_name(request_id, name);
    struct stat about; /* not faccessat(2), which old kernels cannot ask about a link itself */
    return fstatat(folder->fd, name, &about, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

int lease_log_open(const StateFolder *folder, Slice request_id, bool is_made) {
    char name[NAME_SIZE];
    int flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (is_made ? O_CREAT : 0);
    log_name(request_id, name);
    int fd = openat(folder->fd, name, flags, 0600);
    return fd >= 0 ? fd : -errno;
}

/* Whoever only looks has the lock for a moment too: he is not taken for a keeper. */
int lease_log_lock(int fd) {
    for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
        if (errno != EWOULDBLOCK || tries == LOCK_TRIES)
            return -errno;
        (void)poll(NULL, 0, LOCK_PAUSE_MS);
    }
    return 0;
}

int lease_asking_begin(const StateFolder *folder, Slice request_id) {
    int fd = lease_log_open(folder, request_id, true);
    int r = fd >= 0 ? lease_log_lock(fd) : fd;
    if (r != 0 && fd >= 0)
        (void)close(fd);
    return r == 0 ? fd : r;
}

void lease_asking_end(const StateFolder *folder, Slice request_id, int *fd) {
    char name[NAME_SIZE];
    log_name(request_id, name);
    if (*fd >= 0)
        (void)unlinkat(folder->fd, name, 0); /* a keeper makes its own; where there is none, none has ended */
    closep(fd);
}

bool lease_is_attended(const StateFolder *folder, Slice request_id) {
    OWN(closep) int fd = lease_log_open(folder, request_id, false);
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

int lease_state_remove(const StateFolder *folder, Slice request_id) {
    OWN(closep) int lock = -1;
    char name[NAME_SIZE];
    file_name(request_id, name);
    (void)lock_file(folder, name,
                    &lock); /* else a change that is under way would put it back; a damaged one goes too */
    int r = unlinkat(folder->fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
    log_name(request_id, name);
    (void)unlinkat(folder->fd, name, 0);
    return r;
}
