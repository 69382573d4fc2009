-- Leases that expire, requests that wait. What a stack was before a grant from the queue is kept until the grant is
-- collected; quiet is kept as what it may take at most, since deadlines are not read back after a start.

ALTER TABLE project ADD COLUMN queued_count INTEGER NOT NULL DEFAULT 0;

ALTER TABLE stack ADD COLUMN before_branch TEXT;
ALTER TABLE stack ADD COLUMN before_requested INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stack ADD COLUMN before_requested_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stack ADD COLUMN quiet_seconds INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stack ADD COLUMN quiet_untold_seconds INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stack ADD COLUMN quiet_ticket INTEGER NOT NULL DEFAULT 0;
CREATE INDEX stack_dirty_oldest ON stack (project, dirty_since) WHERE state = 2 AND quiet_until_ms = 0;

ALTER TABLE request ADD COLUMN is_heard INTEGER NOT NULL DEFAULT 0;
ALTER TABLE request ADD COLUMN is_joined INTEGER NOT NULL DEFAULT 0;
-- state 0: queued. Order: by ticket, which is the low part of id.
CREATE INDEX request_queue ON request (project, purpose, id) WHERE state = 0 AND is_heard = 1;
CREATE INDEX request_waiting ON request (id) WHERE state = 0;
