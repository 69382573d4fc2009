/* Rows to lines and back: nothing is forgotten on the way, and what the store cannot do is told as it is. Which files are
 * refused, and the original's table, the whole program shows (tests/program/test_transfer.py). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "contract/full_rows.h"
#include "faults/wrap_store.h"
#include "simulate/array_store.h"
#include "transfer/export.h"
#include "transfer/import.h"

#define PROGRAM "stack-coordinator 0.1.0"

typedef struct World {
    Store *from, *to; /* the second may be told to fail */
    StoredRow rows[FULL_ROWS_MAX];
    size_t count;
    char *text; /* an export's */
    size_t length;
    TransferCounts counts;
    Buffer reason;
} World;

static int set_up(void **state) {
    World *w = calloc(1, sizeof *w);
    Store *inner = NULL;
    assert_non_null(w);
    buffer_init(&w->reason, 65536);
    assert_int_equal(array_store_open(&w->from), 0);
    assert_int_equal(array_store_open(&inner), 0);
    w->to = wrap_store_new(inner);
    assert_non_null(w->to);
    w->count = full_rows(w->rows);
    assert_int_equal(store_begin(w->from), 0);
    assert_int_equal(store_put(w->from, w->rows, w->count), 0);
    assert_int_equal(store_commit(w->from), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    World *w = *state;
    (void)store_close(w->from);
    (void)store_close(w->to);
    buffer_deinit(&w->reason);
    free(w->text);
    free(w);
    return 0;
}

static void write_lines(World *w, Store *store) {
    free(w->text);
    w->text = NULL;
    FILE *out = open_memstream(&w->text, &w->length);
    assert_non_null(out);
    assert_int_equal(export_write(store, out, PROGRAM, &w->counts, &w->reason), 0);
    assert_int_equal(fclose(out), 0);
}

static int read_lines(World *w) {
    FILE *in = fmemopen(w->text, w->length, "r");
    assert_non_null(in);
    buffer_clear(&w->reason);
    int r = import_read(w->to, in, &w->counts, &w->reason);
    (void)fclose(in);
    return r;
}

typedef struct Expected {
    const World *world;
    size_t seen;
} Expected;

static int expect_row(void *arg, const StoredRow *row) {
    Expected *e = arg;
    assert_true(e->seen < e->world->count);
    assert_stored_row(row, &e->world->rows[e->seen++]);
    return 0;
}

static size_t rows_of(const World *w, Store *store) {
    Expected e = {.world = w};
    assert_int_equal(store_dump(store, expect_row, &e), 0);
    return e.seen;
}

static void every_member_of_every_row_comes_through(void **state) {
    World *w = *state;
    write_lines(w, w->from);
    TransferCounts written = w->counts;
    assert_int_equal(written.rows[STORED_PROJECT], 2);
    assert_int_equal(written.rows[STORED_EVENT], 400);
    assert_int_equal(read_lines(w), 0);
    assert_memory_equal(&w->counts, &written, sizeof written);
    assert_int_equal(rows_of(w, w->to), w->count);
}

static void same_state_gives_the_same_bytes(void **state) {
    World *w = *state;
    write_lines(w, w->from);
    assert_int_equal(read_lines(w), 0);
    OWN(freep) char *first = w->text;
    size_t length = w->length;
    w->text = NULL;
    write_lines(w, w->to);
    assert_int_equal(w->length, length);
    assert_memory_equal(w->text, first, length);
}

static void file_cut_anywhere_is_refused(void **state) {
    World *w = *state;
    write_lines(w, w->from);
    size_t whole = w->length - 1; /* the last line's end may be missing */
    for (size_t length = 1; length < whole; length += length < whole - 200 ? 997 : 1) {
        w->length = length;
        assert_int_equal(read_lines(w), TRANSFER_REFUSED);
        assert_int_equal(rows_of(w, w->to), 0);
    }
    w->length = whole;
    assert_int_equal(read_lines(w), 0);
}

static void what_the_store_cannot_do_is_told(void **state) {
    World *w = *state;
    write_lines(w, w->from);
    static const struct {
        WrapCall call;
        int result;
    } faults[] = {
        {WRAP_BEGIN, STORE_IO}, {WRAP_BEGIN, -ENOMEM}, {WRAP_COMMIT, STORE_FULL}, {WRAP_COMMIT, STORE_UNKNOWN}};
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        wrap_store_fail(w->to, faults[i].call, 1, faults[i].result, false);
        assert_int_equal(read_lines(w), faults[i].result);
        assert_true(w->reason.len > 0);
        assert_int_equal(rows_of(w, w->to), 0);
    }
    wrap_store_fail(w->to, WRAP_SYNC, 1, STORE_UNKNOWN, false);
    assert_int_equal(read_lines(w), STORE_UNKNOWN);
    assert_string_equal(buffer_text(&w->reason), "a test says so");
    assert_int_equal(rows_of(w, w->to), w->count); /* it may be there */
    assert_int_equal(read_lines(w), STORE_CONFLICT);
}

static void file_that_takes_no_more_is_told(void **state) {
    World *w = *state;
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    assert_int_equal(export_write(w->from, full, PROGRAM, &w->counts, &w->reason), -ENOSPC);
    assert_string_equal(buffer_text(&w->reason), "No space left on device");
    (void)fclose(full);
}

int main(void) {
#define TEST(function)                                                                                                 \
    { #function, function, set_up, tear_down, NULL }
    const struct CMUnitTest tests[] = {
        TEST(every_member_of_every_row_comes_through),
        TEST(same_state_gives_the_same_bytes),
        TEST(file_cut_anywhere_is_refused),
        TEST(what_the_store_cannot_do_is_told),
        TEST(file_that_takes_no_more_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
