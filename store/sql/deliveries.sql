-- name: select_page
-- A page of an account's deliveries, the newest first; from a block of their numbers on.
SELECT page.id, page.webhook_id, page.job_id, coalesce(w.url, j.callback_url) AS url, page.event,
    page.state, page.next_at, page.last_error, page.created_at
FROM (SELECT * FROM deliveries WHERE account_id = :account_id AND number < (:block + 1) << 10
      ORDER BY number DESC LIMIT :limit OFFSET :skip) page
LEFT JOIN webhooks w ON w.id = page.webhook_id LEFT JOIN jobs j ON j.id = page.job_id
ORDER BY page.number DESC;

-- name: select_page_of_webhook
-- The same of one webhook.
SELECT page.id, page.webhook_id, page.job_id, coalesce(w.url, j.callback_url) AS url, page.event,
    page.state, page.next_at, page.last_error, page.created_at
FROM (SELECT * FROM deliveries
      WHERE webhook_id = :kind AND account_id = :account_id AND number < (:block + 1) << 10
      ORDER BY number DESC LIMIT :limit OFFSET :skip) page
LEFT JOIN webhooks w ON w.id = page.webhook_id LEFT JOIN jobs j ON j.id = page.job_id
ORDER BY page.number DESC;

-- name: select_one
SELECT d.id, d.webhook_id, d.job_id, coalesce(w.url, j.callback_url) AS url, d.event, d.state,
    d.next_at, d.last_error, d.created_at
FROM deliveries d LEFT JOIN webhooks w ON w.id = d.webhook_id LEFT JOIN jobs j ON j.id = d.job_id
WHERE d.id = :id AND d.account_id = :account_id;

-- name: select_attempts
SELECT number, began_at, seconds, status, error FROM attempts
WHERE delivery_id = :id ORDER BY number;

-- name: insert_attempt
-- None, where the delivery has gone meanwhile with its job or its webhook.
INSERT INTO attempts (delivery_id, number, began_at, seconds, status, error)
SELECT id, 1 + coalesce((SELECT max(number) FROM attempts WHERE delivery_id = :id), 0),
       :began_at, :seconds, :status, :error
FROM deliveries WHERE id = :id;

-- name: forget_attempts
-- All but the last few: who sends again and again fills no disk.
DELETE FROM attempts WHERE delivery_id = :id
  AND number <= (SELECT max(number) FROM attempts WHERE delivery_id = :id) - :kept;

-- name: send_again
-- At once, and if need be by the whole schedule once more. `by_hand` counts: an attempt that was under
-- way already must not be taken for the one that is asked for now.
UPDATE deliveries SET state = 'waiting', attempt = 0, by_hand = by_hand + 1, next_at = :now
WHERE id = :id;

-- name: count_tests
SELECT count(*) FROM deliveries
WHERE webhook_id = :webhook_id AND account_id = :account_id AND job_id IS NULL
  AND state = 'waiting';

-- name: insert_test
-- Of an event that the webhook listens to.
INSERT INTO deliveries (id, account_id, webhook_id, event, by_hand, next_at, created_at)
SELECT 'msg_' || lower(hex(randomblob(16))), account_id, id,
       (SELECT min(value) FROM json_each(events)), 1, :now, :now
FROM webhooks WHERE id = :webhook_id AND account_id = :account_id
RETURNING id;
