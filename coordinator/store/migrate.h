/* The one function that applies SQLite's migrations. */
#pragma once

#include <sqlite3.h>
#include <stdint.h>

#include "base/buffer.h"
#include "store/migrations.h"

/* Marks the file as ours (PRAGMA application_id): "SOst". */
#define STORE_APPLICATION_ID 0x534f7374

/* Brings an open database to the last migration, each in a transaction of its own. 0 | STORE_NEWER_SCHEMA | STORE_FULL |
 * STORE_IO | -ENOMEM | -EBADMSG (not our database), with a sentence appended to `reason`. */
int migrate(sqlite3 *db, const char *path, const char *program, int64_t wall_ms, Buffer *reason) MUST_USE;
