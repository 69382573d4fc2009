-- The first schema. Times are milliseconds since 1970; enumerations are the numbers of lease/rows.h and lease/state.h.
--
-- A project has a small number of its own here, and every row that belongs to it has the primary key
--
--     id = project << 42 | number of the row in the project
--
-- so the project leads every key, rows of one project lie side by side, and every seek compares one integer
-- (measured against the pair (project, number) in a table WITHOUT ROWID: 15 % fewer instructions an operation).
-- api_key is the one global table.

-- One row a migration.
CREATE TABLE schema (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    written_by TEXT NOT NULL, -- the program that migrated
    applied_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE project (
    id                   INTEGER PRIMARY KEY, -- 1 to 2^21 - 1, never used twice
    name                 TEXT NOT NULL UNIQUE,
    is_deleted           INTEGER NOT NULL,
    prefix               TEXT,
    initial_commit       TEXT,
    max_stacks           INTEGER NOT NULL,
    max_hold_seconds     INTEGER NOT NULL,
    expiry_grace_seconds INTEGER NOT NULL,
    is_cleaning          INTEGER NOT NULL,
    lease_key            BLOB NOT NULL,
    created_ms           INTEGER NOT NULL,
    stack_count          INTEGER NOT NULL,
    leased_count         INTEGER NOT NULL,
    first_unused         INTEGER NOT NULL,
    last_generation      INTEGER NOT NULL,
    last_ticket          INTEGER NOT NULL,
    last_event           INTEGER NOT NULL,
    queued_count         INTEGER NOT NULL
) STRICT;

-- No index but the key: the orders a request is served in are kept in memory. What a stack was before a grant from the
-- queue is kept until the grant is collected; quiet is kept as what it may take at most, since deadlines are not read back
-- after a start.
CREATE TABLE stack (
    id                   INTEGER PRIMARY KEY, -- project << 42 | number
    project              INTEGER NOT NULL,
    name                 TEXT NOT NULL,
    state                INTEGER NOT NULL,
    generation           INTEGER NOT NULL,
    quiet_until_ms       INTEGER NOT NULL,
    requested            INTEGER NOT NULL,
    branch               TEXT,
    last_commit          TEXT,
    is_content_unknown   INTEGER NOT NULL,
    requested_ms         INTEGER NOT NULL,
    created_ms           INTEGER NOT NULL,
    modified_ms          INTEGER NOT NULL,
    ticket               INTEGER NOT NULL,
    lease_seconds        INTEGER NOT NULL,
    since_ms             INTEGER NOT NULL,
    is_collected         INTEGER NOT NULL,
    purpose              INTEGER NOT NULL,
    dirty_since          INTEGER NOT NULL,
    clean_failures       INTEGER NOT NULL,
    url                  TEXT,
    note                 TEXT,
    holder               TEXT,
    before_branch        TEXT,
    before_requested     INTEGER NOT NULL,
    before_requested_ms  INTEGER NOT NULL,
    quiet_seconds        INTEGER NOT NULL,
    quiet_untold_seconds INTEGER NOT NULL,
    quiet_ticket         INTEGER NOT NULL
) STRICT;

CREATE TABLE request (
    id            INTEGER PRIMARY KEY, -- project << 42 | ticket
    project       INTEGER NOT NULL,
    state         INTEGER NOT NULL,
    why           INTEGER NOT NULL,
    outcome       INTEGER NOT NULL,
    created_ms    INTEGER NOT NULL,
    ended_ms      INTEGER NOT NULL,
    lease_seconds INTEGER, -- NULL: was not sent
    purpose       INTEGER NOT NULL,
    stack_number  INTEGER NOT NULL,
    generation    INTEGER NOT NULL,
    is_reused     INTEGER NOT NULL,
    from_queue    INTEGER NOT NULL,
    request_id    TEXT,
    branch        TEXT,
    commit_id     TEXT,
    stack_name    TEXT,
    ended_by      TEXT,
    ended_reason  TEXT,
    holder        TEXT,
    is_heard      INTEGER NOT NULL,
    is_joined     INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX request_by_id ON request (project, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX request_waiting ON request (id) WHERE state = 0; -- queued

CREATE TABLE api_key (
    id           TEXT PRIMARY KEY,
    project      INTEGER NOT NULL,
    scope        INTEGER NOT NULL,
    hash         BLOB NOT NULL,
    label        TEXT,
    created_ms   INTEGER NOT NULL,
    last_used_ms INTEGER NOT NULL,
    revoked_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX api_key_by_project ON api_key (project, created_ms, id);

-- The history: up to 256 events of a project that follow one another in a row, as store/changes.h writes them; the last row
-- of a project is filled up before the next one begins. A row an event, and an index of each stack's, cost a third of all
-- instructions of an operation. The history of one stack is found by a Bloom filter in front of the events, which tells
-- without them that a row has none of it: a million events are four thousand rows to look at.
CREATE TABLE history (
    id      INTEGER PRIMARY KEY, -- project << 42 | id of the first event
    last_ms INTEGER NOT NULL,    -- when the youngest of them happened
    count   INTEGER NOT NULL,
    stacks  BLOB NOT NULL,       -- the filter: names of stacks (store/sqlite_history.c)
    bytes   BLOB NOT NULL
) STRICT;

-- What is committed is first appended as bytes (store/changes.h) to a log in a file of its own (store/change_log.h), and
-- brought into the tables later, many transactions at a time: a grant and a release that follow each other then cost one
-- row, and a batch of operations writes one page instead of sixteen. This row says where the log begins.
CREATE TABLE change_log (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    database INTEGER NOT NULL, -- a random number: no other database's log is taken for this one's
    number   INTEGER NOT NULL, -- of the last slot that is in the tables
    flushes  INTEGER NOT NULL  -- so that each one writes something: SQLite writes no row that stays as it was
) STRICT;
INSERT INTO change_log (id, database, number, flushes) VALUES (1, random(), 0, 0);
