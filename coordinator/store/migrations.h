/* The migrations the program carries: one array an engine, from its folder of files NNNN_name.sql. */
#pragma once

#include <stddef.h>

typedef struct Migration {
    int version; /* 1, 2, … */
    const char *name, *sql;
} Migration;

/* Written by cmake/EmbedSql.cmake: schema/ is SQLite's, postgres_schema/ PostgreSQL's. */
extern const Migration migrations[], postgres_migrations[];
extern const size_t migration_count, postgres_migration_count;
