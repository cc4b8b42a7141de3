"""Databases as every released schema left them, with rows in each table of it."""

import sqlite3
from pathlib import Path

from store.migrations import available

# Rows by the schema that made their tables: jobs of each state, and what belonged to them then.
ROWS: dict[int, str] = {
    1: """
        INSERT INTO jobs (id, api, state, options, created_at, completed_at, error) VALUES
            ('runs', 'pipeline', 'processing', '{"file_name": "a.wav"}', 1.5, NULL, NULL),
            ('done', 'pipeline', 'completed', '{"file_name": "ö.wav"}', 2.5, 3.5, NULL),
            ('bad', 'pipeline', 'failed', '{}', 3.5, 4.5, 'No sound in it'),
            ('old', 'pipeline', 'expired', '{}', 4.5, 5.5, NULL);
        INSERT INTO stages (job_id, name, position, pool, state, attempt, orphaned, lease,
                            started_at, completed_at, error, facts) VALUES
            ('runs', 'decode', 0, 'audio', 'completed', 1, 0, NULL, 1.6, 1.7, NULL,
             '{"frames": 9}'),
            ('runs', 'separate', 1, 'separation', 'processing', 2, 1, 'boot/7', 1.8, NULL, 'died',
             '{}'),
            ('done', 'decode', 0, 'audio', 'completed', 1, 0, NULL, 2.6, 2.7, NULL, '{}'),
            ('bad', 'decode', 0, 'audio', 'failed', 1, 0, NULL, 3.6, 3.7, 'No sound in it', '{}');
        INSERT INTO stage_needs VALUES ('runs', 'separate', 'decode');
        INSERT INTO tracks (job_id, name, path) VALUES ('done', 'main', 'composite/main.wav');
        INSERT INTO facts VALUES ('machine_boot', 'abc');""",
    2: """
        INSERT INTO accounts VALUES ('acc', 'ann', 1.0), ('other', 'bob', 1.0);
        INSERT INTO keys (hash, prefix, account_id, created_at, revoked_at) VALUES
            ('00ff', 'sk_live_1', 'acc', 1.0, NULL), ('11ff', 'sk_live_2', 'acc', 1.0, 2.0);
        INSERT INTO webhooks (id, account_id, url, events, secret, created_at) VALUES
            ('hook', 'acc', 'https://example.com/x', '["job.completed","job.failed"]', 'whsec_x',
             1.0);
        INSERT INTO ledger (account_id, job_id, kind, seconds, balance, created_at) VALUES
            ('acc', NULL, 'grant', 100, 100, 1.0), ('acc', 's runs', 'hold', 30, 70, 2.0),
            ('acc', 's done', 'hold', 20, 50, 3.0), ('acc', 's bad', 'hold', 50, 0, 4.0);
        INSERT INTO jobs (id, api, state, options, created_at, account_id, request, callback_url)
        VALUES
            ('s runs', 'stemsplit', 'processing', '{}', 2.0, 'acc',
             '{"seconds": 29.5, "source_url": "https://example.com/a?secret"}', 'https://c.example'),
            ('s done', 'stemsplit', 'processing', '{}', 3.0, 'acc', '{"seconds": 19.5}', NULL),
            ('s bad', 'stemsplit', 'processing', '{}', 4.0, 'acc', '{"seconds": 49.5}',
             'https://c.example');
        INSERT INTO stages (job_id, name, position, pool, state, lease, late, facts) VALUES
            ('s runs', 'decode', 0, 'audio', 'pending', NULL, 0, '{}'),
            ('s runs', 'describe', 1, 'audio', 'pending', NULL, 1, '{}'),
            ('s done', 'decode', 0, 'audio', 'completed', NULL, 0, '{}'),
            ('s bad', 'decode', 0, 'audio', 'failed', NULL, 0, '{}');
        UPDATE jobs SET state = 'completed', progress = 100, completed_at = 5.0 WHERE id = 's done';
        UPDATE jobs SET state = 'failed', error = 'broken', completed_at = 6.0 WHERE id = 's bad';
        UPDATE deliveries SET attempt = 3, last_error = 'HTTP 500', next_at = 99.0
            WHERE job_id = 's bad' AND webhook_id = 'hook';
        UPDATE deliveries SET state = 'delivered', attempt = 1 WHERE job_id = 's done';
        INSERT INTO uploads (key, account_id, file_name, expires_at, size) VALUES
            ('uploads/acc/x/input.wav', 'acc', 'a.wav', 9.0, 5),
            ('uploads/acc/y/input.wav', 'acc', 'b.wav', 9.0, NULL);
        INSERT INTO first_answers VALUES ('acc', 'order 7', 'aa', '{"id": "s done"}', 3.0);""",
    4: "UPDATE tracks SET size = 44, crc = 4294967295;",
    5: "UPDATE uploads SET sha256 = 'ab' WHERE size IS NOT NULL;",
    6: "INSERT INTO attempts SELECT id, 1, 5.0, 0.1, 500, 'HTTP 500' FROM deliveries;",
    8: "INSERT INTO ledger (account_id, kind, seconds, balance, created_at, reference)"
       " VALUES ('other', 'grant', 7, 7, 1.0, 'order 8');",
}  # fmt: skip


def released(path: Path, schema: int) -> None:
    """Makes the database as a stembox of that schema left it."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    for number, sql in available():
        if number > schema:
            break
        connection.executescript(f"BEGIN;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")
        connection.executescript(f"BEGIN;\n{ROWS.get(number, '')}\nCOMMIT;")
    connection.close()


Table = tuple[list[str], set[tuple[object, ...]]]


def contents(connection: sqlite3.Connection) -> dict[str, Table]:
    """Every table's columns and rows."""
    found = {}
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    for (table,) in tables.fetchall():
        rows = connection.execute(f"SELECT * FROM {table}")
        columns = [column[0] for column in rows.description]
        found[table] = (columns, {tuple(row) for row in rows})
    return found
