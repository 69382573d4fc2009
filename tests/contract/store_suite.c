#include "contract/store_suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "contract/full_rows.h"

typedef struct Suite {
    StoreOpener open;
    void (*close)(void *arg);
    void *arg;
} Suite;

/* One store, and the set of the transaction under way. */
typedef struct World {
    const Suite *suite;
    Store *store;
    Arena arena;
    WorkingSet set;
} World;

static int set_up(void **state) {
    const Suite *suite = *state;
    World *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->suite = suite;
    arena_init(&w->arena);
    assert_int_equal(suite->open(&w->store, suite->arg), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    World *w = *state;
    *state = (void *)(uintptr_t)w->suite;
    w->store = store_close(w->store);
    arena_deinit(&w->arena);
    if (w->suite->close != NULL)
        w->suite->close(w->suite->arg);
    free(w);
    return 0;
}

/* ---- transactions ---- */

static Slice text(World *w, const char *format, ...) PRINTF_LIKE(2, 3);
static Slice text(World *w, const char *format, ...) {
    char buffer[256];
    Slice copy = SLICE_ABSENT;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    assert_int_equal(arena_copy(&w->arena, slice_of(buffer), &copy), 0);
    return copy;
}

static void load(World *w) {
    WorkingSet *sets[] = {&w->set};
    assert_int_equal(store_load(w->store, sets, 1), 0);
}

static void begin(World *w, const char *project) {
    assert_int_equal(store_begin(w->store), 0);
    assert_int_equal(working_set_init(&w->set, &w->arena, slice_of(project)), 0);
    load(w);
}

static int save(World *w) {
    WorkingSet *sets[] = {&w->set};
    return store_save(w->store, sets, 1);
}

/* An engine may say with COMMIT what is wrong with a row. */
static int save_and_commit(World *w) {
    int r = save(w);
    return r == 0 ? store_commit(w->store) : r;
}

static void commit(World *w) {
    char reason[STORE_REASON_SIZE];
    assert_int_equal(save(w), 0);
    assert_int_equal(store_commit(w->store), 0);
    assert_int_equal(store_sync(w->store, reason), 0);
}

static RowWant *want(World *w, RowWant wanted) {
    assert_int_equal(working_set_want(&w->set, wanted), 0);
    load(w);
    RowWant *last = &w->set.wants[w->set.want_count - 1];
    for (size_t i = 0; i < w->set.want_count; i++)
        assert_true(w->set.wants[i].is_loaded);
    return last;
}

/* ---- rows ---- */

static void make_project(World *w, const char *name) {
    begin(w, name);
    assert_true(w->set.is_project_missing);
    w->set.project = (ProjectRow){.name = text(w, "%s", name),
                                  .prefix = slice_of("test-"),
                                  .max_hold_seconds = 86400,
                                  .expiry_grace_seconds = 15,
                                  .created_ms = 1000,
                                  .first_unused = 1};
    memset(w->set.project.lease_key, 7, sizeof w->set.project.lease_key);
    w->set.project_change = ROW_NEW;
    commit(w);
}

static StackRow stack_row(World *w, int64_t number, StackState state, const char *branch, int64_t requested) {
    return (StackRow){.number = number,
                      .name = text(w, "test-%lld", (long long)number),
                      .state = state,
                      .branch = branch != NULL ? slice_of(branch) : SLICE_ABSENT,
                      .requested = requested,
                      .generation = requested};
}

static StackSlot *add_stack(World *w, StackRow row) {
    StackSlot *slot;
    assert_int_equal(working_set_add_stack(&w->set, &row, &slot), 0);
    return slot;
}

static void add_event(World *w, int64_t at_ms, Slice stack_name, const char *note) {
    EventRow row = {.at_ms = at_ms, .kind = EVENT_GRANTED, .stack_name = stack_name, .note = text(w, "%s", note)};
    row.stack_number = slice_is_absent(stack_name) ? 0 : 1;
    assert_int_equal(working_set_add_event(&w->set, &row), 0);
}

static void add_key(World *w, const char *id, const char *project, int64_t created_ms) {
    KeySlot *slot;
    KeyRow row = {.id = slice_of(id), .project = slice_of(project), .scope = SCOPE_AGENT, .created_ms = created_ms};
    memset(row.hash, (int)created_ms, sizeof row.hash);
    assert_int_equal(working_set_add_key(&w->set, &row, &slot), 0);
}

/* Numbers of the set's stacks in the order they were loaded: "3 1 2". */
static const char *loaded_stacks(World *w) {
    static char out[256];
    int length = 0;
    out[0] = '\0';
    for (size_t i = 0; i < w->set.stack_count; i++)
        length += snprintf(out + length, sizeof out - (size_t)length, "%s%lld", i > 0 ? " " : "",
                           (long long)w->set.stacks[i]->row.number);
    return out;
}

static void assert_text(Slice actual, const char *expected) {
    if (expected == NULL) {
        assert_true(slice_is_absent(actual));
        return;
    }
    assert_false(slice_is_absent(actual));
    assert_int_equal(actual.len, strlen(expected));
    assert_memory_equal(actual.ptr, expected, actual.len);
}

/* ---- projects ---- */

static void missing_project_is_no_error(void **state) {
    World *w = *state;
    begin(w, "nobody");
    assert_true(w->set.is_project_missing);
    assert_false(w->set.is_project_loaded);
    (void)want(w, (RowWant){.query = ROWS_FREE_OLDEST, .limit = 1});
    (void)want(w, (RowWant){.query = ROWS_REQUEST_BY_ID, .text = slice_of("0123456789abcdef"), .limit = 1});
    assert_int_equal(w->set.stack_count, 0);
    assert_int_equal(w->set.request_count, 0);
    store_rollback(w->store);
}

static void every_column_of_a_project_comes_back(void **state) {
    World *w = *state;
    make_project(w, "shop");
    begin(w, "shop");
    ProjectRow *p = &w->set.project;
    assert_true(w->set.is_project_loaded);
    p->prefix = slice_of("env-");
    p->initial_commit = slice_of("");
    p->max_stacks = 11;
    p->max_hold_seconds = 12;
    p->expiry_grace_seconds = 13;
    p->is_cleaning = true;
    memset(p->lease_key, 0xf1, sizeof p->lease_key);
    p->created_ms = 14;
    p->stack_count = 15;
    p->leased_count = 16;
    p->queued_count = 21;
    p->first_unused = 17;
    p->last_generation = 9007199254740991;
    p->last_ticket = 19;
    p->last_event = 20;
    working_set_project_changed(&w->set);
    ProjectRow saved = *p;
    commit(w);
    begin(w, "shop");
    p = &w->set.project;
    assert_text(p->name, "shop");
    assert_text(p->prefix, "env-");
    assert_text(p->initial_commit, "");
    assert_false(p->is_deleted);
    assert_true(p->is_cleaning);
    assert_int_equal(p->max_stacks, saved.max_stacks);
    assert_int_equal(p->max_hold_seconds, saved.max_hold_seconds);
    assert_int_equal(p->expiry_grace_seconds, saved.expiry_grace_seconds);
    assert_memory_equal(p->lease_key, saved.lease_key, sizeof p->lease_key);
    assert_int_equal(p->created_ms, saved.created_ms);
    assert_int_equal(p->stack_count, saved.stack_count);
    assert_int_equal(p->leased_count, saved.leased_count);
    assert_int_equal(p->queued_count, saved.queued_count);
    assert_int_equal(p->first_unused, saved.first_unused);
    assert_int_equal(p->last_generation, saved.last_generation);
    assert_int_equal(p->last_ticket, saved.last_ticket);
    assert_int_equal(p->last_event, saved.last_event);
    store_rollback(w->store);
}

static void deleted_project_keeps_its_counters_for_the_next_of_its_name(void **state) {
    World *w = *state;
    make_project(w, "shop");
    begin(w, "shop");
    w->set.project.last_generation = 500;
    w->set.project.is_deleted = true;
    add_event(w, 1, SLICE_ABSENT, "deleted");
    commit(w);
    begin(w, "shop");
    assert_true(w->set.is_project_loaded);
    assert_true(w->set.project.is_deleted);
    assert_int_equal(w->set.project.last_generation, 500);
    w->set.project.is_deleted = false;
    add_event(w, 2, SLICE_ABSENT, "made again");
    assert_int_equal(w->set.events[0].id, 2);
    commit(w);
    ProjectRow row;
    assert_int_equal(store_find_project(w->store, slice_of("shop"), &w->arena, &row), 0);
    assert_int_equal(row.last_generation, 500);
    assert_int_equal(row.last_event, 2);
    assert_false(row.is_deleted);
}

static void projects_of_one_transaction_do_not_mix(void **state) {
    World *w = *state;
    make_project(w, "one");
    make_project(w, "two");
    WorkingSet a, b, *sets[] = {&a, &b};
    assert_int_equal(store_begin(w->store), 0);
    assert_int_equal(working_set_init(&a, &w->arena, slice_of("one")), 0);
    assert_int_equal(working_set_init(&b, &w->arena, slice_of("two")), 0);
    assert_int_equal(store_load(w->store, sets, 2), 0);
    StackSlot *slot;
    StackRow row = stack_row(w, 1, STACK_AVAILABLE, "main", 1);
    assert_int_equal(working_set_add_stack(&a, &row, &slot), 0);
    row.branch = slice_of("other");
    assert_int_equal(working_set_add_stack(&b, &row, &slot), 0);
    assert_int_equal(store_save(w->store, sets, 2), 0);
    assert_int_equal(store_commit(w->store), 0);
    begin(w, "two");
    (void)want(w, (RowWant){.query = ROWS_FREE_ON_BRANCH, .text = slice_of("main"), .limit = 5});
    assert_int_equal(w->set.stack_count, 0);
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 1, .limit = 1});
    assert_int_equal(w->set.stack_count, 1);
    assert_text(w->set.stacks[0]->row.branch, "other");
    store_rollback(w->store);
}

/* ---- stacks ---- */

static void every_column_of_a_stack_comes_back(void **state) {
    World *w = *state;
    make_project(w, "shop");
    begin(w, "shop");
    (void)add_stack(w, full_stack);
    StackRow bare = {.number = 2, .name = slice_of("test-2"), .state = STACK_DIRTY};
    (void)add_stack(w, bare);
    commit(w);
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 1, .limit = 1});
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 2, .limit = 1});
    assert_int_equal(w->set.stack_count, 2);
    assert_stack_row(&w->set.stacks[0]->row, &full_stack);
    assert_stack_row(&w->set.stacks[1]->row, &bare);
    /* And by an update, the other way round. */
    StackRow swapped = full_stack;
    swapped.number = 2;
    swapped.name = bare.name;
    w->set.stacks[1]->row = swapped;
    stack_slot_changed(w->set.stacks[1]);
    commit(w);
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 2, .limit = 1});
    assert_stack_row(&w->set.stacks[0]->row, &swapped);
    store_rollback(w->store);
}

/* 1, 5, 3 free on main in the order of requested, with their commits; the rest differ in one thing each. */
static void make_stacks(World *w) {
    make_project(w, "shop");
    begin(w, "shop");
    StackRow row = stack_row(w, 1, STACK_AVAILABLE, "main", 10);
    row.last_commit = slice_of("aaa");
    (void)add_stack(w, row);
    (void)add_stack(w, stack_row(w, 2, STACK_LEASED, "main", 99));
    row = stack_row(w, 3, STACK_AVAILABLE, "main", 30);
    row.last_commit = slice_of("aaa");
    (void)add_stack(w, row);
    (void)add_stack(w, stack_row(w, 4, STACK_AVAILABLE, "other", 5));
    row = stack_row(w, 5, STACK_AVAILABLE, "main", 20);
    row.last_commit = slice_of("bbb");
    (void)add_stack(w, row);
    row = stack_row(w, 6, STACK_AVAILABLE, "main", 40);
    row.quiet_until_ms = 1;
    row.last_commit = slice_of("aaa");
    (void)add_stack(w, row);
    row = stack_row(w, 7, STACK_AVAILABLE, "main", 50);
    row.last_commit = slice_of("aaa");
    row.is_content_unknown = true;
    (void)add_stack(w, row);
    (void)add_stack(w, stack_row(w, 8, STACK_AVAILABLE, NULL, 60));
    (void)add_stack(w, stack_row(w, 9, STACK_DIRTY, "main", 70));
    (void)add_stack(w, stack_row(w, 11, STACK_QUARANTINED, "main", 70));
    (void)add_stack(w, stack_row(w, 12, STACK_RETIRING, "main", 80));
    w->set.project.first_unused = 10;
    w->set.project.stack_count = 11;
    working_set_project_changed(&w->set);
    commit(w);
}

static void free_on_branch_is_last_requested_first(void **state) {
    World *w = *state;
    make_stacks(w);
    begin(w, "shop");
    const RowWant *order = want(w, (RowWant){.query = ROWS_FREE_ON_BRANCH, .text = slice_of("main"), .limit = 9});
    assert_string_equal(loaded_stacks(w), "7 3 5 1");
    assert_int_equal(order->edge, 0);
    store_rollback(w->store);
    begin(w, "shop");
    order = want(w, (RowWant){.query = ROWS_FREE_ON_BRANCH, .text = slice_of("main"), .limit = 2});
    assert_string_equal(loaded_stacks(w), "7 3");
    assert_int_equal(order->edge, 30);
    store_rollback(w->store);
}

static void free_at_commit_leaves_out_unknown_content(void **state) {
    World *w = *state;
    make_stacks(w);
    RowWant wanted = {.query = ROWS_FREE_AT_COMMIT, .text = slice_of("main"), .text2 = slice_of("aaa"), .limit = 9};
    begin(w, "shop");
    assert_int_equal(want(w, wanted)->edge, 0);
    assert_string_equal(loaded_stacks(w), "3 1");
    store_rollback(w->store);
    begin(w, "shop");
    wanted.limit = 1;
    assert_int_equal(want(w, wanted)->edge, 30);
    assert_string_equal(loaded_stacks(w), "3");
    store_rollback(w->store);
}

static void free_oldest_is_oldest_requested_first(void **state) {
    World *w = *state;
    make_stacks(w);
    begin(w, "shop");
    assert_int_equal(want(w, (RowWant){.query = ROWS_FREE_OLDEST, .limit = 3})->edge, 20);
    assert_string_equal(loaded_stacks(w), "4 1 5");
    store_rollback(w->store);
    begin(w, "shop");
    assert_int_equal(want(w, (RowWant){.query = ROWS_FREE_OLDEST, .limit = 6})->edge, 60);
    assert_string_equal(loaded_stacks(w), "4 1 5 3 7 8");
    store_rollback(w->store);
    begin(w, "shop");
    assert_int_equal(want(w, (RowWant){.query = ROWS_FREE_OLDEST, .limit = 7})->edge, 0);
    store_rollback(w->store);
}

static void dirty_longest_comes_first(void **state) {
    static const int64_t since[] = {30, 10, 20, 5};
    World *w = *state;
    make_project(w, "shop");
    begin(w, "shop");
    for (int i = 0; i < 4; i++) {
        StackRow row = stack_row(w, i + 1, STACK_DIRTY, "main", 100 - i);
        row.dirty_since = since[i];
        row.quiet_until_ms = i == 3 ? 1 : 0; /* nobody cleans what is quiet */
        (void)add_stack(w, row);
    }
    (void)add_stack(w, stack_row(w, 5, STACK_AVAILABLE, "main", 1));
    commit(w);
    begin(w, "shop");
    assert_int_equal(want(w, (RowWant){.query = ROWS_DIRTY_OLDEST, .limit = 2})->edge, 20);
    assert_string_equal(loaded_stacks(w), "2 3");
    store_rollback(w->store);
    begin(w, "shop");
    assert_int_equal(want(w, (RowWant){.query = ROWS_DIRTY_OLDEST, .limit = 4})->edge, 0);
    assert_string_equal(loaded_stacks(w), "2 3 1");
    store_rollback(w->store);
}

static void highest_number_leaves_out_retiring(void **state) {
    World *w = *state;
    make_stacks(w);
    begin(w, "shop");
    assert_int_equal(want(w, (RowWant){.query = ROWS_STACK_HIGHEST, .limit = 2})->edge, 9);
    assert_string_equal(loaded_stacks(w), "11 9");
    store_rollback(w->store);
}

static void unused_numbers_are_the_gaps_then_the_end(void **state) {
    World *w = *state;
    make_stacks(w);
    begin(w, "shop");
    assert_int_equal(want(w, (RowWant){.query = ROWS_NUMBERS_UNUSED, .limit = 3})->edge, 14);
    assert_int_equal(w->set.unused_count, 3);
    assert_int_equal(w->set.unused_numbers[0], 10);
    assert_int_equal(w->set.unused_numbers[1], 13);
    assert_int_equal(w->set.unused_numbers[2], 14);
    store_rollback(w->store);
}

static void unused_numbers_end_within_a_gap(void **state) {
    World *w = *state;
    make_stacks(w);
    begin(w, "shop");
    assert_int_equal(want(w, (RowWant){.query = ROWS_NUMBERS_UNUSED, .limit = 1})->edge, 10);
    assert_int_equal(w->set.unused_count, 1);
    store_rollback(w->store);
}

static void stack_moves_between_the_orders(void **state) {
    World *w = *state;
    make_stacks(w);
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 3, .limit = 1});
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 2, .limit = 1});
    working_set_stack(&w->set, 3)->row.state = STACK_LEASED;
    working_set_stack(&w->set, 3)->row.generation = 100;
    working_set_stack(&w->set, 2)->row.state = STACK_AVAILABLE;
    working_set_stack(&w->set, 2)->row.branch = slice_of("other");
    stack_slot_changed(working_set_stack(&w->set, 3));
    stack_slot_changed(working_set_stack(&w->set, 2));
    commit(w);
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_FREE_ON_BRANCH, .text = slice_of("main"), .limit = 9});
    assert_string_equal(loaded_stacks(w), "7 5 1");
    store_rollback(w->store);
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_FREE_ON_BRANCH, .text = slice_of("other"), .limit = 9});
    assert_string_equal(loaded_stacks(w), "2 4");
    store_rollback(w->store);
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_FREE_OLDEST, .limit = 9});
    assert_string_equal(loaded_stacks(w), "4 1 5 7 8 2");
    store_rollback(w->store);
}

static void later_load_adds_rows_and_overwrites_none(void **state) {
    World *w = *state;
    make_stacks(w);
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_FREE_ON_BRANCH, .text = slice_of("main"), .limit = 2});
    working_set_stack(&w->set, 7)->row.state = STACK_LEASED;
    stack_slot_changed(working_set_stack(&w->set, 7));
    working_set_want_past_edges(&w->set);
    load(w);
    assert_string_equal(loaded_stacks(w), "7 3 5 1");
    assert_int_equal(working_set_stack(&w->set, 7)->row.state, STACK_LEASED);
    assert_int_equal(w->set.wants[0].edge, 0);
    store_rollback(w->store);
}

static void deleted_stack_is_gone_and_its_number_unused(void **state) {
    World *w = *state;
    make_stacks(w);
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 11, .limit = 1});
    assert_int_equal(stack_slot_deleted(&w->set, w->set.stacks[0]), 0);
    commit(w);
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 11, .limit = 1});
    assert_int_equal(w->set.stack_count, 0);
    (void)want(w, (RowWant){.query = ROWS_NUMBERS_UNUSED, .limit = 2});
    assert_int_equal(w->set.unused_numbers[1], 11);
    store_rollback(w->store);
}

static void number_deleted_and_made_again_in_one_batch_is_a_new_row(void **state) {
    World *w = *state;
    make_stacks(w);
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 3, .limit = 1});
    assert_int_equal(stack_slot_deleted(&w->set, w->set.stacks[0]), 0);
    StackRow again = full_stack;
    again.number = 3;
    again.name = slice_of("env-3");
    (void)add_stack(w, again);
    /* And one that was never saved. */
    StackSlot *slot = add_stack(w, stack_row(w, 20, STACK_LEASED, "x", 1));
    assert_int_equal(stack_slot_deleted(&w->set, slot), 0);
    commit(w);
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 20, .limit = 1});
    assert_int_equal(w->set.stack_count, 0);
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 3, .limit = 1});
    assert_int_equal(w->set.stack_count, 1);
    assert_stack_row(&w->set.stacks[0]->row, &again);
    store_rollback(w->store);
}

/* ---- guards ---- */

static void assert_nothing_of_the_set_is_there(World *w) {
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 1, .limit = 1});
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 30, .limit = 1});
    (void)want(w, (RowWant){.query = ROWS_REQUEST_BY_TICKET, .number = 30, .limit = 1});
    (void)want(w, (RowWant){.query = ROWS_KEY_BY_ID, .text = slice_of("key30"), .limit = 1});
    assert_string_equal(loaded_stacks(w), "1");
    assert_text(w->set.stacks[0]->row.note, NULL);
    assert_int_equal(w->set.request_count, 0);
    assert_int_equal(w->set.key_count, 0);
    assert_int_equal(w->set.project.last_event, 0);
    store_rollback(w->store);
}

/* One change of every kind. */
static void change_all(World *w) {
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 1, .limit = 1});
    StackSlot *slot = working_set_stack(&w->set, 1);
    slot->row.note = slice_of("changed");
    stack_slot_changed(slot);
    (void)add_stack(w, stack_row(w, 30, STACK_LEASED, "x", 1));
    RequestSlot *request;
    RequestRow row = {.ticket = 30, .state = REQUEST_LIVE, .branch = slice_of("x"), .lease_seconds = FIELD_ABSENT};
    assert_int_equal(working_set_add_request(&w->set, &row, &request), 0);
    add_key(w, "key30", "shop", 1);
    add_event(w, 1, slice_of("test-1"), "an event");
}

static void rollback_leaves_nothing(void **state) {
    World *w = *state;
    make_stacks(w);
    change_all(w);
    assert_int_equal(save(w), 0);
    store_rollback(w->store);
    store_rollback(w->store); /* safe outside of one */
    assert_nothing_of_the_set_is_there(w);
    change_all(w);
    commit(w);
}

static void row_that_is_not_as_loaded_is_a_conflict(void **state) {
    World *w = *state;
    make_stacks(w);
    change_all(w);
    working_set_stack(&w->set, 1)->loaded_generation++;
    assert_int_equal(save_and_commit(w), STORE_CONFLICT);
    store_rollback(w->store);
    assert_nothing_of_the_set_is_there(w);

    change_all(w);
    working_set_stack(&w->set, 1)->loaded_state = STACK_LEASED;
    assert_int_equal(save_and_commit(w), STORE_CONFLICT);
    store_rollback(w->store);
    assert_nothing_of_the_set_is_there(w);

    change_all(w);
    StackSlot *slot = working_set_stack(&w->set, 1);
    slot->loaded_generation++;
    assert_int_equal(stack_slot_deleted(&w->set, slot), 0);
    assert_int_equal(save_and_commit(w), STORE_CONFLICT);
    store_rollback(w->store);
    assert_nothing_of_the_set_is_there(w);

    change_all(w);
    (void)add_stack(w, stack_row(w, 2, STACK_LEASED, "x", 1)); /* is there already, though never loaded */
    assert_int_equal(save_and_commit(w), STORE_CONFLICT);
    store_rollback(w->store);
    assert_nothing_of_the_set_is_there(w);
}

/* ---- requests ---- */

static void every_column_of_a_request_comes_back(void **state) {
    World *w = *state;
    make_project(w, "shop");
    begin(w, "shop");
    RequestSlot *slot;
    RequestRow asked = {.ticket = 7,
                        .request_id = slice_of("0123456789abcdef"),
                        .state = REQUEST_QUEUED,
                        .branch = slice_of("main"),
                        .commit = slice_of(""),
                        .lease_seconds = 300,
                        .purpose = PURPOSE_CLEAN,
                        .holder_json = slice_of("{}"),
                        .created_ms = 11};
    assert_int_equal(working_set_add_request(&w->set, &asked, &slot), 0);
    RequestRow bare = {.ticket = 8, .state = REQUEST_LIVE, .lease_seconds = FIELD_ABSENT};
    assert_int_equal(working_set_add_request(&w->set, &bare, &slot), 0);
    bare.ticket = 9; /* many have no requestId */
    assert_int_equal(working_set_add_request(&w->set, &bare, &slot), 0);
    commit(w);

    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_REQUEST_BY_ID, .text = slice_of("0123456789abcdef"), .limit = 1});
    (void)want(w, (RowWant){.query = ROWS_REQUEST_BY_TICKET, .number = 8, .limit = 1});
    assert_int_equal(w->set.request_count, 2);
    assert_int_equal(working_set_request(&w->set, 8)->row.lease_seconds, FIELD_ABSENT);
    assert_text(working_set_request(&w->set, 8)->row.request_id, NULL);
    RequestRow *row = &working_set_request(&w->set, 7)->row;
    assert_int_equal(row->state, REQUEST_QUEUED);
    assert_text(row->branch, "main");
    assert_text(row->commit, "");
    assert_int_equal(row->lease_seconds, 300);
    assert_int_equal(row->purpose, PURPOSE_CLEAN);
    assert_text(row->holder_json, "{}");
    assert_int_equal(row->created_ms, 11);
    row->state = REQUEST_OVER;
    row->why = WHY_FORCED;
    row->stack_number = 12;
    row->stack_name = slice_of("test-12");
    row->generation = 13;
    row->is_reused = row->from_queue = true;
    row->ended_ms = 14;
    row->ended_by = slice_of("control");
    row->ended_reason = slice_of("broken disk");
    row->outcome = RELEASE_BROKEN;
    row->holder_json = slice_of("{\"job\":\"b\"}");
    request_slot_changed(working_set_request(&w->set, 7));
    commit(w);

    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_REQUEST_BY_TICKET, .number = 7, .limit = 1});
    row = &working_set_request_by_id(&w->set, slice_of("0123456789abcdef"))->row;
    assert_int_equal(row->state, REQUEST_OVER);
    assert_int_equal(row->why, WHY_FORCED);
    assert_int_equal(row->stack_number, 12);
    assert_text(row->stack_name, "test-12");
    assert_int_equal(row->generation, 13);
    assert_true(row->is_reused && row->from_queue);
    assert_int_equal(row->ended_ms, 14);
    assert_text(row->ended_by, "control");
    assert_text(row->ended_reason, "broken disk");
    assert_int_equal(row->outcome, RELEASE_BROKEN);
    assert_text(row->holder_json, "{\"job\":\"b\"}");
    assert_int_equal(row->created_ms, 11);
    store_rollback(w->store);
}

static void request_id_is_unique_in_its_project_only(void **state) {
    World *w = *state;
    make_project(w, "one");
    make_project(w, "two");
    RequestRow row = {.ticket = 1, .request_id = slice_of("0123456789abcdef"), .lease_seconds = FIELD_ABSENT};
    RequestSlot *slot;
    begin(w, "one");
    assert_int_equal(working_set_add_request(&w->set, &row, &slot), 0);
    commit(w);
    begin(w, "two");
    assert_int_equal(working_set_add_request(&w->set, &row, &slot), 0);
    commit(w);
    begin(w, "one");
    row.ticket = 2;
    assert_int_equal(working_set_add_request(&w->set, &row, &slot), 0);
    assert_int_equal(save_and_commit(w), STORE_CONFLICT);
    store_rollback(w->store);
}

/* 1, 3, 6 wait for a test, 2 to clean, 4 was not heard of for long, 5 has been served. */
static void make_queue(World *w) {
    make_project(w, "shop");
    begin(w, "shop");
    for (int64_t ticket = 6; ticket >= 1; ticket--) {
        RequestSlot *slot;
        RequestRow row = {.ticket = ticket,
                          .state = ticket == 5 ? REQUEST_LIVE : REQUEST_QUEUED,
                          .is_heard = ticket != 4,
                          .purpose = ticket == 2 ? PURPOSE_CLEAN : PURPOSE_TEST,
                          .lease_seconds = FIELD_ABSENT};
        assert_int_equal(working_set_add_request(&w->set, &row, &slot), 0);
    }
    w->set.project.queued_count = 5;
    working_set_project_changed(&w->set);
    commit(w);
}

/* Tickets of the set's requests in the order they were loaded. */
static const char *loaded_requests(World *w) {
    static char out[256];
    int length = 0;
    out[0] = '\0';
    for (size_t i = 0; i < w->set.request_count; i++)
        length += snprintf(out + length, sizeof out - (size_t)length, "%s%lld", i > 0 ? " " : "",
                           (long long)w->set.requests[i]->row.ticket);
    return out;
}

static void queue_is_of_one_purpose_and_by_ticket(void **state) {
    World *w = *state;
    make_queue(w);
    begin(w, "shop");
    assert_int_equal(want(w, (RowWant){.query = ROWS_QUEUE, .purpose = PURPOSE_TEST, .limit = 2})->edge, 3);
    assert_string_equal(loaded_requests(w), "1 3");
    assert_true(w->set.requests[0]->was_waiting);
    store_rollback(w->store);
    begin(w, "shop");
    assert_int_equal(want(w, (RowWant){.query = ROWS_QUEUE, .purpose = PURPOSE_TEST, .limit = 4})->edge, 0);
    assert_string_equal(loaded_requests(w), "1 3 6");
    store_rollback(w->store);
    begin(w, "shop");
    assert_int_equal(want(w, (RowWant){.query = ROWS_QUEUE, .purpose = PURPOSE_CLEAN, .limit = 1})->edge, 2);
    assert_string_equal(loaded_requests(w), "2");
    store_rollback(w->store);
}

static void place_in_the_queue_is_counted(void **state) {
    static const struct {
        int purpose;
        int64_t ticket, before;
    } places[] = {{PURPOSE_TEST, 6, 2}, {PURPOSE_TEST, 3, 1}, {PURPOSE_TEST, 1, 0}, {PURPOSE_CLEAN, 6, 1}};
    World *w = *state;
    make_queue(w);
    begin(w, "shop");
    for (size_t i = 0; i < COUNT_OF(places); i++)
        assert_int_equal(
            want(w, (RowWant){.query = ROWS_QUEUED_BEFORE, .purpose = places[i].purpose, .number = places[i].ticket})
                ->count,
            places[i].before);
    assert_int_equal(w->set.request_count, 0);
    store_rollback(w->store);
}

static void request_leaves_the_queue_and_comes_back(void **state) {
    World *w = *state;
    make_queue(w);
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_QUEUE, .purpose = PURPOSE_TEST, .limit = 1});
    (void)want(w, (RowWant){.query = ROWS_REQUEST_BY_TICKET, .number = 4, .limit = 1});
    working_set_request(&w->set, 1)->row.state = REQUEST_LIVE;
    working_set_request(&w->set, 4)->row.is_heard = true;
    request_slot_changed(working_set_request(&w->set, 1));
    request_slot_changed(working_set_request(&w->set, 4));
    commit(w);
    begin(w, "shop");
    (void)want(w, (RowWant){.query = ROWS_QUEUE, .purpose = PURPOSE_TEST, .limit = 9});
    assert_string_equal(loaded_requests(w), "3 4 6");
    store_rollback(w->store);
}

/* ---- keys ---- */

static void keys_are_found_over_all_projects(void **state) {
    World *w = *state;
    make_project(w, "one");
    make_project(w, "two");
    begin(w, "two");
    add_key(w, "k-late", "two", 30);
    add_key(w, "k-early", "two", 10);
    commit(w);
    begin(w, "nobody");
    (void)want(w, (RowWant){.query = ROWS_KEY_BY_ID, .text = slice_of("k-late"), .limit = 1});
    assert_int_equal(w->set.key_count, 1);
    assert_text(w->set.keys[0]->row.project, "two");
    store_rollback(w->store);
    begin(w, "two");
    (void)want(w, (RowWant){.query = ROWS_KEYS, .limit = UINT32_MAX});
    assert_int_equal(w->set.key_count, 2);
    KeySlot *slot = working_set_key(&w->set, slice_of("k-early"));
    slot->row.revoked_ms = 99;
    slot->row.label = slice_of("nightly");
    key_slot_changed(slot);
    working_set_key(&w->set, slice_of("k-late"))->change = ROW_DELETED;
    commit(w);

    KeyRow key;
    ProjectRow project;
    assert_int_equal(store_find_key(w->store, slice_of("k-late"), &w->arena, &key, &project), STORE_NOT_FOUND);
    assert_int_equal(store_find_key(w->store, slice_of("k-early"), &w->arena, &key, &project), 0);
    assert_text(key.project, "two");
    assert_text(project.name, "two");
    assert_text(key.label, "nightly");
    assert_int_equal(key.scope, SCOPE_AGENT);
    assert_int_equal(key.hash[31], 10);
    assert_int_equal(key.revoked_ms, 99);
    assert_int_equal(key.last_used_ms, 0);
    begin(w, "one");
    add_key(w, "k-early", "one", 40);
    assert_int_equal(save_and_commit(w), STORE_CONFLICT);
    store_rollback(w->store);
}

static void use_of_a_key_is_noted(void **state) {
    World *w = *state;
    make_project(w, "one");
    begin(w, "one");
    add_key(w, "k1", "one", 10);
    commit(w);
    KeyRow key;
    ProjectRow project;
    assert_int_equal(store_begin(w->store), 0);
    assert_int_equal(store_save_key_used(w->store, slice_of("k1"), 77), 0);
    assert_int_equal(store_save_key_used(w->store, slice_of("gone"), 77), 0);
    assert_int_equal(store_find_key(w->store, slice_of("gone"), &w->arena, &key, &project), STORE_NOT_FOUND);
    assert_int_equal(store_commit(w->store), 0);
    assert_int_equal(store_find_key(w->store, slice_of("k1"), &w->arena, &key, &project), 0);
    assert_int_equal(key.last_used_ms, 77);
    assert_int_equal(store_find_project(w->store, slice_of("nobody"), &w->arena, &project), STORE_NOT_FOUND);
}

/* ---- lists ---- */

typedef struct Listing {
    char out[4096];
    int length, stop_after;
} Listing;

static int listed(Listing *l, const char *format, ...) PRINTF_LIKE(2, 3);
static int listed(Listing *l, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    l->length += vsnprintf(l->out + l->length, sizeof l->out - (size_t)l->length, format, arguments);
    va_end(arguments);
    return --l->stop_after == 0 ? 4711 : 0;
}
static int list_stack(void *arg, const StackRow *row) {
    return listed(arg, "%.*s ", SLICE_PRINT(row->name));
}
static int list_event(void *arg, const EventRow *row) {
    return listed(arg, "%lld ", (long long)row->id);
}
static int list_project(void *arg, const ProjectRow *row) {
    return listed(arg, "%.*s ", SLICE_PRINT(row->name));
}
static int list_request(void *arg, const RequestRow *row) {
    return listed(arg, "%lld ", (long long)row->ticket);
}
/* What lies on the stack from now on is no row's. */
static __attribute__((noinline)) void leave_garbage(void) {
    volatile unsigned char garbage[64 * 1024];
    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = 0xa5;
}

static int list_watched_stack(void *arg, const ProjectRow *project, const StackRow *row) {
    assert_int_equal(row->renewals, 0);
    return listed(arg, "%.*s/%.*s ", SLICE_PRINT(project->name), SLICE_PRINT(row->name));
}
static int list_watched_request(void *arg, const ProjectRow *project, const RequestRow *row) {
    assert_int_equal(row->heard_at, 0);
    return listed(arg, "%.*s/%lld ", SLICE_PRINT(project->name), (long long)row->ticket);
}
static int list_key(void *arg, const KeyRow *row) {
    return listed(arg, "%.*s/%.*s ", SLICE_PRINT(row->project), SLICE_PRINT(row->id));
}

static const char *list_until(World *w, ReadQuery query, int stop_after, int expected) {
    static Listing l;
    l = (Listing){.stop_after = stop_after};
    StoreRows rows = {.stack = list_stack,
                      .request = list_request,
                      .event = list_event,
                      .watched_stack = list_watched_stack,
                      .watched_request = list_watched_request,
                      .project = list_project,
                      .key = list_key,
                      .arg = &l};
    leave_garbage();
    assert_int_equal(store_read(w->store, &query, &rows), expected);
    return l.out;
}
static const char *list(World *w, ReadQuery query) {
    return list_until(w, query, 0, 0);
}

static void stacks_are_listed_by_number(void **state) {
    World *w = *state;
    make_stacks(w);
    ReadQuery query = {.list = LIST_STACKS, .project = slice_of("shop"), .after = FIELD_ABSENT};
    assert_string_equal(list(w, query),
                        "test-1 test-2 test-3 test-4 test-5 test-6 test-7 test-8 test-9 test-11 test-12 ");
    query.limit = 2;
    assert_string_equal(list(w, query), "test-1 test-2 ");
    query.after = 8;
    assert_string_equal(list(w, query), "test-9 test-11 ");
    query.after = 12;
    assert_string_equal(list(w, query), "");
    query.after = INT64_MAX;
    assert_string_equal(list(w, query), "");
}

static void queue_is_listed_by_ticket(void **state) {
    World *w = *state;
    make_queue(w);
    ReadQuery query = {.list = LIST_QUEUE, .project = slice_of("shop"), .after = FIELD_ABSENT};
    assert_string_equal(list(w, query), "1 2 3 4 6 ");
    query.after = 2;
    query.limit = 2;
    assert_string_equal(list(w, query), "3 4 ");
}

static void lists_of_no_project_are_not_found(void **state) {
    World *w = *state;
    make_project(w, "shop");
    begin(w, "shop");
    w->set.project.is_deleted = true;
    add_event(w, 1, SLICE_ABSENT, "deleted");
    commit(w);
    static const ListQuery lists[] = {LIST_STACKS, LIST_QUEUE, LIST_KEYS};
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        ReadQuery query = {.list = lists[i], .project = slice_of("shop"), .after = FIELD_ABSENT};
        (void)list_until(w, query, 0, STORE_NOT_FOUND);
        query.project = slice_of("nobody");
        (void)list_until(w, query, 0, STORE_NOT_FOUND);
    }
    ReadQuery history = {.list = LIST_EVENTS, .project = slice_of("shop"), .after = FIELD_ABSENT};
    assert_string_equal(list(w, history), "1 ");
    assert_string_equal(list(w, (ReadQuery){.list = LIST_PROJECTS}), "");
}

/* Of each kind one that time ends, and one that it does not. */
static void what_time_ends_is_watched(void **state) {
    World *w = *state;
    make_queue(w);
    begin(w, "shop");
    StackRow bound = stack_row(w, 1, STACK_LEASED, "main", 1), plain = stack_row(w, 2, STACK_LEASED, "main", 2),
             uncollected = stack_row(w, 3, STACK_LEASED, "main", 3), quiet = stack_row(w, 4, STACK_DIRTY, "main", 4),
             free = stack_row(w, 5, STACK_AVAILABLE, "main", 5);
    bound.ticket = 11;
    bound.lease_seconds = 300;
    bound.is_collected = true;
    plain.ticket = 12;
    plain.is_collected = true;
    uncollected.ticket = 13;
    quiet.quiet_until_ms = 1;
    const StackRow *const rows[] = {&bound, &plain, &uncollected, &quiet, &free};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        (void)add_stack(w, *rows[i]);
    commit(w);
    const char *found = list(w, (ReadQuery){.list = LIST_WATCHED, .after = FIELD_ABSENT});
    static const char *const watched[] = {"shop/test-1 ", "shop/test-3 ", "shop/test-4 ", "shop/1 ",
                                          "shop/2 ",      "shop/3 ",      "shop/4 ",      "shop/6 "};
    size_t length = 0;
    for (size_t i = 0; i < COUNT_OF(watched); i++) {
        assert_non_null(strstr(found, watched[i]));
        length += strlen(watched[i]);
    }
    assert_int_equal(strlen(found), length); /* and nothing else */
}

static void callers_stop_a_list(void **state) {
    World *w = *state;
    make_stacks(w);
    ReadQuery query = {.list = LIST_STACKS, .project = slice_of("shop"), .after = FIELD_ABSENT};
    assert_string_equal(list_until(w, query, 2, 4711), "test-1 test-2 ");
    assert_string_equal(list_until(w, query, 1, 4711), "test-1 ");
    change_all(w); /* and nothing of it is left open */
    commit(w);
}

static void projects_and_keys_are_listed_in_order(void **state) {
    World *w = *state;
    static const char *const names[] = {"b", "a", "c"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        make_project(w, names[i]);
        begin(w, names[i]);
        add_key(w, text(w, "%s-2nd", names[i]).ptr, names[i], 20);
        add_key(w, text(w, "%s-1st", names[i]).ptr, names[i], 10);
        commit(w);
    }
    assert_string_equal(list(w, (ReadQuery){.list = LIST_PROJECTS}), "a b c ");
    assert_string_equal(list(w, (ReadQuery){.list = LIST_PROJECTS, .after_text = slice_of("a"), .limit = 1}), "b ");
    assert_string_equal(list(w, (ReadQuery){.list = LIST_KEYS, .project = slice_of("b")}), "b/b-1st b/b-2nd ");
    assert_string_equal(list(w, (ReadQuery){.list = LIST_KEYS}), "a/a-1st a/a-2nd b/b-1st b/b-2nd c/c-1st c/c-2nd ");
}

static void counts_are_by_state(void **state) {
    World *w = *state;
    make_stacks(w);
    StoreCounts counts;
    assert_int_equal(store_counts(w->store, &counts), 0);
    assert_int_equal(counts.stacks[STACK_AVAILABLE], 7);
    assert_int_equal(counts.stacks[STACK_LEASED], 1);
    assert_int_equal(counts.stacks[STACK_DIRTY], 1);
    assert_int_equal(counts.stacks[STACK_QUARANTINED], 1);
    assert_int_equal(counts.stacks[STACK_RETIRING], 1);
}

/* ---- history ---- */

/* `count` events: the i-th (from 1) at time i, of stack s<i mod 3>; each fifth of no stack. In several transactions. */
static void make_history(World *w, int count) {
    make_project(w, "shop");
    for (int i = 1; i <= count;) {
        begin(w, "shop");
        for (int in_batch = 0; in_batch < 37 && i <= count; in_batch++, i++)
            add_event(w, i, i % 5 == 0 ? SLICE_ABSENT : text(w, "s%d", i % 3), "an event");
        commit(w);
    }
}

static bool is_of(int id, int stack) {
    return stack < 0 || (id % 5 != 0 && id % 3 == stack);
}

/* Reads a stack's history (-1: all) page by page and compares it with what it must be. */
static void assert_pages(World *w, int first, int count, int stack, int64_t page) {
    char name[16];
    (void)snprintf(name, sizeof name, "s%d", stack);
    ReadQuery query = {.list = LIST_EVENTS,
                       .project = slice_of("shop"),
                       .stack_name = stack >= 0 ? slice_of(name) : SLICE_ABSENT,
                       .after = FIELD_ABSENT,
                       .limit = page};
    int id = first;
    for (;;) {
        char expected[4096] = "";
        int length = 0, found = 0;
        for (; id <= count && found < page; id++)
            if (is_of(id, stack)) {
                length += snprintf(expected + length, sizeof expected - (size_t)length, "%d ", id);
                found++;
            }
        assert_string_equal(list(w, query), expected);
        if (found < page)
            break;
        query.after = id - 1;
    }
    char newest[64] = "";
    int length = 0, found = 0;
    for (id = count; id >= first && found < 5; id--)
        if (is_of(id, stack)) {
            length += snprintf(newest + length, sizeof newest - (size_t)length, "%d ", id);
            found++;
        }
    query.after = FIELD_ABSENT;
    query.limit = 5;
    query.newest_first = true;
    assert_string_equal(list(w, query), newest);
}

static void history_is_read_in_pages(void **state) {
    World *w = *state;
    make_history(w, 1100);
    for (int stack = -1; stack < 3; stack++) {
        assert_pages(w, 1, 1100, stack, 7);
        assert_pages(w, 1, 1100, stack, 200);
    }
    ReadQuery query = {
        .list = LIST_EVENTS, .project = slice_of("shop"), .stack_name = slice_of("s9"), .after = FIELD_ABSENT};
    assert_string_equal(list(w, query), "");
}

static int check_event(void *arg, const EventRow *row) {
    World *w = arg;
    (void)w;
    assert_int_equal(row->id, 1);
    assert_int_equal(row->at_ms, 11);
    assert_int_equal(row->kind, EVENT_DEPLOYED);
    assert_int_equal(row->stack_number, 12);
    assert_text(row->stack_name, "test-12");
    assert_int_equal(row->generation, 13);
    assert_text(row->branch, "main");
    assert_text(row->commit, "c0ffee");
    assert_text(row->by, "k1");
    assert_text(row->outcome, "ok");
    assert_text(row->note, "");
    assert_text(row->holder_json, NULL);
    return 0;
}

static void every_column_of_an_event_comes_back(void **state) {
    World *w = *state;
    make_project(w, "shop");
    begin(w, "shop");
    EventRow row = {.at_ms = 11,
                    .kind = EVENT_DEPLOYED,
                    .stack_number = 12,
                    .stack_name = slice_of("test-12"),
                    .generation = 13,
                    .branch = slice_of("main"),
                    .commit = slice_of("c0ffee"),
                    .by = slice_of("k1"),
                    .outcome = slice_of("ok"),
                    .note = slice_of("")};
    assert_int_equal(working_set_add_event(&w->set, &row), 0);
    commit(w);
    StoreRows rows = {.event = check_event, .arg = w};
    ReadQuery query = {.list = LIST_EVENTS, .project = slice_of("shop"), .after = FIELD_ABSENT};
    assert_int_equal(store_read(w->store, &query, &rows), 0);
}

static void prune_all(World *w, int64_t events_before, int64_t requests_before) {
    int r = 0;
    for (int calls = 0; r == 0 && calls < 1000; calls++)
        r = store_prune(w->store, events_before, requests_before, 50);
    assert_int_equal(r, STORE_DONE);
}

/* The first event that is left. */
static int first_event(World *w) {
    ReadQuery query = {.list = LIST_EVENTS, .project = slice_of("shop"), .after = FIELD_ABSENT, .limit = 1};
    return atoi(list(w, query));
}

static void old_history_goes_and_the_rest_stays(void **state) {
    World *w = *state;
    make_history(w, 1100);
    prune_all(w, 1, 1);
    assert_int_equal(first_event(w), 1);
    prune_all(w, 500, 1);
    int first = first_event(w);
    assert_in_range(first, 500 - 255, 500); /* an engine may drop it in runs of up to 256 */
    for (int stack = -1; stack < 3; stack++)
        assert_pages(w, first, 1100, stack, 60);
    prune_all(w, 10000, 1);
    ReadQuery query = {.list = LIST_EVENTS, .project = slice_of("shop"), .after = FIELD_ABSENT};
    assert_string_equal(list(w, query), "");
    begin(w, "shop"); /* ids go on, and the stack's history with them */
    add_event(w, 20000, slice_of("s1"), "later");
    commit(w);
    query.stack_name = slice_of("s1");
    assert_string_equal(list(w, query), "1101 ");
}

static void requests_over_for_long_go(void **state) {
    World *w = *state;
    static const char *const names[] = {"one", "two"};
    for (size_t p = 0; p < COUNT_OF(names); p++) {
        make_project(w, names[p]);
        begin(w, names[p]);
        for (int i = 1; i <= 200; i++) { /* asked at i, over at i + 50, each tenth alive or queued */
            RequestSlot *slot;
            RequestRow row = {.ticket = i, .lease_seconds = FIELD_ABSENT, .created_ms = i, .ended_ms = i + 50};
            row.state = i % 20 == 0 ? REQUEST_LIVE : i % 10 == 0 ? REQUEST_QUEUED : REQUEST_OVER;
            if (row.state != REQUEST_OVER)
                row.ended_ms = 0;
            assert_int_equal(working_set_add_request(&w->set, &row, &slot), 0);
        }
        commit(w);
    }
    prune_all(w, 0, 151);
    for (size_t p = 0; p < COUNT_OF(names); p++) {
        begin(w, names[p]);
        for (int i = 1; i <= 200; i++)
            assert_int_equal(
                working_set_want(&w->set, (RowWant){.query = ROWS_REQUEST_BY_TICKET, .number = i, .limit = 1}), 0);
        load(w);
        for (int i = 1; i <= 200; i++)
            assert_int_equal(working_set_request(&w->set, i) != NULL, i % 10 == 0 || i + 50 >= 151);
        store_rollback(w->store);
    }
}

/* The machine's clock was ahead for a while: what was written then stays, and is the only thing that does. */
static void what_is_of_times_to_come_stops_no_pruning(void **state) {
    World *w = *state;
    int64_t to_come = clock_wall_ms(clock_system()) + 400LL * 24 * 3600 * 1000;
    make_project(w, "shop");
    begin(w, "shop");
    for (int i = 1; i <= 200; i++) {
        RequestSlot *slot;
        int64_t at_ms = i == 20 ? to_come : i;
        RequestRow row = {
            .ticket = i, .state = REQUEST_OVER, .lease_seconds = FIELD_ABSENT, .created_ms = at_ms, .ended_ms = at_ms};
        assert_int_equal(working_set_add_request(&w->set, &row, &slot), 0);
    }
    commit(w);
    prune_all(w, 0, 1000);
    begin(w, "shop");
    for (int i = 1; i <= 200; i++)
        assert_int_equal(working_set_want(&w->set, (RowWant){.query = ROWS_REQUEST_BY_TICKET, .number = i, .limit = 1}),
                         0);
    load(w);
    for (int i = 1; i <= 200; i++)
        assert_int_equal(working_set_request(&w->set, i) != NULL, i == 20);
    store_rollback(w->store);
}

static void history_of_times_to_come_stops_no_pruning(void **state) {
    World *w = *state;
    int64_t to_come = clock_wall_ms(clock_system()) + 400LL * 24 * 3600 * 1000;
    make_project(w, "shop");
    for (int i = 1; i <= 1100; i++) {
        begin(w, "shop");
        add_event(w, i <= 256 ? to_come : i, SLICE_ABSENT, "");
        commit(w);
    }
    prune_all(w, 10000, 1);
    ReadQuery query = {.list = LIST_EVENTS, .project = slice_of("shop"), .after = FIELD_ABSENT};
    int left = 0;
    for (const char *at = list(w, query); *at != '\0'; at++)
        left += *at == ' ';
    assert_in_range(left, 256, 511); /* an engine may drop it in runs of up to 256 */
}

static void empty_store_is_pruned_at_once(void **state) {
    World *w = *state;
    assert_int_equal(store_prune(w->store, 1000, 1000, 10), STORE_DONE);
    assert_int_equal(store_idle(w->store), 0);
    assert_non_null(store_reason(w->store));
}

/* ---- everything out, everything in ---- */

typedef struct Expected {
    const StoredRow *rows;
    size_t count, seen, stop_at;
} Expected;

static int expect_row(void *arg, const StoredRow *row) {
    Expected *e = arg;
    assert_true(e->seen < e->count);
    assert_stored_row(row, &e->rows[e->seen++]);
    return e->seen == e->stop_at ? 4711 : 0;
}

static void assert_dump(World *w, const StoredRow *rows, size_t count) {
    Expected expected = {.rows = rows, .count = count};
    assert_int_equal(store_dump(w->store, expect_row, &expected), 0);
    assert_int_equal(expected.seen, count);
}

static void put_all(World *w, const StoredRow *rows, size_t count, size_t at_once) {
    char reason[STORE_REASON_SIZE];
    assert_int_equal(store_begin(w->store), 0);
    for (size_t at = 0; at < count; at += at_once)
        assert_int_equal(store_put(w->store, rows + at, at + at_once < count ? at_once : count - at), 0);
    assert_int_equal(store_commit(w->store), 0);
    assert_int_equal(store_sync(w->store, reason), 0);
}

static void what_is_put_comes_out_as_it_was_in_order(void **state) {
    World *w = *state;
    static StoredRow rows[FULL_ROWS_MAX];
    size_t count = full_rows(rows);
    assert_dump(w, rows, 0);
    put_all(w, rows, count, 7);
    assert_dump(w, rows, count);
    Expected some = {.rows = rows, .count = count, .stop_at = 6};
    assert_int_equal(store_dump(w->store, expect_row, &some), 4711);
    assert_int_equal(some.seen, 6);
    assert_dump(w, rows, count);
}

static void store_that_was_filled_goes_on_from_there(void **state) {
    World *w = *state;
    static StoredRow rows[FULL_ROWS_MAX];
    put_all(w, rows, full_rows(rows), FULL_ROWS_MAX);
    begin(w, "zoo");
    (void)want(w, (RowWant){.query = ROWS_STACK_BY_NUMBER, .number = 1, .limit = 1});
    assert_string_equal(loaded_stacks(w), "1");
    working_set_stack(&w->set, 1)->row.note = slice_of("changed");
    stack_slot_changed(working_set_stack(&w->set, 1));
    add_event(w, 401, slice_of("test-1"), "later");
    assert_int_equal(w->set.events[0].id, 401);
    commit(w);
    ReadQuery query = {.list = LIST_EVENTS, .project = slice_of("zoo"), .after = 398};
    assert_string_equal(list(w, query), "399 400 401 ");
    KeyRow key;
    ProjectRow project;
    assert_int_equal(store_find_key(w->store, slice_of("a"), &w->arena, &key, &project), 0);
    assert_text(project.name, "zoo");
}

static int count_row(void *arg, const StoredRow *row) {
    int *counts = arg;
    counts[row->kind]++;
    return 0;
}

/* What was decided goes out too, however lately. */
static void dump_has_what_is_committed(void **state) {
    World *w = *state;
    make_stacks(w);
    change_all(w);
    commit(w);
    begin(w, "shop");
    (void)add_stack(w, stack_row(w, 31, STACK_LEASED, "x", 2));
    add_event(w, 2, slice_of("test-31"), "the last one");
    commit(w);
    static int counts[STORED_KINDS];
    memset(counts, 0, sizeof counts);
    assert_int_equal(store_dump(w->store, count_row, counts), 0);
    assert_int_equal(counts[STORED_PROJECT], 1);
    assert_int_equal(counts[STORED_KEY], 1);
    assert_int_equal(counts[STORED_STACK], 13);
    assert_int_equal(counts[STORED_REQUEST], 1);
    assert_int_equal(counts[STORED_EVENT], 2);
}

static void store_that_has_anything_is_not_filled(void **state) {
    World *w = *state;
    static StoredRow rows[FULL_ROWS_MAX];
    size_t count = full_rows(rows);
    make_project(w, "other");
    for (size_t some = 0; some <= count; some += count) {
        assert_int_equal(store_begin(w->store), 0);
        assert_int_equal(store_put(w->store, rows, some), STORE_CONFLICT);
        store_rollback(w->store);
    }
    assert_string_equal(list(w, (ReadQuery){.list = LIST_PROJECTS}), "other ");
}

static void store_is_filled_as_a_whole_or_not_at_all(void **state) {
    World *w = *state;
    static StoredRow rows[FULL_ROWS_MAX];
    size_t count = full_rows(rows);
    assert_int_equal(store_begin(w->store), 0);
    assert_int_equal(store_put(w->store, NULL, 0), 0);
    assert_int_equal(store_put(w->store, rows, count), 0);
    store_rollback(w->store);
    assert_dump(w, rows, 0);
    /* A key that is there twice. */
    StoredRow again = rows[2];
    assert_int_equal(again.kind, STORED_KEY);
    assert_int_equal(store_begin(w->store), 0);
    assert_int_equal(store_put(w->store, rows, 4), 0);
    assert_int_equal(store_put(w->store, &again, 1), STORE_CONFLICT);
    store_rollback(w->store);
    assert_dump(w, rows, 0);
    put_all(w, rows, count, 100);
    assert_dump(w, rows, count);
}

int store_suite_run(const char *engine, StoreOpener open, void (*close)(void *arg), void *arg) {
    Suite suite = {.open = open, .close = close, .arg = arg};
#define TEST(function)                                                                                                 \
    { #function, function, set_up, tear_down, &suite }
    const struct CMUnitTest tests[] = {
        TEST(missing_project_is_no_error),
        TEST(every_column_of_a_project_comes_back),
        TEST(deleted_project_keeps_its_counters_for_the_next_of_its_name),
        TEST(projects_of_one_transaction_do_not_mix),
        TEST(every_column_of_a_stack_comes_back),
        TEST(free_on_branch_is_last_requested_first),
        TEST(free_at_commit_leaves_out_unknown_content),
        TEST(free_oldest_is_oldest_requested_first),
        TEST(dirty_longest_comes_first),
        TEST(highest_number_leaves_out_retiring),
        TEST(unused_numbers_are_the_gaps_then_the_end),
        TEST(unused_numbers_end_within_a_gap),
        TEST(stack_moves_between_the_orders),
        TEST(later_load_adds_rows_and_overwrites_none),
        TEST(deleted_stack_is_gone_and_its_number_unused),
        TEST(number_deleted_and_made_again_in_one_batch_is_a_new_row),
        TEST(rollback_leaves_nothing),
        TEST(row_that_is_not_as_loaded_is_a_conflict),
        TEST(every_column_of_a_request_comes_back),
        TEST(request_id_is_unique_in_its_project_only),
        TEST(queue_is_of_one_purpose_and_by_ticket),
        TEST(place_in_the_queue_is_counted),
        TEST(request_leaves_the_queue_and_comes_back),
        TEST(keys_are_found_over_all_projects),
        TEST(use_of_a_key_is_noted),
        TEST(stacks_are_listed_by_number),
        TEST(queue_is_listed_by_ticket),
        TEST(lists_of_no_project_are_not_found),
        TEST(what_time_ends_is_watched),
        TEST(callers_stop_a_list),
        TEST(projects_and_keys_are_listed_in_order),
        TEST(counts_are_by_state),
        TEST(history_is_read_in_pages),
        TEST(every_column_of_an_event_comes_back),
        TEST(old_history_goes_and_the_rest_stays),
        TEST(requests_over_for_long_go),
        TEST(what_is_of_times_to_come_stops_no_pruning),
        TEST(history_of_times_to_come_stops_no_pruning),
        TEST(empty_store_is_pruned_at_once),
        TEST(what_is_put_comes_out_as_it_was_in_order),
        TEST(store_that_was_filled_goes_on_from_there),
        TEST(dump_has_what_is_committed),
        TEST(store_that_has_anything_is_not_filled),
        TEST(store_is_filled_as_a_whole_or_not_at_all),
    };
#undef TEST
    return cmocka_run_group_tests_name(engine, tests, NULL, NULL);
}
