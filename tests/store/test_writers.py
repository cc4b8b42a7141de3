"""S2: many writers at once, and writers that are cancelled at any moment."""

import asyncio
import multiprocessing
import random
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from store import Database
from tests.store.invariants import findings
from tests.store.load import Load, Promise

WRITERS = 8


def broken(path: Path, promises: list[Promise]) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        lost = [str(promise) for promise in promises
                if not database.execute(promise.statement, promise.values).fetchone()]
        return findings(database) + lost


def until(writes: int, seconds: float) -> Callable[[], bool]:
    """True that often, and as long as that at least."""
    end, count = time.monotonic() + seconds, iter(range(writes))
    return lambda: next(count, None) is not None or time.monotonic() < end


def write(path: Path, number: int, writes: int, seconds: float) -> list[Promise]:
    """A process of its own writes, with connections of its own."""
    async def main() -> list[Promise]:
        async with Database(path) as database:
            load = Load(database, number, name=f"p{number}j")
            await load.join()
            await load.run(2, until(writes, seconds))
            return load.promises

    return asyncio.run(main())


async def begin(path: Path) -> None:
    async with Database(path) as database:
        await Load(database, 0).begin()


def at_once(path: Path, writes: int, seconds: float) -> None:
    asyncio.run(begin(path))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WRITERS, mp_context=spawn) as processes:
        writing = [processes.submit(write, path, number, writes, seconds)
                   for number in range(WRITERS)]
        promises = [promise for done in writing for promise in done.result()]
    assert len(promises) > WRITERS * writes / 8
    assert broken(path, promises) == []


def test_eight_processes_write_and_none_is_locked_out(tmp_path: Path) -> None:
    at_once(tmp_path / "a.db", writes=60, seconds=0)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_eight_processes_write_for_a_minute(tmp_path: Path) -> None:
    at_once(tmp_path / "a.db", writes=60, seconds=60)


def cancelled(path: Path, cancellations: int, seed: int) -> None:
    """Eight writers are cut off at random instants, again and again, and others go on."""
    async def main() -> list[Promise]:
        chance = random.Random(seed)
        async with Database(path) as database:
            load = Load(database, seed)
            await load.begin()
            for _ in range(cancellations // WRITERS):
                writing = asyncio.create_task(load.run(WRITERS, lambda: True))
                await asyncio.sleep(chance.random() * 0.01)
                writing.cancel()
                await asyncio.wait([writing])
                assert writing.cancelled(), writing.exception()
            await load.run(WRITERS, until(50, 0))
            while database._writer._queue or not database._writer._flusher.done():
                await asyncio.sleep(0.001)  # what nobody waits for any more is carried out as well
            assert not database._connection.in_transaction
            return load.promises

    assert broken(path, asyncio.run(main())) == []


def test_writers_cancelled_at_any_moment(tmp_path: Path) -> None:
    cancelled(tmp_path / "a.db", 200, seed=1)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [2, 3])
def test_a_thousand_cancelled_writers(tmp_path: Path, seed: int) -> None:
    cancelled(tmp_path / "a.db", 1000, seed)
