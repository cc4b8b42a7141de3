-- name: insert_webhook
INSERT INTO webhooks (id, account_id, url, events, secret, created_at)
VALUES (:id, :account_id, :url, :events, :secret, :now);

-- name: select_webhooks
SELECT id, account_id, url, events, secret, is_active, fail_count, last_error, last_called_at,
    created_at
FROM webhooks WHERE account_id = :account_id ORDER BY created_at, id;

-- name: count_webhooks
SELECT count(*) FROM webhooks WHERE account_id = :account_id;

-- name: select_webhook
SELECT id, account_id, url, events, secret, is_active, fail_count, last_error, last_called_at,
    created_at
FROM webhooks WHERE id = :id;

-- name: select_unsealed
SELECT id, secret FROM webhooks WHERE substr(secret, 1, length(:prefix)) <> :prefix;

-- name: seal_webhook
UPDATE webhooks SET secret = :secret WHERE id = :id;

-- name: delete_history
DELETE FROM deliveries WHERE id IN (
    SELECT d.id FROM webhooks w JOIN deliveries d ON d.webhook_id = w.id
    WHERE w.id = :id AND w.account_id = :account_id AND d.state <> 'waiting' LIMIT :most);

-- name: delete_webhook
DELETE FROM webhooks WHERE id = :id AND account_id = :account_id;

-- name: select_lanes
-- Lanes in which something waits, from one to the next.
WITH RECURSIVE lanes (lane) AS (
    SELECT min(lane) FROM deliveries INDEXED BY deliveries_in_lane
    WHERE state = 'waiting' AND lane > :behind AND lane < :end
    UNION ALL
    SELECT (SELECT min(lane) FROM deliveries INDEXED BY deliveries_in_lane
            WHERE state = 'waiting' AND lane > lanes.lane AND lane < :end)
    FROM lanes WHERE lane IS NOT NULL LIMIT :most)
SELECT lane FROM lanes WHERE lane IS NOT NULL;

-- name: select_due
-- What is to be sent now: a few for each endpoint, for each host that an account calls, and for each
-- account, so that those who are slow keep nobody else waiting; to webhooks that were disabled only
-- what is sent by hand. Jobs of nobody's have no account: there each host stands for itself, and all
-- of them together get no more than a part. One of every host comes before the second of any. Looked
-- at are the longest overdue of each lane.
SELECT id, job_id, webhook_id, event, attempt, created_at, by_hand, account_id
FROM (SELECT *, row_number() OVER (PARTITION BY account_id ORDER BY next_at, id) AS of_account,
             row_number() OVER (PARTITION BY account_id ORDER BY of_host, next_at, id) AS of_nobody
      FROM (SELECT *, row_number() OVER (PARTITION BY account_id, host ORDER BY next_at, id) AS of_host
            FROM (SELECT d.*, host_of(coalesce(w.url, j.callback_url)) AS host,
                         row_number() OVER (
                             PARTITION BY d.account_id, coalesce(d.webhook_id, j.callback_url)
                             ORDER BY d.next_at, d.id) AS of_endpoint
                  FROM json_each(:lanes) AS look CROSS JOIN deliveries d ON d.id IN (
                           SELECT id FROM deliveries INDEXED BY deliveries_in_lane
                           WHERE state = 'waiting' AND lane = look.value AND next_at <= :now
                           ORDER BY next_at, id LIMIT :per_lane)
                       LEFT JOIN jobs j ON j.id = d.job_id
                       LEFT JOIN webhooks w ON w.id = d.webhook_id
                  WHERE w.id IS NULL OR w.is_active OR d.by_hand)
            WHERE of_endpoint <= :per_endpoint)
      WHERE of_host <= :per_host)
WHERE iif(account_id IS NULL, of_nobody <= :of_nobody, of_account <= :per_account)
ORDER BY of_host, next_at, id;

-- name: select_next_time
SELECT d.next_at FROM deliveries d LEFT JOIN webhooks w ON w.id = d.webhook_id
WHERE d.state = 'waiting' AND d.next_at > :now AND (w.id IS NULL OR w.is_active OR d.by_hand)
ORDER BY d.next_at LIMIT 1;

-- name: delivered
UPDATE deliveries SET state = 'delivered', attempt = attempt + 1, last_error = NULL
WHERE id = :id;

-- name: called_well
-- What was sent by hand and taken switches a webhook on again.
UPDATE webhooks SET fail_count = 0, last_error = NULL, last_called_at = :now,
    is_active = is_active OR :by_hand
WHERE id = :id;

-- name: not_delivered
-- `next_at` NULL: there is no further attempt. Of what is still as it was when the attempt began:
-- what has arrived, was given up, or was sent again by hand meanwhile stays as it is.
UPDATE deliveries SET attempt = attempt + 1, last_error = :error,
    state = iif(:next_at IS NULL, 'given_up', 'waiting'), next_at = coalesce(:next_at, next_at)
WHERE id = :id AND state = 'waiting' AND attempt = :attempt AND by_hand = :by_hand;

-- name: called_badly
-- `counts` 0: a test, which disables nothing.
UPDATE webhooks SET fail_count = fail_count + :counts, last_error = :error, last_called_at = :now,
    is_active = is_active AND (NOT :counts OR NOT :gone AND fail_count + 1 < :limit)
WHERE id = :id;

-- name: give_up_of
-- A webhook that was disabled gets nothing more of what waited for it, but for what somebody has
-- just sent by hand.
UPDATE deliveries SET state = 'given_up', last_error = 'The webhook was disabled'
WHERE webhook_id = :id AND state = 'waiting' AND (attempt > 0 OR NOT by_hand)
  AND EXISTS (SELECT 1 FROM webhooks WHERE id = :id AND NOT is_active);

-- name: forget_deliveries
DELETE FROM deliveries WHERE id IN (
    SELECT id FROM deliveries WHERE state <> 'waiting' AND created_at < :before LIMIT :most);
