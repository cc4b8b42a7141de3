-- What is still to be sent waits in lanes: one for each webhook, and some for each host that an
-- account's callbacks call, so that a URL which hangs does not hide all others there. A look into the
-- outbox takes the first few of each lane, however many wait behind.
ALTER TABLE jobs ADD COLUMN callback_lane TEXT;  -- NULL: accepted before this, or no callback
ALTER TABLE deliveries ADD COLUMN lane TEXT NOT NULL DEFAULT '';

UPDATE deliveries SET lane = coalesce(account_id, '') || ' ' || coalesce(
    webhook_id, (SELECT callback_url FROM jobs WHERE id = job_id), '');

CREATE INDEX deliveries_in_lane ON deliveries (lane, next_at) WHERE state = 'waiting';

CREATE TRIGGER delivery_has_a_lane AFTER INSERT ON deliveries
BEGIN
    UPDATE deliveries SET lane = coalesce(NEW.account_id, '') || ' ' || coalesce(
        NEW.webhook_id,
        (SELECT coalesce(callback_lane, callback_url) FROM jobs WHERE id = NEW.job_id), '')
    WHERE id = NEW.id;
END;
