-- name: first_to_decode
-- Whose turn it is to be decoded, in the order in which stages are claimed.
SELECT j.id, j.scratch_bytes, j.output_bytes
FROM stages s JOIN jobs j ON j.id = s.job_id
WHERE s.pool = 'audio' AND s.name = 'decode' AND s.state = 'pending' AND j.state = 'processing'
  AND s.state IN ('pending', 'processing')  -- what lets SQLite use the index of such stages
  AND NOT EXISTS (
      SELECT 1 FROM stage_needs n
      JOIN stages before ON before.job_id = n.job_id AND before.name = n.needs
      WHERE n.job_id = s.job_id AND n.stage = s.name AND before.state <> 'completed')
ORDER BY j.due, j.id LIMIT 1;

-- name: begun
-- Jobs whose files are being written.
SELECT j.id, j.scratch_bytes, j.output_bytes
FROM jobs j JOIN stages s ON s.job_id = j.id AND s.name = 'decode'
WHERE j.state = 'processing' AND s.state <> 'pending';

-- name: waiting
-- What all those take together that have not begun: their scratch files never lie there at once.
SELECT coalesce(max(j.scratch_bytes), 0) AS scratch_bytes,
    coalesce(sum(j.output_bytes), 0) AS output_bytes
FROM jobs j JOIN stages s ON s.job_id = j.id AND s.name = 'decode'
WHERE j.state = 'processing' AND s.state = 'pending';

-- name: set_room
UPDATE jobs SET scratch_bytes = :scratch, output_bytes = :outputs,
    request = iif(:seconds IS NULL, request, json_set(request, '$.seconds', :seconds))
WHERE id = :id AND state = 'processing';

-- name: is_first_begun
-- Whether no other job that has begun is due before this one.
SELECT NOT EXISTS (
    SELECT 1 FROM jobs j JOIN stages s ON s.job_id = j.id AND s.name = 'decode'
    WHERE j.state = 'processing' AND s.state <> 'pending' AND j.id <> :id
      AND (j.due, j.id) < (SELECT due, id FROM jobs WHERE id = :id));

-- name: forget_tracks
DELETE FROM tracks WHERE job_id = :id;

-- name: rewind_job
-- From its input again: it gives up what it has decoded, and is charged nothing.
UPDATE stages SET state = 'pending', lease = NULL, started_at = NULL, completed_at = NULL,
    facts = '{}', error = NULL,
    attempt = max(0, attempt - (state <> 'pending'))
WHERE job_id = :id AND pool <> 'fetch' AND NOT (late AND state = 'failed');
