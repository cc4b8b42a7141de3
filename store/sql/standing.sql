-- name: count_stages
-- Of jobs that go on: stages that run, and stages that could begin if a worker were free. The pools
-- are named, so that SQLite goes through what is ready alone.
SELECT name, 'pending' AS state, count(*) AS jobs FROM stages
WHERE pool IN ('fetch', 'audio', 'separation') AND ready = 1 AND due IS NOT NULL GROUP BY name
UNION ALL
SELECT name, 'processing', count(*) FROM stages WHERE state = 'processing' GROUP BY name;

-- name: select_oldest
-- When the job came that has waited longest and nobody is at, to be begun or to be separated: songs
-- are decoded far ahead of the models. A source that is being fetched waits for others, not for us;
-- one that is here (its URL is gone) waits to be measured.
SELECT created_at FROM jobs INDEXED BY jobs_unfinished
WHERE state = 'processing' AND (started_at IS NULL OR EXISTS (
    SELECT 1 FROM stages WHERE job_id = jobs.id AND pool = 'separation' AND state = 'pending'))
  AND NOT EXISTS (SELECT 1 FROM stages WHERE job_id = jobs.id AND state = 'processing'
                  AND NOT (name = 'fetch' AND json_extract(request, '$.source_url') IS NULL))
ORDER BY created_at LIMIT 1;

-- name: count_deliveries
SELECT count(*) FROM deliveries WHERE state = 'waiting';
