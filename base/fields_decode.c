/*
 * JSON → struct, by table. Invariants: outside text is copied nowhere but into a problem, clipped and printable; a
 * problem names the whole path of the field that is wrong. Paths are built only when something is.
 */
#include "base/fields.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"

/* Where in the message we are: a chain of names on the stack. */
typedef struct Place {
    const struct Place *outer; /* NULL: the message itself */
    const char *name;
} Place;

typedef struct Reader {
    FieldSource source;
    FieldProblem *problem;
} Reader;

#define PREDICATE_SIZE 160

static void *member_of(void *structure, size_t offset) {
    return (char *)structure + offset;
}

/* Copies at most size - 1 bytes, never half a code point. */
static void copy_clipped(char *out, size_t size, const char *text) {
    size_t len = strlen(text);
    if (len >= size) {
        len = size - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
            len--;
    }
    memcpy(out, text, len);
    out[len] = '\0';
}

static void add_path(Buffer *out, const Place *place) {
    if (place->outer != NULL) {
        add_path(out, place->outer);
        buffer_add_char(out, '.');
    }
    buffer_add_text(out, place->name);
}

/* `predicate` follows the field's name: "must be text". */
static int refuse(const Reader *reader, const Place *place, const char *predicate) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, sizeof *reader->problem);
    if (place != NULL)
        add_path(&text, place);
    const char *path = buffer_text(&text);
    copy_clipped(reader->problem->field, sizeof reader->problem->field, path != NULL ? path : "");

    buffer_add_text(&text, place != NULL ? " " : "the message ");
    buffer_add_text(&text, predicate);
    const char *sentence = buffer_text(&text);
    copy_clipped(reader->problem->detail, sizeof reader->problem->detail, sentence != NULL ? sentence : predicate);
    return FIELDS_INVALID;
}

static int refuse_length(const Reader *reader, const Place *place, int64_t min, int64_t max) {
    char predicate[PREDICATE_SIZE];
    if (min == max)
        (void)snprintf(predicate, sizeof predicate, "must be exactly %" PRId64 " bytes long", min);
    else if (min == 0)
        (void)snprintf(predicate, sizeof predicate, "must be at most %" PRId64 " bytes long", max);
    else
        (void)snprintf(predicate, sizeof predicate, "must be %" PRId64 " to %" PRId64 " bytes long", min, max);
    return refuse(reader, place, predicate);
}

static int decode_text(const Reader *reader, const Place *place, const Field *field, const json_t *value, Slice *out) {
    if (!json_is_string(value))
        return refuse(reader, place, "must be text");
    Slice text = {.ptr = json_string_value(value), .len = json_string_length(value)};
    int64_t max = field->max > 0 ? field->max : FIELD_TEXT_MAX;
    if ((int64_t)text.len < field->min || (int64_t)text.len > max)
        return refuse_length(reader, place, field->min, max);
    const char *wrong = field->check != NULL ? field->check(text) : NULL;
    if (wrong != NULL)
        return refuse(reader, place, wrong);
    *out = text;
    return 0;
}

static bool integer_from_text(const json_t *value, int64_t *out) {
    Slice digits = {.ptr = json_string_value(value), .len = json_string_length(value)};
    bool is_negative = slice_starts_with(digits, "-");
    if (is_negative)
        digits = (Slice){.ptr = digits.ptr + 1, .len = digits.len - 1};
    if (!slice_to_number(digits, out))
        return false;
    if (is_negative)
        *out = -*out;
    return true;
}

static int decode_integer(const Reader *reader, const Place *place, const Field *field, const json_t *value,
                          int64_t *out) {
    int64_t number = 0;
    if (reader->source == FIELDS_FROM_JSON && json_is_integer(value))
        number = json_integer_value(value);
    else if (reader->source != FIELDS_FROM_TEXT || !integer_from_text(value, &number))
        return refuse(reader, place, "must be a whole number");

    bool is_bounded = field->min != 0 || field->max != 0;
    if ((is_bounded && (number < field->min || number > field->max)) || number == FIELD_ABSENT) {
        char predicate[PREDICATE_SIZE];
        (void)snprintf(predicate, sizeof predicate, "must be %" PRId64 " to %" PRId64,
                       is_bounded ? field->min : INT64_MIN + 1, is_bounded ? field->max : INT64_MAX);
        return refuse(reader, place, predicate);
    }
    *out = number;
    return 0;
}

static int decode_boolean(const Reader *reader, const Place *place, const json_t *value, bool *out) {
    bool is_text = reader->source == FIELDS_FROM_TEXT && json_is_string(value);
    if (is_text && strcmp(json_string_value(value), "true") == 0)
        *out = true;
    else if (is_text && strcmp(json_string_value(value), "false") == 0)
        *out = false;
    else if (reader->source == FIELDS_FROM_JSON && json_is_boolean(value))
        *out = json_is_true(value);
    else
        return refuse(reader, place, "must be true or false");
    return 0;
}

static int decode_hex(const Reader *reader, const Place *place, const Field *field, const json_t *value, void *out) {
    Slice text = {.ptr = json_string_value(value), .len = json_string_length(value)};
    if (hex_decode(text, out, (size_t)field->max))
        return 0;
    char predicate[PREDICATE_SIZE];
    (void)snprintf(predicate, sizeof predicate, "must be %" PRId64 " hexadecimal digits", 2 * field->max);
    return refuse(reader, place, predicate);
}

static int decode_choice(const Reader *reader, const Place *place, const Field *field, const json_t *value, int *out) {
    Slice text = {.ptr = json_string_value(value), .len = json_string_length(value)};
    const int first = (int)field->min;
    for (int i = first; field->choices[i] != NULL; i++) {
        if (slice_equal_text(text, field->choices[i])) {
            *out = i;
            return 0;
        }
    }
    char predicate[PREDICATE_SIZE] = "must be one of: ";
    size_t used = strlen(predicate);
    for (int i = first; field->choices[i] != NULL && used < sizeof predicate; i++)
        used += (size_t)snprintf(predicate + used, sizeof predicate - used, "%s%s", i > first ? ", " : "",
                                 field->choices[i]);
    return refuse(reader, place, predicate);
}

static int decode_object(const Reader *reader, const Place *outer, const FieldTable *table, const json_t *object,
                         void *out);

static int decode_nested(const Reader *reader, const Place *place, const Field *field, const json_t *value, void *out) {
    const FieldTable *table = field->of;
    int result = decode_object(reader, place, table, value, member_of(out, field->offset));
    if (result == 0 && table->has_presence)
        *(bool *)member_of(out, table->presence) = true;
    return result;
}

/* Kinds that only answers have: to a reader they are unknown. */
static bool is_written_only(FieldKind kind) {
    return kind == FIELD_TIME || kind == FIELD_LIST || kind == FIELD_JSON;
}

static int decode_field(const Reader *reader, const Place *place, const Field *field, const json_t *value, void *out) {
    void *member = member_of(out, field->offset);
    switch (field->kind) {
    case FIELD_TEXT:
        return decode_text(reader, place, field, value, member);
    case FIELD_INTEGER:
        return decode_integer(reader, place, field, value, member);
    case FIELD_BOOLEAN:
        return decode_boolean(reader, place, value, member);
    case FIELD_CHOICE:
        return decode_choice(reader, place, field, value, member);
    case FIELD_OBJECT:
        return decode_nested(reader, place, field, value, out);
    case FIELD_HEX:
        return decode_hex(reader, place, field, value, member);
    case FIELD_TIME:
    case FIELD_LIST:
    case FIELD_JSON:
        break;
    }
    return 0;
}

static bool is_known(const FieldTable *table, const char *name) {
    for (size_t i = 0; i < table->count; i++) {
        if (!is_written_only(table->rows[i].kind) && strcmp(table->rows[i].name, name) == 0)
            return true;
    }
    return false;
}

static int refuse_unknown(const Reader *reader, const Place *outer, const FieldTable *table, const json_t *object) {
    const char *name = NULL;
    /* jansson's iterators take a mutable object, but only json_object_iter_set writes to it. */
    json_t *members = (json_t *)(uintptr_t)object;
    for (void *at = json_object_iter(members); at != NULL; at = json_object_iter_next(members, at)) {
        name = json_object_iter_key(at);
        if (!is_known(table, name))
            break;
    }
    OWN(buffer_deinit) Buffer printable;
    buffer_init(&printable, FIELD_TEXT_MAX);
    log_add_printable(&printable, slice_of(name));
    const char *text = buffer_text(&printable);
    char clipped[sizeof reader->problem->field / 2];
    copy_clipped(clipped, sizeof clipped, text != NULL && *text != '\0' ? text : "(a field)");
    const Place place = {.outer = outer, .name = clipped};
    return refuse(reader, &place, "is not a known field");
}

static int decode_object(const Reader *reader, const Place *outer, const FieldTable *table, const json_t *object,
                         void *out) {
    if (!json_is_object(object))
        return refuse(reader, outer, "must be a JSON object");
    fields_clear(table, out);
    size_t known_count = 0;
    for (size_t i = 0; i < table->count; i++) {
        const Field *field = &table->rows[i];
        const Place place = {.outer = outer, .name = field->name};
        if (is_written_only(field->kind))
            continue;
        const json_t *value = json_object_get(object, field->name);
        known_count += value != NULL;
        int result = 0;
        if (value != NULL && !json_is_null(value))
            result = decode_field(reader, &place, field, value, out);
        else if (field->is_required)
            result = refuse(reader, &place, "is required");
        if (result != 0)
            return result;
    }
    if (table->refuses_unknown && known_count != json_object_size(object))
        return refuse_unknown(reader, outer, table, object);
    return 0;
}

int fields_decode(const FieldTable *table, const json_t *object, FieldSource source, void *out, FieldProblem *problem) {
    const Reader reader = {.source = source, .problem = problem};
    return decode_object(&reader, NULL, table, object, out);
}

void fields_clear(const FieldTable *table, void *out) {
    for (size_t i = 0; i < table->count; i++) {
        const Field *field = &table->rows[i];
        void *member = member_of(out, field->offset);
        switch (field->kind) {
        case FIELD_TEXT:
        case FIELD_JSON:
            *(Slice *)member = SLICE_ABSENT;
            break;
        case FIELD_INTEGER:
            *(int64_t *)member = field->fallback;
            break;
        case FIELD_BOOLEAN:
            *(bool *)member = field->fallback != 0;
            break;
        case FIELD_CHOICE:
            *(int *)member = (int)field->fallback;
            break;
        case FIELD_TIME:
            *(int64_t *)member = FIELD_ABSENT;
            break;
        case FIELD_OBJECT:
            fields_clear(field->of, member);
            if (field->of->has_presence)
                *(bool *)member_of(out, field->of->presence) = false;
            break;
        case FIELD_LIST:
            *(FieldList *)member = (FieldList){.items = NULL};
            break;
        case FIELD_HEX:
            memset(member, 0, (size_t)field->max);
            break;
        }
    }
}

/* ---- owning ---- */

/* How long all texts are; with `to` they are put there, and borrowed from there. */
static size_t take_texts(const FieldTable *table, void *in, char *to) {
    size_t len = 0;
    for (size_t i = 0; i < table->count; i++) {
        const Field *row = &table->rows[i];
        Slice *text = member_of(in, row->offset);
        if (row->kind == FIELD_OBJECT)
            len += take_texts(row->of, text, to != NULL ? to + len : NULL);
        if (row->kind != FIELD_TEXT || slice_is_absent(*text))
            continue;
        if (to != NULL) {
            memcpy(to + len, text->ptr, text->len);
            text->ptr = to + len;
        }
        len += text->len;
    }
    return len;
}

int fields_own_texts(const FieldTable *table, void *decoded, char **memory) {
    *memory = malloc(take_texts(table, decoded, NULL) + 1);
    if (*memory == NULL)
        return -ENOMEM;
    (void)take_texts(table, decoded, *memory);
    return 0;
}
