/*
 * What single fields may hold. Invariant: a text that passes can be shown on one line of a terminal or a log, and none
 * of the checks depends on a locale.
 */
#include "protocol/rules.h"

#include <string.h>

#include "base/limits.h"
#include "base/utf8.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool is_one_of(char c, const char *allowed) {
    return c != '\0' && strchr(allowed, c) != NULL;
}

static bool is_made_of(Slice s, const char *allowed) {
    for (size_t i = 0; i < s.len; i++) {
        if (!is_one_of(s.ptr[i], allowed))
            return false;
    }
    return true;
}

static bool is_printable_ascii(Slice s) {
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
            return false;
    }
    return true;
}

/* C0, DEL and C1. Bidi controls stay: they are part of how people write; what prints them escapes them. */
static bool holds_control(Slice s) {
    uint32_t code_point;
    for (size_t at = 0, size; at < s.len; at += size) {
        size = utf8_read(s.ptr + at, s.len - at, &code_point);
        if (size == 0 || code_point < 0x20 || (code_point >= 0x7F && code_point <= 0x9F))
            return true;
    }
    return false;
}

const char *rule_one_line(Slice s) {
    if (!utf8_is_valid(s))
        return "must be UTF-8";
    return holds_control(s) ? "must not hold control characters" : NULL;
}

const char *rule_branch(Slice s) {
    return rule_one_line(s);
}

const char *rule_commit(Slice s) {
    return is_printable_ascii(s) ? NULL : "must be printable ASCII without blanks";
}

const char *rule_project(Slice s) {
    bool is_right = s.len >= 1 && s.len <= PROJECT_NAME_MAX && is_made_of(s, LOWER DIGITS "-");
    return is_right ? NULL : "must be 1 to 63 of a-z, 0-9 and -";
}

static bool is_name(Slice s, size_t max) {
    return s.len >= 1 && s.len <= max && is_one_of(s.ptr[0], UPPER LOWER) && is_made_of(s, UPPER LOWER DIGITS "._-");
}

const char *rule_prefix(Slice s) {
    bool is_right = is_name(s, PREFIX_MAX) && !is_one_of(s.ptr[s.len - 1], DIGITS);
    return is_right ? NULL : "must be a letter, then at most 62 of A-Z, a-z, 0-9, '.', _ and -, and not end in a digit";
}

const char *rule_stack_name(Slice s) {
    return is_name(s, STACK_NAME_MAX) ? NULL : "must be a letter, then letters, digits, '.', _ and -";
}

const char *rule_request_id(Slice s) {
    bool is_right = s.len >= REQUEST_ID_MIN && s.len <= REQUEST_ID_MAX && is_made_of(s, UPPER LOWER DIGITS "._:-");
    return is_right ? NULL : "must be 16 to 128 of A-Z, a-z, 0-9, '.', _, : and -";
}

const char *rule_link(Slice s) {
    if (!is_printable_ascii(s))
        return "must be printable ASCII without blanks";
    bool has_host = (slice_starts_with(s, "https://") && s.len > sizeof "https://" - 1) ||
                    (slice_starts_with(s, "http://") && s.len > sizeof "http://" - 1);
    return has_host ? NULL : "must start with https:// or http://";
}

const char *rule_path(Slice s) {
    if (!slice_starts_with(s, "/"))
        return "must be an absolute path on the coordinator's machine";
    return rule_one_line(s);
}

const char *rule_key_text(Slice s) {
    return is_printable_ascii(s) ? NULL : "must be printable ASCII without blanks";
}

const char *rule_key_id(Slice s) {
    return s.len >= 1 && is_made_of(s, LOWER DIGITS) ? NULL : "must be made of a-z and 0-9";
}
