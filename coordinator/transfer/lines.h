/*
 * The lines of an export (docs/export.md): one table of members a kind of row, read by whoever writes and whoever reads.
 *
 *     {"format":"stack-orchestrator","version":1,"program":"stack-coordinator 0.1.0"}
 *     {"row":"project","project":"shop",…}        every row of every table, in the order of store_compare_rows
 *     {"row":"end","projects":1,"keys":2,…}       how many there are: what was cut off says so
 */
#pragma once

#include "base/fields.h"
#include "store/store.h"

#define TRANSFER_FORMAT "stack-orchestrator"
#define TRANSFER_VERSION 1

typedef struct TransferHeader {
    Slice format, program;
    int64_t version;
} TransferHeader;
typedef struct TransferCounts {
    int64_t rows[STORED_KINDS];
} TransferCounts;

extern const FieldTable transfer_header_fields;            /* of TransferHeader */
extern const FieldTable transfer_row_fields[STORED_KINDS]; /* of StoredRow */
extern const FieldTable transfer_end_fields;               /* of TransferCounts; `row` stands before them */
extern const char *const transfer_kind_names[];            /* "project", …; NULL-terminated */
#define TRANSFER_END "end"

/* Beside the results of store.h: what was brought is wrong, the reason says where and how. Nothing was changed. */
enum { TRANSFER_REFUSED = 100 };
