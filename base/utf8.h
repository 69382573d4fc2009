/*
 * Reading UTF-8 one code point at a time (RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* The bytes (1 to 4) of the code point at `text`, put into *code_point; 0 when they are not UTF-8 or `len` is 0. */
size_t utf8_read(const char *text, size_t len, uint32_t *code_point);
bool utf8_is_valid(Slice s);
/* What could draw on a terminal or forge a line: C0, DEL, C1, line separators, bidi controls. */
bool utf8_is_control(uint32_t code_point);
