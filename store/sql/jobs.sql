-- name: insert_job
INSERT INTO jobs (id, api, state, options, created_at, account_id, address, request,
    callback_url, callback_lane, scratch_bytes, output_bytes)
VALUES (:id, :api, 'processing', :options, :now, :account_id, :address, :request, :callback_url,
    iif(:callback_url IS NULL, NULL, lane_of(:callback_url)), :scratch_bytes, :output_bytes);

-- name: insert_stage
INSERT INTO stages (job_id, name, position, pool, state, late)
VALUES (:job_id, :name, :position, :pool, 'pending', :late);

-- name: insert_need
INSERT INTO stage_needs (job_id, stage, needs) VALUES (:job_id, :stage, :needs);

-- name: count_unfinished
SELECT count(*) FROM jobs WHERE state = 'processing';

-- name: has_unfinished
-- Whether a caller, an account or an address, has a job that is queued or running.
SELECT EXISTS (SELECT 1 FROM jobs WHERE account_id = :caller AND state = 'processing')
    OR EXISTS (SELECT 1 FROM jobs WHERE address = :caller AND state = 'processing');

-- name: count_before
-- Jobs whose separation is still to be begun, and which are due before this one; without those whose
-- sources still come: they let all others pass.
SELECT (SELECT count(*) FROM stages
        WHERE pool = 'separation' AND ready IN (0, 1) AND due < own.due)
     - (SELECT count(*) FROM stages
        WHERE pool = 'fetch' AND name = 'fetch' AND ready IN (0, 1) AND due < own.due)
     - (SELECT count(*) FROM stages s JOIN jobs j ON j.id = s.job_id
        WHERE s.pool = 'fetch' AND s.name = 'fetch' AND s.state = 'processing' AND j.due < own.due)
FROM jobs own WHERE id = :job_id;

-- name: select_jobs
-- A page of an account's jobs, the newest first; from a block of their numbers on.
SELECT id, api, state, options, created_at, started_at, completed_at, expired_at, error,
    account_id, request, progress, callback_url,
    coalesce((SELECT seconds FROM ledger WHERE job_id = jobs.id AND kind = 'capture'), 0) AS charged
FROM jobs
WHERE account_id = :account_id AND number < (:block + 1) << 10
ORDER BY number DESC LIMIT :limit OFFSET :skip;

-- name: select_jobs_of_status
-- The same of one status.
SELECT id, api, state, options, created_at, started_at, completed_at, expired_at, error,
    account_id, request, progress, callback_url,
    coalesce((SELECT seconds FROM ledger WHERE job_id = jobs.id AND kind = 'capture'), 0) AS charged
FROM jobs
WHERE account_id = :account_id AND status = :kind AND number < (:block + 1) << 10
ORDER BY number DESC LIMIT :limit OFFSET :skip;

-- name: lately_separated
-- When the separations of the jobs that were completed last ran, and how many seconds of audio each
-- had. Of several attempts the last one, which says how long it took: no server may have run before.
SELECT max(s.started_at, s.completed_at - coalesce(json_extract(s.facts, '$.separate_s'),
                                                   s.completed_at)) AS started_at,
    s.completed_at, json_extract(last.request, '$.seconds') AS seconds
FROM (SELECT id, request FROM (
          SELECT id, request, completed_at
          FROM (SELECT id, request, completed_at FROM jobs
                WHERE state = 'completed' AND api = 'stemsplit' ORDER BY completed_at DESC LIMIT 20)
          UNION ALL
          SELECT id, request, completed_at
          FROM (SELECT id, request, completed_at FROM jobs
                WHERE state = 'completed' AND api = 'pipeline' ORDER BY completed_at DESC LIMIT 20))
      ORDER BY completed_at DESC LIMIT 20) last
CROSS JOIN stages s ON s.job_id = last.id AND s.name = 'separate'
WHERE json_extract(last.request, '$.seconds') > 0;

-- name: seconds_waiting
-- Of audio, until all is separated that is due by then, or no later than a job: of what is under way
-- only the rest.
SELECT coalesce((
    SELECT sum(j.seconds) FROM stages s CROSS JOIN jobs j ON j.id = s.job_id
    WHERE s.pool = 'separation' AND s.ready IN (0, 1)
      AND s.due <= coalesce((SELECT due FROM jobs WHERE id = :job_id), :due)), 0.0)
  + coalesce((
    SELECT sum(j.seconds * (100 - j.progress) / 100) FROM stages s CROSS JOIN jobs j ON j.id = s.job_id
    WHERE s.pool = 'separation' AND s.state = 'processing'), 0.0);

-- name: count_fetching
SELECT count(*) FROM jobs j
WHERE j.account_id = :account_id AND j.state = 'processing' AND EXISTS (
    SELECT 1 FROM stages WHERE job_id = j.id AND pool = 'fetch'
    AND state IN ('pending', 'processing'));

-- name: count_tests
SELECT count(*) FROM jobs WHERE account_id = :account_id AND state = 'processing'
  AND json_extract(request, '$.test');

-- name: sum_up_track
-- Only what nobody knew: how a file was written is not changed by how it is found.
UPDATE tracks SET size = :size, crc = :crc
WHERE job_id = :job_id AND name = :name AND crc IS NULL;

-- name: remove_job
-- A completed job whose files are to go now.
UPDATE jobs SET state = 'expired', expired_at = :now WHERE id = :job_id AND state = 'completed';

-- name: select_due
-- Jobs whose time is over: what ended, and StemSplit jobs that wait and nobody has begun. What has
-- been begun is done, however long it waits for its next worker.
SELECT id, 0 AS waits FROM jobs
WHERE state = 'completed' AND api IN ('pipeline', 'stemsplit') AND completed_at < :before
UNION ALL
SELECT id, 0 FROM jobs WHERE state = 'failed' AND api = 'pipeline' AND completed_at < :before
UNION ALL
SELECT id, 1 FROM jobs INDEXED BY jobs_unfinished
WHERE state = 'processing' AND api = 'stemsplit' AND created_at < :before AND started_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM stages WHERE job_id = jobs.id AND state = 'processing');

-- name: waits
-- Whether nobody has begun an unfinished job.
SELECT EXISTS (SELECT 1 FROM jobs WHERE id = :id AND state = 'processing' AND started_at IS NULL)
   AND NOT EXISTS (SELECT 1 FROM stages WHERE job_id = :id AND state = 'processing');

-- name: expire
-- In this order: an event of an expired job tells of no files.
UPDATE jobs SET state = 'expired', completed_at = coalesce(completed_at, :now),
    expired_at = :now,
    error = iif(state = 'processing', 'The job waited too long and was given up', error)
WHERE id = :id;

-- name: forget_expired
-- Not while somebody is still to be told of it, or an account can read what it was told: deliveries
-- go with their jobs. Some at a time: a long transaction keeps everybody waiting, and the WAL growing.
DELETE FROM jobs WHERE id IN (
    SELECT id FROM jobs WHERE state = 'expired' AND api = 'pipeline' AND completed_at < :before
      AND NOT EXISTS (SELECT 1 FROM deliveries WHERE job_id = jobs.id
                      AND (state = 'waiting' OR jobs.account_id IS NOT NULL))
    LIMIT :most);

-- name: forget_history
-- What an account was told of its jobs, once their files are gone. The ledger stays.
DELETE FROM jobs WHERE id IN (
    SELECT id FROM jobs
    WHERE state IN ('failed', 'expired') AND api = 'stemsplit' AND completed_at < :before
      AND NOT EXISTS (SELECT 1 FROM deliveries WHERE job_id = jobs.id AND state = 'waiting')
    LIMIT :most);

-- name: select_live_ids
-- Which of these jobs have outputs. A failed StemSplit job has nothing to download.
SELECT j.id FROM json_each(:ids) wanted CROSS JOIN jobs j ON j.id = wanted.value
WHERE j.state IN ('processing', 'completed') OR j.state = 'failed' AND j.api = 'pipeline';

-- name: select_unfinished_ids
-- Which of these jobs have something to do yet, late stages included.
SELECT j.id FROM json_each(:ids) wanted CROSS JOIN jobs j ON j.id = wanted.value
WHERE j.state = 'processing' OR j.state = 'completed' AND EXISTS (
    SELECT 1 FROM stages WHERE job_id = j.id AND late AND state IN ('pending', 'processing'));

-- name: lately_by_model
-- What the last separations say of themselves, by model: seconds of work, seconds of audio.
SELECT json_extract(s.facts, '$.model') AS model,
    sum(json_extract(s.facts, '$.separate_s')) AS work,
    sum(json_extract(s.facts, '$.seconds')) AS audio
FROM (SELECT id FROM (SELECT id FROM jobs WHERE state = 'completed' AND api = 'stemsplit'
                      ORDER BY completed_at DESC LIMIT 100)
      UNION ALL
      SELECT id FROM (SELECT id FROM jobs WHERE state = 'completed' AND api = 'pipeline'
                      ORDER BY completed_at DESC LIMIT 100)) last
CROSS JOIN stages s ON s.job_id = last.id AND s.name = 'separate'
WHERE json_extract(s.facts, '$.seconds') > 0
GROUP BY 1;
