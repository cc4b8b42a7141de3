-- Jobs, their stages, what each stage waits for, and the tracks that came out.

CREATE TABLE jobs (
    id           TEXT PRIMARY KEY,
    api          TEXT NOT NULL CHECK (api IN ('pipeline', 'stemsplit')),
    state        TEXT NOT NULL CHECK (state IN ('processing', 'completed', 'failed', 'expired')),
    options      TEXT NOT NULL,             -- JSON: what was asked for
    created_at   REAL NOT NULL,             -- all times: unix seconds
    completed_at REAL,
    error        TEXT                       -- a sentence for the user
) STRICT;

CREATE INDEX jobs_by_state ON jobs (state, created_at);

CREATE TABLE stages (
    job_id       TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    position     INTEGER NOT NULL,
    pool         TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('pending', 'processing', 'completed', 'failed')),
    attempt      INTEGER NOT NULL DEFAULT 0,
    orphaned     INTEGER NOT NULL DEFAULT 0, -- how often the server died while it ran
    lease        TEXT,                      -- who may finish it: '<boot>/<token>'
    started_at   REAL,
    completed_at REAL,
    error        TEXT,
    facts        TEXT NOT NULL DEFAULT '{}', -- JSON: what the stage found out
    PRIMARY KEY (job_id, name),
    CHECK ((state = 'processing') = (lease IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX stages_waiting ON stages (pool, state) WHERE state IN ('pending', 'processing');

CREATE TABLE stage_needs (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    stage  TEXT NOT NULL,
    needs  TEXT NOT NULL,
    PRIMARY KEY (job_id, stage, needs)
) STRICT, WITHOUT ROWID;

CREATE TABLE tracks (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    name   TEXT NOT NULL,
    path   TEXT NOT NULL,                   -- below the job's outputs folder
    PRIMARY KEY (job_id, name)
) STRICT, WITHOUT ROWID;

-- What is true of the whole database: here, which boot of the machine wrote the scratch files.
CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
