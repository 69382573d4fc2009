/* Opening, refusing, copying: what is special to the SQLite engine. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "contract/temporary_dir.h"
#include "store/sqlite.h"

typedef struct World {
    TemporaryDir dir;
    char data_dir[300], db[320];
    Buffer reason;
    Store *store;
} World;

static int set_up(void **state) {
    World *w = calloc(1, sizeof *w);
    assert_non_null(w);
    temporary_dir_make(&w->dir);
    (void)snprintf(w->data_dir, sizeof w->data_dir, "%s/var/data", w->dir.path);
    (void)snprintf(w->db, sizeof w->db, "%s/stacks.db", w->data_dir);
    buffer_init(&w->reason, 4096);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    World *w = *state;
    w->store = store_close(w->store);
    buffer_deinit(&w->reason);
    temporary_dir_remove(&w->dir);
    free(w);
    return 0;
}

static int open_in(World *w, const char *data_dir, Store **out) {
    StoreOptions options = {.data_dir = data_dir, .clock = clock_system(), .program = "stack-coordinator 1.2.3"};
    buffer_clear(&w->reason);
    return store_open_sqlite(out, &options, &w->reason);
}

static void assert_reason_has(World *w, const char *part) {
    const char *text = buffer_text(&w->reason);
    if (text == NULL || strstr(text, part) == NULL)
        fail_msg("`%s` does not say `%s`", text, part);
}

static void run_sql(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void make_project(Store *store, const char *name, int events) {
    Arena arena;
    WorkingSet set, *sets[] = {&set};
    arena_init(&arena);
    assert_int_equal(store_begin(store), 0);
    assert_int_equal(working_set_init(&set, &arena, slice_of(name)), 0);
    assert_int_equal(store_load(store, sets, 1), 0);
    if (set.is_project_missing)
        set.project = (ProjectRow){.name = slice_of(name), .prefix = slice_of("test-"), .first_unused = 1};
    set.project_change = set.is_project_missing ? ROW_NEW : ROW_CHANGED;
    static char filling[3000];
    memset(filling, 'x', sizeof filling - 1);
    for (int i = 0; i < events; i++)
        assert_int_equal(working_set_add_event(&set, &(EventRow){.at_ms = 1, .note = slice_of(filling)}), 0);
    assert_int_equal(store_save(store, sets, 1), 0);
    assert_int_equal(store_commit(store), 0);
    arena_deinit(&arena);
}

static int64_t last_event(World *w, Store *store, const char *name) {
    Arena arena;
    ProjectRow row = {.last_event = -1};
    arena_init(&arena);
    int r = store_find_project(store, slice_of(name), &arena, &row);
    arena_deinit(&arena);
    (void)w;
    return r == 0 ? row.last_event : -1;
}

static unsigned mode_of(const char *path) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 0777u;
}

static void directory_and_files_are_made_for_their_owner(void **state) {
    World *w = *state;
    char path[340];
    mode_t mask = umask(0);
    assert_int_equal(open_in(w, w->data_dir, &w->store), 0);
    (void)umask(mask);
    assert_int_equal(mode_of(w->data_dir), 0750);
    assert_int_equal(mode_of(w->db), 0600);
    (void)snprintf(path, sizeof path, "%s-wal", w->db);
    assert_int_equal(mode_of(path), 0600);
    (void)snprintf(path, sizeof path, "%s-log", w->db);
    assert_int_equal(mode_of(path), 0600);
    make_project(w->store, "shop", 3);
    w->store = store_close(w->store);
    assert_int_equal(open_in(w, w->data_dir, &w->store), 0);
    assert_int_equal(last_event(w, w->store, "shop"), 3);
}

static void durability_is_as_promised(void **state) {
    World *w = *state;
    static const struct {
        const char *pragma, *value;
    } expected[] = {
        {"PRAGMA locking_mode", "exclusive"},
        {"PRAGMA journal_mode", "wal"},
        {"PRAGMA synchronous", "2"},
        {"PRAGMA wal_autocheckpoint", "0"},
        {"PRAGMA mmap_size", "0"},
        {"PRAGMA cache_spill", "0"},
        {"PRAGMA secure_delete", "0"},
        {"PRAGMA application_id", "1397715828"},
    };
    assert_int_equal(open_in(w, w->data_dir, &w->store), 0);
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        sqlite3_stmt *statement = NULL;
        const char *value = NULL;
        assert_int_equal(
            sqlite3_prepare_v2(sqlite_store_connection(w->store), expected[i].pragma, -1, &statement, NULL), SQLITE_OK);
        if (sqlite3_step(statement) == SQLITE_ROW)
            value = (const char *)sqlite3_column_text(statement, 0);
        assert_string_equal(value != NULL ? value : "(nothing)", expected[i].value);
        (void)sqlite3_finalize(statement);
    }
}

/* The hot statements reach their rows by seeks: no walk over a table, nothing sorted. */
static void every_statement_seeks(void **state) {
    World *w = *state;
    assert_int_equal(open_in(w, w->data_dir, &w->store), 0);
    for (int id = 0; id < STATEMENT_COUNT; id++) {
        char sql[2048];
        sqlite3_stmt *plan = NULL;
        if (id == SQL_COUNT_STACKS || id == SQL_LIST_ALL_KEYS_FROM || id == SQL_DUMP_PROJECTS)
            continue; /* of everything, on purpose */
        (void)snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN %s", sqlite_statement_texts[id]);
        assert_int_equal(sqlite3_prepare_v2(sqlite_store_connection(w->store), sql, -1, &plan, NULL), SQLITE_OK);
        while (sqlite3_step(plan) == SQLITE_ROW) {
            const char *step = (const char *)sqlite3_column_text(plan, 3);
            if (id == SQL_LIST_WATCHED_STACKS ||
                id == SQL_LIST_WATCHED_REQUESTS) /* once, at the start: one pass beats an index that each grant pays */
                continue;
            if (strncmp(step, "SCAN", 4) == 0 || strstr(step, "TEMP B-TREE") != NULL)
                fail_msg("%s: %s", sqlite_statement_texts[id], step);
        }
        (void)sqlite3_finalize(plan);
    }
}

static void second_open_is_refused_by_name(void **state) {
    World *w = *state;
    char pid[32];
    Store *second = NULL;
    assert_int_equal(open_in(w, w->data_dir, &w->store), 0);
    assert_int_equal(open_in(w, w->data_dir, &second), STORE_LOCKED);
    assert_null(second);
    (void)snprintf(pid, sizeof pid, "pid %lld", (long long)getpid());
    assert_reason_has(w, pid);
    assert_reason_has(w, w->data_dir);
    make_project(w->store, "shop", 1); /* the first goes on */
    w->store = store_close(w->store);
    assert_int_equal(open_in(w, w->data_dir, &w->store), 0);
}

static void other_programs_are_kept_out(void **state) {
    World *w = *state;
    sqlite3 *db = NULL;
    assert_int_equal(open_in(w, w->data_dir, &w->store), 0);
    make_project(w->store, "shop", 1);
    assert_int_equal(sqlite3_open(w->db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT * FROM project", NULL, NULL, NULL), SQLITE_BUSY);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void newer_schema_is_refused_naming_both(void **state) {
    World *w = *state;
    assert_int_equal(open_in(w, w->data_dir, &w->store), 0);
    w->store = store_close(w->store);
    run_sql(w->db, "INSERT INTO schema VALUES (7, 'later', 'stack-coordinator 9.9.9', 0); PRAGMA user_version = 7");
    assert_int_equal(open_in(w, w->data_dir, &w->store), STORE_NEWER_SCHEMA);
    assert_reason_has(w, "stack-coordinator 9.9.9");
    assert_reason_has(w, "stack-coordinator 1.2.3");
    assert_reason_has(w, "schema 7");
    run_sql(w->db, "PRAGMA user_version = 1");
    assert_int_equal(open_in(w, w->data_dir, &w->store), 0); /* nothing was changed, and the lock is free */
}

static void foreign_database_is_refused(void **state) {
    World *w = *state;
    char path[300];
    (void)snprintf(path, sizeof path, "%s/stacks.db", w->dir.path);
    run_sql(path, "CREATE TABLE t (x); PRAGMA application_id = 42");
    assert_int_equal(open_in(w, w->dir.path, &w->store), -EBADMSG);
    assert_reason_has(w, "another program");
}

static void garbage_is_refused(void **state) {
    World *w = *state;
    char path[300];
    (void)snprintf(path, sizeof path, "%s/stacks.db", w->dir.path);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(write(fd, "this is no database\n", 20), 20);
    assert_int_equal(close(fd), 0);
    assert_int_equal(open_in(w, w->dir.path, &w->store), -EBADMSG);
    assert_reason_has(w, "stacks.db");
    assert_reason_has(w, "put a backup in its place");
}

static void unusable_directory_is_refused(void **state) {
    World *w = *state;
    char path[300];
    (void)snprintf(path, sizeof path, "%s/file", w->dir.path);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(close(fd), 0);
    assert_int_equal(open_in(w, path, &w->store), -ENOTDIR);
    assert_reason_has(w, "not a directory");
    (void)snprintf(path, sizeof path, "%s/file/below", w->dir.path);
    assert_int_equal(open_in(w, path, &w->store), -ENOTDIR);
    assert_reason_has(w, "below");
}

static void deleted_project_opens_nothing(void **state) {
    World *w = *state;
    Arena arena;
    KeyRow key;
    ProjectRow project;
    WorkingSet set, *sets[] = {&set};
    arena_init(&arena);
    assert_int_equal(open_in(w, w->data_dir, &w->store), 0);
    make_project(w->store, "shop", 1);
    assert_int_equal(store_begin(w->store), 0);
    assert_int_equal(working_set_init(&set, &arena, slice_of("shop")), 0);
    assert_int_equal(store_load(w->store, sets, 1), 0);
    KeySlot *slot;
    assert_int_equal(working_set_add_key(&set, &(KeyRow){.id = slice_of("k1"), .project = slice_of("shop")}, &slot), 0);
    set.project.is_deleted = true;
    working_set_project_changed(&set);
    assert_int_equal(store_save(w->store, sets, 1), 0);
    assert_int_equal(store_commit(w->store), 0);
    assert_int_equal(store_find_key(w->store, slice_of("k1"), &arena, &key, &project), STORE_NOT_FOUND);
    assert_int_equal(store_find_project(w->store, slice_of("shop"), &arena, &project), STORE_NOT_FOUND);
    StoreRows rows = {0};
    assert_int_equal(store_read(w->store, &(ReadQuery){.list = LIST_STACKS, .project = slice_of("shop")}, &rows),
                     STORE_NOT_FOUND);
    assert_int_equal(store_read(w->store, &(ReadQuery){.list = LIST_STACKS, .project = slice_of("none")}, &rows),
                     STORE_NOT_FOUND);
    assert_int_equal(store_read(w->store, &(ReadQuery){.list = LIST_PROJECTS}, &rows), 0);
    arena_deinit(&arena);
}

/* ---- backup ---- */

static void backup_is_the_state_of_its_end_while_written_to(void **state) {
    World *w = *state;
    char copy[340], data_dir[300];
    (void)snprintf(data_dir, sizeof data_dir, "%s/copy", w->dir.path);
    (void)snprintf(copy, sizeof copy, "%s/stacks.db", data_dir);
    assert_int_equal(mkdir(data_dir, 0700), 0);
    assert_int_equal(open_in(w, w->data_dir, &w->store), 0);
    make_project(w->store, "shop", 2000);
    int r = 0, steps = 0;
    for (; r == 0; steps++) {
        r = store_backup_step(w->store, copy);
        if (r == 0) {
            assert_int_equal(access(copy, F_OK), -1);
            make_project(w->store, "shop", 2);
            make_project(w->store, steps % 2 == 0 ? "a" : "b", 1);
            (void)(store_idle(w->store) == 0);
        }
    }
    assert_int_equal(r, STORE_DONE);
    assert_in_range(steps, 3, 1000);
    assert_int_equal(mode_of(copy), 0600);
    assert_int_equal(store_backup_step(w->store, copy), -EEXIST);
    int64_t expected = last_event(w, w->store, "shop"), others = last_event(w, w->store, "b");
    w->store = store_close(w->store);
    assert_int_equal(open_in(w, data_dir, &w->store), 0);
    assert_int_equal(last_event(w, w->store, "shop"), expected);
    assert_int_equal(last_event(w, w->store, "b"), others);
    make_project(w->store, "shop", 1);
}

static void backup_given_up_leaves_nothing(void **state) {
    World *w = *state;
    char copy[300], partial[340];
    (void)snprintf(copy, sizeof copy, "%s/copy.db", w->dir.path);
    (void)snprintf(partial, sizeof partial, "%s.partial", copy);
    assert_int_equal(open_in(w, w->data_dir, &w->store), 0);
    make_project(w->store, "shop", 2000);
    assert_int_equal(store_backup_step(w->store, copy), 0);
    assert_int_equal(access(partial, F_OK), 0);
    assert_int_equal(store_backup_step(w->store, NULL), 0);
    assert_int_equal(access(partial, F_OK), -1);
    assert_int_equal(store_backup_step(w->store, "/nowhere/at/all"), -ENOENT);
    assert_non_null(strstr(store_reason(w->store), "/nowhere"));
    assert_int_equal(store_backup_step(w->store, copy), 0); /* and closing gives it up too */
    w->store = store_close(w->store);
    assert_int_equal(access(partial, F_OK), -1);
    assert_int_equal(access(copy, F_OK), -1);
}

static void logs_are_started_anew_and_do_not_grow(void **state) {
    World *w = *state;
    static const char *const suffixes[] = {"-wal", "-log"};
    assert_int_equal(open_in(w, w->data_dir, &w->store), 0);
    (void)sqlite3_exec(sqlite_store_connection(w->store), "PRAGMA synchronous = OFF", NULL, NULL, NULL);
    for (int i = 0; i < 200; i++)
        make_project(w->store, "shop", 100);
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        char log[340];
        struct stat info;
        (void)snprintf(log, sizeof log, "%s%s", w->db, suffixes[i]);
        assert_int_equal(stat(log, &info), 0);
        assert_in_range(info.st_size, 1, 5000 * 4200); /* 200 × 100 events are 60 MB */
    }
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(directory_and_files_are_made_for_their_owner),
        TEST(durability_is_as_promised),
        TEST(every_statement_seeks),
        TEST(second_open_is_refused_by_name),
        TEST(other_programs_are_kept_out),
        TEST(newer_schema_is_refused_naming_both),
        TEST(foreign_database_is_refused),
        TEST(garbage_is_refused),
        TEST(unusable_directory_is_refused),
        TEST(deleted_project_opens_nothing),
        TEST(backup_is_the_state_of_its_end_while_written_to),
        TEST(backup_given_up_leaves_nothing),
        TEST(logs_are_started_anew_and_do_not_grow),
    };
#undef TEST
    return cmocka_run_group_tests_name("store: sqlite, opening", tests, NULL, NULL);
}
