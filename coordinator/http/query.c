/* Splits at '&' and '=', decodes, checks. */
#include "http/query.h"

#include <errno.h>
#include <string.h>

#include "base/json_guard.h"
#include "base/utf8.h"
#include "http/context.h"

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes into `out`, which has room for as many bytes as `encoded` has. False: a bad escape, or one that gives NUL. */
static bool decode(Slice encoded, char *out, Slice *decoded) {
    size_t len = 0;
    for (size_t i = 0; i < encoded.len; i++) {
        char c = encoded.ptr[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < encoded.len ? hex_digit(encoded.ptr[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(encoded.ptr[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0')
            return false;
        out[len++] = c;
    }
    *decoded = (Slice){.ptr = out, .len = len};
    return true;
}

static int add_member(json_t *object, Slice pair, char *scratch, const char **detail) {
    Slice encoded_name = pair, encoded_value = {.ptr = "", .len = 0};
    Slice rest = pair;
    if (slice_split(&rest, '=', &encoded_name))
        encoded_value = rest;
    Slice name = SLICE_ABSENT, value = SLICE_ABSENT;
    if (!decode(encoded_name, scratch, &name) || !decode(encoded_value, scratch + encoded_name.len, &value)) {
        *detail = "The query has a '%' that two hexadecimal digits do not follow, or %00.";
        return QUERY_INVALID;
    }
    if (!utf8_is_valid(name) || !utf8_is_valid(value)) {
        *detail = "The query is not UTF-8.";
        return QUERY_INVALID;
    }
    if (json_object_size(object) >= HTTP_QUERY_MEMBERS_MAX) {
        *detail = "The query has too many members.";
        return QUERY_INVALID;
    }
    OWN(freep) char *key = slice_dup(name);
    if (key == NULL)
        return -ENOMEM;
    if (json_object_get(object, key) != NULL) {
        *detail = "The query has a member twice.";
        return QUERY_INVALID;
    }
    json_t *text = json_stringn_nocheck(value.ptr, value.len);
    return json_object_set_new_nocheck(object, key, text) == 0 ? 0 : -ENOMEM;
}

int query_parse(Slice query, json_t **out, const char **detail) {
    OWN(json_decrefp) json_t *object = json_object();
    OWN(freep) char *scratch = malloc(query.len + 1);
    if (object == NULL || scratch == NULL)
        return -ENOMEM;
    Slice rest = query, pair = query;
    for (bool is_last = false; !is_last;) {
        is_last = !slice_split(&rest, '&', &pair);
        if (is_last)
            pair = rest;
        if (pair.len == 0)
            continue;
        int result = add_member(object, pair, scratch, detail);
        if (result != 0)
            return result;
    }
    *out = steal(&object);
    return 0;
}
