"""Deliveries of an older database, and what a delivery may be."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from store import Database, DeliveryRepository, WebhookRepository
from store.migrations import available
from store.webhooks import Shares

OLD = """
INSERT INTO accounts VALUES ('ann', 'ann', 1);
INSERT INTO webhooks (id, account_id, url, events, secret, created_at)
VALUES ('w', 'ann', 'http://w', '["job.completed"]', 'whsec_AAAA', 1);
INSERT INTO jobs (id, api, state, options, created_at, account_id, callback_url) VALUES
    ('a', 'stemsplit', 'processing', '{}', 1, 'ann', 'http://own'),
    ('p', 'pipeline', 'processing', '{}', 1, NULL, 'http://nobodys');
UPDATE jobs SET state = 'completed', completed_at = 2;
UPDATE deliveries SET attempt = 3, last_error = 'HTTP 500' WHERE webhook_id IS NOT NULL;
"""


def older(path: Path) -> None:
    """A database of before attempts were kept, with three deliveries in it."""
    connection = sqlite3.connect(path, isolation_level=None)
    for number, sql in available():
        if number <= 5:
            connection.executescript(f"{sql}; PRAGMA user_version = {number};")
    connection.executescript(OLD)
    connection.close()


def test_what_was_to_be_sent_is_still_to_be_sent(tmp_path: Path) -> None:
    older(tmp_path / "t.db")

    async def main() -> None:
        async with Database(tmp_path / "t.db") as db:
            due = await WebhookRepository(db).due(9.0, Shares(9, 9, 9, 9))
            assert sorted((d.job_id, d.webhook_id, d.attempt) for d in due if d.webhook_id) == [
                ("a", "w", 3)]  # fmt: skip
            assert sorted(d.job_id for d in due if d.webhook_id is None) == ["a", "p"]
            sent, total = await DeliveryRepository(db).page("ann", None, 9, 0)
            assert {(s.job_id, s.url, s.last_error) for s in sent} == {
                ("a", "http://w", "HTTP 500"), ("a", "http://own", None)}  # fmt: skip
            assert (total, sent[0].attempts) == (2, [])

    asyncio.run(main())


def test_a_job_that_ends_after_the_change_is_told_of(tmp_path: Path) -> None:
    older(tmp_path / "t.db")

    def end(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO jobs (id, api, state, options, created_at, account_id) "
                   "VALUES ('b', 'stemsplit', 'processing', '{}', 3, 'ann')")
        db.execute("UPDATE jobs SET state = 'completed', completed_at = 4 WHERE id = 'b'")

    def to_nobody(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO deliveries (id, event, next_at, created_at) "
                   "VALUES ('x', 'job.failed', 1, 1)")

    async def main() -> None:
        async with Database(tmp_path / "t.db") as db:
            await db.write(end)
            [newest, *_], _ = await DeliveryRepository(db).page("ann", None, 9, 0)
            assert (newest.job_id, newest.webhook_id, newest.state) == ("b", "w", "waiting")
            with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
                await db.write(to_nobody)

    asyncio.run(main())
