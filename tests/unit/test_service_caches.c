/*
 * What the service remembers between operations: keys, failed authentications, rendered lists.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "service/claims.h"
#include "service/keys.h"
#include "service/limiter.h"
#include "service/snapshots.h"
#include "service/store_clock.h"

typedef struct FakeClock {
    Clock base;
    int64_t now_ms;
} FakeClock;

static int64_t fake_now(const Clock *clock) {
    return ((const FakeClock *)clock)->now_ms;
}
static const ClockVtable fake_vtable = {.boot_ms = fake_now, .wall_ms = fake_now};

static KeyRow key_row(const char *id, const char *project) {
    KeyRow row = {.id = slice_of(id), .project = slice_of(project), .scope = SCOPE_AGENT};
    memset(row.hash, 9, sizeof row.hash);
    return row;
}

static void learned_key_is_known_until_forgotten(void **state) {
    (void)state;
    Keys *keys;
    KnownKey known;
    assert_int_equal(keys_new(&keys, clock_system(), 0), 0);
    KeyRow row = key_row("0123456789abcdef", "shop");
    ProjectRow project = {.name = slice_of("shop")};
    assert_false(keys_find(keys, "0123456789abcdef", &known));
    keys_learn(keys, &row, &project);
    assert_true(keys_find(keys, "0123456789abcdef", &known));
    assert_string_equal(known.project, "shop");
    assert_int_equal(known.scope, SCOPE_AGENT);
    assert_false(known.is_revoked);
    keys_forget(keys, slice_of("0123456789abcdef"));
    assert_false(keys_find(keys, "0123456789abcdef", &known));
    keys = keys_free(keys);
}

static void key_of_a_deleted_project_counts_as_revoked(void **state) {
    (void)state;
    Keys *keys;
    KnownKey known;
    KnownProject known_project;
    assert_int_equal(keys_new(&keys, clock_system(), 0), 0);
    KeyRow row = key_row("0123456789abcdef", "shop");
    ProjectRow project = {.name = slice_of("shop"), .is_deleted = true};
    keys_learn(keys, &row, &project);
    assert_true(keys_find(keys, "0123456789abcdef", &known));
    assert_true(known.is_revoked);
    assert_false(keys_find_project(keys, slice_of("shop"), &known_project));
    keys = keys_free(keys);
}

static void forgetting_a_project_forgets_its_keys_only(void **state) {
    (void)state;
    Keys *keys;
    KnownKey known;
    KnownProject known_project;
    assert_int_equal(keys_new(&keys, clock_system(), 0), 0);
    KeyRow shop = key_row("00000000000000aa", "shop"), blog = key_row("00000000000000bb", "blog");
    keys_learn(keys, &shop, &(ProjectRow){.name = slice_of("shop")});
    keys_learn(keys, &blog, &(ProjectRow){.name = slice_of("blog")});
    keys_forget_project(keys, slice_of("shop"));
    assert_false(keys_find(keys, "00000000000000aa", &known));
    assert_false(keys_find_project(keys, slice_of("shop"), &known_project));
    assert_true(keys_find(keys, "00000000000000bb", &known));
    assert_true(keys_find_project(keys, slice_of("blog"), &known_project));
    keys = keys_free(keys);
}

static void use_of_a_key_is_taken_once(void **state) {
    (void)state;
    Keys *keys;
    KnownKey used[4];
    assert_int_equal(keys_new(&keys, clock_system(), 0), 0);
    KeyRow row = key_row("0123456789abcdef", "shop");
    keys_learn(keys, &row, &(ProjectRow){.name = slice_of("shop")});
    assert_int_equal(keys_take_used(keys, used, 4), 0);
    keys_used(keys, "0123456789abcdef", 5000);
    keys_used(keys, "unknown-key-here", 6000);
    assert_int_equal(keys_take_used(keys, used, 4), 1);
    assert_int_equal(used[0].last_used_ms, 5000);
    assert_int_equal(keys_take_used(keys, used, 4), 0);
    keys = keys_free(keys);
}

/* Of more keys than there are places some share one; each was used, though another came after it. */
static void use_of_every_key_is_taken_whoever_has_its_place_now(void **state) {
    (void)state;
    enum { MANY = 4000, ROUND = 200 };
    Keys *keys;
    KnownKey used[ROUND];
    bool is_taken[MANY] = {false};
    assert_int_equal(keys_new(&keys, clock_system(), 0), 0);
    for (int begun = 0; begun < MANY; begun += ROUND) {
        char id[KEY_ID_SIZE];
        for (int i = begun; i < begun + ROUND; i++) {
            (void)snprintf(id, sizeof id, "%016d", i);
            KeyRow row = key_row(id, "shop");
            keys_learn(keys, &row, &(ProjectRow){.name = slice_of("shop")});
            keys_used(keys, id, 5000);
        }
        size_t n = keys_take_used(keys, used, ROUND);
        for (size_t i = 0; i < n; i++)
            is_taken[atoi(used[i].id)] = true;
    }
    for (int i = 0; i < MANY; i++)
        assert_true(is_taken[i]);
    keys = keys_free(keys);
}

/* What a key says of itself is read twice, behind other keys too: the memory may never show. */
/* A key that is revoked was used nevertheless. */
static void use_of_a_key_outlives_its_being_forgotten(void **state) {
    (void)state;
    Keys *keys;
    KnownKey used[4];
    assert_int_equal(keys_new(&keys, clock_system(), 0), 0);
    KeyRow one = key_row("00000000000000aa", "shop"), other = key_row("00000000000000bb", "blog");
    keys_learn(keys, &one, &(ProjectRow){.name = slice_of("shop")});
    keys_learn(keys, &other, &(ProjectRow){.name = slice_of("blog")});
    keys_used(keys, "00000000000000aa", 1000);
    keys_used(keys, "00000000000000bb", 2000);
    keys_forget(keys, slice_of("00000000000000aa"));
    keys_forget_project(keys, slice_of("blog"));
    assert_int_equal(keys_take_used(keys, used, COUNT_OF(used)), 2);
    assert_int_equal(used[0].last_used_ms + used[1].last_used_ms, 3000);
    keys = keys_free(keys);
}

static void a_remembered_key_is_read_as_a_new_one(void **state) {
    (void)state;
    enum { KEYS = 3 * CLAIMS_KEPT }; /* more than there is room for */
    Claims *claims;
    assert_int_equal(claims_new(&claims), 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < KEYS; i++) {
            char text[32];
            (void)snprintf(text, sizeof text, "imported key %d", i);
            KeyClaim fresh, read[2];
            assert_int_equal(key_read(slice_of(text), &fresh), 0);
            for (int again = 0; again < 2; again++) {
                assert_int_equal(claims_read(claims, slice_of(text), &read[again]), 0);
                assert_string_equal(read[again].id, fresh.id);
                assert_memory_equal(read[again].hash, fresh.hash, HASH_SIZE);
            }
        }
    }
    claims = claims_free(claims);
}

/* They lie in the same place: one is read right after the other. */
static void keys_that_end_alike_are_told_apart(void **state) {
    (void)state;
    static const char *const texts[] = {"first key 12345678", "other key 12345678", "a first key 12345678", "12345678"};
    Claims *claims;
    assert_int_equal(claims_new(&claims), 0);
    for (int i = 0; i < 100; i++) {
        Slice text = slice_of(texts[i * 7 % 4]);
        KeyClaim fresh, read;
        assert_int_equal(key_read(text, &fresh), 0);
        assert_int_equal(claims_read(claims, text, &read), 0);
        assert_memory_equal(read.hash, fresh.hash, HASH_SIZE);
    }
    claims = claims_free(claims);
}

static void a_malformed_key_stays_malformed(void **state) {
    (void)state;
    char long_text[KEY_TEXT_MAX + 2];
    memset(long_text, 'k', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    const char *const texts[] = {"", "1234567", "sok_shop_0123456789abcdef_00_1234567", long_text};
    Claims *claims;
    KeyClaim read;
    assert_int_equal(claims_new(&claims), 0);
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        for (int again = 0; again < 2; again++)
            assert_int_equal(claims_read(claims, slice_of(texts[i]), &read), SECRET_MALFORMED);
    assert_int_equal(claims_read(claims, SLICE_ABSENT, &read), SECRET_MALFORMED);
    claims = claims_free(claims);
}

static void an_address_may_fail_so_often_and_recovers(void **state) {
    (void)state;
    FakeClock clock = {.base = {.vtable = &fake_vtable}, .now_ms = 1000000};
    Limiter *limiter;
    assert_int_equal(limiter_new(&limiter, &clock.base), 0);
    for (int i = 0; i < FAILED_AUTH_BURST; i++)
        assert_true(limiter_failed(limiter, slice_of("192.0.2.1")));
    assert_false(limiter_failed(limiter, slice_of("192.0.2.1")));
    assert_true(limiter_failed(limiter, slice_of("192.0.2.7")));
    clock.now_ms += 3000;
    for (int i = 0; i < 3 * FAILED_AUTH_REFILL; i++)
        assert_true(limiter_failed(limiter, slice_of("192.0.2.1")));
    assert_false(limiter_failed(limiter, slice_of("192.0.2.1")));
    limiter = limiter_free(limiter);
}

static Snapshot *snapshot_of(Snapshots *snapshots, const char *text) {
    Snapshot *snapshot;
    assert_int_equal(snapshot_new(&snapshot, snapshots, slice_dup(slice_of(text)), strlen(text)), 0);
    return snapshot;
}

static void dropped_list_lives_on_for_who_holds_it(void **state) {
    (void)state;
    Snapshots *snapshots;
    assert_int_equal(snapshots_new(&snapshots), 0);
    assert_null(snapshots_get(snapshots, slice_of("shop")));
    Snapshot *made = snapshot_of(snapshots, "[1]");
    snapshots_put(snapshots, slice_of("shop"), made);
    made = snapshot_unref(made);
    Snapshot *held = snapshots_get(snapshots, slice_of("shop"));
    assert_non_null(held);
    snapshots_drop(snapshots, slice_of("shop"));
    assert_null(snapshots_get(snapshots, slice_of("shop")));
    assert_true(slice_equal_text(snapshot_bytes(held), "[1]"));
    held = snapshot_unref(held);
    snapshots = snapshots_free(snapshots);
}

static void a_projects_list_is_never_anothers(void **state) {
    (void)state;
    Snapshots *snapshots;
    assert_int_equal(snapshots_new(&snapshots), 0);
    /* More projects than slots: whatever is still there must be its own. */
    for (int i = 0; i < 2 * SNAPSHOT_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "p%d", i);
        Snapshot *made = snapshot_of(snapshots, name);
        snapshots_put(snapshots, slice_of(name), made);
        made = snapshot_unref(made);
    }
    int found = 0;
    for (int i = 0; i < 2 * SNAPSHOT_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "p%d", i);
        Snapshot *held = snapshots_get(snapshots, slice_of(name));
        if (held == NULL)
            continue;
        found++;
        assert_true(slice_equal_text(snapshot_bytes(held), name));
        held = snapshot_unref(held);
    }
    assert_in_range(found, 1, SNAPSHOT_MAX);
    snapshots = snapshots_free(snapshots);
}

/* As if it were so long. */
static Snapshot *long_snapshot(Snapshots *snapshots, size_t len) {
    Snapshot *snapshot;
    assert_int_equal(snapshot_new(&snapshot, snapshots, slice_dup(slice_of("[")), len), 0);
    return snapshot;
}

static void lists_that_nobody_reads_leave_no_room_for_more(void **state) {
    (void)state;
    Snapshots *snapshots;
    assert_int_equal(snapshots_new(&snapshots), 0);
    assert_true(snapshots_have_room(snapshots));
    Snapshot *unread = long_snapshot(snapshots, LISTS_BYTES_MAX), *another = snapshot_ref(unread);
    assert_false(snapshots_have_room(snapshots));
    unread = snapshot_unref(unread);
    assert_false(snapshots_have_room(snapshots));
    another = snapshot_unref(another);
    assert_true(snapshots_have_room(snapshots));
    snapshots = snapshots_free(snapshots);
}

static void only_so_much_is_kept(void **state) {
    (void)state;
    Snapshots *snapshots;
    assert_int_equal(snapshots_new(&snapshots), 0);
    Snapshot *made = long_snapshot(snapshots, SNAPSHOT_BYTES_MAX + 1);
    snapshots_put(snapshots, slice_of("long"), made);
    made = snapshot_unref(made);
    assert_null(snapshots_get(snapshots, slice_of("long")));
    for (int i = 0; i < SNAPSHOT_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "p%d", i);
        made = long_snapshot(snapshots, SNAPSHOT_BYTES_MAX);
        snapshots_put(snapshots, slice_of(name), made);
        made = snapshot_unref(made);
        assert_true(snapshots_have_room(snapshots));
    }
    snapshots = snapshots_free(snapshots);
}

/* A day has passed when both clocks say so. */
static void one_wrong_clock_makes_nothing_old(void **state) {
    (void)state;
    enum { DAY_MS = 24 * 3600 * 1000, PATIENCE_MS = 3600 * 1000 };
    StoreClock clock;
    store_clock_init(&clock, clock_system());
    int64_t now = clock_wall_ms(clock_system());
    assert_in_range(store_clock_earliest(&clock), now, now + PATIENCE_MS);
    store_clock_set(&clock, now + DAY_MS);
    assert_in_range(clock_wall_ms(&clock.base), now + DAY_MS, now + DAY_MS + PATIENCE_MS);
    assert_in_range(store_clock_earliest(&clock), now, now + PATIENCE_MS);
    store_clock_set(&clock, now - DAY_MS);
    assert_in_range(store_clock_earliest(&clock), now - DAY_MS, now - DAY_MS + PATIENCE_MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_that_nobody_reads_leave_no_room_for_more),
        cmocka_unit_test(only_so_much_is_kept),
        cmocka_unit_test(learned_key_is_known_until_forgotten),
        cmocka_unit_test(key_of_a_deleted_project_counts_as_revoked),
        cmocka_unit_test(forgetting_a_project_forgets_its_keys_only),
        cmocka_unit_test(use_of_a_key_is_taken_once),
        cmocka_unit_test(one_wrong_clock_makes_nothing_old),
        cmocka_unit_test(use_of_every_key_is_taken_whoever_has_its_place_now),
        cmocka_unit_test(use_of_a_key_outlives_its_being_forgotten),
        cmocka_unit_test(a_remembered_key_is_read_as_a_new_one),
        cmocka_unit_test(keys_that_end_alike_are_told_apart),
        cmocka_unit_test(a_malformed_key_stays_malformed),
        cmocka_unit_test(an_address_may_fail_so_often_and_recovers),
        cmocka_unit_test(dropped_list_lives_on_for_who_holds_it),
        cmocka_unit_test(a_projects_list_is_never_anothers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
