/*
 * What a transaction changed, as bytes: one entry for each changed row in its final image, in the order of writing. The
 * engine appends them to its log and, after a crash, reads them back into its tables.
 *
 *     changes = entry…       entry = kind, id of the project, the row (numbers as zigzag varints, texts by length)
 *
 * The format belongs to the schema's version: it may only change with a migration, before which everything is flushed.
 */
#pragma once

#include "base/buffer.h"
#include "lease/working_set.h"

typedef enum ChangeKind {
    CHANGE_PROJECT = 1,
    CHANGE_STACK_GONE, /* stack: its number alone */
    CHANGE_STACK,
    CHANGE_REQUEST,
    CHANGE_EVENT,
} ChangeKind;

typedef struct Change {
    ChangeKind kind;
    int64_t project;
    union {
        ProjectRow project_row;
        StackRow stack;
        RequestRow request;
        EventRow event;
    } row; /* texts borrow from the bytes read */
} Change;

/* What a set changed, keys and history apart, added to `out`; failures stick in the buffer. */
void changes_add(Buffer *out, int64_t project, const WorkingSet *set);
/* An event, which the history keeps as these bytes. */
void changes_add_event(Buffer *out, int64_t project, const EventRow *row);

/* Reads from the front of *bytes. 0: an entry; CHANGES_END: there is none left; -EBADMSG: not what changes_add wrote. */
#define CHANGES_END 1
int changes_next(Slice *bytes, Change *out) MUST_USE;
