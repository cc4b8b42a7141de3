-- name: get_clock
SELECT value FROM facts WHERE name = 'clock';

-- name: set_clock
INSERT INTO facts (name, value) VALUES ('clock', :record)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: move_deliveries
-- A first attempt is due when its job ends: it is never put off, by whichever clock it was booked.
UPDATE deliveries SET next_at = next_at + :jump
WHERE state = 'waiting' AND (attempt > 0 OR next_at > :now);

-- name: move_answers
-- Remembered for as long as was promised, and not from a time that is still to come.
UPDATE first_answers SET created_at = min(created_at + max(:jump, 0), :now);

-- name: move_jobs
-- What waits keeps its place: jobs from a time still to come would stand behind every new one.
UPDATE jobs SET created_at = created_at + :jump
WHERE state = 'processing' AND created_at > :now;
