/* See the header. */
#include "contract/full_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

const StackRow full_stack = {.number = 1,
                             .name = SLICE_LITERAL("test-1"),
                             .state = STACK_RETIRING,
                             .branch = SLICE_LITERAL("feat/ä'\"--; DROP TABLE stack"),
                             .last_commit = SLICE_LITERAL("c0ffee"),
                             .is_content_unknown = true,
                             .requested = 1700000000001,
                             .requested_ms = 2,
                             .created_ms = 3,
                             .modified_ms = 4,
                             .url = SLICE_LITERAL("https://test-1.example"),
                             .note = SLICE_LITERAL(""),
                             .ticket = 5,
                             .generation = 9007199254740991,
                             .lease_seconds = 6,
                             .since_ms = 7,
                             .is_collected = true,
                             .purpose = PURPOSE_CLEAN,
                             .holder_json = SLICE_LITERAL("{\"job\":\"e2e\"}"),
                             .quiet_until_ms = 8,
                             .dirty_since = 9,
                             .clean_failures = 2,
                             .before = {SLICE_LITERAL("release/1"), 10, 11},
                             .quiet_seconds = 12,
                             .quiet_untold_seconds = 13,
                             .quiet_ticket = 14};

static const ProjectRow full_project = {.name = SLICE_LITERAL("shop"),
                                        .is_deleted = true,
                                        .prefix = SLICE_LITERAL("env-"),
                                        .initial_commit = SLICE_LITERAL("c0ffee"),
                                        .max_stacks = 1,
                                        .max_hold_seconds = 2,
                                        .expiry_grace_seconds = 3,
                                        .is_cleaning = true,
                                        .lease_key = {0xf1, 0, 7},
                                        .created_ms = 4,
                                        .stack_count = 1,
                                        .leased_count = 1,
                                        .first_unused = 2,
                                        .last_generation = 9007199254740991,
                                        .last_ticket = 30,
                                        .last_event = 31};
static const RequestRow full_request = {.ticket = 5,
                                        .request_id = SLICE_LITERAL("0123456789abcdef"),
                                        .state = REQUEST_LIVE,
                                        .is_heard = true,
                                        .why = WHY_FORCED,
                                        .branch = SLICE_LITERAL("main"),
                                        .commit = SLICE_LITERAL("abc"),
                                        .lease_seconds = 300,
                                        .purpose = PURPOSE_CLEAN,
                                        .holder_json = SLICE_LITERAL("{}"),
                                        .created_ms = 12,
                                        .stack_number = 1,
                                        .stack_name = SLICE_LITERAL("test-1"),
                                        .generation = 9007199254740991,
                                        .is_reused = true,
                                        .from_queue = true,
                                        .is_joined = true,
                                        .ended_ms = 15,
                                        .ended_by = SLICE_LITERAL("control"),
                                        .ended_reason = SLICE_LITERAL("broken disk"),
                                        .outcome = RELEASE_BROKEN};
static const KeyRow full_key = {.id = SLICE_LITERAL("k1"),
                                .project = SLICE_LITERAL("shop"),
                                .scope = SCOPE_OPERATOR,
                                .hash = {1, 2, 3},
                                .label = SLICE_LITERAL("nightly"),
                                .created_ms = 16,
                                .last_used_ms = 17,
                                .revoked_ms = 18};
static const EventRow full_event = {.id = 19,
                                    .at_ms = 20,
                                    .kind = EVENT_RESTED,
                                    .stack_number = 21,
                                    .stack_name = SLICE_LITERAL("env-21"),
                                    .generation = 22,
                                    .branch = SLICE_LITERAL("main"),
                                    .commit = SLICE_LITERAL("abc"),
                                    .by = SLICE_LITERAL("k1"),
                                    .outcome = SLICE_LITERAL("ok"),
                                    .note = SLICE_LITERAL(""),
                                    .holder_json = SLICE_LITERAL("{\"job\":\"e2e\"}")};

static void assert_slice(Slice a, Slice b) {
    assert_true(slice_equal(a, b));
}

void assert_stack_row(const StackRow *a, const StackRow *b) {
    assert_int_equal(a->number, b->number);
    assert_true(slice_equal(a->name, b->name));
    assert_int_equal(a->state, b->state);
    assert_true(slice_equal(a->branch, b->branch));
    assert_true(slice_equal(a->last_commit, b->last_commit));
    assert_int_equal(a->is_content_unknown, b->is_content_unknown);
    assert_int_equal(a->requested, b->requested);
    assert_int_equal(a->requested_ms, b->requested_ms);
    assert_int_equal(a->created_ms, b->created_ms);
    assert_int_equal(a->modified_ms, b->modified_ms);
    assert_true(slice_equal(a->url, b->url));
    assert_true(slice_equal(a->note, b->note));
    assert_int_equal(a->ticket, b->ticket);
    assert_int_equal(a->generation, b->generation);
    assert_int_equal(a->lease_seconds, b->lease_seconds);
    assert_int_equal(a->since_ms, b->since_ms);
    assert_int_equal(a->is_collected, b->is_collected);
    assert_int_equal(a->purpose, b->purpose);
    assert_true(slice_equal(a->holder_json, b->holder_json));
    assert_int_equal(a->quiet_until_ms, b->quiet_until_ms);
    assert_int_equal(a->dirty_since, b->dirty_since);
    assert_int_equal(a->clean_failures, b->clean_failures);
    assert_true(slice_equal(a->before.branch, b->before.branch));
    assert_int_equal(a->before.requested, b->before.requested);
    assert_int_equal(a->before.requested_ms, b->before.requested_ms);
    assert_int_equal(a->quiet_seconds, b->quiet_seconds);
    assert_int_equal(a->quiet_untold_seconds, b->quiet_untold_seconds);
    assert_int_equal(a->quiet_ticket, b->quiet_ticket);
}

static void assert_project(const ProjectRow *a, const ProjectRow *b) {
    assert_slice(a->name, b->name);
    assert_int_equal(a->is_deleted, b->is_deleted);
    assert_slice(a->prefix, b->prefix);
    assert_slice(a->initial_commit, b->initial_commit);
    assert_int_equal(a->max_stacks, b->max_stacks);
    assert_int_equal(a->max_hold_seconds, b->max_hold_seconds);
    assert_int_equal(a->expiry_grace_seconds, b->expiry_grace_seconds);
    assert_int_equal(a->is_cleaning, b->is_cleaning);
    assert_memory_equal(a->lease_key, b->lease_key, sizeof a->lease_key);
    assert_int_equal(a->created_ms, b->created_ms);
    assert_int_equal(a->stack_count, b->stack_count);
    assert_int_equal(a->leased_count, b->leased_count);
    assert_int_equal(a->queued_count, b->queued_count);
    assert_int_equal(a->first_unused, b->first_unused);
    assert_int_equal(a->last_generation, b->last_generation);
    assert_int_equal(a->last_ticket, b->last_ticket);
    assert_int_equal(a->last_event, b->last_event);
}

static void assert_request(const RequestRow *a, const RequestRow *b) {
    assert_int_equal(a->ticket, b->ticket);
    assert_slice(a->request_id, b->request_id);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->is_heard, b->is_heard);
    assert_int_equal(a->why, b->why);
    assert_slice(a->branch, b->branch);
    assert_slice(a->commit, b->commit);
    assert_int_equal(a->lease_seconds, b->lease_seconds);
    assert_int_equal(a->purpose, b->purpose);
    assert_slice(a->holder_json, b->holder_json);
    assert_int_equal(a->created_ms, b->created_ms);
    assert_int_equal(a->stack_number, b->stack_number);
    assert_slice(a->stack_name, b->stack_name);
    assert_int_equal(a->generation, b->generation);
    assert_int_equal(a->is_reused, b->is_reused);
    assert_int_equal(a->from_queue, b->from_queue);
    assert_int_equal(a->is_joined, b->is_joined);
    assert_int_equal(a->ended_ms, b->ended_ms);
    assert_slice(a->ended_by, b->ended_by);
    assert_slice(a->ended_reason, b->ended_reason);
    assert_int_equal(a->outcome, b->outcome);
}

static void assert_key(const KeyRow *a, const KeyRow *b) {
    assert_slice(a->id, b->id);
    assert_slice(a->project, b->project);
    assert_int_equal(a->scope, b->scope);
    assert_memory_equal(a->hash, b->hash, sizeof a->hash);
    assert_slice(a->label, b->label);
    assert_int_equal(a->created_ms, b->created_ms);
    assert_int_equal(a->last_used_ms, b->last_used_ms);
    assert_int_equal(a->revoked_ms, b->revoked_ms);
}

static void assert_event(const EventRow *a, const EventRow *b) {
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->at_ms, b->at_ms);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->stack_number, b->stack_number);
    assert_slice(a->stack_name, b->stack_name);
    assert_int_equal(a->generation, b->generation);
    assert_slice(a->branch, b->branch);
    assert_slice(a->commit, b->commit);
    assert_slice(a->by, b->by);
    assert_slice(a->outcome, b->outcome);
    assert_slice(a->note, b->note);
    assert_slice(a->holder_json, b->holder_json);
}

void assert_stored_row(const StoredRow *a, const StoredRow *b) {
    assert_int_equal(a->kind, b->kind);
    assert_slice(a->project, b->project);
    switch (a->kind) {
    case STORED_PROJECT:
        assert_project(&a->as.project, &b->as.project);
        return;
    case STORED_KEY:
        assert_key(&a->as.key, &b->as.key);
        return;
    case STORED_STACK:
        assert_stack_row(&a->as.stack, &b->as.stack);
        return;
    case STORED_REQUEST:
        assert_request(&a->as.request, &b->as.request);
        return;
    case STORED_EVENT:
        assert_event(&a->as.event, &b->as.event);
        return;
    case STORED_KINDS:
        break;
    }
    fail();
}

size_t full_rows(StoredRow *rows) {
    const ProjectRow zoo = {.name = SLICE_LITERAL("zoo"),
                            .prefix = SLICE_LITERAL("test-"),
                            .stack_count = 1,
                            .queued_count = 1,
                            .first_unused = 1,
                            .last_ticket = 3,
                            .last_event = 400};
    const KeyRow zoo_key = {.id = SLICE_LITERAL("a"), .project = zoo.name, .scope = SCOPE_READ, .created_ms = 1};
    const StackRow zoo_stack = {.number = 1, .name = SLICE_LITERAL("test-1")};
    size_t n = 0;
    rows[n++] = (StoredRow){.kind = STORED_PROJECT, .project = full_project.name, .as.project = full_project};
    rows[n++] = (StoredRow){.kind = STORED_PROJECT, .project = zoo.name, .as.project = zoo};
    rows[n++] = (StoredRow){.kind = STORED_KEY, .project = full_project.name, .as.key = full_key};
    rows[n++] = (StoredRow){.kind = STORED_KEY, .project = zoo.name, .as.key = zoo_key};
    rows[n++] = (StoredRow){.kind = STORED_STACK, .project = full_project.name, .as.stack = full_stack};
    rows[n++] = (StoredRow){.kind = STORED_STACK, .project = zoo.name, .as.stack = zoo_stack};
    rows[n++] = (StoredRow){.kind = STORED_REQUEST, .project = full_project.name, .as.request = full_request};
    for (int64_t ticket = 1; ticket <= 3; ticket++)
        rows[n++] = (StoredRow){.kind = STORED_REQUEST,
                                .project = zoo.name,
                                .as.request = {.ticket = ticket,
                                               .state = ticket == 1 ? REQUEST_QUEUED : REQUEST_OVER,
                                               .lease_seconds = FIELD_ABSENT}};
    rows[n++] = (StoredRow){.kind = STORED_EVENT, .project = full_project.name, .as.event = full_event};
    for (int64_t id = 1; id <= 400; id++) /* with a hole, as pruning leaves it */
        if (id != 300)
            rows[n++] = (StoredRow){.kind = STORED_EVENT, .project = zoo.name, .as.event = {.id = id, .at_ms = id}};
    return n;
}
