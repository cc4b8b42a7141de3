-- name: book
-- One entry, with the balance after it. A balance below zero is refused by the table.
INSERT INTO ledger (account_id, job_id, kind, seconds, reference, balance, created_at)
SELECT :account_id, :job_id, :kind, :seconds, :reference,
       coalesce((SELECT balance FROM ledger WHERE account_id = :account_id
                 ORDER BY id DESC LIMIT 1), 0)
       + CASE :kind WHEN 'hold' THEN -:seconds WHEN 'capture' THEN 0 ELSE :seconds END,
       :now;

-- name: select_balance
SELECT balance, created_at FROM ledger WHERE account_id = :account_id ORDER BY id DESC LIMIT 1;

-- name: select_entries
SELECT kind, seconds, balance, job_id, created_at FROM ledger
WHERE account_id = :account_id ORDER BY id DESC LIMIT :last;

-- name: select_ledger
-- A page of an account's ledger, the newest entry first: its numbers have no gaps.
SELECT kind, seconds, balance, job_id, created_at FROM ledger
WHERE account_id = :account_id AND number <= :newest - :offset ORDER BY number DESC LIMIT :limit;

-- name: count_entries
SELECT coalesce(max(number), 0) FROM ledger WHERE account_id = :account_id;

-- name: select_by_reference
SELECT kind, seconds, balance, job_id, created_at FROM ledger
WHERE account_id = :account_id AND reference = :reference;
