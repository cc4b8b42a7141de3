-- name: insert_account
INSERT INTO accounts (id, name, created_at) VALUES (:id, :name, :now)
ON CONFLICT (name) DO NOTHING;

-- name: select_account
-- By its name, to which blanks at its ends once belonged.
SELECT id, name, created_at FROM accounts WHERE name = :name OR trim(name) = :name
ORDER BY name = :name DESC LIMIT 1;

-- name: insert_key
INSERT INTO keys (hash, prefix, account_id, created_at, scopes, requests_per_minute)
VALUES (:hash, :prefix, :account_id, :now, :scopes, :requests_per_minute);

-- name: select_key
SELECT hash, prefix, account_id, created_at, revoked_at, scopes, requests_per_minute FROM keys WHERE hash = :hash;

-- name: select_keys
SELECT k.prefix, a.name AS account, k.created_at, k.revoked_at, k.scopes, k.requests_per_minute
FROM keys k JOIN accounts a ON a.id = k.account_id
ORDER BY k.created_at, k.prefix;

-- name: revoke_keys
-- By prefix; one that is revoked already stays as it was.
UPDATE keys SET revoked_at = :now
WHERE substr(prefix, 1, length(:prefix)) = :prefix AND revoked_at IS NULL;

-- name: count_keys
SELECT count(*) FROM keys WHERE substr(prefix, 1, length(:prefix)) = :prefix;
