-- name: select_job
SELECT id, api, state, options, created_at, started_at, completed_at, expired_at, error,
    account_id, request, progress, callback_url,
    coalesce((SELECT seconds FROM ledger WHERE job_id = jobs.id AND kind = 'capture'), 0) AS charged
FROM jobs WHERE id = :id;

-- name: select_stages
SELECT job_id, name, pool, state, attempt, lease, started_at, completed_at, error, facts, late
FROM stages WHERE job_id = :id ORDER BY position;

-- name: select_tracks
SELECT name, path, size, crc FROM tracks WHERE job_id = :id;
