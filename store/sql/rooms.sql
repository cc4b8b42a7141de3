-- name: first_to_decode
-- Whose turn it is to be decoded, in the order in which stages are claimed.
SELECT j.id, j.scratch_bytes, j.output_bytes
FROM (SELECT job_id FROM stages
      WHERE pool = 'audio' AND ready = 1 AND due IS NOT NULL AND name = 'decode'
      ORDER BY due, position LIMIT 1) first
JOIN jobs j ON j.id = first.job_id;

-- name: begun
-- Jobs whose files are being written.
SELECT j.id, j.scratch_bytes, j.output_bytes
FROM jobs j WHERE j.state = 'processing' AND j.begun = 1;

-- name: waiting
-- What all those take together that have not begun: their scratch files never lie there at once.
SELECT coalesce(max(scratch_bytes), 0) AS scratch_bytes,
    coalesce(sum(output_bytes), 0) AS output_bytes
FROM jobs INDEXED BY jobs_begun WHERE state = 'processing' AND begun = 0;

-- name: set_room
UPDATE jobs SET scratch_bytes = :scratch, output_bytes = :outputs,
    request = iif(:seconds IS NULL, request, json_set(request, '$.seconds', :seconds))
WHERE id = :id AND state = 'processing';

-- name: keeps_its_room
-- Whether the job has ended, or no other that has begun is due before it.
SELECT state <> 'processing' OR NOT EXISTS (
    SELECT 1 FROM jobs other
    WHERE other.state = 'processing' AND other.begun = 1 AND other.id <> jobs.id
      AND (other.due, other.id) < (jobs.due, jobs.id))
FROM jobs WHERE id = :id;

-- name: forget_tracks
DELETE FROM tracks WHERE job_id = :id;

-- name: rewind_job
-- From its input again: it gives up what it has decoded, and is charged nothing.
UPDATE stages SET state = 'pending', lease = NULL, started_at = NULL, completed_at = NULL,
    facts = '{}', error = NULL,
    attempt = max(0, attempt - (state <> 'pending'))
WHERE job_id = :id AND pool <> 'fetch' AND NOT (late AND state = 'failed');
