/*
 * The part of an URL behind the '?': bytes → an object of texts. Promised: what comes out is UTF-8 without NUL, at most
 * HTTP_QUERY_MEMBERS_MAX members, and says the same when it is written as a query and read again.
 */
#include <string.h>

#include "fuzz/require.h"
#include "http/context.h"
#include "http/query.h"

#define WRITTEN_MAX (16 * 1024 * 1024)

static void add_encoded(Buffer *out, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        buffer_printf(out, "%%%02X", (unsigned)(unsigned char)text[i]);
}

static void check_round_trip(json_t *object) {
    OWN(buffer_deinit) Buffer query;
    buffer_init(&query, WRITTEN_MAX);
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        add_encoded(&query, name, strlen(name));
        buffer_add_char(&query, '=');
        add_encoded(&query, json_string_value(value), json_string_length(value));
        buffer_add_char(&query, '&');
    }
    REQUIRE(buffer_error(&query) == 0);
    OWN(json_decrefp) json_t *again = NULL;
    const char *detail = NULL;
    REQUIRE(query_parse(buffer_slice(&query), &again, &detail) == 0);
    REQUIRE(json_equal(object, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(json_decrefp) json_t *object = NULL;
    const char *detail = NULL;
    int result = query_parse((Slice){.ptr = (const char *)data, .len = size}, &object, &detail);
    if (result != 0) {
        REQUIRE(result == QUERY_INVALID && object == NULL && detail != NULL && *detail != '\0');
        return 0;
    }
    REQUIRE(json_is_object(object) && json_object_size(object) <= HTTP_QUERY_MEMBERS_MAX);
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        REQUIRE(json_is_string(value));
        REQUIRE(strlen(json_string_value(value)) == json_string_length(value));
        json_t *copy = json_string(json_string_value(value)); /* jansson's own check of UTF-8 */
        json_t *name_copy = json_string(name);
        REQUIRE(copy != NULL && name_copy != NULL);
        json_decref(copy);
        json_decref(name_copy);
    }
    check_round_trip(object);
    return 0;
}
