/*
 * UTF-8 by the table of RFC 3629 §4. Invariant: never looks at a byte past `len`; answers 0 rather than guessing.
 */
#include "base/utf8.h"

static bool is_continuation(unsigned char byte) {
    return (byte & 0xC0) == 0x80;
}

size_t utf8_read(const char *text, size_t len, uint32_t *code_point) {
    const unsigned char *bytes = (const unsigned char *)text;
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size;
    uint32_t value;

    if (len == 0)
        return 0;
    if (bytes[0] < 0x80) {
        *code_point = bytes[0];
        return 1;
    }
    if (bytes[0] >= 0xC2 && bytes[0] <= 0xDF) {
        size = 2;
        value = bytes[0] & 0x1Fu;
    } else if (bytes[0] >= 0xE0 && bytes[0] <= 0xEF) {
        size = 3;
        value = bytes[0] & 0x0Fu;
    } else if (bytes[0] >= 0xF0 && bytes[0] <= 0xF4) {
        size = 4;
        value = bytes[0] & 0x07u;
    } else {
        return 0;
    }
    if (len < size)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if (!is_continuation(bytes[i]))
            return 0;
        value = value << 6 | (bytes[i] & 0x3Fu);
    }
    if (value < smallest[size] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return 0;
    *code_point = value;
    return size;
}

bool utf8_is_control(uint32_t code_point) {
    if (code_point < 0x20 || (code_point >= 0x7F && code_point <= 0x9F))
        return true;
    if (code_point == 0x061C || code_point == 0x200E || code_point == 0x200F)
        return true;
    return (code_point >= 0x2028 && code_point <= 0x202E) || (code_point >= 0x2066 && code_point <= 0x2069);
}

bool utf8_is_valid(Slice s) {
    uint32_t code_point;
    for (size_t at = 0, size; at < s.len; at += size) {
        size = utf8_read(s.ptr + at, s.len - at, &code_point);
        if (size == 0)
            return false;
    }
    return true;
}
