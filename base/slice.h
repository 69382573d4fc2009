/*
 * A borrowed piece of text: a pointer and a length, no terminating NUL promised. `ptr == NULL` means "absent", which
 * differs from the empty text. A slice owns nothing; whoever made it says how long it lives.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct Slice {
    const char *ptr;
    size_t len;
} Slice;

#define SLICE_ABSENT ((Slice){.ptr = NULL, .len = 0})
/* A slice of a string literal, usable in static tables. */
#define SLICE_LITERAL(text)                                                                                            \
    { .ptr = (text), .len = sizeof(text) - 1 }
/* For printf: `"%.*s", SLICE_PRINT(s)`. */
#define SLICE_PRINT(s) (int)(s).len, (s).ptr != NULL ? (s).ptr : ""

/* NULL gives the absent slice. */
Slice slice_of(const char *text);
bool slice_is_absent(Slice s);
/* Two absent slices are equal; an absent and an empty one are not. */
bool slice_equal(Slice a, Slice b);
bool slice_equal_text(Slice a, const char *text);
/* Order of memcmp, the shorter first; absent before all. Returns <0, 0, >0. */
int slice_compare(Slice a, Slice b);
bool slice_starts_with(Slice s, const char *prefix);
/* Without the blanks, tabs and ends of lines around it. */
Slice slice_trimmed(Slice s);
/* Splits at the first `separator`: head gets what is before, the rest stays in *rest. False: no separator, both untouched. */
bool slice_split(Slice *rest, char separator, Slice *head);
/* Decimal digits only, no sign, no leading zero but "0" itself, at most INT64_MAX. False: not such a number. */
bool slice_to_number(Slice s, int64_t *out);
/* FNV-1a, 64 bit: for tables in memory, and for filters and checksums that are stored: it cannot change. */
uint64_t slice_hash(Slice s);
/* The same going on from another hash: a checksum against what is torn, not against who forges. */
uint64_t slice_hash_on(uint64_t hash, Slice s);
/* A malloc'd, NUL-terminated copy; NULL when memory is short. */
char *slice_dup(Slice s) MUST_USE;
