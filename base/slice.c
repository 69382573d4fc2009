/*
 * Borrowed text. Invariant: nothing here allocates but slice_dup, and an absent slice (ptr NULL) is never mistaken for
 * an empty one.
 */
#include "base/slice.h"

#include <string.h>

Slice slice_of(const char *text) {
    if (text == NULL)
        return SLICE_ABSENT;
    return (Slice){.ptr = text, .len = strlen(text)};
}

bool slice_is_absent(Slice s) {
    return s.ptr == NULL;
}

bool slice_equal(Slice a, Slice b) {
    if (a.ptr == NULL || b.ptr == NULL)
        return a.ptr == b.ptr;
    return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

bool slice_equal_text(Slice a, const char *text) {
    return slice_equal(a, slice_of(text));
}

int slice_compare(Slice a, Slice b) {
    if (a.ptr == NULL || b.ptr == NULL)
        return (a.ptr != NULL) - (b.ptr != NULL);
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

bool slice_starts_with(Slice s, const char *prefix) {
    size_t len = strlen(prefix);
    return s.ptr != NULL && s.len >= len && memcmp(s.ptr, prefix, len) == 0;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

Slice slice_trimmed(Slice s) {
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = (Slice){.ptr = s.ptr + 1, .len = s.len - 1};
    return s;
}

bool slice_split(Slice *rest, char separator, Slice *head) {
    if (rest->ptr == NULL || rest->len == 0)
        return false;
    const char *found = memchr(rest->ptr, separator, rest->len);
    if (found == NULL)
        return false;
    size_t before = (size_t)(found - rest->ptr);
    *head = (Slice){.ptr = rest->ptr, .len = before};
    *rest = (Slice){.ptr = found + 1, .len = rest->len - before - 1};
    return true;
}

bool slice_to_number(Slice s, int64_t *out) {
    int64_t number = 0;
    if (s.ptr == NULL || s.len == 0 || (s.len > 1 && s.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        int64_t digit = s.ptr[i] - '0';
        if (number > (INT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *out = number;
    return true;
}

uint64_t slice_hash(Slice s) {
    return slice_hash_on(0xCBF29CE484222325u, s);
}

uint64_t slice_hash_on(uint64_t hash, Slice s) {
    for (size_t i = 0; i < s.len; i++) {
        hash ^= (unsigned char)s.ptr[i];
        hash *= 0x100000001B3u;
    }
    return hash;
}

char *slice_dup(Slice s) {
    char *copy = malloc(s.len + 1);
    if (copy == NULL)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}
