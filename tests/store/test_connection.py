"""Transactions on the writer's thread: whole or not at all, whoever is cancelled."""

import asyncio
import random
import sqlite3
from pathlib import Path

import pytest

from store import Database, DatabaseError
from store import connection as module
from store.migrations import available, migrate


def insert(db: sqlite3.Connection, name: str, fail: bool = False) -> None:
    db.execute("INSERT INTO facts (name, value) VALUES (?, 'x')", (name,))
    if fail:
        raise ValueError(name)


def names(db: sqlite3.Connection) -> set[str]:
    return {row["name"] for row in db.execute("SELECT name FROM facts")}


def test_a_failed_write_undoes_itself_and_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database(tmp_path / "a.db") as db:
            results = await asyncio.gather(
                *(db.write(insert, f"n{i}", i % 3 == 0) for i in range(30)),
                return_exceptions=True)
            assert [isinstance(r, ValueError) for r in results] == [i % 3 == 0 for i in range(30)]
            assert await db.read(names) == {f"n{i}" for i in range(30) if i % 3}

    asyncio.run(main())


def test_writes_that_meet_share_a_commit(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database(tmp_path / "a.db") as db:
            commits: list[str] = []
            await db.write(lambda c: c.set_trace_callback(commits.append))
            await asyncio.gather(*(db.write(insert, f"n{i}") for i in range(50)))
            assert commits.count("COMMIT") <= 3

    asyncio.run(main())


def test_cancelled_writers_leave_no_transaction_open(tmp_path: Path) -> None:
    async def main() -> None:
        chance = random.Random(1)
        async with Database(tmp_path / "a.db") as db:
            for i in range(200):
                task = asyncio.create_task(db.write(insert, f"n{i}"))
                if chance.random() < 0.7:
                    await asyncio.sleep(chance.random() * 0.001)
                    task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await asyncio.wait_for(db.write(insert, "last"), 5)
            assert "last" in await db.read(names)
            assert not await db.read(lambda c: c.in_transaction)

    asyncio.run(main())


def test_a_closed_database_answers_nobody_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database(tmp_path / "a.db") as db:
            before = asyncio.create_task(db.write(insert, "before"))
            await asyncio.sleep(0)
        await before  # what was given before it closed is on disk
        for late in (db.write(insert, "late"), db.read(names), db.watch(names)):
            with pytest.raises(DatabaseError, match="is closed"):
                await late

    asyncio.run(main())


def test_the_reader_cannot_write(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database(tmp_path / "a.db") as db:
            with pytest.raises(OSError, match="readonly"):
                await db.read(insert, "x")

    asyncio.run(main())


def test_a_pragma_that_does_not_hold_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with Database(tmp_path / "a.db"):
            pass

    monkeypatch.setitem(module.PRAGMAS, "synchronous", ("NORMAL", 2))
    with pytest.raises(DatabaseError, match="synchronous"):
        asyncio.run(main())


def test_a_migration_that_is_killed_can_be_run_again(tmp_path: Path) -> None:
    """At every statement: what was half done is undone, and the next start does it all."""
    statements = 0
    while True:
        path = tmp_path / f"{statements}.db"
        connection = sqlite3.connect(path, isolation_level=None)
        seen = 0

        def kill(_: str, stop: int = statements, db: sqlite3.Connection = connection) -> None:
            nonlocal seen
            seen += 1
            if seen > stop:
                db.interrupt()

        connection.set_trace_callback(kill)
        try:
            migrate(connection)
            whole = True
        except sqlite3.OperationalError:
            whole = False
        connection.close()
        again = sqlite3.connect(path, isolation_level=None)
        assert migrate(again) == available()[-1][0]
        assert again.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert again.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
        again.close()
        if whole:
            break
        statements += 1
    assert statements > 3


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    connection.execute("PRAGMA user_version = 9999")
    with pytest.raises(RuntimeError, match="newer"):
        migrate(connection)
    connection.close()


def test_a_killed_writer_loses_no_answered_write(tmp_path: Path) -> None:
    """The process ends without a word right after the answer; a new one finds it."""
    import subprocess
    import sys

    script = """
import asyncio, os, sys
from pathlib import Path
from store import Database
def insert(db, name):
    db.execute("INSERT INTO facts VALUES (?, 'x')", (name,))
async def main():
    db = await Database(Path(sys.argv[1])).__aenter__()
    for i in range(20):
        await db.write(insert, str(i))
    os._exit(9)
asyncio.run(main())
"""
    path = tmp_path / "a.db"
    subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=60)

    async def main() -> None:
        async with Database(path) as db:
            assert await db.read(names) == {str(i) for i in range(20)}

    asyncio.run(main())
