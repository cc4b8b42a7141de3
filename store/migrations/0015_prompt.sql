-- What nobody waits for was due an hour after its job, and on a busy machine came when that was idle
-- at last. It is due with its job: after all its other stages, before those of jobs that come later.
-- What waits already keeps its place.
DROP VIEW stage_places;
CREATE VIEW stage_places AS
SELECT s.job_id, s.name,
    CASE WHEN s.state = 'pending' AND (j.state = 'processing' OR s.late AND j.state = 'completed')
         THEN j.due END AS due,
    NOT EXISTS (SELECT 1 FROM stage_needs n
                JOIN stages before ON before.job_id = n.job_id AND before.name = n.needs
                WHERE n.job_id = s.job_id AND n.stage = s.name AND before.state <> 'completed'
    ) AS ready
FROM stages s JOIN jobs j ON j.id = s.job_id;

ALTER TABLE stages DROP COLUMN grace;
