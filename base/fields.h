/*
 * JSON ↔ struct, by table. A message is declared once as rows of Field; three walkers read them: decode (names the
 * field that is wrong), encode (no intermediate tree), describe (JSON Schema, for openapi.json and the reference).
 *
 * Absence: a Slice with ptr NULL; an int64_t that is FIELD_ABSENT; a nested object whose table's `presence` is absent.
 */
#pragma once

#include <jansson.h>

#include "base/buffer.h"

#define FIELD_ABSENT INT64_MIN
#define FIELD_TEXT_MAX 65536 /* bytes of a text whose row says no max */

typedef enum FieldKind {
    FIELD_TEXT,    /* Slice. Decoded slices borrow from the json_t. min/max: bytes (max 0: FIELD_TEXT_MAX) */
    FIELD_INTEGER, /* int64_t. min/max: value (both 0: any). 1e9 and 1.0 are refused (wrong type), on purpose */
    FIELD_BOOLEAN, /* bool. Encoded always; absent decodes to `fallback` */
    FIELD_CHOICE,  /* int: index into `choices` (NULL-terminated list of names); absent: (int)fallback */
    FIELD_TIME,    /* int64_t wall ms, encoded as ISO 8601 text; FIELD_ABSENT is left out. Not decoded */
    FIELD_OBJECT,  /* nested struct at offset, described by `of` */
    FIELD_LIST,    /* a FieldList at offset: elements described by `of`. Encode only */
    FIELD_JSON,    /* Slice of JSON text, encoded verbatim; absent is left out. Not decoded */
    FIELD_HEX,     /* uint8_t[max], as 2 × max lower-case hex digits; absent: zeros */
} FieldKind;

typedef struct FieldTable FieldTable;

typedef struct Field {
    const char *name; /* the JSON member */
    FieldKind kind;
    size_t offset; /* offsetof in the struct the table describes */
    bool is_required;
    int64_t min, max;
    int64_t fallback;              /* integers: what an absent one decodes to (FIELD_ABSENT where it matters) */
    const char *const *choices;    /* FIELD_CHOICE; NULL-terminated, at least one */
    const FieldTable *of;          /* FIELD_OBJECT, FIELD_LIST */
    const char *(*check)(Slice s); /* FIELD_TEXT: NULL when right, else what is wrong ("must not hold …") */
    const char *doc;               /* one sentence for people */
} Field;

struct FieldTable {
    const char *name; /* for the schema: "Holder" */
    const Field *rows;
    size_t count;
    size_t size;          /* sizeof the struct, for lists */
    bool refuses_unknown; /* else unknown members are ignored */
    size_t presence;      /* nested objects: offset, in the parent struct, of a bool set by decode and read by encode */
    bool has_presence;
};

/* What FIELD_LIST points at: `count` structs of of->size, one after another. */
typedef struct FieldList {
    const void *items;
    size_t count;
} FieldList;

typedef struct FieldProblem {
    char field[64];   /* path of the wrong one: "holder.link" */
    char detail[192]; /* "branch must be 1 to 255 bytes long": a whole sentence without the full stop */
} FieldProblem;

enum { FIELDS_INVALID = 1 };

typedef enum FieldSource {
    FIELDS_FROM_JSON,
    FIELDS_FROM_TEXT, /* every value is a JSON string (an URL's query): integers and booleans are parsed from it */
} FieldSource;

/* 0 | FIELDS_INVALID with *problem filled; *out is then partly written. `object` that is no JSON object is invalid. A JSON
 * null counts as absent. */
int fields_decode(const FieldTable *table, const json_t *object, FieldSource source, void *out, FieldProblem *problem)
    MUST_USE;
/* Copies the texts that a decoded struct borrows into one malloc'd piece, which it then borrows instead: what it was decoded
 * from may go. 0 | -ENOMEM: it borrows as before. */
int fields_own_texts(const FieldTable *table, void *decoded, char **memory) MUST_USE;
/* Sets every field to its fallback or absence, as decoding `{}` does for optional ones. */
void fields_clear(const FieldTable *table, void *out);
/* Appends `{...}`; failures stick in the buffer. */
void fields_encode(const FieldTable *table, const void *in, Buffer *out);
/* Appends the JSON Schema (2020-12) of the table as an object schema. */
void fields_describe(const FieldTable *table, Buffer *out);
