"""Deliveries of an older database, and what a delivery may be."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from store import Database, DeliveryRepository, WebhookRepository
from store.deliveries import Attempt
from store.migrations import available
from store.webhooks import Delivery, FailedDelivery, Shares

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


TRIED = Attempt(1.0, 0.5, 500, "HTTP 500")
SHARES = Shares(9, 9, 9, 9)


def late(tmp_path: Path, meanwhile: str, next_at: float | None) -> tuple[str, int, float, int]:
    """What is left of a delivery whose attempt fails after something else has happened to it: its
    state, its count of attempts, its time, and how many attempts are kept."""
    older(tmp_path / "t.db")

    async def main() -> tuple[str, int, float, int]:
        async with Database(tmp_path / "t.db") as db:
            hooks, deliveries = WebhookRepository(db), DeliveryRepository(db)
            (begun,) = [one for one in await hooks.due(9.0, SHARES) if one.webhook_id]
            if meanwhile == "sent again":
                await deliveries.send_again("ann", begun.id, 50.0, None, lambda _: b"")
            elif meanwhile == "arrived":
                await hooks.delivered(begun, TRIED, 50.0)
            elif meanwhile == "given up":
                await hooks.missed(begun, TRIED, FailedDelivery("no", None, False, 99), 50.0)
            await hooks.missed(begun, TRIED, FailedDelivery("no", next_at, False, 99), 60.0)
            (sent,) = [one for one in (await deliveries.page("ann", None, 9, 0))[0]
                       if one.webhook_id]  # fmt: skip
            left: list[Delivery] = await hooks.due(1e9, SHARES)
            attempts = [one.attempt for one in left if one.id == begun.id]
            return sent.state, (attempts or [-1])[0], sent.next_at, len(sent.attempts)

    return asyncio.run(main())


@pytest.mark.parametrize(("meanwhile", "next_at", "left"), [
    ("nothing", 70.0, ("waiting", 4, 70.0, 1)),
    ("nothing", None, ("given_up", -1, 2.0, 1)),
    ("sent again", 70.0, ("waiting", 0, 50.0, 1)),
    ("sent again", None, ("waiting", 0, 50.0, 1)),
    ("arrived", 70.0, ("delivered", -1, 2.0, 2)),
    ("arrived", None, ("delivered", -1, 2.0, 2)),
    ("given up", 70.0, ("given_up", -1, 2.0, 2)),
])  # fmt: skip
def test_an_attempt_that_fails_too_late_changes_nothing(
    tmp_path: Path, meanwhile: str, next_at: float | None, left: tuple[str, int, float, int]
) -> None:
    """It is kept with the others; but what was sent again by hand goes out, at once and by the
    whole schedule, and what has arrived has arrived."""
    assert late(tmp_path, meanwhile, next_at) == left


def test_a_long_history_goes_bit_by_bit_and_with_its_webhook_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each bit is a transaction of its own: others are let in between."""
    monkeypatch.setattr("store.webhooks.MOST", 3)

    def fill(db: sqlite3.Connection) -> None:
        db.executemany("INSERT INTO accounts (id, name, created_at) VALUES (?1, ?1, 1)",
                       [("ann",), ("bob",)])  # fmt: skip
        db.executemany(
            "INSERT INTO webhooks (id, account_id, url, events, secret, created_at) "
            "VALUES (?1, 'ann', 'http://w', '[]', 'whsec_AAAA', 1)", [("gone",), ("stays",)]
        )
        db.executemany(
            "INSERT INTO deliveries (id, account_id, webhook_id, event, state, next_at, created_at)"
            " VALUES (?, 'ann', ?, 'job.failed', ?, 1, 1)",
            [(f"{hook}{n}", hook, "waiting" if n == 0 else "delivered")
             for hook in ("gone", "stays") for n in range(8)],
        )  # fmt: skip

    async def main() -> None:
        async with Database(tmp_path / "t.db") as db:
            await db.write(fill)
            hooks, most = WebhookRepository(db), []
            write = db.write

            async def watched(work, *args):  # type: ignore[no-untyped-def]
                def counted(connection: sqlite3.Connection) -> object:
                    before = deliveries(connection)
                    done = work(connection, *args)
                    most.append(before - deliveries(connection))
                    return done

                return await write(counted)

            monkeypatch.setattr(db, "write", watched)
            assert not await hooks.delete("bob", "gone") and sum(most) == 0
            assert await hooks.delete("ann", "gone")
            assert sum(most) == 8 and max(most) == 3
            assert await db.read(deliveries) == 8

    asyncio.run(main())


def deliveries(db: sqlite3.Connection) -> int:
    """How many there are."""
    count: int = db.execute("SELECT count(*) FROM deliveries").fetchone()[0]
    return count
