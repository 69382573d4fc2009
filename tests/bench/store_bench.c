/*
 * What the store costs: batches of requestStack and releaseStack, decided by the real rules, saved by the real store.
 *
 *   store_bench [--operations N] [--dir DIR] [--profile [--bound]]
 *
 * Each row is one run: so many operations a transaction (half of them requests, half releases of the batch before), over
 * so many stacks, every request on the branch its stack has (`same`) or on a new one (`new`), plain or with requestId and
 * leaseSeconds (`bound`). Columns: CPU microseconds an operation inside the store and inside the rules, measured with syncs
 * off; then microseconds of wall time an operation and operations a second, with every COMMIT synced.
 *
 * --profile runs one row without syncs, for perf and callgrind.
 */
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "lease/decide.h"
#include "store/sqlite.h"

typedef struct Workload {
    size_t batch;
    int64_t stacks;
    bool is_new_branch, is_bound;
} Workload;

typedef struct Bench {
    Store *store;
    Workload load;
    Arena arena;
    Moment moment;
    int64_t next; /* request number */
    char held[BATCH_MAX][STACK_NAME_MAX + 1];
    LeaseRef held_lease[BATCH_MAX];
    size_t held_count;
    double store_us, rules_us;
} Bench;

static double now_us(clockid_t clock) {
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: %s; store says: %s\n", __FILE__, __LINE__, #condition,                       \
                          store_reason(b->store));                                                                     \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static const Slice project = SLICE_LITERAL("bench");
static const Slice holder =
    SLICE_LITERAL("{\"provider\":\"github\",\"repository\":\"acme/shop\",\"run\":\"8123456789\"}");

static Command command_of(OperationId operation) {
    Command c = {.operation = operation,
                 .project = project,
                 .scope = SCOPE_ADMIN,
                 .asker = SLICE_LITERAL("k3f9a2b7c1d0"),
                 .lease_seconds = FIELD_ABSENT,
                 .wait_seconds = FIELD_ABSENT,
                 .max_stacks = FIELD_ABSENT,
                 .max_hold_seconds = FIELD_ABSENT,
                 .expiry_grace_seconds = FIELD_ABSENT,
                 .after = FIELD_ABSENT,
                 .limit = FIELD_ABSENT};
    return c;
}

static Command make_request(Bench *b) {
    Command c = command_of(OP_REQUEST_STACK);
    int64_t n = b->next++;
    c.branch = b->load.is_new_branch ? arena_printf(&b->arena, "feat/branch-%lld", (long long)n)
                                     : arena_printf(&b->arena, "feat/branch-%lld", (long long)(n % b->load.stacks));
    c.holder_json = holder;
    if (b->load.is_bound) {
        uint64_t id = (uint64_t)n * 0x9e3779b97f4a7c15u;
        c.request_id =
            arena_printf(&b->arena, "%016llx%016llx", (unsigned long long)id, (unsigned long long)(UINT64_MAX - id));
        c.lease_seconds = 300;
    }
    return c;
}

static Command make_release(const Bench *b, size_t i) {
    Command c = command_of(OP_RELEASE_STACK);
    c.stack_name = slice_of(b->held[i]);
    c.lease_ref = b->load.is_bound ? b->held_lease[i] : (LeaseRef){0};
    return c;
}

static void run_commands(Bench *b, const Command *commands, size_t count) {
    WorkingSet set, *sets[] = {&set};
    Answer answers[BATCH_MAX];
    double start = now_us(CLOCK_THREAD_CPUTIME_ID), stored = 0;
    MUST(working_set_init(&set, &b->arena, project) == 0);
    for (size_t i = 0; i < count; i++)
        MUST(lease_want(&set, &commands[i]) == 0);
    double t = now_us(CLOCK_THREAD_CPUTIME_ID);
    MUST(store_begin(b->store) == 0);
    MUST(store_load(b->store, sets, 1) == 0);
    stored += now_us(CLOCK_THREAD_CPUTIME_ID) - t;
    for (size_t i = 0; i < count; i++) {
        answer_init(&answers[i]);
        int r = lease_decide(&set, &commands[i], &b->moment, &answers[i]);
        for (int round = 0; r == DECISION_NEEDS_ROWS && round < 8; round++) {
            MUST(lease_want(&set, &commands[i]) == 0);
            t = now_us(CLOCK_THREAD_CPUTIME_ID);
            MUST(store_load(b->store, sets, 1) == 0);
            stored += now_us(CLOCK_THREAD_CPUTIME_ID) - t;
            answer_init(&answers[i]);
            r = lease_decide(&set, &commands[i], &b->moment, &answers[i]);
        }
        if (r != DECISION_DONE)
            (void)fprintf(stderr, "refused: %.*s\n", SLICE_PRINT(answers[i].detail));
        MUST(r == DECISION_DONE);
    }
    t = now_us(CLOCK_THREAD_CPUTIME_ID);
    MUST(store_save(b->store, sets, 1) == 0);
    char reason[STORE_REASON_SIZE];
    MUST(store_commit(b->store) == 0);
    MUST(store_sync(b->store, reason) == 0);
    double end = now_us(CLOCK_THREAD_CPUTIME_ID);
    stored += end - t;
    b->store_us += stored;
    b->rules_us += end - start - stored;
    b->held_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (commands[i].operation != OP_REQUEST_STACK)
            continue;
        size_t at = b->held_count++;
        (void)snprintf(b->held[at], sizeof b->held[at], "%.*s", SLICE_PRINT(answers[i].stack_name));
        b->held_lease[at] = answers[i].lease_ref;
    }
}

/* One batch: what the last one got is released, as many are asked for. A batch of one alternates. */
static size_t run_batch(Bench *b) {
    static Command commands[BATCH_MAX];
    size_t count = 0, requests = b->load.batch / 2;
    arena_reset(&b->arena);
    b->moment.wall_ms++;
    if (b->load.batch == 1)
        requests = b->held_count == 0 ? 1 : 0;
    for (size_t i = 0; i < b->held_count; i++)
        commands[count++] = make_release(b, i);
    for (size_t i = 0; i < requests; i++)
        commands[count++] = make_request(b);
    run_commands(b, commands, count);
    return count;
}

/* As many stacks as asked for, all free again, each on its own branch. */
static void fill(Bench *b) {
    static Command commands[BATCH_MAX];
    Workload load = b->load;
    Command create = command_of(OP_CREATE_PROJECT);
    create.project_name = project;
    create.prefix = (Slice)SLICE_LITERAL("test-");
    create.max_hold_seconds = 86400;
    create.key_id = (Slice)SLICE_LITERAL("benchkey0001");
    create.key_scope = SCOPE_AGENT;
    run_commands(b, &create, 1);
    b->load.is_new_branch = true;
    b->load.is_bound = false;
    for (int64_t made = 0; made < load.stacks;) {
        size_t count = 0;
        arena_reset(&b->arena);
        for (; count < BATCH_MAX && made < load.stacks; count++, made++)
            commands[count] = make_request(b);
        run_commands(b, commands, count);
    }
    for (int64_t number = 1; number <= load.stacks;) {
        size_t count = 0;
        arena_reset(&b->arena);
        for (; count < BATCH_MAX && number <= load.stacks; count++, number++) {
            commands[count] = command_of(OP_RELEASE_STACK);
            commands[count].stack_name = arena_printf(&b->arena, "test-%lld", (long long)number);
        }
        run_commands(b, commands, count);
    }
    b->load = load;
    b->held_count = 0;
    MUST(store_idle(b->store) == 0);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at) {
    (void)info, (void)kind, (void)at;
    return remove(path);
}

static double run(const char *parent, Workload load, size_t operations, bool is_synced, Bench *b) {
    char dir[4096];
    (void)snprintf(dir, sizeof dir, "%s/store_bench.XXXXXX", parent);
    if (mkdtemp(dir) == NULL) {
        perror(dir);
        exit(1);
    }
    *b = (Bench){.load = load, .moment = {.wall_ms = 1700000000000}};
    arena_init(&b->arena);
    StoreOptions options = {.data_dir = dir, .clock = clock_system()};
    if (store_open_sqlite(&b->store, &options, NULL) != 0)
        exit(1);
    (void)sqlite3_exec(sqlite_store_connection(b->store), "PRAGMA synchronous = OFF", NULL, NULL, NULL);
    fill(b);
    if (is_synced)
        (void)sqlite3_exec(sqlite_store_connection(b->store), "PRAGMA synchronous = FULL", NULL, NULL, NULL);
    b->store_us = b->rules_us = 0;
    double start = now_us(CLOCK_MONOTONIC);
    size_t done = 0;
    while (done < operations)
        done += run_batch(b);
    double wall = now_us(CLOCK_MONOTONIC) - start;
    b->store_us /= (double)done;
    b->rules_us /= (double)done;
    b->store = store_close(b->store);
    arena_deinit(&b->arena);
    (void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return wall / (double)done;
}

static void print_row(const char *parent, Workload load, size_t operations) {
    static Bench b;
    (void)run(parent, load, operations, false, &b);
    double store_us = b.store_us, rules_us = b.rules_us;
    size_t synced = operations < load.batch * 1500 ? operations : load.batch * 1500;
    double wall = run(parent, load, synced, true, &b);
    (void)printf("%6zu %8lld %6s %6s %10.2f %10.2f %12.2f %10.0f\n", load.batch, (long long)load.stacks,
                 load.is_new_branch ? "new" : "same", load.is_bound ? "bound" : "plain", store_us, rules_us, wall,
                 1e6 / wall);
    (void)fflush(stdout);
}

int main(int argc, char **argv) {
    const char *parent = "/tmp";
    size_t operations = 100000;
    bool is_profile = false, is_bound = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--operations") == 0 && i + 1 < argc)
            operations = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc)
            parent = argv[++i];
        else if (strcmp(argv[i], "--profile") == 0)
            is_profile = true;
        else if (strcmp(argv[i], "--bound") == 0)
            is_bound = true;
    }
    static Bench b;
    if (is_profile) {
        (void)run(parent, (Workload){.batch = 64, .stacks = 64, .is_bound = is_bound}, operations, false, &b);
        (void)printf("store %.2f us/op, rules %.2f us/op\n", b.store_us, b.rules_us);
        return 0;
    }
    (void)printf("%6s %8s %6s %6s %10s %10s %12s %10s\n", "batch", "stacks", "branch", "kind", "store us", "rules us",
                 "synced us/op", "op/s");
    static const size_t batches[] = {1, 8, 64, 256};
    static const int64_t stacks[] = {10, 100000};
    for (size_t s = 0; s < 2; s++) {
        for (size_t i = 0; i < 4; i++) {
            /* Half a batch is held at a time. */
            int64_t count = stacks[s] > (int64_t)batches[i] ? stacks[s] : (int64_t)batches[i];
            for (int kind = 0; kind < 3; kind++)
                print_row(parent, (Workload){batches[i], count, kind == 1, kind == 2}, operations);
        }
    }
    return 0;
}
