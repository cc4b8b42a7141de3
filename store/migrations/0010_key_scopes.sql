-- What a key opens, and how often. Keys of before open both APIs, as they did.
ALTER TABLE keys ADD COLUMN scopes TEXT NOT NULL DEFAULT 'pipeline,stemsplit';
ALTER TABLE keys ADD COLUMN requests_per_minute INTEGER CHECK (requests_per_minute > 0);
