"""Copies of a database file that others write to at the same time, and opening such a copy."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from store.migrations import migrate

PAGES = 4096  # copied at a time

Report = Callable[[float], None]
"""Is told the share that is done."""


def copy_database(source: Path, target: Path, report: Report = lambda done: None) -> None:
    """Copies the database as it is at one moment, synced. Nobody waits for it (WAL).

    Raises:
        sqlite3.Error: it cannot be read, or the copy not be written.
    """

    def progress(_: int, remaining: int, total: int) -> None:
        report(1 - remaining / total if total else 1.0)

    address = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=10, isolation_level=None)) as read:
        # One transaction around all steps: what is written meanwhile does not start it again.
        read.execute("BEGIN")
        read.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        with closing(sqlite3.connect(target)) as written:
            written.execute("PRAGMA synchronous = FULL")
            read.backup(written, pages=PAGES, progress=progress)


@contextmanager
def opened_copy(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a copy, which is brought to the present schema first.

    Raises:
        sqlite3.Error: it is no database.
        RuntimeError: a newer stembox has written it.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
        migrate(connection)
        yield connection
