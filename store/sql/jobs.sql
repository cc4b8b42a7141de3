-- name: insert_job
INSERT INTO jobs (id, api, state, options, created_at, account_id, request, callback_url)
VALUES (:id, :api, 'processing', :options, :now, :account_id, :request, :callback_url);

-- name: insert_stage
INSERT INTO stages (job_id, name, position, pool, state, late)
VALUES (:job_id, :name, :position, :pool, 'pending', :late);

-- name: insert_need
INSERT INTO stage_needs (job_id, stage, needs) VALUES (:job_id, :stage, :needs);

-- name: count_unfinished
SELECT count(*) FROM jobs WHERE state = 'processing';

-- name: select_job
SELECT id, api, state, options, created_at, started_at, completed_at, expired_at, error,
    account_id, request, progress, callback_url,
    coalesce((SELECT seconds FROM ledger WHERE job_id = jobs.id AND kind = 'capture'), 0) AS charged
FROM jobs WHERE id = :id;

-- name: select_jobs
-- A page of an account's jobs, the newest first.
SELECT id, api, state, options, created_at, started_at, completed_at, expired_at, error,
    account_id, request, progress, callback_url,
    coalesce((SELECT seconds FROM ledger WHERE job_id = jobs.id AND kind = 'capture'), 0) AS charged
FROM jobs
WHERE account_id = :account_id AND api = 'stemsplit'
  AND (:status IS NULL OR :status = iif(state = 'processing' AND started_at IS NULL,
                                        'pending', state))
ORDER BY created_at DESC, id LIMIT :limit OFFSET :offset;

-- name: count_jobs
SELECT count(*) FROM jobs WHERE account_id = :account_id AND api = 'stemsplit'
  AND (:status IS NULL OR :status = iif(state = 'processing' AND started_at IS NULL,
                                        'pending', state));

-- name: select_stages
SELECT job_id, name, pool, state, attempt, lease, started_at, completed_at, error, facts, late
FROM stages WHERE job_id = :id ORDER BY position;

-- name: select_tracks
SELECT name, path FROM tracks WHERE job_id = :id;

-- name: lately_separated
-- When the last separations ran, and how many seconds of audio each had.
SELECT s.started_at, s.completed_at, json_extract(j.request, '$.seconds') AS seconds
FROM jobs j JOIN stages s ON s.job_id = j.id AND s.name = 'separate'
WHERE j.state = 'completed' AND j.api = 'stemsplit'
ORDER BY j.created_at DESC LIMIT 20;

-- name: seconds_waiting
SELECT coalesce(sum(json_extract(request, '$.seconds')), 0) FROM jobs WHERE state = 'processing';

-- name: count_fetching
SELECT count(*) FROM stages s JOIN jobs j ON j.id = s.job_id
WHERE s.pool = 'fetch' AND s.state IN ('pending', 'processing') AND j.state = 'processing'
  AND j.account_id = :account_id;

-- name: claim
-- The earliest stage whose needs are all met, of the job that is due first, if it is due before
-- `before`. The attempt counts from here.
UPDATE stages
SET state = 'processing', attempt = attempt + 1, lease = :lease,
    started_at = coalesce(started_at, :now), error = NULL
WHERE (job_id, name) IN (
    SELECT s.job_id, s.name
    FROM stages s JOIN jobs j ON j.id = s.job_id
    WHERE s.pool = :pool AND s.state = 'pending' AND j.due + s.grace < :before
      AND s.state IN ('pending', 'processing')  -- what lets SQLite use the index of such stages
      AND (j.state = 'processing' OR (s.late AND j.state = 'completed'))
      AND NOT EXISTS (
          SELECT 1 FROM stage_needs n
          JOIN stages before ON before.job_id = n.job_id AND before.name = n.needs
          WHERE n.job_id = s.job_id AND n.stage = s.name AND before.state <> 'completed')
    ORDER BY j.due + s.grace, s.position
    LIMIT 1)
RETURNING job_id, name, pool, state, attempt, lease, started_at, completed_at, error, facts, late,
    grace + (SELECT due FROM jobs WHERE id = job_id) AS due;

-- name: job_started
UPDATE jobs SET started_at = coalesce(started_at, :now) WHERE id = :job_id;

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
-- Only when no stage is left but late ones.
UPDATE jobs SET state = 'completed', completed_at = :now, progress = 100
WHERE id = :job_id AND state = 'processing'
  AND NOT EXISTS (SELECT 1 FROM stages
                  WHERE job_id = :job_id AND state <> 'completed' AND NOT late);

-- name: is_over
-- Whether nothing of a job waits or runs any more, late stages included.
SELECT NOT EXISTS (SELECT 1 FROM stages
                   WHERE job_id = :job_id AND state IN ('pending', 'processing'));

-- name: set_progress
-- It never goes back, not even when a stage begins anew.
UPDATE jobs SET progress = max(progress, min(99, :percent))
WHERE id = :job_id AND state = 'processing';

-- name: settle
-- What is known of a job only when its source has been fetched.
UPDATE jobs SET request = :request WHERE id = :id AND state = 'processing';

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

-- name: stop_late
-- A job that failed or was removed gets no additions.
UPDATE stages SET state = 'failed', lease = NULL, completed_at = :now, error = 'Not wanted any more'
WHERE job_id = :job_id AND late AND state IN ('pending', 'processing');

-- name: cancel_stages
UPDATE stages SET state = 'failed', lease = NULL, completed_at = :now, error = :error
WHERE job_id = :job_id AND state IN ('pending', 'processing');

-- name: remove_job
-- A completed job whose files are to go now.
UPDATE jobs SET state = 'expired', expired_at = :now WHERE id = :job_id AND state = 'completed';

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
                                      AND state = 'failed' AND NOT late);

-- name: drop_late_stages
-- After a crash of the machine their input cannot be trusted, and their jobs are completed.
UPDATE stages SET state = 'failed', lease = NULL, completed_at = :now, error = 'Cut off'
WHERE late AND state IN ('pending', 'processing')
  AND job_id IN (SELECT id FROM jobs WHERE state <> 'processing');

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

-- name: select_due
-- Jobs whose time is over: what ended, and StemSplit jobs that wait and nobody works on.
SELECT id FROM jobs
WHERE (state = 'completed' OR state = 'failed' AND api = 'pipeline') AND completed_at < :before
   OR state = 'processing' AND api = 'stemsplit' AND created_at < :before
      AND NOT EXISTS (SELECT 1 FROM stages WHERE job_id = jobs.id AND state = 'processing');

-- name: expire
-- In this order: an event of an expired job tells of no files.
UPDATE jobs SET state = 'expired', completed_at = coalesce(completed_at, :now),
    expired_at = :now,
    error = iif(state = 'processing', 'The job waited too long and was given up', error)
WHERE id = :id;

-- name: forget_expired
DELETE FROM jobs WHERE state = 'expired' AND api = 'pipeline' AND completed_at < :before;

-- name: forget_answers
DELETE FROM first_answers WHERE created_at < :before;

-- name: select_live_ids
-- A failed StemSplit job has nothing to download.
SELECT id FROM jobs
WHERE state IN ('processing', 'completed') OR state = 'failed' AND api = 'pipeline';

-- name: select_unfinished_ids
SELECT id FROM jobs WHERE state = 'processing'
UNION
SELECT s.job_id FROM stages s JOIN jobs j ON j.id = s.job_id
WHERE s.late AND s.state IN ('pending', 'processing') AND j.state = 'completed';

-- name: select_first_answer
SELECT body_hash, answer, created_at FROM first_answers
WHERE account_id = :account_id AND key = :key;

-- name: insert_first_answer
INSERT INTO first_answers (account_id, key, body_hash, answer, created_at)
VALUES (:account_id, :key, :body_hash, :answer, :now)
ON CONFLICT (account_id, key) DO UPDATE
SET body_hash = excluded.body_hash, answer = excluded.answer, created_at = excluded.created_at;
