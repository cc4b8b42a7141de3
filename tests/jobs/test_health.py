"""What is in the way of new work: workers, the database, the disk, loops that have ended."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from server.errors import DiskFull
from server.jobs import health as health_module
from server.jobs.health import POOLS, Health, check_disk
from server.work.workers import Workers
from store import Database


class AllButOne(Workers):
    """Workers of every pool but one are there."""

    missing = ""

    def ready(self, pool: str) -> bool:
        return pool != self.missing


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


def watching(
    checks: dict[str, Callable[[], Awaitable[object]]],
    body: Callable[[Health], Awaitable[None]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(health_module, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(health_module, "PATIENCE", 0.3)

    async def run() -> None:
        health = Health(AllButOne(60), checks)
        loop = asyncio.create_task(health.run())
        await body(health)
        assert not loop.done()
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)

    asyncio.run(run())


@pytest.mark.parametrize("pool", POOLS)
def test_a_pool_without_a_worker(pool: str) -> None:
    workers = AllButOne(60)
    assert Health(workers, {}).problems() == []
    workers.missing = pool
    assert Health(workers, {}).problems() == [f"No {pool} worker is ready"]


def test_a_database_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program holds its lock: reading works on, and nothing can be written."""
    async def body(health: Health) -> None:
        assert health.problems() == []
        with sqlite3.connect(tmp_path / "db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            await until(lambda: health.problems() == ["The database does not answer"])
            other.execute("ROLLBACK")
        other.close()
        await until(lambda: health.problems() == [])

    async def run() -> None:
        async with Database(tmp_path / "db") as database:
            loop = asyncio.create_task((health := Health(AllButOne(60), {
                "database": database.check})).run())  # fmt: skip
            await body(health)
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)

    monkeypatch.setattr(health_module, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(health_module, "PATIENCE", 0.3)
    asyncio.run(run())


def test_a_check_writes_and_changes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with Database(tmp_path / "db") as database:
            version, wal = database.version, tmp_path / "db-wal"
            before = wal.stat().st_size
            await database.check()
            assert wal.stat().st_size > before, "a check that writes nothing finds no full disk"
            assert database.version == version, "nobody has to read anything again"
            await database.write(lambda db: db.execute("PRAGMA query_only = ON"))
            with pytest.raises(Exception, match=r"(?i)read-?only"):
                await database.check()

    asyncio.run(run())


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 4.9
    monkeypatch.setattr(health_module, "free_percent", lambda _: free)
    with pytest.raises(DiskFull):
        check_disk(tmp_path, 5)

    async def look() -> None:
        check_disk(tmp_path, 5)

    async def body(health: Health) -> None:
        nonlocal free
        await until(lambda: ["almost full" in problem for problem in health.problems()] == [True])
        free = 5.0
        await until(lambda: health.problems() == [])

    watching({"disk": look}, body, monkeypatch)


def test_a_check_that_crashes_or_hangs_is_a_problem_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash() -> None:
        raise ZeroDivisionError

    released = asyncio.Event()

    async def body(health: Health) -> None:
        await until(lambda: sorted(health.problems()) == [
            "The disk does not work", "The other does not answer"])  # fmt: skip
        released.set()
        await until(lambda: health.problems() == ["The disk does not work"])

    watching({"disk": crash, "other": released.wait}, body, monkeypatch)


def test_a_loop_that_ends_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It will never come back by itself: jobs would wait for ever."""
    async def crash() -> None:
        raise ZeroDivisionError

    async def body(health: Health) -> None:
        assert health.alive
        health.watch(asyncio.create_task(asyncio.sleep(60)))
        await asyncio.sleep(0)
        assert health.alive
        health.watch(asyncio.create_task(crash()))
        await until(lambda: not health.alive)
        assert health.problems() == ["A part of the server has stopped"]

    watching({"disk": lambda: asyncio.sleep(0)}, body, monkeypatch)
