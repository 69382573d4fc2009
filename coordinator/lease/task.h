/*
 * Private to lease/: one command being decided, and what all decisions share. Each function returns a Decision or
 * -ENOMEM; whoever calls one goes on only after DECISION_DONE.
 */
#pragma once

#include "lease/decide.h"

typedef struct Task {
    WorkingSet *set;
    const Command *command;
    const Moment *moment;
    Answer *answer;
} Task;

/* DECISION_REFUSED. `detail` is arena_printf's or static; an absent one means that memory was short. */
int task_refuse(Task *t, Outcome outcome, const char *field, Slice detail) MUST_USE;
/* DECISION_NEEDS_ROWS. */
int task_need(Task *t, RowWant want) MUST_USE;

/* The stack that command->stack_name names; else unknown-stack. */
int task_stack_named(Task *t, StackSlot **out) MUST_USE;
/* The request behind a lease; *out NULL: a plain lease asked for without a requestId has none. */
int task_request_of(Task *t, const StackSlot *stack, RequestSlot **out) MUST_USE;
/* The stack a live request holds. */
int task_stack_of(Task *t, const RequestSlot *request, StackSlot **out) MUST_USE;

/* Takes the stack through the state table; an event the table does not know is a bug, answered as `internal`. */
int task_move(Task *t, StackSlot *stack, StackEvent event) MUST_USE;
/* Somebody is told that the bound lease has its length left: among several coordinators all have to see that. */
void lease_renewed(const Task *t, StackSlot *stack);
/* Appends to the history; moment and asker are filled in. The other texts must live as long as the arena. */
int task_record(Task *t, EventRow event) MUST_USE;
/* Likewise, about a stack: name, number, branch and generation are filled in. */
int task_record_stack(Task *t, EventKind kind, const StackRow *row, EventRow event) MUST_USE;
/* Copies a text of the command, which dies before the rows do. 0 | -ENOMEM. */
int task_keep(Task *t, Slice text, Slice *out) MUST_USE;
/* DECISION_DONE with answer->message. */
int task_say(Task *t, Slice message) MUST_USE;

/* "2026-11-22T20:22:15.474Z"; absent when memory is short. */
Slice task_date(Task *t, int64_t wall_ms);

/* Live: the queue may serve it. */
/* One function each for what a command needs at first and for what it does: the rows of decide.c's table. */
int want_request_stack(WorkingSet *set, const Command *command) MUST_USE;
int want_request(WorkingSet *set, const Command *command) MUST_USE;
int want_lease(WorkingSet *set, const Command *command) MUST_USE;
int want_stack_and_lease(WorkingSet *set, const Command *command) MUST_USE;
int want_highest(WorkingSet *set, const Command *command) MUST_USE;
int want_key(WorkingSet *set, const Command *command) MUST_USE;
int want_keys(WorkingSet *set, const Command *command) MUST_USE;
int want_project(WorkingSet *set, const Command *command) MUST_USE;

int decide_request_stack(Task *t) MUST_USE;
int decide_join_request(Task *t) MUST_USE;
int decide_cancel_request(Task *t) MUST_USE;
int decide_renew_lease(Task *t) MUST_USE;
int decide_release_stack(Task *t) MUST_USE;
int decide_force_release_stack(Task *t) MUST_USE;
int decide_set_last_deployed_commit(Task *t) MUST_USE;
int decide_delete_last_stack(Task *t) MUST_USE;
int decide_quarantine_stack(Task *t) MUST_USE;
int decide_restore_stack(Task *t) MUST_USE;
int decide_annotate_stack(Task *t) MUST_USE;
int decide_create_project(Task *t) MUST_USE;
int decide_update_project(Task *t) MUST_USE;
int decide_delete_project(Task *t) MUST_USE;
int decide_create_key(Task *t) MUST_USE;
int decide_revoke_key(Task *t) MUST_USE;
