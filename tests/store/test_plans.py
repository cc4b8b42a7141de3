"""No query walks through a table that grows: its plan says so, and the steps that it takes do."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from loadtests.store.filling import BIG, NOW, Sizes, fill
from loadtests.store.probes import opened
from store.statements import load

SQL = Path("store/sql")
# What reads everything by its nature, when a person asks for it or a clock has jumped.
WHOLE = {"audit", "restore", "clock"}
TEMPORARY = {"happenings"}  # a table of the writer's connection, emptied whenever it is read
# People make these, not traffic: accounts by hand, webhooks up to a limit for each account.
FEW = {"accounts", "keys", "webhooks", "facts"}
# Indexes that hold what is unfinished, and nothing of what is over.
UNFINISHED = {
    "jobs_unfinished", "jobs_unfinished_of", "jobs_unfinished_from", "jobs_begun", "stages_queued",
    "stages_running", "stages_late", "stages_orphaned", "deliveries_waiting",
    "deliveries_waiting_of_webhook",
}  # fmt: skip
SIZES = Sizes(finished=3000, queued=100, deliveries=1000, ledger=3000)
LARGER = Sizes(finished=24000, queued=800, deliveries=8000, ledger=24000)


class Anything(dict[str, Any]):
    """A value for every parameter."""

    def __missing__(self, name: str) -> None:
        return None


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "a.db"
    fill(path, SIZES)
    return path


@pytest.fixture(params=["no statistics", "statistics"])
def db(filled: Path, request: pytest.FixtureRequest) -> Iterator[sqlite3.Connection]:
    """With the statistics of a database a thousand times as large, and with none, as it ships."""
    with closing(sqlite3.connect(filled, isolation_level=None)) as connection:
        connection.execute("DROP TABLE IF EXISTS sqlite_stat1")
        if request.param == "statistics":
            connection.execute("ANALYZE")
            found = connection.execute("SELECT stat, rowid FROM sqlite_stat1").fetchall()
            connection.executemany("UPDATE sqlite_stat1 SET stat = ? WHERE rowid = ?",
                                   [(thousandfold(stat), rowid) for stat, rowid in found])
    with closing(sqlite3.connect(filled, isolation_level=None)) as connection:
        for name in ("host_of", "lane_of"):
            connection.create_function(name, 1, lambda url: url, deterministic=True)
        yield connection


def thousandfold(stat: str) -> str:
    """Rows of an index, and of each value of its columns: rare ones stay rare."""
    rows, *each = stat.split(" ")
    return " ".join([f"{rows}000", *(f"{n}000" if int(n) > 9 else n for n in each)])


def scans(db: sqlite3.Connection, sql: str) -> list[str]:
    """The steps of a plan that read the whole of something that grows."""
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    names = dict.fromkeys(tables) | {
        alias: table for table, alias in re.findall(r"\b(\w+)\s+(?=([a-z]+)\b)", sql)
        if table in tables
    }  # fmt: skip
    found = []
    for *_, step in db.execute(f"EXPLAIN QUERY PLAN {sql}", Anything()):
        match = re.match(r"SCAN (\w+)(?: .*INDEX (\w+))?", step)
        if match is None or match[1] not in names or match[2] in UNFINISHED:
            continue
        if (names[match[1]] or match[1]) not in FEW:
            found.append(step)
    return found


STATEMENTS = [
    pytest.param(sql, id=f"{file.stem}.{name}")
    for file in sorted(SQL.glob("*.sql")) if file.stem not in WHOLE | TEMPORARY
    for name, sql in load(file.stem).items()
]  # fmt: skip


@pytest.mark.parametrize("sql", STATEMENTS)
def test_no_plan_scans_a_table_that_grows(db: sqlite3.Connection, sql: str) -> None:
    assert scans(db, sql) == []


@pytest.mark.parametrize("sql", [
    "SELECT * FROM jobs WHERE error IS NOT NULL",
    "SELECT count(*) FROM deliveries",
    "SELECT 1 FROM jobs WHERE id = 'a' UNION ALL SELECT 1 FROM stages WHERE facts = 'x'",
    "DELETE FROM first_answers WHERE answer = 'x'",
    "UPDATE attempts SET error = NULL WHERE status = 500",
    "SELECT 1 FROM tracks t JOIN jobs j ON j.id = t.job_id WHERE t.size = 1",
])  # fmt: skip
def test_a_scan_is_seen(db: sqlite3.Connection, sql: str) -> None:
    assert len(scans(db, sql)) == 1


def test_the_small_indexes_hold_nothing_of_what_is_over(db: sqlite3.Connection) -> None:
    for name in UNFINISHED:
        (sql,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
        table = sql.split(" ON ")[1].split()[0]
        count = db.execute(f"SELECT count(*) FROM {table} WHERE {sql.split(' WHERE ')[1]}")
        assert count.fetchone()[0] < 6 * SIZES.queued, name


async def steps_of_calls(path: Path, sizes: Sizes) -> dict[str, int]:
    """Steps of SQLite's machine for every call of the benchmark, by its name."""
    taken: dict[str, int] = {}
    async with opened(path, sizes) as store:
        count = 0

        def tick() -> int:
            nonlocal count
            count += 1
            return 0

        await store.database.write(lambda c: c.set_progress_handler(tick, 1))
        await store.database.read(lambda c: c.set_progress_handler(tick, 1))
        for probe in await store.probes():
            before = count
            result = await probe.call()
            taken[probe.name] = count - before
            if probe.undo is not None:
                await probe.undo(result)
    return taken


def test_calls_take_as_many_steps_on_eight_times_as_many_rows(
    filled: Path, tmp_path: Path
) -> None:
    """Within two times; what counts the queue itself takes a few steps for each that waits."""
    fill(tmp_path / "larger.db", LARGER)
    small = asyncio.run(steps_of_calls(filled, SIZES))
    large = asyncio.run(steps_of_calls(tmp_path / "larger.db", LARGER))
    counts = {"place in the queue", "forecast", "room of the queue"}
    assert counts < small.keys() == large.keys()
    for name in small.keys() - counts:
        assert large[name] <= 2 * small[name] + 200, (name, small[name], large[name])
    for name in counts:
        assert large[name] <= 12 * LARGER.queued, (name, large[name])


def test_the_filled_database_is_as_the_server_would_have_it(tmp_path: Path) -> None:
    fill(tmp_path / "a.db", SIZES)
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        (count,) = db.execute("SELECT count(*) FROM jobs WHERE created_at <= ?", (NOW,)).fetchone()
        assert count == SIZES.finished + SIZES.queued
        (rows,) = db.execute("SELECT sum(rows) FROM tallies WHERE list = 'jobs' AND shift = 10"
                             " AND account_id = ?", (BIG,)).fetchone()
        assert rows == db.execute("SELECT count(*) FROM jobs WHERE account_id = ? AND"
                                  " api = 'stemsplit'", (BIG,)).fetchone()[0] > 1000
