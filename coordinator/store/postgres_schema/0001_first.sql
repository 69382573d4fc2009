-- The first schema on PostgreSQL. Times are milliseconds since 1970; enumerations are the numbers of lease/rows.h and
-- lease/state.h. Applied with search_path = stack_coordinator, all missing migrations in one transaction.
--
-- The project leads every key of what belongs to one, so that every statement of a job's operation stays in one place;
-- api_key is the one global table. Texts compare by their bytes, as the rules do.
--
-- Migrations only add: older coordinators go on running beside newer ones. One that an older program cannot live with
-- raises oldest_program in the row of `compatibility`.

-- One row a migration.
CREATE TABLE schema (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    written_by text NOT NULL, -- the program that migrated
    applied_ms bigint NOT NULL
);

-- One row: the oldest program that may run on these tables.
CREATE TABLE compatibility (
    only_row       boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    oldest_program text NOT NULL -- 'MAJOR.MINOR.PATCH'
);
INSERT INTO compatibility (oldest_program) VALUES ('0.1.0');

-- Locked first by whoever decides anything in the project. Its counters change all the time: room for new versions of a
-- row on its own page keeps the index out of it.
CREATE TABLE project (
    name                 text COLLATE "C" PRIMARY KEY,
    is_deleted           boolean NOT NULL,
    prefix               text COLLATE "C",
    initial_commit       text COLLATE "C",
    max_stacks           bigint NOT NULL,
    max_hold_seconds     bigint NOT NULL,
    expiry_grace_seconds bigint NOT NULL,
    is_cleaning          boolean NOT NULL,
    lease_key            bytea NOT NULL,
    created_ms           bigint NOT NULL,
    stack_count          bigint NOT NULL,
    leased_count         bigint NOT NULL,
    queued_count         bigint NOT NULL,
    first_unused         bigint NOT NULL,
    last_generation      bigint NOT NULL,
    last_ticket          bigint NOT NULL,
    last_event           bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE stack (
    project              text COLLATE "C" NOT NULL,
    number               bigint NOT NULL,
    name                 text COLLATE "C" NOT NULL,
    state                smallint NOT NULL,
    generation           bigint NOT NULL,
    quiet_until_ms       bigint NOT NULL,
    requested            bigint NOT NULL,
    branch               text COLLATE "C",
    last_commit          text COLLATE "C",
    is_content_unknown   boolean NOT NULL,
    requested_ms         bigint NOT NULL,
    created_ms           bigint NOT NULL,
    modified_ms          bigint NOT NULL,
    ticket               bigint NOT NULL,
    lease_seconds        bigint NOT NULL,
    since_ms             bigint NOT NULL,
    is_collected         boolean NOT NULL,
    purpose              smallint NOT NULL,
    dirty_since          bigint NOT NULL,
    clean_failures       bigint NOT NULL,
    url                  text COLLATE "C",
    note                 text COLLATE "C",
    holder               text COLLATE "C",
    before_branch        text COLLATE "C",
    before_requested     bigint NOT NULL,
    before_requested_ms  bigint NOT NULL,
    quiet_seconds        bigint NOT NULL,
    quiet_untold_seconds bigint NOT NULL,
    quiet_ticket         bigint NOT NULL,
    renewals             bigint NOT NULL, -- raised by renewals too, without the project's lock
    PRIMARY KEY (project, number)
) WITH (fillfactor = 70);
-- The orders a request is served in: state 0 is available, 2 is dirty.
CREATE INDEX stack_free_on_branch ON stack (project, branch, requested DESC, number DESC)
    WHERE state = 0 AND quiet_until_ms = 0;
CREATE INDEX stack_free_at_commit ON stack (project, branch, last_commit, requested DESC, number DESC)
    WHERE state = 0 AND quiet_until_ms = 0 AND NOT is_content_unknown;
CREATE INDEX stack_free_oldest ON stack (project, requested, number) WHERE state = 0 AND quiet_until_ms = 0;
CREATE INDEX stack_dirty_oldest ON stack (project, dirty_since) WHERE state = 2 AND quiet_until_ms = 0;

-- What a coordinator's clock watches.
CREATE INDEX stack_watched ON stack (project, number)
    WHERE quiet_until_ms <> 0 OR (ticket <> 0 AND (lease_seconds > 0 OR NOT is_collected));

CREATE TABLE request (
    project       text COLLATE "C" NOT NULL,
    ticket        bigint NOT NULL,
    request_id    text COLLATE "C",
    state         smallint NOT NULL,
    is_heard      boolean NOT NULL,
    heard_at      bigint NOT NULL, -- a coordinator's id
    why           smallint NOT NULL,
    branch        text COLLATE "C",
    commit_id     text COLLATE "C",
    lease_seconds bigint, -- NULL: was not sent
    purpose       smallint NOT NULL,
    holder        text COLLATE "C",
    created_ms    bigint NOT NULL,
    stack_number  bigint NOT NULL,
    stack_name    text COLLATE "C",
    generation    bigint NOT NULL,
    is_reused     boolean NOT NULL,
    from_queue    boolean NOT NULL,
    is_joined     boolean NOT NULL,
    ended_ms      bigint NOT NULL,
    ended_by      text COLLATE "C",
    ended_reason  text COLLATE "C",
    outcome       smallint NOT NULL,
    PRIMARY KEY (project, ticket)
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX request_by_id ON request (project, request_id) WHERE request_id IS NOT NULL;
-- State 0 is queued, 2 is over.
CREATE INDEX request_waiting ON request (project, purpose, ticket) WHERE state = 0 AND is_heard;
CREATE INDEX request_queued ON request (project, ticket) WHERE state = 0;
CREATE INDEX request_over ON request (ended_ms) WHERE state = 2; -- for pruning

CREATE TABLE api_key (
    id           text COLLATE "C" PRIMARY KEY,
    project      text COLLATE "C" NOT NULL,
    scope        smallint NOT NULL,
    hash         bytea NOT NULL,
    label        text COLLATE "C",
    created_ms   bigint NOT NULL,
    last_used_ms bigint NOT NULL,
    revoked_ms   bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX api_key_by_project ON api_key (project, created_ms, id);

CREATE TABLE event (
    project      text COLLATE "C" NOT NULL,
    id           bigint NOT NULL,
    at_ms        bigint NOT NULL,
    kind         smallint NOT NULL,
    stack_number bigint NOT NULL,
    stack_name   text COLLATE "C",
    generation   bigint NOT NULL,
    branch       text COLLATE "C",
    commit_id    text COLLATE "C",
    by_whom      text COLLATE "C",
    outcome      text COLLATE "C",
    note         text COLLATE "C",
    holder       text COLLATE "C",
    PRIMARY KEY (project, id)
);
CREATE INDEX event_of_stack ON event (project, stack_name, id) WHERE stack_name IS NOT NULL;
CREATE INDEX event_age ON event (at_ms); -- for pruning

-- The last transaction that a coordinator committed in a project: written with what it changed, so that one whose COMMIT
-- was not answered can ask, under the project's lock, whether it happened; and so that the others see which projects
-- changed.
CREATE TABLE writer (
    project    text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL, -- random, of the coordinator's process
    number     bigint NOT NULL,           -- of its transaction: 1, 2, …
    written_by bigint NOT NULL,           -- PostgreSQL's number of it
    written_at timestamptz NOT NULL,      -- for pruning
    PRIMARY KEY (project, id)
) WITH (fillfactor = 50);
CREATE INDEX writer_order ON writer (written_by);

-- The coordinators that use these tables, and what shows that they live.
CREATE TABLE coordinator (
    id      bigint PRIMARY KEY, -- random, of the coordinator's process
    beats   bigint NOT NULL,    -- raised every second
    program text NOT NULL,
    beat_at timestamptz NOT NULL -- for people, and for pruning
) WITH (fillfactor = 10);

-- What programs send: rows of the tables as they change (states and choices as bigint, then what is compared), and what is
-- asked for. An array of them is one parameter. They change no more: a column that is new to a table is new to another
-- type, beside the one that older programs send.
CREATE TYPE project_row AS (
    name text, is_deleted boolean, prefix text, initial_commit text, max_stacks bigint, max_hold_seconds bigint,
    expiry_grace_seconds bigint, is_cleaning boolean, lease_key bytea, created_ms bigint, stack_count bigint,
    leased_count bigint, queued_count bigint, first_unused bigint, last_generation bigint, last_ticket bigint,
    last_event bigint
);
CREATE TYPE stack_row AS (
    project text, number bigint, name text, state bigint, generation bigint, quiet_until_ms bigint,
    requested bigint, branch text, last_commit text, is_content_unknown boolean, requested_ms bigint,
    created_ms bigint, modified_ms bigint, ticket bigint, lease_seconds bigint, since_ms bigint,
    is_collected boolean, purpose bigint, dirty_since bigint, clean_failures bigint, url text, note text,
    holder text, before_branch text, before_requested bigint, before_requested_ms bigint, quiet_seconds bigint,
    quiet_untold_seconds bigint, quiet_ticket bigint, renewals bigint, loaded_state bigint,
    loaded_generation bigint, loaded_renewals bigint
);
CREATE TYPE request_row AS (
    project text, ticket bigint, request_id text, state bigint, is_heard boolean, heard_at bigint, why bigint,
    branch text, commit_id text, lease_seconds bigint, purpose bigint, holder text, created_ms bigint,
    stack_number bigint, stack_name text, generation bigint, is_reused boolean, from_queue boolean,
    is_joined boolean, ended_ms bigint, ended_by text, ended_reason text, outcome bigint
);
CREATE TYPE api_key_row AS (
    id text, project text, scope bigint, hash bytea, label text, created_ms bigint, last_used_ms bigint,
    revoked_ms bigint
);
CREATE TYPE event_row AS (
    project text, id bigint, at_ms bigint, kind bigint, stack_number bigint, stack_name text, generation bigint,
    branch text, commit_id text, by_whom text, outcome text, note text, holder text
);
CREATE TYPE want_row AS (
    project text, text1 text, text2 text, number bigint, purpose bigint, most bigint
);
CREATE TYPE renewal_row AS (
    project text, number bigint, ticket bigint, generation bigint, seconds bigint
);
CREATE TYPE call_row AS (
    project text, heard_at bigint, ticket bigint, stack_number bigint
);
