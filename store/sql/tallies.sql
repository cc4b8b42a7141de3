-- name: select_blocks
-- How many rows of an account's list each block of 1,024 numbers holds, the newest first.
SELECT block, sum(rows) AS rows FROM tallies
WHERE list = :list AND account_id = :account_id
GROUP BY block ORDER BY block DESC;

-- name: select_blocks_of_kind
SELECT block, rows FROM tallies
WHERE list = :list AND account_id = :account_id AND kind = :kind ORDER BY block DESC;
