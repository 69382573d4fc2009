/*
 * Growing bytes with a ceiling. Invariants: len <= ceiling; when data is there, capacity > len, so that the NUL of
 * buffer_text() always has its place; once `error` is set nothing is written until buffer_clear().
 */
#include "base/buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define FIRST_CAPACITY 256
#define NUMBER_DIGITS_MAX 20 /* "-9223372036854775808" */

void buffer_init(Buffer *b, size_t ceiling) {
    *b = (Buffer){.ceiling = ceiling};
}

void buffer_deinit(Buffer *b) {
    if (b == NULL)
        return;
    free(b->data);
    buffer_init(b, b->ceiling);
}

void buffer_clear(Buffer *b) {
    b->len = 0;
    b->error = 0;
}

int buffer_error(const Buffer *b) {
    return b->error;
}

/* Makes capacity > len + more. False: the error is set. */
static bool grow(Buffer *b, size_t more) {
    if (more > b->ceiling - b->len || more >= PTRDIFF_MAX - b->len) {
        b->error = -EMSGSIZE;
        return false;
    }
    size_t needed = b->len + more + 1;
    size_t capacity = b->capacity > 0 ? b->capacity : FIRST_CAPACITY;
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    if (b->ceiling < SIZE_MAX && capacity > b->ceiling + 1)
        capacity = b->ceiling + 1;
    char *data = realloc(b->data, capacity);
    if (data == NULL) {
        b->error = -ENOMEM;
        return false;
    }
    b->data = data;
    b->capacity = capacity;
    return true;
}

static inline bool has_room(Buffer *b, size_t more) {
    if (b->error != 0)
        return false;
    return more < b->capacity - b->len || grow(b, more);
}

void buffer_add(Buffer *b, const void *data, size_t len) {
    if (len == 0 || !has_room(b, len))
        return;
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

void buffer_add_slice(Buffer *b, Slice s) {
    buffer_add(b, s.ptr, s.len);
}

void buffer_add_text(Buffer *b, const char *text) {
    buffer_add(b, text, strlen(text));
}

void buffer_add_char(Buffer *b, char c) {
    if (!has_room(b, 1))
        return;
    b->data[b->len++] = c;
}

void buffer_add_number(Buffer *b, int64_t number) {
    char digits[NUMBER_DIGITS_MAX];
    size_t at = sizeof digits;
    /* The magnitude as unsigned, since INT64_MIN has no positive twin. */
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0)
        digits[--at] = '-';
    buffer_add(b, digits + at, sizeof digits - at);
}

void buffer_printf(Buffer *b, const char *format, ...) {
    if (!has_room(b, 0))
        return;
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int len = vsnprintf(b->data + b->len, b->capacity - b->len, format, arguments);
    bool was_cut = len >= 0 && (size_t)len >= b->capacity - b->len;
    if (len < 0)
        b->error = -ENOMEM;
    else if (!was_cut)
        b->len += (size_t)len;
    else if (grow(b, (size_t)len))
        b->len += (size_t)vsnprintf(b->data + b->len, b->capacity - b->len, format, again);
    va_end(again);
    va_end(arguments);
}

static void add_unicode_escape(Buffer *b, uint32_t code_point) {
    static const char digits[] = "0123456789abcdef";
    const char escape[6] = {'\\',
                            'u',
                            digits[code_point >> 12 & 15],
                            digits[code_point >> 8 & 15],
                            digits[code_point >> 4 & 15],
                            digits[code_point & 15]};
    buffer_add(b, escape, sizeof escape);
}

/* The letter behind the backslash of a short escape; 0: there is none. */
static char short_escape(uint32_t code_point) {
    switch (code_point) {
    case '"':
        return '"';
    case '\\':
        return '\\';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

static inline bool is_plain_json(unsigned char byte) {
    return byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\';
}

/* Writes what is at `text`, which is not plain ASCII; returns the bytes it took. */
static size_t add_json_special(Buffer *b, const char *text, size_t len) {
    uint32_t code_point = 0;
    size_t size = utf8_read(text, len, &code_point);
    if (size == 0) {
        buffer_add(b, "\xEF\xBF\xBD", 3); /* U+FFFD */
        return 1;
    }
    char letter = short_escape(code_point);
    if (letter != 0) {
        const char escape[2] = {'\\', letter};
        buffer_add(b, escape, sizeof escape);
    } else if (utf8_is_control(code_point)) {
        add_unicode_escape(b, code_point);
    } else {
        buffer_add(b, text, size);
    }
    return size;
}

void buffer_add_json_text(Buffer *b, Slice s) {
    if (slice_is_absent(s)) {
        buffer_add(b, "null", 4);
        return;
    }
    buffer_add_char(b, '"');
    for (size_t at = 0; at < s.len;) {
        size_t start = at;
        while (at < s.len && is_plain_json((unsigned char)s.ptr[at]))
            at++;
        buffer_add(b, s.ptr + start, at - start);
        if (at < s.len)
            at += add_json_special(b, s.ptr + at, s.len - at);
    }
    buffer_add_char(b, '"');
}

char *buffer_reserve(Buffer *b, size_t len) {
    return has_room(b, len) ? b->data + b->len : NULL;
}

void buffer_grew(Buffer *b, size_t len) {
    assert(b->error == 0 && len < b->capacity - b->len);
    b->len += len;
}

Slice buffer_slice(const Buffer *b) {
    if (b->error != 0)
        return SLICE_ABSENT;
    return (Slice){.ptr = b->data != NULL ? b->data : "", .len = b->len};
}

const char *buffer_text(Buffer *b) {
    if (b->error != 0)
        return NULL;
    if (b->data == NULL)
        return "";
    b->data[b->len] = '\0';
    return b->data;
}

char *buffer_steal(Buffer *b, size_t *len) {
    bool is_lost = b->error != 0 || b->len == 0;
    if (is_lost) {
        buffer_deinit(b);
        *len = 0;
        return NULL;
    }
    char *data = b->data;
    data[b->len] = '\0';
    *len = b->len;
    buffer_init(b, b->ceiling);
    return data;
}
