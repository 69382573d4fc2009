/* One pass; `rest` is what is still to be read, and is of no use after a NULL. */
#include "base/json_plain.h"

#include <string.h>

#define NAME_MAX_LEN 63 /* bytes of a member's name */
#define DIGITS_MAX 15   /* no sum of theirs overflows */

static void skip_blanks(Slice *rest) {
    while (rest->len > 0 && (*rest->ptr == ' ' || *rest->ptr == '\t' || *rest->ptr == '\n' || *rest->ptr == '\r')) {
        rest->ptr++;
        rest->len--;
    }
}

static bool take(Slice *rest, char c) {
    if (rest->len == 0 || *rest->ptr != c)
        return false;
    rest->ptr++;
    rest->len--;
    return true;
}

static bool read_text(Slice *rest, Slice *text) {
    if (!take(rest, '"'))
        return false;
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] >= ' ' && rest->ptr[len] <= '~' && rest->ptr[len] != '"' &&
           rest->ptr[len] != '\\')
        len++;
    *text = (Slice){.ptr = rest->ptr, .len = len};
    rest->ptr += len;
    rest->len -= len;
    return take(rest, '"');
}

/* What may not follow its digits does not follow any value, so whoever called finds it. */
static json_t *read_number(Slice *rest) {
    json_int_t number = 0;
    size_t len = 0;
    for (; len < rest->len && rest->ptr[len] >= '0' && rest->ptr[len] <= '9'; len++) {
        if (len == DIGITS_MAX || (len == 1 && number == 0)) /* no leading zeros */
            return NULL;
        number = number * 10 + (rest->ptr[len] - '0');
    }
    rest->ptr += len;
    rest->len -= len;
    return json_integer(number);
}

static json_t *read_value(Slice *rest, unsigned max_depth);

static bool read_member(Slice *rest, unsigned max_depth, json_t *object) {
    char name[NAME_MAX_LEN + 1];
    Slice text;
    if (!read_text(rest, &text) || text.len > NAME_MAX_LEN)
        return false;
    memcpy(name, text.ptr, text.len);
    name[text.len] = '\0';
    skip_blanks(rest);
    if (!take(rest, ':'))
        return false;
    size_t before = json_object_size(object);
    return json_object_set_new_nocheck(object, name, read_value(rest, max_depth)) == 0 &&
           json_object_size(object) > before; /* else it was there already */
}

static json_t *read_object(Slice *rest, unsigned max_depth) {
    OWN(json_decrefp) json_t *object = max_depth > 0 && take(rest, '{') ? json_object() : NULL;
    if (object == NULL)
        return NULL;
    skip_blanks(rest);
    if (take(rest, '}'))
        return steal(&object);
    do {
        skip_blanks(rest);
        if (!read_member(rest, max_depth - 1, object))
            return NULL;
        skip_blanks(rest);
    } while (take(rest, ','));
    return take(rest, '}') ? steal(&object) : NULL;
}

static json_t *read_value(Slice *rest, unsigned max_depth) {
    skip_blanks(rest);
    char first = rest->len > 0 ? *rest->ptr : '\0';
    Slice text;
    if (first == '{')
        return read_object(rest, max_depth);
    if (first == '"')
        return read_text(rest, &text) ? json_stringn_nocheck(text.ptr, text.len) : NULL;
    return first >= '0' && first <= '9' ? read_number(rest) : NULL;
}

json_t *json_read_plain(Slice text, unsigned max_depth) {
    OWN(json_decrefp) json_t *value = read_value(&text, max_depth);
    skip_blanks(&text);
    return text.len == 0 ? steal(&value) : NULL;
}
