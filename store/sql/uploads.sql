-- name: insert_upload
INSERT INTO uploads (key, account_id, file_name, expires_at)
VALUES (:key, :account_id, :file_name, :expires_at);

-- name: select_upload
SELECT key, account_id, file_name, expires_at, size, sha256 FROM uploads WHERE key = :key;

-- name: receive_upload
-- Once only: the first PUT that is complete has it.
UPDATE uploads SET size = :size, sha256 = :sha256 WHERE key = :key AND size IS NULL;

-- name: select_stale
SELECT key FROM uploads WHERE expires_at < :before;

-- name: delete_stale
DELETE FROM uploads WHERE expires_at < :before;

-- name: select_keys
SELECT key FROM uploads;
