/* The part of an URL behind the '?', as a JSON object of strings. */
#pragma once

#include <jansson.h>

#include "base/slice.h"

enum { QUERY_INVALID = 1 };

/* 0 | QUERY_INVALID with a sentence in *detail | -ENOMEM. `+` is a blank. Refused: a name that stands twice (two readers
 * would disagree), bad escapes, NUL, what is not UTF-8, and too many members. */
int query_parse(Slice query, json_t **out, const char **detail) MUST_USE;
