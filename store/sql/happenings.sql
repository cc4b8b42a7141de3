-- What ends is seen by triggers, so that nothing is counted but what was committed, and no way to
-- end is forgotten. They and their table live with the writer's connection.

-- name: begin_table
-- `what` happened: to which (`name`, `detail`), how long it took, and with how much audio.
CREATE TEMP TABLE happenings (
    what TEXT NOT NULL, name TEXT NOT NULL, detail TEXT NOT NULL DEFAULT '',
    seconds REAL NOT NULL DEFAULT 0, frames INTEGER NOT NULL DEFAULT 0);

-- name: begin_starts
-- What a job waits for are the models; it may have been decoded long before.
CREATE TEMP TRIGGER separation_has_started AFTER UPDATE OF started_at ON main.stages
WHEN NEW.pool = 'separation' AND OLD.started_at IS NULL AND NEW.started_at IS NOT NULL
BEGIN
    INSERT INTO happenings (what, name, seconds)
    SELECT 'start', api, NEW.started_at - created_at FROM jobs WHERE id = NEW.job_id;
END;

-- name: begin_ends
CREATE TEMP TRIGGER job_has_ended AFTER UPDATE OF state ON main.jobs
WHEN OLD.state = 'processing' AND NEW.state <> 'processing'
BEGIN
    INSERT INTO happenings (what, name, detail, seconds)
    VALUES (NEW.state, NEW.api, coalesce(NEW.error, ''),
            coalesce(NEW.completed_at, NEW.created_at) - NEW.created_at);
END;

-- name: begin_stages
-- Only a separation has a model, and is counted in audio.
CREATE TEMP TRIGGER stage_has_ended AFTER UPDATE OF state ON main.stages
WHEN OLD.state = 'processing' AND NEW.state = 'completed'
BEGIN
    INSERT INTO happenings (what, name, detail, seconds, frames)
    SELECT 'stage', NEW.name,
           iif(NEW.pool = 'separation', coalesce(json_extract(options, '$.model'), ''), ''),
           NEW.completed_at - NEW.started_at,
           coalesce(iif(NEW.pool = 'separation',
                        (SELECT json_extract(facts, '$.frames') FROM stages
                         WHERE job_id = NEW.job_id AND name = 'decode'), 0), 0)
    FROM jobs WHERE id = NEW.job_id;
END;

-- name: begin_credits
CREATE TEMP TRIGGER credits_were_booked AFTER INSERT ON main.ledger
BEGIN
    INSERT INTO happenings (what, name, seconds) VALUES ('credits', NEW.kind, NEW.seconds);
END;

-- name: begin_deliveries
-- A failed attempt that another one follows is a retry. Test events are their senders' business.
CREATE TEMP TRIGGER delivery_was_tried AFTER UPDATE OF state, attempt ON main.deliveries
WHEN NEW.job_id IS NOT NULL AND (
    NEW.state <> OLD.state AND NEW.state <> 'waiting'
    OR NEW.state = 'waiting' AND NEW.attempt > OLD.attempt
)
BEGIN
    INSERT INTO happenings (what, name)
    VALUES ('delivery', iif(NEW.state = 'waiting', 'retried', NEW.state));
END;

-- name: select_all
SELECT what, name, detail, seconds, frames FROM happenings;

-- name: forget_all
DELETE FROM happenings;
