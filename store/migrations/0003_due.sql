-- A job is due as long after it was posted as its song lasts: a clip goes before an hour-long file,
-- but nobody is overtaken by what comes later than that.
ALTER TABLE jobs ADD COLUMN due REAL
    AS (created_at + coalesce(json_extract(request, '$.seconds'), 0)) VIRTUAL;
-- A stage is due with its job; one that nobody waits for, an hour later.
ALTER TABLE stages ADD COLUMN grace REAL AS (3600.0 * late) VIRTUAL;
