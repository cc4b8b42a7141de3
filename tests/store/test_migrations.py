"""S4: a migration from every released schema, of a database that is in use, killed at each of its
statements: the next start does it whole, and every row is still there."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from store.migrations import available, migrate, schema_of
from tests.store.invariants import findings
from tests.store.released import Table, contents, released

NUMBERS = [number for number, _ in available()]
NEVER_USED = 11  # a database of schema 12 would not get it
# What a migration changes on purpose: columns that a later stembox keeps something else in.
CHANGED = {("jobs", "request")}


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """As the server opens it, before it migrates."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


def migrate_and_die(path: Path, at: int) -> bool:
    """A process migrates, and is killed before statement `at`. False: it came to the end."""
    if (child := os.fork()) == 0:
        with opened(path) as connection:
            statements = iter(range(at))

            def count(_: str) -> None:
                if next(statements, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)

            connection.set_trace_callback(count)
            migrate(connection)
            os._exit(0)
    return os.waitpid(child, 0)[1] != 0


def kept(before: dict[str, Table], after: dict[str, Table]) -> list[str]:
    """What a migration has lost: each row must be there, as far as its columns are."""
    lost = []
    for table, (columns, rows) in before.items():
        now, found = after[table]
        common = [name for name in columns if name in now and (table, name) not in CHANGED]
        here, there = [columns.index(name) for name in common], [now.index(name) for name in common]
        wanted = {tuple(row[i] for i in here) for row in rows}
        lost += [f"{table}: {row}" for row in wanted - {tuple(row[i] for i in there)
                                                       for row in found}]  # fmt: skip
    return lost


def migrate_from(folder: Path, schema: int, all_the_way: bool) -> None:
    """Kills at each statement up to the next schema, where that one's own test goes on."""
    at, killed, reached = 0, True, schema
    while killed and (all_the_way or reached == schema):
        path = folder / f"{at}.db"
        released(path, schema)
        with opened(path) as connection:
            before = contents(connection)
        assert all(rows for _, rows in before.values())
        killed = migrate_and_die(path, at)
        with opened(path) as connection:
            reached = schema_of(connection)
            assert migrate(connection) == NUMBERS[-1]
            assert kept(before, contents(connection)) == []
            assert findings(connection) == []
        at += 1
    assert at > 3


@pytest.mark.parametrize("schema", NUMBERS[:-1])
def test_a_migration_killed_at_each_statement(tmp_path: Path, schema: int) -> None:
    migrate_from(tmp_path, schema, all_the_way=False)


@pytest.mark.chaos
@pytest.mark.parametrize("schema", NUMBERS[:-1])
def test_all_migrations_killed_at_each_statement(tmp_path: Path, schema: int) -> None:
    migrate_from(tmp_path, schema, all_the_way=True)


def test_a_row_that_a_migration_drops_is_found(tmp_path: Path) -> None:
    released(tmp_path / "a.db", NUMBERS[-2])
    with opened(tmp_path / "a.db") as connection:
        before = contents(connection)
        connection.execute("DELETE FROM deliveries WHERE state = 'delivered'")
        connection.execute("UPDATE uploads SET size = 6 WHERE size = 5")
        assert len(kept(before, contents(connection))) >= 2


def test_no_number_is_left_for_a_migration_that_databases_would_skip() -> None:
    """What is numbered below what a database has is never applied to it: a new one goes last."""
    assert [n for n in range(1, NUMBERS[-1] + 1) if n != NEVER_USED] == NUMBERS
