-- name: insert_job
INSERT INTO jobs (id, api, state, options, created_at)
VALUES (:id, :api, 'processing', :options, :now);

-- name: insert_stage
INSERT INTO stages (job_id, name, position, pool, state)
VALUES (:job_id, :name, :position, :pool, 'pending');

-- name: insert_need
INSERT INTO stage_needs (job_id, stage, needs) VALUES (:job_id, :stage, :needs);

-- name: count_unfinished
SELECT count(*) FROM jobs WHERE state = 'processing';

-- name: select_job
SELECT id, api, state, options, created_at, completed_at, error FROM jobs WHERE id = :id;

-- name: select_stages
SELECT job_id, name, pool, state, attempt, lease, started_at, completed_at, error, facts
FROM stages WHERE job_id = :id ORDER BY position;

-- name: select_tracks
SELECT name, path FROM tracks WHERE job_id = :id;

-- name: claim
-- The oldest job's earliest stage whose needs are all met. The attempt counts from here.
UPDATE stages
SET state = 'processing', attempt = attempt + 1, lease = :lease,
    started_at = coalesce(started_at, :now), error = NULL
WHERE (job_id, name) IN (
    SELECT s.job_id, s.name
    FROM stages s JOIN jobs j ON j.id = s.job_id
    WHERE s.pool = :pool AND s.state = 'pending' AND j.state = 'processing'
      AND NOT EXISTS (
          SELECT 1 FROM stage_needs n
          JOIN stages before ON before.job_id = n.job_id AND before.name = n.needs
          WHERE n.job_id = s.job_id AND n.stage = s.name AND before.state <> 'completed')
    ORDER BY j.created_at, s.position
    LIMIT 1)
RETURNING job_id, name, pool, state, attempt, lease, started_at, completed_at, error, facts;

-- name: facts_so_far
SELECT facts FROM stages WHERE job_id = :job_id AND state = 'completed' ORDER BY position;

-- name: finish_stage
-- Fenced: a worker that lost its lease changes nothing.
UPDATE stages SET state = 'completed', lease = NULL, completed_at = :now, facts = :facts
WHERE job_id = :job_id AND name = :name AND lease = :lease;

-- name: upsert_track
INSERT INTO tracks (job_id, name, path) VALUES (:job_id, :name, :path)
ON CONFLICT (job_id, name) DO UPDATE SET path = excluded.path;

-- name: finish_job
-- Only when no stage is left.
UPDATE jobs SET state = 'completed', completed_at = :now
WHERE id = :job_id AND state = 'processing'
  AND NOT EXISTS (SELECT 1 FROM stages WHERE job_id = :job_id AND state <> 'completed');

-- name: release_stage
-- Back in the queue. `charge` 0 gives the attempt back: it was not the job's fault.
UPDATE stages SET state = 'pending', lease = NULL, attempt = attempt - (1 - :charge),
    error = :error
WHERE job_id = :job_id AND name = :name AND lease = :lease;

-- name: fail_stage
UPDATE stages SET state = 'failed', lease = NULL, completed_at = :now, error = :error
WHERE job_id = :job_id AND name = :name AND lease = :lease;

-- name: stop_siblings
-- Stages of a failed job that still ran: their workers are told to stop.
UPDATE stages SET state = 'failed', lease = NULL, completed_at = :now,
    error = 'Stopped because another stage failed'
WHERE job_id = :job_id AND state = 'processing';

-- name: fail_job
UPDATE jobs SET state = 'failed', completed_at = :now, error = :error
WHERE id = :job_id AND state = 'processing';

-- name: release_orphans
-- Leases of an earlier boot of the server: nobody works on them any more. That costs no attempt,
-- but it is counted: a job that takes the whole server down must not do so for ever.
UPDATE stages SET state = 'pending', lease = NULL, attempt = attempt - 1, orphaned = orphaned + 1
WHERE state = 'processing' AND lease NOT LIKE :boot || '/%';

-- name: fail_deadly_stages
UPDATE stages SET state = 'failed', completed_at = :now, error = :error
WHERE state = 'pending' AND orphaned >= :limit;

-- name: fail_deadly_jobs
UPDATE jobs SET state = 'failed', completed_at = :now, error = :error
WHERE state = 'processing' AND id IN (SELECT job_id FROM stages WHERE orphaned >= :limit
                                      AND state = 'failed');

-- name: rewind_unfinished
-- After a crash of the machine scratch files cannot be trusted; inputs were synced.
UPDATE stages SET state = 'pending', lease = NULL, started_at = NULL, completed_at = NULL,
    attempt = 0, error = NULL, facts = '{}'
WHERE job_id IN (SELECT id FROM jobs WHERE state = 'processing');

-- name: forget_unfinished_tracks
DELETE FROM tracks WHERE job_id IN (SELECT id FROM jobs WHERE state = 'processing');

-- name: get_fact
SELECT value FROM facts WHERE name = :name;

-- name: set_fact
INSERT INTO facts (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: select_due
SELECT id FROM jobs WHERE state IN ('completed', 'failed') AND completed_at < :before;

-- name: expire
UPDATE jobs SET state = 'expired'
WHERE state IN ('completed', 'failed') AND completed_at < :before;

-- name: forget_expired
DELETE FROM jobs WHERE state = 'expired' AND api = 'pipeline' AND completed_at < :before;

-- name: select_live_ids
SELECT id FROM jobs WHERE state <> 'expired';

-- name: select_unfinished_ids
SELECT id FROM jobs WHERE state = 'processing';
