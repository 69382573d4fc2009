/*
 * Standing in line for a stack: long polls of one request until it is granted, refused, or the patience is over; and what is
 * said meanwhile.
 */
#pragma once

#include "agent/session.h"

typedef struct Line {
    int64_t deadline_ms; /* boot_ms; not asked again behind it */
    bool is_one_try;     /* one answer is enough, also "wait" */
    int cancel_fd;
    /* Filled. */
    int64_t began_ms, sent_ms; /* boot_ms; sent_ms: before the answered try was sent, at the earliest */
    int64_t position;          /* the last one heard of; FIELD_ABSENT: none */
    bool is_met;               /* it was heard to be in line */
    bool is_unsure;            /* something was sent that no coordinator has answered */
    int64_t told_ms;
    int64_t told_position;
} Line;

/* `command` is requestStack, whose waitSeconds is set here, or joinRequest. 0: reply->outcome tells; OUTCOME_QUEUED: the
 * deadline is over | -ECANCELED | -ENOMEM. */
int line_wait(Session *session, Command *command, Line *line, Reply *reply) MUST_USE;

/* Looks who has the stacks, if the key allows and it does not take long, and describes that. 0 | -ECANCELED. */
int line_look(Session *session, const Line *line, Buffer *out) MUST_USE;
