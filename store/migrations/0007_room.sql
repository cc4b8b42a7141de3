-- Bytes that a job's files take on the disk at the most: while it runs, and of its tracks.
ALTER TABLE jobs ADD COLUMN scratch_bytes INTEGER NOT NULL DEFAULT 0 CHECK (scratch_bytes >= 0);
ALTER TABLE jobs ADD COLUMN output_bytes INTEGER NOT NULL DEFAULT 0 CHECK (output_bytes >= 0);
-- Jobs that were accepted before this: seven float32 files and nine tracks, by the second.
UPDATE jobs SET
    scratch_bytes = CAST(44100 * 7 * 8 * coalesce(json_extract(request, '$.seconds'), 0) AS INTEGER),
    output_bytes = CAST(44100 * 9 * 4 * coalesce(json_extract(request, '$.seconds'), 0) AS INTEGER)
WHERE state = 'processing';

-- Uploads of which a job was made, and those whose bytes were removed to make room for others.
ALTER TABLE uploads ADD COLUMN used_at REAL;
ALTER TABLE uploads ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
CREATE INDEX uploads_by_account ON uploads (account_id);
