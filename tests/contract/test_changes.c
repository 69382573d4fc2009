/* Rows as bytes: whatever is written comes back, and bytes that are no rows are refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/changes.h"

static const ProjectRow project = {.name = SLICE_LITERAL("shop"),
                                   .is_deleted = true,
                                   .prefix = SLICE_LITERAL("test-"),
                                   .initial_commit = SLICE_LITERAL("c0ffee"),
                                   .max_stacks = 1,
                                   .max_hold_seconds = 86400,
                                   .expiry_grace_seconds = 15,
                                   .is_cleaning = true,
                                   .lease_key = {1, 0, 255},
                                   .created_ms = 1767225600000,
                                   .stack_count = 2,
                                   .leased_count = 3,
                                   .queued_count = 4,
                                   .first_unused = 5,
                                   .last_generation = 9007199254740991,
                                   .last_ticket = 6,
                                   .last_event = INT64_MAX};
static const StackRow stack = {.number = 7,
                               .name = SLICE_LITERAL("test-7"),
                               .state = STACK_QUARANTINED,
                               .branch = SLICE_LITERAL("feat/a\0b"),
                               .last_commit = SLICE_LITERAL(""),
                               .is_content_unknown = true,
                               .requested = 8,
                               .requested_ms = 9,
                               .created_ms = 10,
                               .modified_ms = 11,
                               .url = SLICE_LITERAL("https://test-7.example"),
                               .note = SLICE_LITERAL("note"),
                               .ticket = 12,
                               .generation = 13,
                               .lease_seconds = 14,
                               .since_ms = 15,
                               .is_collected = true,
                               .before = {.branch = SLICE_LITERAL("before"), .requested = 16, .requested_ms = 17},
                               .purpose = PURPOSE_CLEAN,
                               .holder_json = SLICE_LITERAL("{}"),
                               .quiet_until_ms = 18,
                               .quiet_seconds = 19,
                               .quiet_untold_seconds = 20,
                               .quiet_ticket = 21,
                               .dirty_since = 22,
                               .clean_failures = 23};
static const RequestRow request = {.ticket = 24,
                                   .request_id = SLICE_LITERAL("0123456789abcdef"),
                                   .state = REQUEST_OVER,
                                   .is_heard = true,
                                   .why = WHY_UNCOLLECTED,
                                   .branch = SLICE_LITERAL("main"),
                                   .commit = SLICE_LITERAL("abc"),
                                   .lease_seconds = FIELD_ABSENT,
                                   .purpose = PURPOSE_CLEAN,
                                   .holder_json = SLICE_LITERAL("{\"job\":\"e2e\"}"),
                                   .created_ms = 25,
                                   .stack_number = 26,
                                   .stack_name = SLICE_LITERAL("test-26"),
                                   .generation = 27,
                                   .is_reused = true,
                                   .from_queue = true,
                                   .is_joined = true,
                                   .ended_ms = 28,
                                   .ended_by = SLICE_LITERAL("somebody"),
                                   .ended_reason = SLICE_LITERAL("broken disk"),
                                   .outcome = RELEASE_BROKEN};
static const EventRow event = {.id = 29,
                               .at_ms = 30,
                               .kind = EVENT_RESTED,
                               .stack_number = 31,
                               .stack_name = SLICE_LITERAL("test-31"),
                               .generation = 32,
                               .branch = SLICE_LITERAL("b"),
                               .commit = SLICE_LITERAL("c"),
                               .by = SLICE_LITERAL("d"),
                               .outcome = SLICE_LITERAL("e"),
                               .note = SLICE_LITERAL("f"),
                               .holder_json = SLICE_LITERAL("g")};

/* One change of every kind, and an event, in bytes. */
static void write_all(Buffer *out) {
    Arena arena;
    WorkingSet set;
    StackSlot *slot, *gone;
    RequestSlot *asked;
    StackRow deleted = stack;
    deleted.number = 99;
    buffer_init(out, 1 << 20);
    arena_init(&arena);
    assert_int_equal(working_set_init(&set, &arena, project.name), 0);
    set.project = project;
    set.project_change = ROW_CHANGED;
    assert_int_equal(working_set_add_stack(&set, &stack, &slot), 0);
    assert_int_equal(working_set_put_stack(&set, &deleted), 0);
    gone = working_set_stack(&set, 99);
    assert_int_equal(stack_slot_deleted(&set, gone), 0);
    assert_int_equal(working_set_add_request(&set, &request, &asked), 0);
    changes_add(out, 42, &set);
    changes_add_event(out, 43, &event);
    assert_int_equal(buffer_error(out), 0);
    arena_deinit(&arena);
}

/* Structs are compared as bytes with their slices taken out. */
#define ASSERT_SAME_TEXT(row, expected, member)                                                                        \
    do {                                                                                                               \
        assert_true(slice_equal((row).member, (expected).member));                                                     \
        (row).member = (expected).member;                                                                              \
    } while (0)

static void expect(Slice *bytes, ChangeKind kind, int64_t of_project, Change *out) {
    assert_int_equal(changes_next(bytes, out), 0);
    assert_int_equal(out->kind, kind);
    assert_int_equal(out->project, of_project);
}

static void every_column_comes_back(void **state) {
    (void)state;
    Buffer written;
    Change c;
    write_all(&written);
    Slice rest = buffer_slice(&written);

    expect(&rest, CHANGE_PROJECT, 42, &c);
    ASSERT_SAME_TEXT(c.row.project_row, project, name);
    ASSERT_SAME_TEXT(c.row.project_row, project, prefix);
    ASSERT_SAME_TEXT(c.row.project_row, project, initial_commit);
    assert_memory_equal(&c.row.project_row, &project, sizeof project);

    expect(&rest, CHANGE_STACK_GONE, 42, &c);
    assert_int_equal(c.row.stack.number, 99);

    expect(&rest, CHANGE_STACK, 42, &c);
    ASSERT_SAME_TEXT(c.row.stack, stack, name);
    ASSERT_SAME_TEXT(c.row.stack, stack, branch);
    ASSERT_SAME_TEXT(c.row.stack, stack, last_commit);
    ASSERT_SAME_TEXT(c.row.stack, stack, url);
    ASSERT_SAME_TEXT(c.row.stack, stack, note);
    ASSERT_SAME_TEXT(c.row.stack, stack, before.branch);
    ASSERT_SAME_TEXT(c.row.stack, stack, holder_json);
    assert_memory_equal(&c.row.stack, &stack, sizeof stack);

    expect(&rest, CHANGE_REQUEST, 42, &c);
    ASSERT_SAME_TEXT(c.row.request, request, request_id);
    ASSERT_SAME_TEXT(c.row.request, request, branch);
    ASSERT_SAME_TEXT(c.row.request, request, commit);
    ASSERT_SAME_TEXT(c.row.request, request, holder_json);
    ASSERT_SAME_TEXT(c.row.request, request, stack_name);
    ASSERT_SAME_TEXT(c.row.request, request, ended_by);
    ASSERT_SAME_TEXT(c.row.request, request, ended_reason);
    assert_memory_equal(&c.row.request, &request, sizeof request);

    expect(&rest, CHANGE_EVENT, 43, &c);
    ASSERT_SAME_TEXT(c.row.event, event, stack_name);
    ASSERT_SAME_TEXT(c.row.event, event, branch);
    ASSERT_SAME_TEXT(c.row.event, event, commit);
    ASSERT_SAME_TEXT(c.row.event, event, by);
    ASSERT_SAME_TEXT(c.row.event, event, outcome);
    ASSERT_SAME_TEXT(c.row.event, event, note);
    ASSERT_SAME_TEXT(c.row.event, event, holder_json);
    assert_memory_equal(&c.row.event, &event, sizeof event);

    assert_int_equal(changes_next(&rest, &c), CHANGES_END);
    buffer_deinit(&written);
}

static void absent_texts_stay_absent(void **state) {
    (void)state;
    Buffer written;
    Change c;
    EventRow bare = {.id = 1, .note = SLICE_LITERAL("")};
    buffer_init(&written, 1024);
    changes_add_event(&written, 1, &bare);
    Slice rest = buffer_slice(&written);
    expect(&rest, CHANGE_EVENT, 1, &c);
    assert_true(slice_is_absent(c.row.event.branch));
    assert_false(slice_is_absent(c.row.event.note));
    assert_int_equal(c.row.event.note.len, 0);
    buffer_deinit(&written);
}

/* 0, or how reading it all ended; each change uses some bytes up, so it ends. */
static int read_all(Slice bytes) {
    Change c;
    int r;
    while ((r = changes_next(&bytes, &c)) == 0)
        continue;
    return r == CHANGES_END ? 0 : r;
}

static void what_is_cut_short_is_refused(void **state) {
    (void)state;
    Buffer written;
    Change c;
    buffer_init(&written, 1024);
    changes_add_event(&written, 1, &event);
    Slice whole = buffer_slice(&written);
    for (size_t len = 1; len < whole.len; len++) {
        Slice cut = {.ptr = whole.ptr, .len = len};
        assert_int_equal(changes_next(&cut, &c), -EBADMSG);
        assert_int_equal(cut.len, len); /* nothing was taken */
    }
    buffer_deinit(&written);
}

static void what_no_version_wrote_is_refused_or_read_but_never_past_its_end(void **state) {
    (void)state;
    Buffer written;
    unsigned random = 1;
    write_all(&written);
    for (int round = 0; round < 20000; round++) {
        size_t len = written.len;
        char *copy = malloc(len); /* of its very size, for the address sanitizer */
        assert_non_null(copy);
        memcpy(copy, written.data, len);
        for (int i = 0; i < 3; i++) {
            random = random * 1103515245u + 12345u;
            copy[(random >> 8) % len] = (char)(random >> 3);
        }
        int r = read_all((Slice){.ptr = copy, .len = len});
        assert_true(r == 0 || r == -EBADMSG);
        free(copy);
    }
    buffer_deinit(&written);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_column_comes_back),
        cmocka_unit_test(absent_texts_stay_absent),
        cmocka_unit_test(what_is_cut_short_is_refused),
        cmocka_unit_test(what_no_version_wrote_is_refused_or_read_but_never_past_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
