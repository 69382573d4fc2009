/* The notes of leases on a machine where somebody else may have been first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/limits.h"
#include "agent/state.h"

#define ID "0123456789abcdef0123456789abcdef"

typedef struct Place {
    char path[64]; /* an empty folder of the test's own */
    StateFolder folder;
    Buffer reason;
} Place;

static void place_init(Place *p) {
    *p = (Place){.folder = STATE_FOLDER_CLOSED};
    (void)snprintf(p->path, sizeof p->path, "/tmp/test_agent_state_XXXXXX");
    assert_non_null(mkdtemp(p->path));
    buffer_init(&p->reason, REASON_MAX);
    assert_int_equal(state_folder_open(p->path, true, &p->folder, &p->reason), 0);
}

static void place_deinit(Place *p) {
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", p->path);
    assert_int_equal(system(command), 0);
    state_folder_close(&p->folder);
    buffer_deinit(&p->reason);
}

static LeaseState example(void) {
    LeaseState s = LEASE_STATE_EMPTY;
    s.request_id = slice_of(ID);
    s.urls = slice_of("http://a tcp://b");
    s.stack = slice_of("test-1");
    s.secret = slice_of("sol_p_1_2_3");
    s.commit = slice_of("abc");
    s.generation = 1790000000001;
    s.is_deployed = true;
    return s;
}

static void file_of(const Place *p, char out[160]) {
    (void)snprintf(out, 160, "%s/lease-" ID ".json", p->path);
}

static void what_is_saved_is_loaded_again(void **state) {
    (void)state;
    OWN(place_deinit) Place p;
    OWN(lease_state_deinit) LeaseState back = LEASE_STATE_EMPTY;
    place_init(&p);
    const LeaseState s = example();
    assert_int_equal(lease_state_save(&p.folder, &s), 0);
    assert_int_equal(lease_state_load(&p.folder, s.request_id, &back, &p.reason), 0);
    assert_true(slice_equal(back.request_id, s.request_id));
    assert_true(slice_equal(back.urls, s.urls));
    assert_true(slice_equal(back.stack, s.stack));
    assert_true(slice_equal(back.secret, s.secret));
    assert_true(slice_equal(back.commit, s.commit));
    assert_true(slice_is_absent(back.ca_file));
    assert_int_equal(back.generation, s.generation);
    assert_true(back.is_deployed);
}

static void the_file_is_ours_alone_and_nothing_lies_beside_it(void **state) {
    (void)state;
    OWN(place_deinit) Place p;
    char path[160], command[192];
    struct stat about;
    place_init(&p);
    const LeaseState s = example();
    for (int i = 0; i < 3; i++)
        assert_int_equal(lease_state_save(&p.folder, &s), 0);
    file_of(&p, path);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    (void)snprintf(command, sizeof command, "test \"$(ls -A '%s' | wc -l)\" = 1", p.path);
    assert_int_equal(system(command), 0);
}

static void a_removed_lease_is_absent(void **state) {
    (void)state;
    OWN(place_deinit) Place p;
    OWN(lease_state_deinit) LeaseState back = LEASE_STATE_EMPTY;
    place_init(&p);
    const LeaseState s = example();
    assert_int_equal(lease_state_save(&p.folder, &s), 0);
    assert_int_equal(lease_state_remove(&p.folder, s.request_id), 0);
    assert_int_equal(lease_state_remove(&p.folder, s.request_id), 0);
    assert_int_equal(lease_state_load(&p.folder, s.request_id, &back, &p.reason), STATE_ABSENT);
}

/* Each makes something at `path` that must be refused. */
static void make_link(const char *path) {
    assert_int_equal(symlink("/etc/passwd", path), 0);
}
static void make_fifo(const char *path) {
    assert_int_equal(mkfifo(path, 0600), 0);
}
static void make_folder(const char *path) {
    assert_int_equal(mkdir(path, 0700), 0);
}
static void make_second_name(const char *path) {
    char other[192];
    (void)snprintf(other, sizeof other, "%s.other", path);
    OWN(closep) int fd = open(other, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(link(other, path), 0);
}
static void make_open_to_all(const char *path) {
    OWN(closep) int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(fchmod(fd, 0666), 0);
}
static void make_foreign(const char *path) {
    OWN(closep) int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    if (geteuid() == 0)
        assert_int_equal(fchown(fd, 12345, 12345), 0);
}
static void make_huge(const char *path) {
    OWN(closep) int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, (off_t)1 << 30), 0);
}

static void what_could_be_a_trap_is_refused_without_waiting(void **state) {
    (void)state;
    void (*const makers[])(const char *) = {make_link,        make_fifo,    make_folder, make_second_name,
                                            make_open_to_all, make_foreign, make_huge};
    for (size_t i = 0; i < COUNT_OF(makers); i++) {
        OWN(place_deinit) Place p;
        OWN(lease_state_deinit) LeaseState back = LEASE_STATE_EMPTY;
        OWN(lease_states_deinit) LeaseStates all = {.count = 0};
        char path[160];
        place_init(&p);
        file_of(&p, path);
        makers[i](path);
        (void)alarm(5);
        assert_int_equal(lease_state_load(&p.folder, slice_of(ID), &back, &p.reason), STATE_REFUSED);
        assert_non_null(strstr(buffer_text(&p.reason), path));
        assert_int_equal(lease_states_load(&p.folder, &all, &p.reason), 0);
        (void)alarm(0);
        assert_int_equal(all.count, 0);
        assert_int_equal(all.refused_count, 1);
    }
}

static void saving_replaces_a_link_and_leaves_its_target_alone(void **state) {
    (void)state;
    OWN(place_deinit) Place p;
    char path[160], target[160];
    struct stat about;
    place_init(&p);
    file_of(&p, path);
    (void)snprintf(target, sizeof target, "%s/victim", p.path);
    OWN(closep) int fd = open(target, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(symlink(target, path), 0);
    const LeaseState s = example();
    assert_int_equal(lease_state_save(&p.folder, &s), 0);
    assert_int_equal(lstat(path, &about), 0);
    assert_true(S_ISREG(about.st_mode));
    assert_int_equal(fstat(fd, &about), 0);
    assert_int_equal(about.st_size, 0);
}

static void every_truncation_is_refused(void **state) {
    (void)state;
    OWN(place_deinit) Place p;
    char path[160];
    struct stat about;
    place_init(&p);
    file_of(&p, path);
    const LeaseState s = example();
    assert_int_equal(lease_state_save(&p.folder, &s), 0);
    assert_int_equal(stat(path, &about), 0);
    for (off_t size = about.st_size - 2; size >= 0; size--) { /* the newline at the end may go */
        OWN(lease_state_deinit) LeaseState back = LEASE_STATE_EMPTY;
        buffer_clear(&p.reason);
        assert_int_equal(truncate(path, size), 0);
        assert_int_equal(lease_state_load(&p.folder, slice_of(ID), &back, &p.reason), STATE_REFUSED);
    }
}

static void a_file_under_another_leases_name_is_refused(void **state) {
    (void)state;
    OWN(place_deinit) Place p;
    OWN(lease_state_deinit) LeaseState back = LEASE_STATE_EMPTY;
    char path[160], other[160];
    place_init(&p);
    file_of(&p, path);
    (void)snprintf(other, sizeof other, "%s/lease-ffffffffffffffff.json", p.path);
    const LeaseState s = example();
    assert_int_equal(lease_state_save(&p.folder, &s), 0);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(lease_state_load(&p.folder, slice_of("ffffffffffffffff"), &back, &p.reason), STATE_REFUSED);
}

static void all_leases_are_listed_by_request(void **state) {
    (void)state;
    OWN(place_deinit) Place p;
    OWN(lease_states_deinit) LeaseStates all = {.count = 0};
    static const char *const ids[] = {"cccccccccccccccc", "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"};
    place_init(&p);
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        LeaseState s = example();
        s.request_id = slice_of(ids[i]);
        assert_int_equal(lease_state_save(&p.folder, &s), 0);
    }
    assert_int_equal(lease_states_load(&p.folder, &all, &p.reason), 0);
    assert_int_equal(all.count, 3);
    assert_true(slice_equal_text(all.items[0].request_id, "aaaaaaaaaaaaaaaa"));
    assert_true(slice_equal_text(all.items[2].request_id, "cccccccccccccccc"));
}

static void more_leases_than_one_job_can_have_are_named(void **state) {
    (void)state;
    OWN(place_deinit) Place p;
    OWN(lease_states_deinit) LeaseStates all = {.count = 0};
    place_init(&p);
    for (int i = 0; i <= STATE_FILES_MAX; i++) {
        char id[32];
        LeaseState s = example();
        (void)snprintf(id, sizeof id, "aaaaaaaaaaaaaa%02d", i);
        s.request_id = slice_of(id);
        assert_int_equal(lease_state_save(&p.folder, &s), 0);
    }
    assert_int_equal(lease_states_load(&p.folder, &all, &p.reason), 0);
    assert_int_equal(all.count, STATE_FILES_MAX);
    assert_int_equal(all.refused_count, 1);
    assert_non_null(strstr(buffer_text(&p.reason), "more leases are noted there"));
}

static void *look_for_a_moment(void *arg) {
    (void)poll(NULL, 0, 20);
    (void)close(*(int *)arg);
    return NULL;
}

static void whoever_only_looks_is_no_keeper(void **state) {
    (void)state;
    OWN(place_deinit) Place p;
    pthread_t thread;
    place_init(&p);
    OWN(closep) int own = lease_log_open(&p.folder, slice_of(ID), true);
    int looking = lease_log_open(&p.folder, slice_of(ID), false);
    assert_int_equal(flock(looking, LOCK_SH), 0);
    assert_int_equal(pthread_create(&thread, NULL, look_for_a_moment, &looking), 0);
    assert_int_equal(lease_log_lock(own), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(lease_asking_begin(&p.folder, slice_of(ID)), -EWOULDBLOCK);
}

/* Writers of one lease and readers of it at once: a reader sees a whole file, always. */
static void readers_never_see_half_a_file(void **state) {
    (void)state;
    OWN(place_deinit) Place p;
    enum { WRITERS = 8, ROUNDS = 40 };
    place_init(&p);
    const LeaseState first = example();
    assert_int_equal(lease_state_save(&p.folder, &first), 0);
    for (int i = 0; i < WRITERS; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            char stack[32];
            LeaseState s = example();
            (void)snprintf(stack, sizeof stack, "test-%d", i + 1);
            s.stack = slice_of(stack);
            for (int k = 0; k < ROUNDS; k++) {
                if (lease_state_save(&p.folder, &s) != 0)
                    _exit(1);
            }
            _exit(0);
        }
    }
    int alive = WRITERS;
    while (alive > 0) {
        OWN(lease_state_deinit) LeaseState back = LEASE_STATE_EMPTY;
        int status = 0;
        assert_int_equal(lease_state_load(&p.folder, slice_of(ID), &back, &p.reason), 0);
        assert_true(slice_starts_with(back.stack, "test-"));
        if (waitpid(-1, &status, WNOHANG) > 0) {
            assert_int_equal(status, 0);
            alive--;
        }
    }
}

static void a_folder_that_is_not_safe_is_refused(void **state) {
    (void)state;
    OWN(place_deinit) Place p;
    OWN(state_folder_close) StateFolder folder = STATE_FOLDER_CLOSED;
    char inner[128], linked[128];
    place_init(&p);
    (void)snprintf(inner, sizeof inner, "%s/inner", p.path);
    (void)snprintf(linked, sizeof linked, "%s/linked", p.path);
    assert_int_equal(mkdir(inner, 0700), 0);
    assert_int_equal(symlink(inner, linked), 0);
    assert_int_equal(state_folder_open(linked, true, &folder, &p.reason), STATE_REFUSED);
    assert_int_equal(chmod(inner, 0777), 0);
    assert_int_equal(state_folder_open(inner, true, &folder, &p.reason), STATE_REFUSED);
    assert_int_equal(chmod(inner, 0700), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(inner, 12345, 12345), 0);
        assert_int_equal(state_folder_open(inner, true, &folder, &p.reason), STATE_REFUSED);
    }
    assert_int_equal(state_folder_open("/etc/passwd", true, &folder, &p.reason), STATE_REFUSED);
    assert_int_equal(folder.fd, -1);
}

static void parents_are_made_and_a_missing_folder_is_absent(void **state) {
    (void)state;
    OWN(place_deinit) Place p;
    OWN(state_folder_close) StateFolder folder = STATE_FOLDER_CLOSED;
    char deep[128];
    struct stat about;
    place_init(&p);
    (void)snprintf(deep, sizeof deep, "%s/a/b/c", p.path);
    assert_int_equal(state_folder_open(deep, false, &folder, &p.reason), STATE_ABSENT);
    assert_int_equal(state_folder_open(deep, true, &folder, &p.reason), 0);
    assert_int_equal(stat(deep, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0700);
}

static const char *const *variables; /* NAME, VALUE, …, NULL */

static const char *lookup(const char *name) {
    for (const char *const *at = variables; *at != NULL; at += 2) {
        if (strcmp(at[0], name) == 0)
            return at[1];
    }
    return NULL;
}

static void assert_choice(const char *const *environment, const char *expected) {
    OWN(buffer_deinit) Buffer path, reason;
    buffer_init(&path, 4096);
    buffer_init(&reason, REASON_MAX);
    variables = environment;
    assert_int_equal(state_folder_choose(lookup, "/", &path, &reason), 0);
    assert_string_equal(buffer_text(&path), expected);
}

static void the_default_folder_belongs_to_the_job(void **state) {
    (void)state;
    char by_worktree[96];
    (void)snprintf(by_worktree, sizeof by_worktree, "/home/anna/.cache/stack-agent/%016llx",
                   (unsigned long long)slice_hash(slice_of("/")));
    assert_choice((const char *const[]){"RUNNER_TEMP", "/r/_temp", "HOME", "/home/anna", NULL}, "/r/_temp/stack-agent");
    assert_choice((const char *const[]){"CI_PROJECT_DIR", "/builds/a/b", "CI_JOB_ID", "77", "HOME", "/root", NULL},
                  "/builds/a/b.tmp/stack-agent/77");
    assert_choice((const char *const[]){"HOME", "/home/anna", "XDG_RUNTIME_DIR", "/nowhere/at/all", NULL}, by_worktree);
    assert_choice((const char *const[]){"CI_PROJECT_DIR", "/x", "CI_JOB_ID", "../../etc", "HOME", "/home/anna", NULL},
                  by_worktree);
    OWN(buffer_deinit) Buffer path, reason;
    buffer_init(&path, 4096);
    buffer_init(&reason, REASON_MAX);
    variables = (const char *const[]){NULL};
    assert_int_equal(state_folder_choose(lookup, "/", &path, &reason), STATE_REFUSED);
    assert_non_null(strstr(buffer_text(&reason), "STACK_AGENT_STATE_DIR"));
}

static int count_visit(void *arg, const StateFolder *run) {
    (void)run;
    ++*(int *)arg;
    return 0;
}

static void a_living_runs_folder_is_not_abandoned(void **state) {
    (void)state;
    OWN(place_deinit) Place p;
    OWN(state_folder_close) StateFolder run = STATE_FOLDER_CLOSED;
    int visits = 0;
    place_init(&p);
    assert_int_equal(state_folder_open_run(&p.folder, slice_of(ID), &run, &p.reason), 0);
    assert_int_equal(state_folder_visit_abandoned(&p.folder, count_visit, &visits), 0);
    assert_int_equal(visits, 0);
    const LeaseState s = example();
    assert_int_equal(lease_state_save(&run, &s), 0);
    state_folder_close(&run); /* as a kill does */
    assert_int_equal(state_folder_visit_abandoned(&p.folder, count_visit, &visits), 0);
    assert_int_equal(visits, 1);
    /* It still held a lease, so it is there for the next time. */
    assert_int_equal(state_folder_visit_abandoned(&p.folder, count_visit, &visits), 0);
    assert_int_equal(visits, 2);
}

static void the_end_of_a_run_removes_its_folder(void **state) {
    (void)state;
    OWN(place_deinit) Place p;
    StateFolder run = STATE_FOLDER_CLOSED;
    place_init(&p);
    assert_int_equal(state_folder_open_run(&p.folder, slice_of(ID), &run, &p.reason), 0);
    state_folder_end_run(&p.folder, slice_of(ID), &run);
    assert_int_equal(run.fd, -1);
    assert_int_equal(rmdir(p.path), 0);
    assert_int_equal(mkdir(p.path, 0700), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_is_loaded_again),
        cmocka_unit_test(the_file_is_ours_alone_and_nothing_lies_beside_it),
        cmocka_unit_test(a_removed_lease_is_absent),
        cmocka_unit_test(what_could_be_a_trap_is_refused_without_waiting),
        cmocka_unit_test(saving_replaces_a_link_and_leaves_its_target_alone),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_file_under_another_leases_name_is_refused),
        cmocka_unit_test(all_leases_are_listed_by_request),
        cmocka_unit_test(more_leases_than_one_job_can_have_are_named),
        cmocka_unit_test(whoever_only_looks_is_no_keeper),
        cmocka_unit_test(readers_never_see_half_a_file),
        cmocka_unit_test(a_folder_that_is_not_safe_is_refused),
        cmocka_unit_test(parents_are_made_and_a_missing_folder_is_absent),
        cmocka_unit_test(the_default_folder_belongs_to_the_job),
        cmocka_unit_test(a_living_runs_folder_is_not_abandoned),
        cmocka_unit_test(the_end_of_a_run_removes_its_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
