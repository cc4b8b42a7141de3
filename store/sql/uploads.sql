-- name: insert_upload
INSERT INTO uploads (key, account_id, file_name, expires_at)
VALUES (:key, :account_id, :file_name, :expires_at);

-- name: select_upload
SELECT key, account_id, file_name, expires_at, size, sha256, gone FROM uploads WHERE key = :key;

-- name: receive_upload
-- Once only: the first PUT that is complete has it.
UPDATE uploads SET size = :size, sha256 = :sha256 WHERE key = :key AND size IS NULL;

-- name: delete_stale
DELETE FROM uploads WHERE key IN (
    SELECT key FROM uploads WHERE expires_at < :before LIMIT :most);

-- name: select_keys
-- Those of which jobs can still be made.
SELECT key FROM uploads WHERE expires_at >= :before;

-- name: outstanding
-- What an account has asked for and not sent, and bytes of it that lie here.
SELECT count(*) FILTER (WHERE size IS NULL AND expires_at > :now) AS tickets,
    coalesce(sum(size) FILTER (WHERE NOT gone), 0) AS bytes
FROM uploads WHERE account_id = :account_id;

-- name: use_upload
UPDATE uploads SET used_at = :now WHERE key = :key;

-- name: bring_back_upload
-- The same bytes came again: as if they had for the first time.
UPDATE uploads SET gone = 0, used_at = NULL WHERE key = :key AND gone RETURNING key;

-- name: drop_oldest_used
-- Of which a job was made the longest ago: its bytes go, what is known of it stays.
UPDATE uploads SET gone = 1 WHERE key = (
    SELECT key FROM uploads
    WHERE account_id = :account_id AND used_at IS NOT NULL AND NOT gone
    ORDER BY used_at LIMIT 1)
RETURNING key;
