-- Accounts, their keys and credits, signed uploads, webhooks, and jobs that belong to an account.

CREATE TABLE accounts (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL
) STRICT;

CREATE TABLE keys (
    hash       TEXT PRIMARY KEY,            -- SHA-256 in hex: the key itself is kept nowhere
    prefix     TEXT NOT NULL,               -- its first characters, to name it by
    account_id TEXT NOT NULL REFERENCES accounts (id),
    created_at REAL NOT NULL,
    revoked_at REAL
) STRICT, WITHOUT ROWID;

-- Whole seconds of audio. `hold` when a job is accepted, then `capture` or `release`, once each.
-- `balance` is what the account may still spend after the entry: neither captured nor held.
CREATE TABLE ledger (
    id         INTEGER PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    job_id     TEXT,                        -- no reference: entries outlive what they tell of
    kind       TEXT NOT NULL CHECK (kind IN ('grant', 'hold', 'capture', 'release', 'refund')),
    seconds    INTEGER NOT NULL CHECK (seconds >= 0),
    balance    INTEGER NOT NULL CHECK (balance >= 0),
    created_at REAL NOT NULL,
    CHECK ((kind = 'grant') = (job_id IS NULL)),
    UNIQUE (job_id, kind)
) STRICT;

CREATE INDEX ledger_by_account ON ledger (account_id, id);

CREATE TRIGGER ledger_is_not_changed BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TRIGGER ledger_is_not_cut BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

ALTER TABLE jobs ADD COLUMN account_id TEXT REFERENCES accounts (id);
ALTER TABLE jobs ADD COLUMN request TEXT NOT NULL DEFAULT '{}';  -- JSON: how its API tells of it
ALTER TABLE jobs ADD COLUMN progress INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN callback_url TEXT;
ALTER TABLE jobs ADD COLUMN expired_at REAL;  -- when its files were removed
ALTER TABLE jobs ADD COLUMN started_at REAL;  -- when the first worker took up one of its stages

CREATE INDEX jobs_by_account ON jobs (account_id, created_at);

-- A late stage adds to a job that is completed without it.
ALTER TABLE stages ADD COLUMN late INTEGER NOT NULL DEFAULT 0;

CREATE TABLE uploads (
    key          TEXT PRIMARY KEY,          -- uploads/<account>/<random>/input.<ext>
    account_id   TEXT NOT NULL REFERENCES accounts (id),
    file_name    TEXT NOT NULL,
    expires_at   REAL NOT NULL,
    size         INTEGER                    -- bytes, once they are here
) STRICT, WITHOUT ROWID;

CREATE INDEX uploads_by_age ON uploads (expires_at);

-- The first answer to an Idempotency-Key, to be given again.
CREATE TABLE first_answers (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    key        TEXT NOT NULL,
    body_hash  TEXT NOT NULL,
    answer     TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (account_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE webhooks (
    id             TEXT PRIMARY KEY,
    account_id     TEXT NOT NULL REFERENCES accounts (id),
    url            TEXT NOT NULL,
    events         TEXT NOT NULL,           -- JSON
    secret         TEXT NOT NULL,           -- as it was shown: it must sign
    is_active      INTEGER NOT NULL DEFAULT 1,
    fail_count     INTEGER NOT NULL DEFAULT 0,   -- failures in a row
    last_error     TEXT,
    last_called_at REAL,
    created_at     REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX webhooks_by_account ON webhooks (account_id, created_at);

-- The outbox: one event for one endpoint, a webhook's or a job's own callback address.
CREATE TABLE deliveries (
    id         TEXT PRIMARY KEY,
    job_id     TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    webhook_id TEXT REFERENCES webhooks (id) ON DELETE CASCADE,
    event      TEXT NOT NULL CHECK (event IN ('job.completed', 'job.failed')),
    state      TEXT NOT NULL DEFAULT 'waiting'
               CHECK (state IN ('waiting', 'delivered', 'given_up')),
    attempt    INTEGER NOT NULL DEFAULT 0,
    next_at    REAL NOT NULL,
    last_error TEXT,
    created_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX deliveries_once ON deliveries (job_id, event, coalesce(webhook_id, ''));
CREATE INDEX deliveries_of_webhook ON deliveries (webhook_id);
CREATE INDEX deliveries_waiting ON deliveries (next_at) WHERE state = 'waiting';

-- However a job ends, its credits are settled and its events are in the outbox within the very
-- statement that ends it. No code path can forget one of the three.
CREATE TRIGGER job_is_over AFTER UPDATE OF state ON jobs
WHEN OLD.state = 'processing' AND NEW.state <> 'processing'
BEGIN
    INSERT INTO ledger (account_id, job_id, kind, seconds, balance, created_at)
    SELECT held.account_id, held.job_id,
           iif(NEW.state = 'completed', 'capture', 'release'), held.seconds,
           (SELECT balance FROM ledger WHERE account_id = held.account_id
            ORDER BY id DESC LIMIT 1) + iif(NEW.state = 'completed', 0, held.seconds),
           coalesce(NEW.completed_at, NEW.created_at)
    FROM ledger held WHERE held.job_id = NEW.id AND held.kind = 'hold';

    INSERT INTO deliveries (id, job_id, webhook_id, event, next_at, created_at)
    SELECT 'msg_' || lower(hex(randomblob(16))), NEW.id, endpoint.id, event,
           coalesce(NEW.completed_at, NEW.created_at), coalesce(NEW.completed_at, NEW.created_at)
    FROM (SELECT iif(NEW.state = 'completed', 'job.completed', 'job.failed') AS event),
         (SELECT id, events FROM webhooks
          WHERE account_id = NEW.account_id AND is_active AND NEW.api = 'stemsplit'
          UNION ALL
          SELECT NULL, '["job.completed","job.failed"]' WHERE NEW.callback_url IS NOT NULL
         ) AS endpoint
    WHERE event IN (SELECT value FROM json_each(endpoint.events));
END;
