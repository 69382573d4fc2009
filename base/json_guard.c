/*
 * JSON text from outside. Invariant: jansson's recursive parser never sees text nested deeper than the caller allows.
 * The scan before it may misjudge malformed text, but only behind the byte at which the parser stops.
 */
#include "base/json_guard.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"

void json_guard_init(void) {
    json_object_seed(0);
}

static bool is_blank(Slice text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return false;
    }
    return true;
}

static bool is_deeper_than(Slice text, unsigned max_depth) {
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (in_string) {
            if (c == '\\')
                i++; /* whatever is escaped ends no string */
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > max_depth)
                return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

/* jansson quotes the text it stumbled over, so its message is outside text too. */
static void explain(const json_error_t *error, JsonProblem *problem) {
    OWN(buffer_deinit) Buffer detail;
    buffer_init(&detail, sizeof problem->detail * 8);
    bool is_nul =
        json_error_code(error) == json_error_null_character; /* of which it tells how its programmer allows it */
    log_add_printable(&detail, slice_of(is_nul ? "a text holds \\u0000" : error->text));
    const char *text = buffer_text(&detail);
    (void)snprintf(problem->detail, sizeof problem->detail, "%s", text != NULL ? text : "not valid JSON");
}

int json_parse(Slice text, unsigned max_depth, json_t **out, JsonProblem *problem) {
    if (slice_is_absent(text) || is_blank(text)) {
        json_t *empty = json_object();
        if (empty == NULL)
            return -ENOMEM;
        *out = empty;
        return 0;
    }
    if (is_deeper_than(text, max_depth)) {
        (void)snprintf(problem->detail, sizeof problem->detail, "nesting deeper than %u", max_depth);
        return JSON_INVALID;
    }
    json_error_t error = {.text = ""};
    json_t *json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (json == NULL) {
        /* jansson says nothing at all when most of its allocations fail. */
        if (error.text[0] == '\0' || json_error_code(&error) == json_error_out_of_memory)
            return -ENOMEM;
        explain(&error, problem);
        return JSON_INVALID;
    }
    *out = json;
    return 0;
}
