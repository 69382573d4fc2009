/* The lease clock, and what becomes due by it. Time is handed in; nothing waits. */
#include "service/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"

typedef struct World {
    Watch *watch;
    int64_t boot_ms;
    ProjectRow project;
} World;

static int begin(void **state) {
    World *w = calloc(1, sizeof *w);
    assert_non_null(w);
    *w = (World){.boot_ms = 5000000, .project = {.name = SLICE_LITERAL("web"), .max_hold_seconds = 3600}};
    assert_int_equal(watch_new(&w->watch, 0), 0);
    watch_tick(w->watch, w->boot_ms, false);
    *state = w;
    return 0;
}

static int end(void **state) {
    World *w = *state;
    w->watch = watch_free(w->watch);
    free(w);
    return 0;
}

/* Time passes as the worker sees it: a tick a second. */
static void pass(World *w, int64_t ms) {
    for (; ms > 0; ms -= 1000) {
        w->boot_ms += ms < 1000 ? ms : 1000;
        watch_tick(w->watch, w->boot_ms, false);
    }
}

static StackRow bound(int64_t number, int64_t ticket, int64_t seconds) {
    return (StackRow){.number = number,
                      .state = STACK_LEASED,
                      .ticket = ticket,
                      .generation = 1000 + ticket,
                      .lease_seconds = seconds,
                      .is_collected = true};
}

/* What the worker does with a renewal that needs no decision; false: it needs one. */
static bool renew(World *w, Slice project, LeaseRef lease, int64_t seconds) {
    int64_t number = 0;
    if (!watch_may_renew(w->watch, project, lease, seconds, &number))
        return false;
    watch_renewed(w->watch, project, lease, seconds);
    return true;
}

/* A lease that was not seen before is granted. */
static void follow(World *w, StackRow row) {
    bool is_granted = row.ticket != 0 && watch_left(w->watch, w->project.name, row.ticket, -1) < 0;
    assert_int_equal(watch_reserve(w->watch, 1, 1), 0);
    watch_follow_stack(w->watch, &w->project, &row, row.renewals, is_granted);
}

/* As a start finds it, or another coordinator's grant. */
static void find(World *w, StackRow row) {
    assert_int_equal(watch_reserve(w->watch, 1, 1), 0);
    watch_follow_stack(w->watch, &w->project, &row, row.renewals, false);
}

static void follow_request(World *w, RequestRow row) {
    assert_int_equal(watch_reserve(w->watch, 1, 1), 0);
    watch_follow_request(w->watch, &w->project, &row);
}

/* The one thing that is due; `nothing` when nothing is. */
#define NOTHING ((DueKind)99)
static DueKind due(World *w) {
    WatchDue found[4];
    size_t n = watch_due(w->watch, found, 4);
    assert_in_range(n, 0, 1);
    if (n == 0)
        return NOTHING;
    assert_true(slice_equal(found[0].project, w->project.name));
    return found[0].due.kind;
}

static LeaseRef ref(int64_t ticket) {
    return (LeaseRef){.ticket = ticket, .generation = 1000 + ticket};
}

static void a_lease_is_due_when_nobody_renewed_it_for_its_length(void **state) {
    World *w = *state;
    follow(w, bound(1, 7, 10));
    assert_int_equal(watch_next(w->watch), 10000);
    pass(w, 9999);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1);
    assert_int_equal(due(w), DUE_EXPIRED);
}

static void a_renewal_lasts_from_when_it_came_and_never_shortens(void **state) {
    World *w = *state;
    follow(w, bound(1, 7, 10));
    pass(w, 6000);
    assert_true(renew(w, w->project.name, ref(7), FIELD_ABSENT));
    assert_int_equal(watch_left(w->watch, w->project.name, 7, -1), 10000);
    assert_true(renew(w, w->project.name, ref(7), 2)); /* another job's, shorter */
    assert_int_equal(watch_left(w->watch, w->project.name, 7, -1), 10000);
    pass(w, 9000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_EXPIRED);
}

static void only_renewals_that_change_no_row_are_memorys(void **state) {
    World *w = *state;
    StackRow uncollected = bound(2, 8, 10);
    uncollected.is_collected = false;
    follow(w, bound(1, 7, 10));
    follow(w, uncollected);
    assert_false(renew(w, w->project.name, ref(7), 11)); /* longer than stored */
    assert_false(renew(w, w->project.name, ref(8), 10)); /* collects */
    assert_false(renew(w, w->project.name, ref(9), 10)); /* unknown */
    assert_false(renew(w, w->project.name, (LeaseRef){.ticket = 7, .generation = 1}, 10));
    assert_false(renew(w, slice_of("other"), ref(7), 10));
}

static void max_hold_ends_a_lease_that_is_renewed_for_ever(void **state) {
    World *w = *state;
    w->project.max_hold_seconds = 25;
    follow(w, bound(1, 7, 10));
    for (int i = 0; i < 4; i++) {
        pass(w, 5000);
        assert_true(renew(w, w->project.name, ref(7), FIELD_ABSENT));
        assert_int_equal(due(w), NOTHING);
    }
    assert_int_equal(watch_left(w->watch, w->project.name, 7, -1), 5000);
    pass(w, 5000);
    assert_int_equal(due(w), DUE_EXPIRED);
}

static void a_pause_takes_two_seconds_at_most(void **state) {
    World *w = *state;
    follow(w, bound(1, 7, 10));
    w->boot_ms += 3600 * 1000;
    watch_tick(w->watch, w->boot_ms, false);
    assert_int_equal(watch_left(w->watch, w->project.name, 7, -1), 10000 - WATCH_STEP_MAX_MS);
    assert_int_equal(due(w), NOTHING);
}

static void no_time_passes_while_the_store_fails(void **state) {
    World *w = *state;
    follow(w, bound(1, 7, 10));
    for (int i = 0; i < 100; i++) {
        w->boot_ms += 1000;
        watch_tick(w->watch, w->boot_ms, true);
    }
    assert_int_equal(watch_left(w->watch, w->project.name, 7, -1), 10000);
}

static void what_was_due_is_told_again_until_its_row_changes(void **state) {
    World *w = *state;
    follow(w, bound(1, 7, 2));
    pass(w, 2000);
    assert_int_equal(due(w), DUE_EXPIRED);
    assert_int_equal(due(w), NOTHING); /* not in the same breath */
    pass(w, 1000);
    assert_int_equal(due(w), DUE_EXPIRED);
    follow(w, (StackRow){.number = 1, .state = STACK_AVAILABLE});
    pass(w, 5000);
    assert_int_equal(due(w), NOTHING);
    assert_int_equal(watch_next(w->watch), INT64_MAX);
}

static void a_renewal_that_comes_before_the_loss_is_committed_saves_the_lease(void **state) {
    World *w = *state;
    follow(w, bound(1, 7, 2));
    pass(w, 2000);
    assert_int_equal(due(w), DUE_EXPIRED);
    assert_true(renew(w, w->project.name, ref(7), FIELD_ABSENT));
    pass(w, 1000);
    assert_int_equal(due(w), NOTHING);
}

static void a_grant_from_the_queue_is_collected_within_twenty_seconds_or_its_lease(void **state) {
    World *w = *state;
    StackRow long_lease = bound(1, 7, 300), short_lease = bound(2, 8, 5), plain = bound(3, 9, 0);
    long_lease.is_collected = short_lease.is_collected = plain.is_collected = false;
    follow(w, short_lease);
    pass(w, 5000);
    assert_int_equal(due(w), DUE_UNCOLLECTED);
    follow(w, (StackRow){.number = 2, .state = STACK_AVAILABLE});
    follow(w, long_lease);
    pass(w, COLLECT_MS);
    assert_int_equal(due(w), DUE_UNCOLLECTED);
    long_lease.is_collected = true;
    follow(w, long_lease);
    follow(w, plain);
    pass(w, COLLECT_MS);
    assert_int_equal(due(w), DUE_UNCOLLECTED);
    plain.is_collected = true;
    follow(w, plain); /* a plain lease that was collected lasts until it is released */
    pass(w, 200000);
    assert_int_equal(due(w), NOTHING);
}

static StackRow quiet(int64_t ticket, int64_t untold, int64_t rest) {
    return (StackRow){.number = 1,
                      .state = STACK_AVAILABLE,
                      .quiet_until_ms = 99,
                      .quiet_ticket = ticket,
                      .quiet_untold_seconds = untold,
                      .quiet_seconds = rest};
}

static void a_lost_stack_rests_for_its_grace(void **state) {
    World *w = *state;
    follow(w, bound(1, 7, 10));
    pass(w, 10000);
    assert_int_equal(due(w), DUE_EXPIRED);
    follow(w, quiet(7, 0, 15));
    pass(w, 14000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_RESTED);
}

static void after_an_operators_act_a_stack_rests_until_the_lease_would_have_ended(void **state) {
    World *w = *state;
    follow(w, bound(1, 7, 60));
    pass(w, 40000);
    follow(w, quiet(7, 60, 15)); /* the row knows the length, the watch that 20 s were left */
    pass(w, 34000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_RESTED);
}

static void a_holder_who_was_told_shortens_the_rest(void **state) {
    World *w = *state;
    follow(w, bound(1, 7, 600));
    follow(w, quiet(7, 600, 15));
    pass(w, 5000);
    watch_told(w->watch, w->project.name, 8);   /* somebody else */
    watch_told(w->watch, slice_of("other"), 7); /* nor he */
    pass(w, 20000);
    assert_int_equal(due(w), NOTHING);
    watch_told(w->watch, w->project.name, 7);
    pass(w, 14000);
    watch_told(w->watch, w->project.name, 7); /* asking again does not begin it again */
    pass(w, 1000);
    assert_int_equal(due(w), DUE_RESTED);
}

static void a_joined_lease_rests_its_whole_time_whoever_is_told(void **state) {
    World *w = *state;
    follow(w, bound(1, 7, 60));
    follow(w, quiet(0, 60, 15));
    watch_told(w->watch, w->project.name, 7);
    watch_told(w->watch, w->project.name, 0);
    pass(w, 74000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_RESTED);
}

/* Granted and ended by one transaction, after the lease that is watched: what that one had left is not its measure. */
static void a_lease_that_was_never_watched_rests_its_whole_time(void **state) {
    World *w = *state;
    follow(w, bound(1, 7, 60));
    pass(w, 50000);
    StackRow row = quiet(8, 600, 15);
    assert_int_equal(watch_reserve(w->watch, 1, 1), 0);
    watch_follow_stack(w->watch, &w->project, &row, row.renewals, true);
    pass(w, 614000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_RESTED);
}

static void a_renewal_of_no_length_has_the_one_of_the_grant(void **state) {
    World *w = *state;
    LeaseRef lease = {.ticket = 7, .generation = 1007};
    follow(w, bound(1, 7, 60));
    follow(w, bound(1, 7, 600)); /* somebody asked for more, once */
    pass(w, 30000);
    assert_true(renew(w, w->project.name, lease, FIELD_ABSENT));
    assert_int_equal(watch_left(w->watch, w->project.name, 7, 0), 60000);
    assert_true(renew(w, w->project.name, lease, 600));
    assert_int_equal(watch_left(w->watch, w->project.name, 7, 0), 600000);
}

/* What was granted was perhaps shorter than the longest length that was asked for, which alone is stored. */
static void a_renewal_of_no_length_is_no_memorys_where_the_grant_was_not_seen(void **state) {
    World *w = *state;
    LeaseRef lease = {.ticket = 7, .generation = 1007};
    find(w, bound(1, 7, 600));
    assert_false(renew(w, w->project.name, lease, FIELD_ABSENT));
    watch_asked(w->watch, w->project.name, lease, 60); /* as its request's row says */
    pass(w, 570000);
    assert_true(renew(w, w->project.name, lease, FIELD_ABSENT));
    assert_int_equal(watch_left(w->watch, w->project.name, 7, 0), 60000);
}

static void after_a_start_quiet_takes_its_whole_time_again(void **state) {
    World *w = *state;
    follow(w, quiet(7, 60, 15)); /* no lease was watched before */
    pass(w, 74000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_RESTED);
}

static RequestRow queued(int64_t ticket, bool is_heard) {
    return (RequestRow){.ticket = ticket, .state = REQUEST_QUEUED, .is_heard = is_heard};
}

static void a_queued_request_is_heard_of_or_passed_over_or_abandoned(void **state) {
    World *w = *state;
    follow_request(w, queued(5, true));
    assert_int_equal(watch_queued(w->watch), 1);
    pass(w, 50000);
    watch_heard(w->watch, w->project.name, 5);
    pass(w, QUEUE_LIVE_MS - 1000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_UNHEARD);
    follow_request(w, queued(5, false));
    pass(w, QUEUE_KEPT_MS - 1000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_ABANDONED);
    follow_request(w, (RequestRow){.ticket = 5, .state = REQUEST_OVER});
    assert_int_equal(watch_queued(w->watch), 0);
    assert_int_equal(watch_next(w->watch), INT64_MAX);
}

static void a_parked_request_is_live_until_its_last_connection_hangs_up(void **state) {
    World *w = *state;
    follow_request(w, queued(5, true));
    assert_true(watch_parked(w->watch, w->project.name, 5, 1));
    assert_true(watch_parked(w->watch, w->project.name, 5, 1));
    pass(w, 10 * QUEUE_LIVE_MS);
    assert_int_equal(due(w), NOTHING);
    assert_true(watch_parked(w->watch, w->project.name, 5, -1));
    watch_hung_up(w->watch, w->project.name, 5); /* the other one still waits */
    assert_int_equal(due(w), NOTHING);
    assert_true(watch_parked(w->watch, w->project.name, 5, -1));
    watch_hung_up(w->watch, w->project.name, 5);
    assert_int_equal(due(w), DUE_UNHEARD);
    assert_false(watch_parked(w->watch, w->project.name, 6, 1));
}

static void after_a_start_a_queued_request_counts_as_just_heard_of(void **state) {
    World *w = *state;
    RequestRow row = queued(5, false);
    assert_int_equal(watch_reserve(w->watch, 1, 1), 0);
    watch_start_request(w->watch, &w->project, &row);
    assert_int_equal(due(w), DUE_HEARD);
    follow_request(w, queued(5, true));
    pass(w, QUEUE_LIVE_MS - 1000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_UNHEARD);
}

static void a_hundred_thousand_leases_are_found_and_let_go(void **state) {
    World *w = *state;
    enum { LEASES = 100000 };
    for (int64_t i = 1; i <= LEASES; i++)
        follow(w, bound(i, i, 300));
    pass(w, 100000);
    for (int64_t i = 1; i <= LEASES; i++)
        assert_true(renew(w, w->project.name, ref(i), FIELD_ABSENT));
    pass(w, 200000);
    WatchDue found[DUE_MAX];
    assert_int_equal(watch_due(w->watch, found, DUE_MAX), 0);
    for (int64_t i = 1; i <= LEASES; i++)
        follow(w, (StackRow){.number = i, .state = STACK_GONE});
    assert_int_equal(watch_next(w->watch), INT64_MAX);
}

/* ---- several coordinators ---- */

enum { HERE = 100, THERE = 200 };

static int begin_among_others(void **state) {
    int r = begin(state);
    World *w = *state;
    w->watch = watch_free(w->watch);
    assert_int_equal(watch_new(&w->watch, HERE), 0);
    watch_tick(w->watch, w->boot_ms, false);
    return r;
}

static StackRow counted(int64_t renewals) {
    StackRow row = bound(1, 7, 10);
    row.renewals = renewals;
    return row;
}

/* This coordinator's own COMMIT, which raised the count by one. */
static void follow_own(World *w, int64_t renewals) {
    StackRow row = counted(renewals);
    assert_int_equal(watch_reserve(w->watch, 1, 1), 0);
    watch_follow_stack(w->watch, &w->project, &row, renewals - 1, false);
}

static Due the_due(World *w) {
    WatchDue found[2];
    assert_int_equal(watch_due(w->watch, found, 2), 1);
    return found[0].due;
}

static void a_loss_is_told_with_the_count_that_was_seen(void **state) {
    World *w = *state;
    follow_own(w, 1);
    watch_counted(w->watch, w->project.name, ref(7), 2);
    watch_renewed(w->watch, w->project.name, ref(7), FIELD_ABSENT);
    pass(w, 10000);
    Due lost = the_due(w);
    assert_int_equal(lost.kind, DUE_EXPIRED);
    assert_int_equal(lost.renewals, 2);
}

static void a_count_raised_elsewhere_begins_the_watch_anew(void **state) {
    World *w = *state;
    follow_own(w, 1);
    pass(w, 10000);
    assert_int_equal(the_due(w).renewals, 1);
    follow(w, counted(3));
    pass(w, 9000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(the_due(w).renewals, 3);
}

/* This one's renewal raised the count by more than one: somebody else renewed it meanwhile, perhaps for its whole length. */
static void a_renewal_here_shows_one_that_was_elsewhere(void **state) {
    World *w = *state;
    follow_own(w, 1);
    pass(w, 8000);
    watch_counted(w->watch, w->project.name, ref(7), 3);
    watch_renewed(w->watch, w->project.name, ref(7), 2);
    pass(w, 9000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_EXPIRED);
}

/* Another coordinator may have told its holder more than maxHold leaves here. */
static void max_hold_ends_no_lease_that_another_coordinator_has_just_renewed(void **state) {
    World *w = *state;
    w->project.max_hold_seconds = 15;
    follow_own(w, 1);
    pass(w, 9000);
    watch_counted(w->watch, w->project.name, ref(7), 2);
    watch_renewed(w->watch, w->project.name, ref(7), FIELD_ABSENT);
    pass(w, 5000);
    follow(w, counted(3));
    pass(w, 1000);
    assert_int_equal(due(w), NOTHING);
    assert_int_equal(watch_left(w->watch, w->project.name, 7, -1), 0); /* but nobody is told more here */
    assert_true(watch_has_lasted(w->watch, w->project.name, 7)); /* so nothing of this one's is counted any more */
    pass(w, 9000);
    assert_int_equal(due(w), DUE_EXPIRED);
}

/* maxHold is over here and was not there, where its holder was told a whole length: so long the stack rests. */
static void an_operators_act_leaves_a_holder_what_another_coordinator_told_him(void **state) {
    World *w = *state;
    w->project.max_hold_seconds = 15;
    follow_own(w, 1);
    pass(w, 9000);
    follow(w, counted(2));
    pass(w, 7000);
    StackRow row = quiet(7, 10, 5);
    row.renewals = 2;
    follow(w, row);
    pass(w, 3000 + 5000 - 1000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_RESTED);
}

/* Who is told here what another coordinator decided, before this one has looked, need not be waited for either. */
static void a_holder_may_be_told_before_the_look_that_shows_why(void **state) {
    World *w = *state;
    follow_own(w, 1);
    watch_told(w->watch, w->project.name, 7);
    StackRow row = quiet(7, 10, 5);
    row.renewals = 1;
    follow(w, row);
    pass(w, 4000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_RESTED);
}

static void what_a_lease_had_left_is_not_known_when_it_was_renewed_elsewhere(void **state) {
    World *w = *state;
    follow_own(w, 1);
    pass(w, 9000);
    StackRow row = quiet(7, 10, 5);
    row.renewals = 2;
    follow(w, row);
    pass(w, 14000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_RESTED);
}

static RequestRow heard_at(int64_t ticket, int64_t coordinator) {
    RequestRow row = queued(ticket, true);
    row.heard_at = coordinator;
    return row;
}

static void a_request_heard_of_elsewhere_is_watched_there(void **state) {
    World *w = *state;
    watch_speaks(w->watch, THERE);
    follow_request(w, heard_at(5, THERE));
    pass(w, 10 * QUEUE_LIVE_MS);
    assert_int_equal(due(w), NOTHING);
    follow_request(w, heard_at(5, HERE));
    pass(w, QUEUE_LIVE_MS);
    Due unheard = the_due(w);
    assert_int_equal(unheard.kind, DUE_UNHEARD);
    assert_int_equal(unheard.heard_at, HERE);
}

static void a_coordinator_that_falls_silent_takes_its_requests_with_it(void **state) {
    World *w = *state;
    watch_speaks(w->watch, THERE);
    follow_request(w, heard_at(5, THERE));
    assert_int_equal(due(w), NOTHING);
    watch_silent(w->watch, THERE);
    Due unheard = the_due(w);
    assert_int_equal(unheard.kind, DUE_UNHEARD);
    assert_int_equal(unheard.heard_at, THERE);
    watch_speaks(w->watch, THERE); /* before it came about */
    pass(w, 2000);
    assert_int_equal(due(w), NOTHING);
    watch_silent(w->watch, THERE);
    follow_request(w, heard_at(6, THERE)); /* found later */
    pass(w, 1000);
    WatchDue found[4];
    assert_int_equal(watch_due(w->watch, found, 4), 2);
}

static void note_served(void *arg, Slice project, int64_t ticket) {
    assert_true(slice_equal_text(project, "web"));
    *(int64_t *)arg = ticket;
}

static void requests_of_a_coordinator_that_is_gone_count_as_just_heard_of(void **state) {
    World *w = *state;
    int64_t served = 0;
    RequestRow passed_over = heard_at(6, THERE);
    passed_over.is_heard = false;
    watch_speaks(w->watch, THERE);
    follow_request(w, heard_at(5, THERE));
    follow_request(w, passed_over);
    watch_gone(w->watch, THERE);
    pass(w, 2000);
    Due heard = the_due(w);
    assert_int_equal(heard.kind, DUE_HEARD);
    assert_int_equal(heard.ticket, 5); /* the other one was not live before either */
    assert_int_equal(heard.heard_at, THERE);
    /* That did not come about, or another coordinator wrote to the project meanwhile. */
    watch_reread(w->watch, (Slice)SLICE_ABSENT);
    follow_request(w, heard_at(5, THERE));
    watch_reread_end(w->watch, note_served, &served);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_HEARD);
    follow_request(w, heard_at(5, HERE));
    pass(w, QUEUE_LIVE_MS - 1000);
    assert_int_equal(due(w), NOTHING);
    pass(w, 1000);
    assert_int_equal(due(w), DUE_UNHEARD);
}

/* Its row was pruned before its requests were passed over; or it began just now. */
static void requests_of_a_coordinator_nobody_knows_count_as_just_heard_of(void **state) {
    World *w = *state;
    follow_request(w, heard_at(5, THERE));
    pass(w, 1000);
    assert_int_equal(due(w), NOTHING); /* the next look tells, perhaps */
    pass(w, 1000);
    assert_int_equal(due(w), DUE_HEARD);
    watch_speaks(w->watch, THERE);
    pass(w, 1000);
    assert_int_equal(due(w), NOTHING);
    watch_gone(w->watch, THERE);
    for (int64_t i = 1; i <= NEIGHBOURS_MAX; i++)
        watch_speaks(w->watch, THERE + i); /* and more of them perhaps: his may be one of those */
    pass(w, 10000);
    assert_int_equal(due(w), NOTHING);
}

static void who_is_parked_here_is_heard_of_whatever_others_thought(void **state) {
    World *w = *state;
    follow_request(w, heard_at(5, HERE));
    assert_true(watch_parked(w->watch, w->project.name, 5, 1));
    RequestRow passed_over = heard_at(5, HERE);
    passed_over.is_heard = false;
    follow_request(w, passed_over);
    assert_int_equal(due(w), DUE_HEARD);
    follow_request(w, heard_at(5, HERE));
    pass(w, 10 * QUEUE_LIVE_MS);
    assert_int_equal(due(w), NOTHING);
    assert_true(watch_parked(w->watch, w->project.name, 5, -1));
}

static void what_a_reading_does_not_find_is_over(void **state) {
    World *w = *state;
    int64_t served = 0;
    follow_own(w, 1);
    follow_request(w, heard_at(5, HERE));
    follow_request(w, heard_at(6, HERE));
    assert_true(watch_parked(w->watch, w->project.name, 6, 1));
    watch_reread(w->watch, w->project.name);
    follow_request(w, heard_at(5, HERE));
    follow_request(w, heard_at(6, HERE));
    watch_reread_end(w->watch, note_served, &served);
    assert_int_equal(served, 0);
    assert_int_equal(watch_left(w->watch, w->project.name, 7, -1), -1); /* the lease is not there any more */
    watch_reread(w->watch, (Slice)SLICE_ABSENT);                        /* of all projects */
    follow_request(w, heard_at(5, HERE));
    watch_reread_end(w->watch, note_served, &served);
    assert_int_equal(served, 6);
    assert_int_equal(watch_queued(w->watch), 1);
    watch_reread(w->watch, slice_of("unknown"));
    watch_reread_end(w->watch, note_served, &served);
    assert_int_equal(watch_queued(w->watch), 1);
}

/* The server has crashed, or is another one: it may have forgotten the renewal that another coordinator's holder relies on,
 * and the next one raises the count to what was seen here before. */
static void who_reads_all_projects_anew_watches_their_leases_anew(void **state) {
    World *w = *state;
    int64_t served = 0;
    follow_own(w, 2);
    pass(w, 9000);
    watch_reread(w->watch, w->project.name);
    follow(w, counted(2));
    watch_reread_end(w->watch, note_served, &served);
    assert_int_equal(watch_left(w->watch, w->project.name, 7, -1), 1000);
    watch_reread(w->watch, (Slice)SLICE_ABSENT);
    pass(w, 1000);
    assert_int_equal(the_due(w).renewals, -1); /* no row's: nothing is lost before it was read */
    follow(w, counted(2));
    watch_reread_end(w->watch, note_served, &served);
    assert_int_equal(watch_left(w->watch, w->project.name, 7, -1), 10000);
    pass(w, 10000);
    assert_int_equal(the_due(w).renewals, 2);
}

/* Another coordinator served him after he was read, and before the connection was lost. */
static void reading_that_failed_does_not_count(void **state) {
    World *w = *state;
    int64_t served = 0;
    follow_request(w, heard_at(5, HERE));
    assert_true(watch_parked(w->watch, w->project.name, 5, 1));
    watch_reread(w->watch, (Slice)SLICE_ABSENT);
    follow_request(w, heard_at(5, HERE));
    watch_reread(w->watch, (Slice)SLICE_ABSENT);
    watch_reread_end(w->watch, note_served, &served);
    assert_int_equal(served, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
#define TEST_AMONG(name) cmocka_unit_test_setup_teardown(name, begin_among_others, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_AMONG(reading_that_failed_does_not_count),
        TEST(a_lease_is_due_when_nobody_renewed_it_for_its_length),
        TEST(a_renewal_lasts_from_when_it_came_and_never_shortens),
        TEST(only_renewals_that_change_no_row_are_memorys),
        TEST(max_hold_ends_a_lease_that_is_renewed_for_ever),
        TEST(a_pause_takes_two_seconds_at_most),
        TEST(no_time_passes_while_the_store_fails),
        TEST(what_was_due_is_told_again_until_its_row_changes),
        TEST(a_renewal_that_comes_before_the_loss_is_committed_saves_the_lease),
        TEST(a_grant_from_the_queue_is_collected_within_twenty_seconds_or_its_lease),
        TEST(a_lost_stack_rests_for_its_grace),
        TEST(after_an_operators_act_a_stack_rests_until_the_lease_would_have_ended),
        TEST(a_holder_who_was_told_shortens_the_rest),
        TEST(a_joined_lease_rests_its_whole_time_whoever_is_told),
        TEST(a_lease_that_was_never_watched_rests_its_whole_time),
        TEST(a_renewal_of_no_length_has_the_one_of_the_grant),
        TEST(a_renewal_of_no_length_is_no_memorys_where_the_grant_was_not_seen),
        TEST(after_a_start_quiet_takes_its_whole_time_again),
        TEST(a_queued_request_is_heard_of_or_passed_over_or_abandoned),
        TEST(a_parked_request_is_live_until_its_last_connection_hangs_up),
        TEST(after_a_start_a_queued_request_counts_as_just_heard_of),
        TEST(a_hundred_thousand_leases_are_found_and_let_go),
        TEST_AMONG(a_loss_is_told_with_the_count_that_was_seen),
        TEST_AMONG(a_count_raised_elsewhere_begins_the_watch_anew),
        TEST_AMONG(a_renewal_here_shows_one_that_was_elsewhere),
        TEST_AMONG(max_hold_ends_no_lease_that_another_coordinator_has_just_renewed),
        TEST_AMONG(an_operators_act_leaves_a_holder_what_another_coordinator_told_him),
        TEST_AMONG(a_holder_may_be_told_before_the_look_that_shows_why),
        TEST_AMONG(what_a_lease_had_left_is_not_known_when_it_was_renewed_elsewhere),
        TEST_AMONG(a_request_heard_of_elsewhere_is_watched_there),
        TEST_AMONG(a_coordinator_that_falls_silent_takes_its_requests_with_it),
        TEST_AMONG(requests_of_a_coordinator_that_is_gone_count_as_just_heard_of),
        TEST_AMONG(requests_of_a_coordinator_nobody_knows_count_as_just_heard_of),
        TEST_AMONG(who_is_parked_here_is_heard_of_whatever_others_thought),
        TEST_AMONG(what_a_reading_does_not_find_is_over),
        TEST_AMONG(who_reads_all_projects_anew_watches_their_leases_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
