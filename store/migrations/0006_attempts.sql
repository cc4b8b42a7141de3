-- Every attempt at a delivery is kept. A delivery without a job is a test of its webhook; what is
-- sent by hand goes out even where the webhook is switched off; and each knows whose it is.

DROP TRIGGER job_is_over;  -- it names the table, and comes back below

CREATE TABLE deliveries_with_tests (
    id         TEXT PRIMARY KEY,
    account_id TEXT REFERENCES accounts (id),   -- NULL: the job is nobody's
    job_id     TEXT REFERENCES jobs (id) ON DELETE CASCADE,
    webhook_id TEXT REFERENCES webhooks (id) ON DELETE CASCADE,
    event      TEXT NOT NULL CHECK (event IN ('job.completed', 'job.failed')),
    state      TEXT NOT NULL DEFAULT 'waiting'
               CHECK (state IN ('waiting', 'delivered', 'given_up')),
    attempt    INTEGER NOT NULL DEFAULT 0,      -- failures since it was sent, or sent again
    by_hand    INTEGER NOT NULL DEFAULT 0,
    next_at    REAL NOT NULL,
    last_error TEXT,
    created_at REAL NOT NULL,
    CHECK (job_id IS NOT NULL OR webhook_id IS NOT NULL)
) STRICT, WITHOUT ROWID;

INSERT INTO deliveries_with_tests (id, account_id, job_id, webhook_id, event, state, attempt,
                                   next_at, last_error, created_at)
SELECT d.id, j.account_id, d.job_id, d.webhook_id, d.event, d.state, d.attempt, d.next_at,
       d.last_error, d.created_at
FROM deliveries d JOIN jobs j ON j.id = d.job_id;

DROP TABLE deliveries;
ALTER TABLE deliveries_with_tests RENAME TO deliveries;

CREATE UNIQUE INDEX deliveries_once ON deliveries (job_id, event, coalesce(webhook_id, ''));
CREATE INDEX deliveries_of_webhook ON deliveries (webhook_id);
CREATE INDEX deliveries_waiting ON deliveries (next_at) WHERE state = 'waiting';
CREATE INDEX deliveries_by_account ON deliveries (account_id, created_at);

-- The last attempts at a delivery, as they went.
CREATE TABLE attempts (
    delivery_id TEXT NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,               -- from 1 on
    began_at    REAL NOT NULL,
    seconds     REAL NOT NULL,
    status      INTEGER,                        -- what the endpoint answered; NULL: nothing
    error       TEXT,                           -- NULL: it took the event
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

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

    INSERT INTO deliveries (id, account_id, job_id, webhook_id, event, next_at, created_at)
    SELECT 'msg_' || lower(hex(randomblob(16))), NEW.account_id, NEW.id, endpoint.id, event,
           coalesce(NEW.completed_at, NEW.created_at), coalesce(NEW.completed_at, NEW.created_at)
    FROM (SELECT iif(NEW.state = 'completed', 'job.completed', 'job.failed') AS event),
         (SELECT id, events FROM webhooks
          WHERE account_id = NEW.account_id AND is_active AND NEW.api = 'stemsplit'
          UNION ALL
          SELECT NULL, '["job.completed","job.failed"]' WHERE NEW.callback_url IS NOT NULL
         ) AS endpoint
    WHERE event IN (SELECT value FROM json_each(endpoint.events));
END;
