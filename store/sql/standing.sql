-- name: count_stages
-- Of jobs that go on: stages that run, and stages that could begin if a worker were free. CROSS
-- JOIN: SQLite begins with the index of open stages, which ended jobs do not make longer.
SELECT s.name, s.state, count(*) AS jobs
FROM stages s CROSS JOIN jobs j ON j.id = s.job_id
WHERE s.state IN ('pending', 'processing')
  AND (j.state = 'processing' OR s.late AND j.state = 'completed')
  AND NOT EXISTS (
      SELECT 1 FROM stage_needs n
      JOIN stages before ON before.job_id = n.job_id AND before.name = n.needs
      WHERE n.job_id = s.job_id AND n.stage = s.name AND before.state <> 'completed')
GROUP BY s.name, s.state;

-- name: select_oldest
-- When the job came that has waited longest for its first worker.
SELECT created_at FROM jobs WHERE state = 'processing' AND started_at IS NULL
ORDER BY created_at LIMIT 1;

-- name: count_deliveries
SELECT count(*) FROM deliveries WHERE state = 'waiting';
