-- A grant's name by whoever gives it: one that comes again under its name is not given again.
ALTER TABLE ledger ADD COLUMN reference TEXT;
CREATE UNIQUE INDEX ledger_once ON ledger (account_id, reference) WHERE reference IS NOT NULL;
