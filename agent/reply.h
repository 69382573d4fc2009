/*
 * An answer as the operation's table describes it, or what went wrong in words for people.
 */
#pragma once

#include "agent/agent.h"
#include "agent/client.h"

typedef struct Reply {
    ClientReply raw;
    Outcome outcome;
    Answer answer; /* of OUTCOME_DONE and OUTCOME_QUEUED, but for lists: those are read from raw.json */
    Buffer detail; /* of anything else: a sentence, safe to print, without the full stop */
} Reply;

void reply_init(Reply *reply);
void reply_deinit(Reply *reply);

/* A member's text, borrowed; absent when it is none. */
Slice reply_text(const json_t *object, const char *member);

/* Judges reply->raw, which is an answer. What it takes into `answer` has passed the rules of its field. */
void reply_read(const OperationRow *operation, Reply *reply);

/* Says on stderr what went wrong and the way out, naming what was tried ("request"); returns the exit code. */
int reply_fail(const Agent *agent, const Reply *reply, const char *what);
