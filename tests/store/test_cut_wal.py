"""S1: the write-ahead log cut at any byte, as a crash may leave it.

The database opens, every invariant holds, and what was answered by the last whole commit is there.
"""

import asyncio
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from store import Database, JobRepository
from tests.faults.planted import part_trigger
from tests.store.invariants import findings
from tests.store.load import Load, Promise

HEADER, FRAME = 32, 24 + 4096  # bytes of the log's file format
LONGEST = 900 * FRAME  # at 1,000 pages SQLite moves the log into the database


class Recorded(NamedTuple):
    """A database as it was when the log began, copies of the log, and what was promised: each
    promise with the log's size when it was given."""

    base: Path
    logs: list[bytes]
    promises: list[Promise]


class EarlyLoad(Load):
    """The planted bug: it answers for the row before the write that makes it."""

    def _promise(self, statement: str, *values: object) -> None:
        self.promises.append(Promise(statement, values, max(0, self._now() - 4 * FRAME)))


async def settle_apart(database: Database) -> None:
    """The planted bug: an ended job's credits are settled by another transaction."""
    settle = await database.write(part_trigger)
    while True:
        await database.write(lambda db: db.execute(settle + " LIMIT 1", {"job": None}))
        await asyncio.sleep(0)


async def record(
    path: Path, seed: int, copies: int, load: type[Load] = Load, planted: bool = False
) -> Recorded:
    """Eight writers fill one log, which is copied while they write."""
    log = path.with_name(f"{path.name}-wal")
    base = path.with_name(f"{path.name}-base")
    async with Database(path) as database:
        writers = load(database, seed, lambda: log.stat().st_size)
        await writers.begin()
        with closing(sqlite3.connect(path)) as other:
            busy = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        assert not busy and not log.stat().st_size
        shutil.copy(path, base)
        bug = asyncio.create_task(settle_apart(database)) if planted else None
        logs: list[bytes] = []

        def go_on() -> bool:
            if log.stat().st_size > len(logs) * LONGEST / copies:
                logs.append(log.read_bytes())
            return len(logs) < copies

        await writers.run(8, go_on)
        if bug is not None:
            bug.cancel()
            await asyncio.gather(bug, return_exceptions=True)
        assert path.read_bytes() == base.read_bytes(), "all of it is in the log"
    return Recorded(base, logs, writers.promises)


async def reopened(path: Path) -> None:
    """As the server starts."""
    async with Database(path) as database:
        await JobRepository(database).stages.recover("next boot", "machine", 1e6)


def wrong_after(recorded: Recorded, log: bytes, folder: Path) -> list[str]:
    """What is wrong with the database after a crash that left this of the log."""
    path = folder / "crashed.db"
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copy(recorded.base, path)
    path.with_name(f"{path.name}-wal").write_bytes(log)
    with closing(sqlite3.connect(path)) as database:
        wrong = findings(database)
        for promise in recorded.promises:
            if promise.at <= len(log) and not database.execute(
                promise.statement, promise.values
            ).fetchone():  # fmt: skip
                wrong.append(f"not kept: {promise.statement} {promise.values}")
    asyncio.run(reopened(path))
    with closing(sqlite3.connect(path)) as database:
        return wrong + [f"after the start: {sentence}" for sentence in findings(database)]


def cut(recorded: Recorded, cuts: int, seed: int, folder: Path) -> list[str]:
    """What is wrong after any of so many cuts, each in one of the copies."""
    chance, wrong = random.Random(seed), []
    for number in range(cuts):
        log = recorded.logs[number % len(recorded.logs)]
        wrong += wrong_after(recorded, log[: chance.randrange(len(log) + 1)], folder)
    return wrong


@pytest.mark.parametrize("seed", [1, 2])
def test_a_log_cut_at_any_byte_loses_no_answer(tmp_path: Path, seed: int) -> None:
    recorded = asyncio.run(record(tmp_path / "a.db", seed, copies=10))
    assert len(recorded.promises) > 50
    assert cut(recorded, 50, seed, tmp_path) == []


def test_a_log_cut_within_its_first_frames(tmp_path: Path) -> None:
    recorded = asyncio.run(record(tmp_path / "a.db", 3, copies=2))
    for size in (0, 1, HEADER - 1, HEADER, HEADER + 24, HEADER + FRAME - 1, HEADER + FRAME):
        assert wrong_after(recorded, recorded.logs[-1][:size], tmp_path) == []


def test_credits_settled_apart_from_their_job_are_found(tmp_path: Path) -> None:
    recorded = asyncio.run(record(tmp_path / "a.db", 4, copies=10, planted=True))
    assert any("a hold that is not settled" in sentence
               for sentence in cut(recorded, 60, 4, tmp_path))


def test_an_answer_before_its_commit_is_found(tmp_path: Path) -> None:
    recorded = asyncio.run(record(tmp_path / "a.db", 5, copies=10, load=EarlyLoad))
    assert any("not kept" in sentence for sentence in cut(recorded, 40, 5, tmp_path))


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 110))
def test_a_thousand_cuts(tmp_path: Path, seed: int) -> None:
    recorded = asyncio.run(record(tmp_path / "a.db", seed, copies=25))
    assert cut(recorded, 100, seed, tmp_path) == []
