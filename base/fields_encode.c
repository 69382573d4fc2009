/*
 * Struct → JSON text, by table, straight into the buffer. Invariant: what is absent leaves no trace, not even a comma.
 * This runs once for each answer and each row of a list: no printf, no intermediate tree.
 */
#include "base/fields.h"

#include <string.h>

#include "base/clock.h"
#include "base/hex.h"

static const void *member_of(const void *structure, size_t offset) {
    return (const char *)structure + offset;
}

/* NULL: the index is none of the choices. */
static const char *choice_name(const Field *field, int index) {
    if (index < 0)
        return NULL;
    for (int i = 0; field->choices[i] != NULL; i++) {
        if (i == index)
            return field->choices[i];
    }
    return NULL;
}

static bool is_present(const Field *field, const void *in) {
    const void *member = member_of(in, field->offset);
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_JSON:
        return !slice_is_absent(*(const Slice *)member);
    case FIELD_INTEGER:
    case FIELD_TIME:
        return *(const int64_t *)member != FIELD_ABSENT;
    case FIELD_CHOICE:
        return choice_name(field, *(const int *)member) != NULL;
    case FIELD_OBJECT:
        return !field->of->has_presence || *(const bool *)member_of(in, field->of->presence);
    case FIELD_BOOLEAN:
    case FIELD_LIST:
    case FIELD_HEX:
        break;
    }
    return true;
}

static void encode_time(int64_t wall_ms, Buffer *out) {
    char text[CLOCK_ISO_SIZE + 1];
    text[0] = '"';
    clock_format_iso(wall_ms, text + 1);
    text[CLOCK_ISO_SIZE] = '"'; /* over the NUL */
    buffer_add(out, text, sizeof text);
}

static void encode_hex(const void *bytes, size_t size, Buffer *out) {
    char *at = buffer_reserve(out, 2 * size + 3);
    if (at == NULL)
        return;
    at[0] = '"';
    hex_encode(bytes, size, at + 1);
    at[2 * size + 1] = '"'; /* over the NUL */
    buffer_grew(out, 2 * size + 2);
}

static void encode_list(const FieldTable *table, const FieldList *list, Buffer *out) {
    buffer_add_char(out, '[');
    for (size_t i = 0; i < list->count && buffer_error(out) == 0; i++) {
        if (i > 0)
            buffer_add_char(out, ',');
        fields_encode(table, (const char *)list->items + i * table->size, out);
    }
    buffer_add_char(out, ']');
}

static void encode_value(const Field *field, const void *in, Buffer *out) {
    const void *member = member_of(in, field->offset);
    switch (field->kind) {
    case FIELD_TEXT:
        buffer_add_json_text(out, *(const Slice *)member);
        break;
    case FIELD_INTEGER:
        buffer_add_number(out, *(const int64_t *)member);
        break;
    case FIELD_BOOLEAN:
        buffer_add_text(out, *(const bool *)member ? "true" : "false");
        break;
    case FIELD_CHOICE:
        buffer_add_json_text(out, slice_of(choice_name(field, *(const int *)member)));
        break;
    case FIELD_TIME:
        encode_time(*(const int64_t *)member, out);
        break;
    case FIELD_OBJECT:
        fields_encode(field->of, member, out);
        break;
    case FIELD_LIST:
        encode_list(field->of, member, out);
        break;
    case FIELD_JSON:
        buffer_add_slice(out, *(const Slice *)member);
        break;
    case FIELD_HEX:
        encode_hex(member, (size_t)field->max, out);
        break;
    }
}

/* `lead,"name":` in one copy; names are plain ASCII by the tables' authors. */
static void encode_name(char lead, const char *name, Buffer *out) {
    size_t len = strlen(name);
    char *at = buffer_reserve(out, len + 4);
    if (at == NULL)
        return;
    at[0] = lead;
    at[1] = '"';
    memcpy(at + 2, name, len);
    at[len + 2] = '"';
    at[len + 3] = ':';
    buffer_grew(out, len + 4);
}

void fields_encode(const FieldTable *table, const void *in, Buffer *out) {
    char lead = '{';
    for (size_t i = 0; i < table->count; i++) {
        const Field *field = &table->rows[i];
        if (!is_present(field, in))
            continue;
        encode_name(lead, field->name, out);
        encode_value(field, in, out);
        lead = ',';
    }
    if (lead == '{')
        buffer_add_char(out, '{');
    buffer_add_char(out, '}');
}
