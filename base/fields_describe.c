/*
 * Table → JSON Schema (2020-12). Invariant: the schema refuses nothing that decode accepts. JSON Schema counts
 * characters where we count bytes, so its maximum is the looser one; a minimum past 1 is for texts that are ASCII.
 */
#include "base/fields.h"

static void add_member(Buffer *out, const char *name) {
    buffer_add_char(out, ',');
    buffer_add_json_text(out, slice_of(name));
    buffer_add_char(out, ':');
}

static void add_number(Buffer *out, const char *name, int64_t number) {
    add_member(out, name);
    buffer_add_number(out, number);
}

static void describe_text(const Field *field, Buffer *out) {
    buffer_add_text(out, "\"type\":\"string\"");
    if (field->min > 0)
        add_number(out, "minLength", field->min);
    add_number(out, "maxLength", field->max > 0 ? field->max : FIELD_TEXT_MAX);
}

static void describe_integer(const Field *field, Buffer *out) {
    buffer_add_text(out, "\"type\":\"integer\"");
    if (field->min != 0 || field->max != 0) {
        add_number(out, "minimum", field->min);
        add_number(out, "maximum", field->max);
    }
    if (!field->is_required && field->fallback != FIELD_ABSENT)
        add_number(out, "default", field->fallback);
}

static void describe_boolean(const Field *field, Buffer *out) {
    buffer_add_text(out, "\"type\":\"boolean\"");
    if (!field->is_required) {
        add_member(out, "default");
        buffer_add_text(out, field->fallback != 0 ? "true" : "false");
    }
}

static void describe_choice(const Field *field, Buffer *out) {
    buffer_add_text(out, "\"type\":\"string\",\"enum\":[");
    const char *fallback = NULL;
    for (int i = 0; field->choices[i] != NULL; i++) {
        if (i > 0)
            buffer_add_char(out, ',');
        buffer_add_json_text(out, slice_of(field->choices[i]));
        if (i == field->fallback)
            fallback = field->choices[i];
    }
    buffer_add_char(out, ']');
    if (!field->is_required && fallback != NULL) {
        add_member(out, "default");
        buffer_add_json_text(out, slice_of(fallback));
    }
}

static void describe_object(const FieldTable *table, Buffer *out);

static void describe_field(const Field *field, Buffer *out) {
    buffer_add_char(out, '{');
    switch (field->kind) {
    case FIELD_TEXT:
        describe_text(field, out);
        break;
    case FIELD_INTEGER:
        describe_integer(field, out);
        break;
    case FIELD_BOOLEAN:
        describe_boolean(field, out);
        break;
    case FIELD_CHOICE:
        describe_choice(field, out);
        break;
    case FIELD_TIME:
        buffer_add_text(out, "\"type\":\"string\",\"format\":\"date-time\"");
        break;
    case FIELD_OBJECT:
        describe_object(field->of, out);
        break;
    case FIELD_LIST:
        buffer_add_text(out, "\"type\":\"array\",\"items\":{");
        describe_object(field->of, out);
        buffer_add_char(out, '}');
        break;
    case FIELD_JSON:
        buffer_add_text(out, "\"$comment\":\"any JSON\"");
        break;
    case FIELD_HEX:
        buffer_printf(out, "\"type\":\"string\",\"pattern\":\"^[0-9a-f]{%lld}$\"", 2 * (long long)field->max);
        break;
    }
    if (field->doc != NULL) {
        add_member(out, "description");
        buffer_add_json_text(out, slice_of(field->doc));
    }
    buffer_add_char(out, '}');
}

static void describe_required(const FieldTable *table, Buffer *out) {
    size_t count = 0;
    for (size_t i = 0; i < table->count; i++) {
        if (!table->rows[i].is_required)
            continue;
        buffer_add_text(out, count++ == 0 ? ",\"required\":[" : ",");
        buffer_add_json_text(out, slice_of(table->rows[i].name));
    }
    if (count > 0)
        buffer_add_char(out, ']');
}

/* The members of the schema object, without its braces. */
static void describe_object(const FieldTable *table, Buffer *out) {
    buffer_add_text(out, "\"type\":\"object\"");
    if (table->name != NULL) {
        add_member(out, "title");
        buffer_add_json_text(out, slice_of(table->name));
    }
    buffer_add_text(out, ",\"properties\":{");
    for (size_t i = 0; i < table->count; i++) {
        if (i > 0)
            buffer_add_char(out, ',');
        buffer_add_json_text(out, slice_of(table->rows[i].name));
        buffer_add_char(out, ':');
        describe_field(&table->rows[i], out);
    }
    buffer_add_char(out, '}');
    describe_required(table, out);
    if (table->refuses_unknown)
        buffer_add_text(out, ",\"additionalProperties\":false");
}

void fields_describe(const FieldTable *table, Buffer *out) {
    buffer_add_char(out, '{');
    describe_object(table, out);
    buffer_add_char(out, '}');
}
