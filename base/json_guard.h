/*
 * The one way JSON text from outside becomes a json_t. jansson's own depth limit is 2048 frames, too deep for small
 * thread stacks, so nesting is counted before the parser runs; duplicate members are refused (RFC 8259 §4 leaves their
 * meaning open, and two readers of one message must never disagree).
 */
#pragma once

#include <jansson.h>

#include "base/slice.h"

typedef struct JsonProblem {
    char detail[192]; /* "duplicate object key near 'branch'", "nesting deeper than 32" */
} JsonProblem;

enum { JSON_INVALID = 1 };

/* Before any thread starts: seeds the hash function of jansson's tables. */
void json_guard_init(void);
/* 0 | JSON_INVALID | -ENOMEM. Text beyond `max_depth` levels, with duplicate keys, NUL or trailing bytes is invalid;
 * any other value is valid, not only objects.
 * Blank or absent text gives an empty object. */
int json_parse(Slice text, unsigned max_depth, json_t **out, JsonProblem *problem) MUST_USE;
/* For owning locals jansson brings its own: `OWN(json_decrefp) json_t *body = NULL;` */
