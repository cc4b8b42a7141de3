"""Keeps the write-ahead log short. Runs on the writer's thread, after its commits.

SQLite begins the log anew only when a commit finds no reader in it: on a busy server, or beside a
long reader, that may be never. https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files
"""

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

LIMIT = 64 << 20  # bytes
PATIENCE_MS = 500  # for the readers of an old state to end; who comes meanwhile reads the new one


class FileSizes(NamedTuple):
    """Bytes: of the database file, of it what deleted rows have left free, and of the log."""

    file: int
    free: int
    log: int


class WriteAheadLog:
    """The log of the database at `path`, and when it is to be cut next."""

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self._path = path.with_name(f"{path.name}-wal")
        self._limit = self._next = limit

    def size(self) -> int:
        """Bytes of the file."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Has a log that begins anew give back what it took before."""
        connection.execute(f"PRAGMA journal_size_limit = {self._limit}").fetchall()

    def trim(self, connection: sqlite3.Connection) -> None:
        """Cuts a log that has outgrown its limit.

        Where a reader does not end, not before it has grown by as much again: nobody is kept
        waiting at every commit. What was committed stays so, whatever becomes of this.
        """
        size = self.size()
        if size <= self._next:
            return
        self._next = size + self._limit
        usual = connection.execute("PRAGMA busy_timeout").fetchone()[0]
        connection.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
        with suppress(sqlite3.DatabaseError):  # a disk without room, for one
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                self._next = self._limit
        connection.execute(f"PRAGMA busy_timeout = {usual}")


def file_sizes(connection: sqlite3.Connection, log: WriteAheadLog) -> FileSizes:
    """What the database takes on the disk."""
    page, pages, free = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_size", "page_count", "freelist_count")
    )
    return FileSizes(page * pages, page * free, log.size())
