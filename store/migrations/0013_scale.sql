-- What is waited for, listed and swept is found by an index whose part that is read does not grow
-- with what is finished.

-- A stage's place in the queue. `due` (unix seconds) while it may still be claimed, else NULL;
-- `ready`: whether all stages that it needs are completed.
ALTER TABLE stages ADD COLUMN due REAL;
ALTER TABLE stages ADD COLUMN ready INTEGER NOT NULL DEFAULT 0;

CREATE VIEW stage_places AS
SELECT s.job_id, s.name,
    CASE WHEN s.state = 'pending' AND (j.state = 'processing' OR s.late AND j.state = 'completed')
         THEN j.due + s.grace END AS due,
    NOT EXISTS (SELECT 1 FROM stage_needs n
                JOIN stages before ON before.job_id = n.job_id AND before.name = n.needs
                WHERE n.job_id = s.job_id AND n.stage = s.name AND before.state <> 'completed'
    ) AS ready
FROM stages s JOIN jobs j ON j.id = s.job_id;

UPDATE stages SET (due, ready) = (SELECT due, ready FROM stage_places p
                                  WHERE p.job_id = stages.job_id AND p.name = stages.name)
WHERE state = 'pending';

DROP INDEX stages_waiting;
CREATE INDEX stages_queued ON stages (pool, ready, due, position) WHERE due IS NOT NULL;
CREATE INDEX stages_running ON stages (pool) WHERE state = 'processing';
CREATE INDEX stages_late ON stages (job_id) WHERE late AND state IN ('pending', 'processing');
CREATE INDEX stages_orphaned ON stages (orphaned) WHERE orphaned > 0;

CREATE TRIGGER stage_is_new AFTER INSERT ON stages
BEGIN
    UPDATE stages SET (due, ready) = (SELECT due, ready FROM stage_places p
                                      WHERE p.job_id = stages.job_id AND p.name = stages.name)
    WHERE job_id = NEW.job_id AND (name = NEW.name OR name IN (
        SELECT stage FROM stage_needs WHERE job_id = NEW.job_id AND needs = NEW.name));
END;

CREATE TRIGGER need_is_new AFTER INSERT ON stage_needs
BEGIN
    UPDATE stages SET (due, ready) = (SELECT due, ready FROM stage_places p
                                      WHERE p.job_id = stages.job_id AND p.name = stages.name)
    WHERE job_id = NEW.job_id AND name = NEW.stage;
END;

-- A stage moves in the queue, and those that need it.
CREATE TRIGGER stage_moves AFTER UPDATE OF state ON stages WHEN OLD.state <> NEW.state
BEGIN
    UPDATE stages SET (due, ready) = (SELECT due, ready FROM stage_places p
                                      WHERE p.job_id = stages.job_id AND p.name = stages.name)
    WHERE job_id = NEW.job_id AND (name = NEW.name OR name IN (
        SELECT stage FROM stage_needs WHERE job_id = NEW.job_id AND needs = NEW.name));
END;

CREATE TRIGGER job_moves AFTER UPDATE OF state, created_at, request ON jobs
WHEN OLD.state <> NEW.state OR OLD.due <> NEW.due
BEGIN
    UPDATE stages SET (due, ready) = (SELECT due, ready FROM stage_places p
                                      WHERE p.job_id = stages.job_id AND p.name = stages.name)
    WHERE job_id = NEW.id AND state = 'pending';
END;

-- Jobs that wait or run, and those that are over, by when they ended. The length of a job's song
-- lies in an index: to sum up what waits no JSON is read.
ALTER TABLE jobs ADD COLUMN seconds REAL;
UPDATE jobs SET seconds = json_extract(request, '$.seconds') WHERE state = 'processing';

CREATE TRIGGER job_has_a_length AFTER INSERT ON jobs
BEGIN
    UPDATE jobs SET seconds = json_extract(NEW.request, '$.seconds') WHERE id = NEW.id;
END;

CREATE TRIGGER job_gets_a_length AFTER UPDATE OF request ON jobs
BEGIN
    UPDATE jobs SET seconds = json_extract(NEW.request, '$.seconds') WHERE id = NEW.id;
END;

DROP INDEX jobs_by_state;
CREATE INDEX jobs_unfinished ON jobs (created_at, seconds, api) WHERE state = 'processing';
CREATE INDEX jobs_unfinished_of ON jobs (account_id) WHERE state = 'processing';
CREATE INDEX jobs_over ON jobs (state, api, completed_at);

-- Jobs whose files are being written, and the room of those that wait, which is summed up from the
-- index alone.
ALTER TABLE jobs ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET begun = 1 WHERE state = 'processing' AND EXISTS (
    SELECT 1 FROM stages WHERE job_id = jobs.id AND name = 'decode' AND state <> 'pending');
CREATE INDEX jobs_begun ON jobs (begun, scratch_bytes, output_bytes) WHERE state = 'processing';

CREATE TRIGGER job_begins AFTER UPDATE OF state ON stages
WHEN NEW.name = 'decode' AND (OLD.state = 'pending') <> (NEW.state = 'pending')
BEGIN
    UPDATE jobs SET begun = NEW.state <> 'pending' WHERE id = NEW.job_id;
END;

CREATE INDEX first_answers_by_age ON first_answers (created_at);

-- An account's lists, numbered from the oldest row on; and how many rows there are in each block of
-- 1,024 numbers, and of 32,768: they lead to a deep page without walking to it. `kind`: a job's
-- status, or the webhook of a delivery; `block`: a number without its last `shift` bits.
CREATE TABLE tallies (
    list       TEXT NOT NULL CHECK (list IN ('jobs', 'deliveries')),
    account_id TEXT NOT NULL,
    shift      INTEGER NOT NULL CHECK (shift IN (10, 15)),
    block      INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    rows       INTEGER NOT NULL CHECK (rows >= 0),
    PRIMARY KEY (list, account_id, shift, block, kind)
) STRICT, WITHOUT ROWID;

CREATE VIEW shifts AS SELECT 10 AS shift UNION ALL SELECT 15;

ALTER TABLE jobs ADD COLUMN number INTEGER;  -- NULL: in no account's list
ALTER TABLE jobs ADD COLUMN status TEXT
    AS (iif(state = 'processing' AND started_at IS NULL, 'pending', state)) VIRTUAL;

UPDATE jobs SET number = numbered.number
FROM (SELECT id, row_number() OVER (PARTITION BY account_id ORDER BY created_at, id DESC) AS number
      FROM jobs WHERE account_id IS NOT NULL AND api = 'stemsplit') AS numbered
WHERE jobs.id = numbered.id;

INSERT INTO tallies (list, account_id, shift, block, kind, rows)
SELECT 'jobs', account_id, shift, number >> shift, status, count(*)
FROM jobs JOIN shifts WHERE number IS NOT NULL GROUP BY account_id, shift, number >> shift, status;

DROP INDEX jobs_by_account;
CREATE INDEX jobs_listed ON jobs (account_id, number) WHERE number IS NOT NULL;
CREATE INDEX jobs_by_status ON jobs (account_id, status, number) WHERE number IS NOT NULL;

CREATE TRIGGER job_is_listed AFTER INSERT ON jobs
WHEN NEW.account_id IS NOT NULL AND NEW.api = 'stemsplit'
BEGIN
    UPDATE jobs SET number = 1 + coalesce((
        SELECT max(number) FROM jobs WHERE account_id = NEW.account_id AND number IS NOT NULL), 0)
    WHERE id = NEW.id;
    INSERT INTO tallies (list, account_id, shift, block, kind, rows)
    SELECT 'jobs', account_id, shift, number >> shift, status, 1
    FROM shifts CROSS JOIN jobs WHERE id = NEW.id
    ON CONFLICT DO UPDATE SET rows = rows + 1;
END;

CREATE TRIGGER job_changes_status AFTER UPDATE OF state, started_at ON jobs
WHEN NEW.number IS NOT NULL AND OLD.status <> NEW.status
BEGIN
    UPDATE tallies SET rows = rows - 1 WHERE list = 'jobs' AND account_id = NEW.account_id
        AND kind = OLD.status
        AND (shift, block) IN (SELECT shift, NEW.number >> shift FROM shifts);
    DELETE FROM tallies WHERE list = 'jobs' AND account_id = NEW.account_id
        AND kind = OLD.status
        AND (shift, block) IN (SELECT shift, NEW.number >> shift FROM shifts) AND rows = 0;
    INSERT INTO tallies (list, account_id, shift, block, kind, rows)
    SELECT 'jobs', NEW.account_id, shift, NEW.number >> shift, NEW.status, 1 FROM shifts WHERE true
    ON CONFLICT DO UPDATE SET rows = rows + 1;
END;

CREATE TRIGGER job_leaves_its_list AFTER DELETE ON jobs WHEN OLD.number IS NOT NULL
BEGIN
    UPDATE tallies SET rows = rows - 1 WHERE list = 'jobs' AND account_id = OLD.account_id
        AND kind = OLD.status
        AND (shift, block) IN (SELECT shift, OLD.number >> shift FROM shifts);
    DELETE FROM tallies WHERE list = 'jobs' AND account_id = OLD.account_id
        AND kind = OLD.status
        AND (shift, block) IN (SELECT shift, OLD.number >> shift FROM shifts) AND rows = 0;
END;

ALTER TABLE deliveries ADD COLUMN number INTEGER;  -- NULL: in no account's list

UPDATE deliveries SET number = numbered.number
FROM (SELECT id, row_number() OVER (PARTITION BY account_id ORDER BY created_at, id DESC) AS number
      FROM deliveries WHERE account_id IS NOT NULL) AS numbered
WHERE deliveries.id = numbered.id;

INSERT INTO tallies (list, account_id, shift, block, kind, rows)
SELECT 'deliveries', account_id, shift, number >> shift, coalesce(webhook_id, ''), count(*)
FROM deliveries JOIN shifts WHERE number IS NOT NULL
GROUP BY account_id, shift, number >> shift, coalesce(webhook_id, '');

DROP INDEX deliveries_by_account;
DROP INDEX deliveries_of_webhook;
CREATE INDEX deliveries_listed ON deliveries (account_id, number) WHERE number IS NOT NULL;
CREATE INDEX deliveries_of_webhook ON deliveries (webhook_id, number);
CREATE INDEX deliveries_waiting_of_webhook ON deliveries (webhook_id) WHERE state = 'waiting';
CREATE INDEX deliveries_over ON deliveries (created_at) WHERE state <> 'waiting';

CREATE TRIGGER delivery_is_listed AFTER INSERT ON deliveries WHEN NEW.account_id IS NOT NULL
BEGIN
    UPDATE deliveries SET number = 1 + coalesce((
        SELECT max(number) FROM deliveries
        WHERE account_id = NEW.account_id AND number IS NOT NULL), 0)
    WHERE id = NEW.id;
    INSERT INTO tallies (list, account_id, shift, block, kind, rows)
    SELECT 'deliveries', account_id, shift, number >> shift, coalesce(webhook_id, ''), 1
    FROM shifts CROSS JOIN deliveries WHERE id = NEW.id
    ON CONFLICT DO UPDATE SET rows = rows + 1;
END;

CREATE TRIGGER delivery_leaves_its_list AFTER DELETE ON deliveries WHEN OLD.number IS NOT NULL
BEGIN
    UPDATE tallies SET rows = rows - 1 WHERE list = 'deliveries' AND account_id = OLD.account_id
        AND kind = coalesce(OLD.webhook_id, '')
        AND (shift, block) IN (SELECT shift, OLD.number >> shift FROM shifts);
    DELETE FROM tallies WHERE list = 'deliveries' AND account_id = OLD.account_id
        AND kind = coalesce(OLD.webhook_id, '')
        AND (shift, block) IN (SELECT shift, OLD.number >> shift FROM shifts) AND rows = 0;
END;

-- The ledger is never cut: an account's entries are numbered without a gap.
ALTER TABLE ledger ADD COLUMN number INTEGER;
DROP TRIGGER ledger_is_not_changed;

UPDATE ledger SET number = numbered.number
FROM (SELECT id, row_number() OVER (PARTITION BY account_id ORDER BY id) AS number
      FROM ledger) AS numbered
WHERE ledger.id = numbered.id;

CREATE UNIQUE INDEX ledger_numbered ON ledger (account_id, number);

CREATE TRIGGER ledger_is_numbered AFTER INSERT ON ledger
BEGIN
    UPDATE ledger SET number = 1 + coalesce(
        (SELECT max(number) FROM ledger WHERE account_id = NEW.account_id), 0)
    WHERE id = NEW.id;
END;

CREATE TRIGGER ledger_is_not_changed BEFORE UPDATE ON ledger
WHEN OLD.number IS NOT NULL OR NEW.number IS NULL
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
