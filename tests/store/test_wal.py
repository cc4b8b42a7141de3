"""The write-ahead log stays short beside readers that are slow, or that are always there."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from store import Database
from store import wal as module

LIMIT = 400_000  # bytes
ROW = 20_000  # bytes of one write
ROWS = 300
MORE = 4  # times the limit: pages that a commit adds, and what comes while readers are waited for


def insert(db: sqlite3.Connection, number: int) -> None:
    values = (f"n{number}", "x" * ROW)
    db.execute("INSERT INTO facts (name, value) VALUES (?, ?)", values)


async def write_all(db: Database) -> int:
    """Writes all rows; the largest size of the log meanwhile."""
    largest = 0
    for number in range(ROWS):
        await db.write(insert, number)
        largest = max(largest, (await db.sizes()).log)
    return largest


@contextmanager
def readers_that_take_turns(path: Path) -> Iterator[None]:
    """At every moment one of two reads an older state: the next begins before the last ends."""
    ended, began = threading.Event(), threading.Event()

    def take_turns() -> None:
        readers = [sqlite3.connect(path, isolation_level=None) for _ in range(2)]
        turn = 0
        while not ended.is_set():
            readers[turn % 2].execute("BEGIN")
            readers[turn % 2].execute("SELECT count(*) FROM facts").fetchone()
            if readers[(turn + 1) % 2].in_transaction:
                readers[(turn + 1) % 2].execute("COMMIT")
            began.set()
            turn += 1
            time.sleep(0.002)
        for reader in readers:
            reader.close()

    thread = threading.Thread(target=take_turns)
    thread.start()
    began.wait()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("bounded", [True, False])
def test_readers_that_are_always_there(tmp_path: Path, bounded: bool) -> None:
    """Without the bound the log holds all that was written: the readers are real."""
    async def main() -> int:
        limit = LIMIT if bounded else ROW * ROWS * 100
        async with Database(tmp_path / "a.db", limit) as db:
            with readers_that_take_turns(tmp_path / "a.db"):
                return await write_all(db)

    largest = asyncio.run(main())
    assert (largest < MORE * LIMIT) == bounded
    assert bounded or largest > ROW * ROWS / 2, "a moment without a reader lets some of it go"


def test_one_that_reads_for_long_keeps_nobody_waiting_at_every_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_MS", 1)
    path = tmp_path / "a.db"

    async def main() -> None:
        async with Database(path, LIMIT) as db:
            tries: list[str] = []
            await db.write(lambda c: c.set_trace_callback(tries.append))
            reader = sqlite3.connect(path, isolation_level=None)
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM facts").fetchone()
            largest = await write_all(db)
            assert largest > ROW * ROWS, "what it reads must stay"
            count = sum("wal_checkpoint" in line for line in tries)
            assert 0 < count <= largest / LIMIT
            reader.close()
            for number in range(ROWS, ROWS + 2 * LIMIT // ROW):
                await db.write(insert, number)
            assert (await db.sizes()).log < MORE * LIMIT
            assert await db.read(lambda c: c.execute("PRAGMA busy_timeout").fetchone()[0]) == 10000
            assert await db.write(lambda c: c.execute("PRAGMA busy_timeout").fetchone()[0]) == 10000

    asyncio.run(main())


def test_a_log_that_cannot_be_cut_fails_no_write(tmp_path: Path) -> None:
    """The transaction is on disk by then."""
    def refuse(action: int, name: str | None, value: str | None, *_: object) -> int:
        return sqlite3.SQLITE_DENY if name == "wal_checkpoint" else sqlite3.SQLITE_OK

    async def main() -> None:
        async with Database(tmp_path / "a.db", 0) as db:
            await db.write(lambda c: c.set_authorizer(refuse))
            await db.write(insert, 1)
            assert (await db.sizes()).log > ROW
            await db.write(lambda c: c.set_authorizer(None))
            await db.write(insert, 2)
            assert (await db.sizes()).log == 0, "as soon as it can"

    asyncio.run(main())


def test_what_deleted_rows_leave_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database(tmp_path / "a.db") as db:
            await write_all(db)
            before = await db.sizes()
            await db.write(lambda c: c.execute("DELETE FROM facts"))
            after = await db.sizes()
            assert before.free < ROW < ROW * ROWS * 0.9 < after.free <= after.file
            assert before.file >= ROW * ROWS

    asyncio.run(main())
