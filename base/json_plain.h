/*
 * The JSON that programs write, read fast: objects of texts, whole numbers and objects; texts of printable ASCII without
 * escapes. jansson spends some twenty times as long on each byte. Here is no opinion on anything else, valid or not: that
 * is jansson's. Private to json_guard.
 */
#pragma once

#include <jansson.h>

#include "base/slice.h"

/* What jansson would make of it. NULL: not plain, or memory is short, or an object nested deeper than `max_depth`, or a
 * member twice. */
json_t *json_read_plain(Slice text, unsigned max_depth);
