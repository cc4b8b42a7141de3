-- name: claim
-- The earliest stage whose needs are all met, of the job that is due first, if it is due before
-- `before`; to be decoded, only the job `decode`, unless that is NULL. The attempt counts from here.
UPDATE stages
SET state = 'processing', attempt = attempt + 1, lease = :lease,
    started_at = coalesce(started_at, :now), error = NULL
WHERE (job_id, name) = (
    SELECT job_id, name FROM stages
    WHERE pool = :pool AND ready = 1 AND due < :before
      AND (name <> 'decode' OR :decode IS NULL OR job_id = :decode)
    ORDER BY due, position LIMIT 1)
RETURNING job_id, name, pool, state, attempt, lease, started_at, completed_at, error, facts, late,
    due;

-- name: job_started
UPDATE jobs SET started_at = coalesce(started_at, :now) WHERE id = :job_id;

-- name: facts_so_far
SELECT facts FROM stages WHERE job_id = :job_id AND state = 'completed' ORDER BY position;

-- name: finish_stage
-- Fenced: a worker that lost its lease changes nothing.
UPDATE stages SET state = 'completed', lease = NULL, completed_at = :now, facts = :facts
WHERE job_id = :job_id AND name = :name AND lease = :lease;

-- name: upsert_track
INSERT INTO tracks (job_id, name, path, size, crc) VALUES (:job_id, :name, :path, :size, :crc)
ON CONFLICT (job_id, name) DO UPDATE
SET path = excluded.path, size = excluded.size, crc = excluded.crc;

-- name: finish_job
-- Only when no stage is left but late ones.
UPDATE jobs SET state = 'completed', completed_at = :now, progress = 100
WHERE id = :job_id AND state = 'processing'
  AND NOT EXISTS (SELECT 1 FROM stages
                  WHERE job_id = :job_id AND state <> 'completed' AND NOT late);

-- name: is_over
-- Whether nothing of a job waits or runs any more, late stages included.
SELECT NOT EXISTS (SELECT 1 FROM stages
                   WHERE job_id = :job_id AND state IN ('pending', 'processing'));

-- name: tell
-- Of the first attempts at telling of a job.
UPDATE deliveries SET next_at = :at
WHERE job_id = :job_id AND state = 'waiting' AND attempt = 0 AND NOT by_hand;

-- name: set_progress
-- It never goes back, not even when a stage begins anew.
UPDATE jobs SET progress = max(progress, min(99, :percent))
WHERE id = :job_id AND state = 'processing';

-- name: set_request
-- What is known of a job only when its source has been fetched.
UPDATE jobs SET request = :request WHERE id = :id AND state = 'processing';

-- name: release_stage
-- Back in the queue. `charge` 0 gives the attempt back: it was not the job's fault.
UPDATE stages SET state = 'pending', lease = NULL, attempt = attempt - (1 - :charge),
    error = :error
WHERE job_id = :job_id AND name = :name AND lease = :lease;

-- name: put_back
-- What is still held when whoever claimed it stops, in good order: as if it had never begun.
UPDATE stages SET state = 'pending', lease = NULL, attempt = attempt - 1
WHERE state = 'processing' AND lease LIKE :leases || '%';

-- name: fail_stage
UPDATE stages SET state = 'failed', lease = NULL, completed_at = :now, error = :error
WHERE job_id = :job_id AND name = :name AND lease = :lease;

-- name: stop_siblings
-- Stages of a failed job that still ran: their workers are told to stop.
UPDATE stages SET state = 'failed', lease = NULL, completed_at = :now,
    error = 'Stopped because another stage failed'
WHERE job_id = :job_id AND state = 'processing';

-- name: stop_late
-- A job that failed or was removed gets no additions.
UPDATE stages SET state = 'failed', lease = NULL, completed_at = :now, error = 'Not wanted any more'
WHERE job_id = :job_id AND late AND state IN ('pending', 'processing');

-- name: fail_job
UPDATE jobs SET state = 'failed', completed_at = :now, error = :error
WHERE id = :job_id AND state = 'processing';

-- name: cancel_stages
UPDATE stages SET state = 'failed', lease = NULL, completed_at = :now, error = :error
WHERE job_id = :job_id AND state IN ('pending', 'processing');

-- name: release_orphans
-- Leases of an earlier boot of the server: nobody works on them any more. That costs no attempt,
-- but it is counted: a job that takes the whole server down must not do so for ever.
UPDATE stages SET state = 'pending', lease = NULL, attempt = attempt - 1, orphaned = orphaned + 1
WHERE state = 'processing' AND lease NOT LIKE :boot || '/%';

-- name: fail_deadly_stages
-- `orphaned > 0` is what lets SQLite use the index of such stages, here and below.
UPDATE stages SET state = 'failed', completed_at = :now, error = :error
WHERE state = 'pending' AND orphaned > 0 AND orphaned >= :limit;

-- name: fail_deadly_jobs
-- The `+` keeps SQLite from going through all jobs that wait.
UPDATE jobs SET state = 'failed', completed_at = :now, error = :error
WHERE +state = 'processing' AND id IN (SELECT job_id FROM stages
                                       WHERE orphaned > 0 AND orphaned >= :limit
                                         AND state = 'failed' AND NOT late)
RETURNING id;

-- name: drop_late_stages
-- After a crash of the machine their input cannot be trusted, and their jobs are completed.
UPDATE stages SET state = 'failed', lease = NULL, completed_at = :now, error = 'Cut off'
WHERE late AND state IN ('pending', 'processing')
  AND EXISTS (SELECT 1 FROM jobs WHERE id = stages.job_id AND state <> 'processing');

-- name: rewind_unfinished
-- After a crash of the machine scratch files cannot be trusted; inputs were synced, those too that
-- were fetched, and their credits are held.
UPDATE stages SET state = 'pending', lease = NULL, started_at = NULL, completed_at = NULL,
    attempt = 0, error = NULL, facts = '{}'
WHERE job_id IN (SELECT id FROM jobs WHERE state = 'processing') AND NOT (
    pool = 'fetch' AND state = 'completed');

-- name: forget_unfinished_tracks
DELETE FROM tracks WHERE job_id IN (SELECT id FROM jobs WHERE state = 'processing');

-- name: get_fact
SELECT value FROM facts WHERE name = :name;

-- name: set_fact
INSERT INTO facts (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;
