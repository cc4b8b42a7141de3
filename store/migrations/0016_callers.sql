-- Whose a job is that no account has: the address, or the network, that sent it. It shares the queue
-- with others by it, and it is kept no longer than the job is in the queue.
ALTER TABLE jobs ADD COLUMN address TEXT;

CREATE INDEX jobs_unfinished_from ON jobs (address) WHERE state = 'processing';

CREATE TRIGGER job_has_ended AFTER UPDATE OF state ON jobs
WHEN OLD.address IS NOT NULL AND NEW.state <> 'processing'
BEGIN
    UPDATE jobs SET address = NULL WHERE id = NEW.id;
END;
