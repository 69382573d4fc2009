/*
 * Which column of a table holds which member of a row: one list a table. What is read, inserted and updated is made from
 * these lists (postgres_statements.c), so a new column is one line here and one migration.
 *
 * Everything goes over the wire in PostgreSQL's binary form. Many rows are one statement with one parameter, an array of a
 * composite type that the schema has for the table. (An array for each column would be what every server has types for; but
 * unnest takes 127 µs for one row of thirty such arrays, and 9 for one of that type.)
 */
#pragma once

#include <libpq-fe.h>

#include "base/buffer.h"
#include "store/store.h"

typedef enum ColumnKind {
    COLUMN_NUMBER,      /* int64_t */
    COLUMN_SENT_NUMBER, /* int64_t; FIELD_ABSENT is NULL */
    COLUMN_CHOICE,      /* int or an enumeration, 0 ≤ value < size */
    COLUMN_GROWTH,      /* int64_t; saved as what it grew by since it was loaded: `other` */
    COLUMN_GUARD,       /* int64_t; NULL, which guards nothing, unless the bool `other` is set */
    COLUMN_COUNT,       /* uint32_t; never read back */
    COLUMN_FLAG,        /* bool */
    COLUMN_TEXT,        /* Slice; absent is NULL */
    COLUMN_BYTES,       /* uint8_t[size] */
} ColumnKind;

typedef struct Column {
    const char *name;
    ColumnKind kind;
    size_t offset; /* in the row, or in the slot that begins with it */
    int size;
    size_t other; /* offset in the slot */
} Column;

typedef enum TableId {
    TABLE_PROJECTS,
    TABLE_STACKS,
    TABLE_REQUESTS,
    TABLE_KEYS,
    TABLE_EVENTS,
    TABLE_WANTS,
    TABLE_RENEWALS,
    TABLE_CALLS,
    TABLE_COUNT
} TableId;

typedef struct Table {
    const char *name, *row_type;
    TableId id;
    const Column *columns; /* the keys first, then the others, then the guards */
    size_t key_count, column_count;
    size_t guard_count;      /* behind the columns: images loaded, compared when a row is updated or deleted */
    bool belongs_to_project; /* its first column is the project's name, and no member of the row */
} Table;

extern const Table postgres_projects, postgres_stacks, postgres_requests, postgres_keys, postgres_events;
/* What store_load asks for: a RowWant as a row. */
extern const Table postgres_wants;
/* store_renew's rows; and who is called behind a COMMIT. */
extern const Table postgres_renewals, postgres_calls;
extern const Table *const postgres_tables[TABLE_COUNT];

/* The rows of one statement. */
typedef struct Rows {
    const void **rows;
    Slice *projects; /* of each row, of a table that belongs to projects */
    size_t count;
} Rows;

#define ARGUMENTS_MAX 4

/* The parameters of one statement, in PostgreSQL's binary form. */
typedef struct Arguments {
    Buffer bytes;
    size_t starts[ARGUMENTS_MAX], lengths[ARGUMENTS_MAX];
    bool is_null[ARGUMENTS_MAX];
    int count;
} Arguments;

void arguments_clear(Arguments *arguments);
void arguments_add_number(Arguments *arguments, int64_t number);
void arguments_add_text(Arguments *arguments, Slice text); /* absent: NULL */
/* Names of projects, an array of text. */
void arguments_add_projects(Arguments *arguments, const Rows *rows);
/* Rows, an array of the table's row type, whose number on this server is given: project, columns, guards. */
void arguments_add_rows(Arguments *arguments, const Table *table, uint32_t type, const Rows *rows);
/* Where parameter `at` is, for libpq: it must not be asked for before all have been added. */
const char *arguments_value(const Arguments *arguments, int at);

int64_t column_read_number(const PGresult *result, int row, int at);
Slice column_read_text(const PGresult *result, int row, int at); /* borrowed from the result */
/* The table's columns, from `at` on, into a row. Texts are copied into the arena; arena NULL: borrowed from the result.
 * 0 | -ENOMEM | -EBADMSG (what no version writes). */
int columns_read(const Table *table, const PGresult *result, int row, int at, Arena *arena, void *out) MUST_USE;
