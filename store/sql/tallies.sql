-- name: select_blocks
-- How many rows of an account's list some blocks of its numbers hold, the newest block first: of one
-- kind, or (NULL) of all.
SELECT block, sum(rows) AS rows FROM tallies
WHERE list = :list AND account_id = :account_id AND shift = :shift
  AND block BETWEEN :first AND :last AND (:kind IS NULL OR kind = :kind)
GROUP BY block ORDER BY block DESC;
