"""Copies of a database file that others write to at the same time, and opening such a copy."""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from store.migrations import available, migrate, schema_of

PAGES = 4096  # copied at a time

Report = Callable[[float], None]
"""Is told the share that is done."""

DAMAGED = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file raises: what SQLite says of one need not be text."""


def copy_database(source: Path, target: Path, report: Report = lambda done: None) -> None:
    """Copies the database as it is at one moment, synced. Nobody waits for it (WAL).

    Raises:
        sqlite3.Error, UnicodeDecodeError: it cannot be read, or the copy not be written.
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


def damage_of(path: Path) -> str | None:
    """What is wrong with a copy's file, in SQLite's words; None where it is whole. A copy is as
    damaged as what it was made of."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            found: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                return found.splitlines()[-1]
            tables = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")
            for name, _ in tables.fetchall():
                for _ in connection.execute(f'SELECT * FROM "{name}"'):
                    pass  # what is stored as text is text
    except DAMAGED as error:
        return str(error).splitlines()[0]
    return None


@contextmanager
def asked_copy(path: Path) -> Iterator[sqlite3.Connection]:
    """As `opened_copy`, of a copy that stays as it is: where its schema is an older one, another
    copy of it is brought to the present one beside it, and removed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        older = schema_of(connection) < available()[-1][0]
    if not older:
        with opened_copy(path) as connection:
            yield connection
        return
    other = path.with_name(f"{path.name}-asked")
    try:
        copy_database(path, other)
        with opened_copy(other) as connection:
            yield connection
    finally:
        for left in (other, *other.parent.glob(f"{other.name}-*")):
            left.unlink(missing_ok=True)


@contextmanager
def opened_copy(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a copy, which is brought to the present schema first.

    Raises:
        sqlite3.Error, UnicodeDecodeError: it is no database, or damaged.
        OSError: there is no room to bring it there.
        RuntimeError: a newer stembox has written it.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
        try:
            migrate(connection)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None
            raise
        yield connection
