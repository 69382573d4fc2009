/* Bytes as text. */
#pragma once

#include "base/slice.h"

/* Writes 2 × size lower-case hex digits and a NUL. */
void hex_encode(const void *data, size_t size, char *out);
/* False: `text` is not exactly 2 × size lower-case hex digits; *out is then partly written. */
bool hex_decode(Slice text, void *out, size_t size);
