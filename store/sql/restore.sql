-- What becomes of what a backup did not hold.

-- name: give_up_job
UPDATE jobs SET state = 'failed', completed_at = :now, error = :error
WHERE id = :job_id AND state = 'processing';

-- name: give_up_stages
UPDATE stages SET state = 'failed', lease = NULL, completed_at = :now, error = :error
WHERE job_id = :job_id AND state IN ('pending', 'processing');

-- name: expire_job
UPDATE jobs SET state = 'expired', expired_at = :now WHERE id = :job_id AND state = 'completed';

-- name: forget_tracks
-- What a job had finished that ran on: no backup holds it.
DELETE FROM tracks WHERE job_id = :job_id;

-- name: forget_track
DELETE FROM tracks WHERE job_id = :job_id AND path = :path;

-- name: forget_upload
DELETE FROM uploads WHERE key = :key;

-- name: another_machine
-- The scratch files of whatever ran are not here: it begins again from its input.
INSERT INTO facts (name, value) VALUES ('machine_boot', 'restored from a backup')
ON CONFLICT (name) DO UPDATE SET value = excluded.value;
