/* See the header. */
#include "transfer/original_items.h"

#include <errno.h>
#include <string.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "transfer/lines.h"

static int no_memory(Buffer *reason) {
    buffer_add_text(reason, strerror(ENOMEM));
    return -ENOMEM;
}

/* ---- DynamoDB's types ---- */

/* The plain value of {"S": "…"} and its like; a borrowed one is returned, or a new one put into *made. NULL: it has none. */
static json_t *value_of(json_t *attribute) {
    static const char *const plain[] = {"S", "BOOL", "N"};
    if (!json_is_object(attribute))
        return attribute;
    if (json_object_size(attribute) == 1)
        for (size_t i = 0; i < COUNT_OF(plain); i++) {
            json_t *value = json_object_get(attribute, plain[i]);
            if (value != NULL)
                return value;
        }
    return NULL;
}

static int add_item(json_t *items, json_t *item, Buffer *reason) {
    if (!json_is_object(item)) {
        buffer_printf(reason, "item %zu is no JSON object", json_array_size(items) + 1);
        return TRANSFER_REFUSED;
    }
    OWN(json_decrefp) json_t *plain = json_object();
    const char *name;
    json_t *attribute;
    json_object_foreach(item, name, attribute) {
        json_t *value = value_of(attribute);
        if (value != NULL && json_object_set(plain, name, value) != 0)
            return no_memory(reason);
    }
    return plain != NULL && json_array_append(items, plain) == 0 ? 0 : no_memory(reason);
}

/* ---- their forms ---- */

static int add_list(json_t *items, const json_t *list, Buffer *reason) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);
        json_t *wrapped = json_object_get(item, "Item");
        r = add_item(items, wrapped != NULL ? wrapped : item, reason);
    }
    return r;
}

static int add_value(json_t *items, json_t *value, Buffer *reason) {
    const json_t *list = json_is_array(value) ? value : json_object_get(value, "Items");
    if (json_object_get(value, "NextToken") != NULL || json_object_get(value, "LastEvaluatedKey") != NULL) {
        buffer_add_text(reason, "this is the first part of the table only (it has a NextToken or a LastEvaluatedKey): "
                                "scan it without --max-items");
        return TRANSFER_REFUSED;
    }
    if (json_is_array(list))
        return add_list(items, list, reason);
    json_t *wrapped = json_object_get(value, "Item");
    return add_item(items, wrapped != NULL ? wrapped : value, reason);
}

static int parse(Slice text, json_t **out, JsonProblem *problem, Buffer *reason) {
    int r = json_parse(text, JSON_DEPTH_MAX, out, problem);
    return r == -ENOMEM ? no_memory(reason) : r;
}

static int add_line(json_t *items, Slice line, size_t number, Buffer *reason) {
    OWN(json_decrefp) json_t *value = NULL;
    JsonProblem problem;
    bool is_blank = true;
    for (size_t i = 0; i < line.len; i++)
        is_blank &= strchr(" \t\r", line.ptr[i]) != NULL;
    if (is_blank)
        return 0;
    int r = parse(line, &value, &problem, reason);
    if (r == JSON_INVALID) {
        buffer_printf(reason, "neither one JSON document nor one on each line: line %zu: %s", number, problem.detail);
        return TRANSFER_REFUSED;
    }
    return r == 0 ? add_value(items, value, reason) : r;
}

static int add_lines(json_t *items, Slice text, Buffer *reason) {
    Slice line;
    int r = 0;
    size_t number = 1;
    for (; r == 0 && slice_split(&text, '\n', &line); number++)
        r = add_line(items, line, number, reason);
    return r == 0 ? add_line(items, text, number, reason) : r;
}

int original_items_parse(Slice text, json_t **items, Buffer *reason) {
    OWN(json_decrefp) json_t *found = json_array();
    OWN(json_decrefp) json_t *whole = NULL;
    JsonProblem problem;
    if (found == NULL)
        return no_memory(reason);
    if (slice_starts_with(text, "\x1f\x8b")) {
        buffer_add_text(reason, "it is compressed: gunzip it first");
        return TRANSFER_REFUSED;
    }
    int r = parse(text, &whole, &problem, reason);
    if (r < 0)
        return r;
    r = r == 0 ? add_value(found, whole, reason) : add_lines(found, text, reason);
    if (r == 0)
        *items = steal(&found);
    return r;
}
