"""What must hold of every database of stembox at every instant, as statements that find nothing.

Written from the promises, not from the code: it shares no statement with what it checks.
"""

import sqlite3

SIGNED = "CASE kind WHEN 'hold' THEN -seconds WHEN 'capture' THEN 0 ELSE seconds END"
# What it would be if the statement found something.
RULES: dict[str, str] = {
    "a balance that is not the sum of its entries": f"""
        SELECT id FROM (SELECT id, balance, sum({SIGNED}) OVER (
            PARTITION BY account_id ORDER BY id) AS added FROM ledger) WHERE balance <> added""",
    "a balance below zero": "SELECT id FROM ledger WHERE balance < 0",
    "a settled job without a hold of as much": """
        SELECT s.job_id FROM ledger s WHERE s.kind IN ('capture', 'release') AND NOT EXISTS (
            SELECT 1 FROM ledger h WHERE h.kind = 'hold' AND h.job_id = s.job_id
                AND h.seconds = s.seconds AND h.account_id = s.account_id)""",
    "a hold that is not settled once as its job ended": """
        SELECT j.id FROM jobs j JOIN ledger h ON h.job_id = j.id AND h.kind = 'hold'
        WHERE (SELECT coalesce(group_concat(kind), '') FROM ledger
               WHERE job_id = j.id AND kind IN ('capture', 'release')) NOT IN
            (iif(j.state = 'processing', '', iif(j.state = 'failed', 'release', 'capture')),
             iif(j.state = 'expired', 'release', '-'))""",
    "a completed job of an account that paid nothing": """
        SELECT id FROM jobs WHERE state = 'completed' AND api = 'stemsplit'
            AND id NOT IN (SELECT job_id FROM ledger WHERE kind = 'hold')""",
    "an event of a job that has not ended": """
        SELECT d.id FROM deliveries d JOIN jobs j ON j.id = d.job_id
        WHERE j.state = 'processing'""",
    "a job that ended without its event": """
        SELECT j.id FROM jobs j JOIN webhooks w ON w.account_id = j.account_id
        WHERE j.state <> 'processing' AND j.api = 'stemsplit' AND w.created_at < j.created_at
            AND w.is_active AND iif(j.state = 'failed', 'job.failed', 'job.completed')
                IN (SELECT value FROM json_each(w.events)) AND j.state <> 'expired'
            AND NOT EXISTS (SELECT 1 FROM deliveries d
                            WHERE d.job_id = j.id AND d.webhook_id = w.id)""",
    "a completed job with work left, or without progress": """
        SELECT id FROM jobs WHERE state = 'completed' AND (
            progress <> 100 AND api = 'stemsplit' OR EXISTS (
            SELECT 1 FROM stages WHERE job_id = jobs.id AND state <> 'completed' AND NOT late))""",
    "an unfinished job that nobody will ever end": """
        SELECT id FROM jobs WHERE state = 'processing' AND (progress = 100 OR NOT EXISTS (
            SELECT 1 FROM stages WHERE job_id = jobs.id AND NOT late
                AND state IN ('pending', 'processing')) OR EXISTS (
            SELECT 1 FROM stages WHERE job_id = jobs.id AND NOT late AND state = 'failed'))""",
    "work on a failed job": """
        SELECT j.id FROM jobs j JOIN stages s ON s.job_id = j.id
        WHERE j.state = 'failed' AND s.state = 'processing'""",
    "a stage that waits for one that does not exist": """
        SELECT job_id FROM stage_needs n WHERE NOT EXISTS (
            SELECT 1 FROM stages WHERE job_id = n.job_id AND name = n.needs)""",
    "a track that no finished stage made": """
        SELECT t.job_id FROM tracks t WHERE NOT EXISTS (
            SELECT 1 FROM stages WHERE job_id = t.job_id AND state = 'completed')""",
}


def findings(database: sqlite3.Connection) -> list[str]:
    """What is wrong, each with the first row that shows it."""
    found = [row[0] for row in database.execute("PRAGMA integrity_check") if row[0] != "ok"]
    found += [f"a reference to nothing: {tuple(row)}"
              for row in database.execute("PRAGMA foreign_key_check")]
    for sentence, statement in RULES.items():
        if (row := database.execute(statement).fetchone()) is not None:
            found.append(f"{sentence}: {row[0]}")
    return found
