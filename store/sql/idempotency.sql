-- name: select_first_answer
SELECT body_hash, answer, created_at FROM first_answers
WHERE account_id = :account_id AND key = :key;

-- name: insert_first_answer
INSERT INTO first_answers (account_id, key, body_hash, answer, created_at)
VALUES (:account_id, :key, :body_hash, :answer, :now)
ON CONFLICT (account_id, key) DO UPDATE
SET body_hash = excluded.body_hash, answer = excluded.answer, created_at = excluded.created_at;

-- name: forget_answers
DELETE FROM first_answers WHERE (account_id, key) IN (
    SELECT account_id, key FROM first_answers WHERE created_at < :before LIMIT :most);
