-- Where a source came from may hold a secret (a presigned URL): it goes once the file is here, and
-- with the job's end at the latest, in the very statement that ends it.
CREATE TRIGGER source_url_is_dropped AFTER UPDATE OF state ON jobs
WHEN OLD.state = 'processing' AND NEW.state <> 'processing'
     AND json_extract(NEW.request, '$.source_url') IS NOT NULL
BEGIN
    UPDATE jobs SET request = json_remove(request, '$.source_url') WHERE id = NEW.id;
END;

UPDATE jobs SET request = json_remove(request, '$.source_url')
WHERE json_extract(request, '$.source_url') IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM stages WHERE job_id = jobs.id AND pool = 'fetch'
                  AND state IN ('pending', 'processing') AND jobs.state = 'processing');
