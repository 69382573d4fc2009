/*
 * Invariant: table `schema` says what is there, and every step from one version to another is one transaction under one
 * lock. So of two coordinators that start at once one migrates and the other waits, and a crash leaves nothing behind.
 *
 * A schema that is newer than this program is no obstacle in itself, since migrations only add: the row of table
 * `compatibility` says which program is the oldest that may run.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/limits.h"
#include "store/migrations.h"
#include "store/postgres.h"

#define DEFAULT_PROGRAM "stack-coordinator"

typedef struct Version {
    bool has_schema; /* somebody made it, for us to fill perhaps */
    int version;     /* 0: there are no tables yet */
    char written_by[64], oldest_program[32];
} Version;

static int last_version(void) {
    return postgres_migrations[postgres_migration_count - 1].version;
}

/* A failed question: what it means for whoever starts the program. */
static int failed(PostgresStore *s, const char *doing) {
    char reason[sizeof s->reason];
    (void)snprintf(reason, sizeof reason, "%s", s->reason);
    if (strcmp(s->sqlstate, "42501") == 0)
        postgres_note(s,
                      "the role lacks rights while %s schema " POSTGRES_SCHEMA
                      ": it must own that schema, or may CREATE "
                      "in the database (%.200s)",
                      doing, reason);
    else if (strcmp(s->sqlstate, "55P03") == 0)
        postgres_note(s, "another coordinator has been migrating the database for %d s: try again when it has ended",
                      STORE_MIGRATION_MS / 1000);
    else
        postgres_note(s, "%s schema " POSTGRES_SCHEMA " failed: %.300s", doing, reason);
    return strcmp(s->sqlstate, "53100") == 0 ? STORE_FULL : STORE_IO;
}

static PGresult *ask(PostgresStore *s, const char *question) {
    return postgres_ask(s, s->connection, question, STORE_MIGRATION_MS + STORE_ANSWER_MS);
}

/* 0 | STORE_IO | -EBADMSG: a schema of that name which is not ours. */
static int read_version(PostgresStore *s, Version *out) {
    *out = (Version){.version = 0};
    OWN(postgres_clearp)
    PGresult *tables = ask(
        s, "SELECT count(*) FILTER (WHERE c.relname = 'schema'), count(*), "
           "to_regnamespace('" POSTGRES_SCHEMA
           "') IS NOT NULL FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = to_regnamespace('" POSTGRES_SCHEMA
           "')");
    if (tables == NULL)
        return failed(s, "reading");
    out->has_schema = strcmp(PQgetvalue(tables, 0, 2), "t") == 0;
    if (strcmp(PQgetvalue(tables, 0, 1), "0") == 0)
        return 0;
    if (strcmp(PQgetvalue(tables, 0, 0), "0") == 0) {
        postgres_note(s,
                      "schema " POSTGRES_SCHEMA " of this database has tables of another program: drop or rename it, "
                      "or use a database of its own");
        return -EBADMSG;
    }
    OWN(postgres_clearp)
    PGresult *found =
        ask(s, "SELECT version, written_by, oldest_program FROM schema, compatibility ORDER BY version DESC LIMIT 1");
    if (found == NULL)
        return failed(s, "reading");
    if (PQntuples(found) != 1) {
        postgres_note(s, "schema " POSTGRES_SCHEMA " does not say which version it is of: restore it from a dump");
        return -EBADMSG;
    }
    out->version = atoi(PQgetvalue(found, 0, 0));
    (void)snprintf(out->written_by, sizeof out->written_by, "%s", PQgetvalue(found, 0, 1));
    (void)snprintf(out->oldest_program, sizeof out->oldest_program, "%s", PQgetvalue(found, 0, 2));
    return 0;
}

/* Three numbers, of "0.1.0" or "stack-coordinator 0.1.0". False: it says none. */
static bool read_numbers(const char *text, int numbers[3]) {
    const char *blank = text != NULL ? strrchr(text, ' ') : NULL;
    const char *start = blank != NULL ? blank + 1 : text;
    return start != NULL && sscanf(start, "%d.%d.%d", &numbers[0], &numbers[1], &numbers[2]) == 3;
}

/* A program that does not say its version is taken for a new one. */
static bool is_too_old(const char *program, const char *oldest) {
    int ours[3], least[3];
    if (!read_numbers(program, ours) || !read_numbers(oldest, least))
        return false;
    for (size_t i = 0; i < COUNT_OF(ours); i++)
        if (ours[i] != least[i])
            return ours[i] < least[i];
    return false;
}

static int check_version(PostgresStore *s, const Version *found) {
    if (found->version == 0 || !is_too_old(s->program, found->oldest_program))
        return 0;
    postgres_note(s,
                  "the database has schema %d, written by %s, which stack-coordinator %s is the oldest to run on; this "
                  "is %s",
                  found->version, found->written_by, found->oldest_program, s->program);
    return STORE_NEWER_SCHEMA;
}

static int note_migration(PostgresStore *s, const Migration *migration) {
    OWN(freep)
    char *program = PQescapeLiteral(s->connection, s->program != NULL ? s->program : DEFAULT_PROGRAM,
                                    strlen(s->program != NULL ? s->program : DEFAULT_PROGRAM));
    OWN(freep) char *question = NULL;
    if (program == NULL ||
        asprintf(&question, "INSERT INTO schema (version, name, written_by, applied_ms) VALUES (%d, '%s', %s, %lld)",
                 migration->version, migration->name, program, (long long)clock_wall_ms(s->clock)) < 0)
        return -ENOMEM;
    OWN(postgres_clearp) PGresult *noted = ask(s, question);
    return noted != NULL ? 0 : failed(s, "migrating");
}

static int apply(PostgresStore *s, int from) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < postgres_migration_count; i++) {
        if (postgres_migrations[i].version <= from)
            continue;
        OWN(postgres_clearp) PGresult *applied = ask(s, postgres_migrations[i].sql);
        FAILPOINT("migrating");
        r = applied != NULL ? note_migration(s, &postgres_migrations[i]) : failed(s, "migrating");
    }
    return r;
}

/* With the lock held, by whichever coordinator came first; the others find nothing left to do. */
static int migrate_alone(PostgresStore *s) {
    Version found;
    OWN(postgres_clearp)
    PGresult *begun = ask(s, "BEGIN; SET LOCAL lock_timeout = " TEXT_OF(
                                 STORE_MIGRATION_MS) "; "
                                                     "SELECT pg_advisory_xact_lock(" TEXT_OF(
                                                         POSTGRES_LOCKS) ", " TEXT_OF(POSTGRES_LOCK_MIGRATION) ")");
    if (begun == NULL)
        return failed(s, "locking");
    int r = read_version(s, &found);
    if (r == 0)
        r = check_version(s, &found);
    if (r != 0 || found.version >= last_version())
        return r;
    OWN(postgres_clearp) PGresult *made = found.has_schema ? NULL : ask(s, "CREATE SCHEMA " POSTGRES_SCHEMA);
    if (!found.has_schema && made == NULL)
        return failed(s, "making");
    r = apply(s, found.version);
    FAILPOINT("migrated");
    return r;
}

int postgres_migrate(PostgresStore *s) {
    Version found;
    int r = read_version(s, &found);
    if (r == 0)
        r = check_version(s, &found);
    if (r != 0 || found.version >= last_version())
        return r;
    r = migrate_alone(s);
    if (r != 0)
        return r; /* the connection is closed, and the transaction with it */
    OWN(postgres_clearp) PGresult *ended = ask(s, "COMMIT");
    return ended != NULL ? 0 : failed(s, "migrating");
}
