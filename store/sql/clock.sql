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
-- What waits keeps its place: jobs from a time still to come would stand behind every new one. All
-- of it moves, or they would stand before those that are older.
UPDATE jobs SET created_at = created_at + :jump
WHERE state = 'processing' AND :jump < 0
  AND EXISTS (SELECT 1 FROM jobs WHERE state = 'processing' AND created_at > :now);

-- name: settle_ended
-- What ended in a time still to come has just ended, once the clock can be believed: or it would be
-- kept for as long as that was wrong, be it a year, and lead what is known of the last jobs.
UPDATE jobs SET completed_at = :now, created_at = min(created_at, :now)
WHERE state <> 'processing' AND completed_at > :now;

-- name: settle_uploads
UPDATE uploads SET expires_at = :now + :valid WHERE expires_at > :now + :valid;

-- name: settle_history
UPDATE deliveries SET created_at = :now WHERE state <> 'waiting' AND created_at > :now;
