/*
 * Bytes that grow up to a ceiling. Writers need not check each call: the first failure sticks (buffer->error), later
 * writes do nothing, and buffer_error() tells at the end.
 */
#pragma once

#include <stdarg.h>

#include "base/slice.h"

typedef struct Buffer {
    char *data; /* malloc'd; NULL while nothing was written. Not NUL-terminated: see buffer_text() */
    size_t len, capacity;
    size_t ceiling; /* bytes; a write past it fails with -EMSGSIZE */
    int error;      /* 0 | -ENOMEM | -EMSGSIZE */
} Buffer;

void buffer_init(Buffer *b, size_t ceiling);
/* Frees the memory; the buffer is as after buffer_init with the same ceiling. Takes NULL and a zeroed Buffer. */
void buffer_deinit(Buffer *b);
/* Forgets the content and the error, keeps the memory. */
void buffer_clear(Buffer *b);
int buffer_error(const Buffer *b) MUST_USE;

void buffer_add(Buffer *b, const void *data, size_t len);
void buffer_add_slice(Buffer *b, Slice s);
void buffer_add_text(Buffer *b, const char *text);
void buffer_add_char(Buffer *b, char c);
void buffer_add_number(Buffer *b, int64_t number);
void buffer_printf(Buffer *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* A JSON string with its quotes: RFC 8259 escapes, \uXXXX also for what could draw on a terminal (utf8_is_control), each
 * byte of invalid UTF-8 replaced by U+FFFD. An absent slice writes null. */
void buffer_add_json_text(Buffer *b, Slice s);

/* Room for `len` more bytes to be written at the returned address, then confirmed by buffer_grew(). NULL on failure. */
char *buffer_reserve(Buffer *b, size_t len);
void buffer_grew(Buffer *b, size_t len);

/* Borrowed until the next write; empty when nothing was written, absent after an error. */
Slice buffer_slice(const Buffer *b);
/* The content with a NUL behind it, borrowed until the next write; "" when empty, NULL after an error. */
const char *buffer_text(Buffer *b);
/* Hands the memory over, a NUL behind it (NULL when empty or failed); the buffer is empty afterwards. */
char *buffer_steal(Buffer *b, size_t *len) MUST_USE;
