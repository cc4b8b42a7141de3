"""SQLite connections on one file, each on its own thread: a writer, a reader, and one that counts.

A transaction is one function that runs whole on the writer's thread, so a cancelled task can
never leave one open. Writes that arrive together share one commit, and so one fsync; reads that
arrive together share one hop to their thread.
"""

import asyncio
import errno
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import aiosqlite

from store.hosts import host_of, lane_of
from store.migrations import migrate
from store.wal import LIMIT, FileSizes, WriteAheadLog, file_sizes

T = TypeVar("T")
Transaction = Callable[..., Any]
Work = list[tuple[Transaction, tuple[Any, ...]]]
Outcomes = list[tuple[Any, Exception | None]]
RunAll = Callable[[sqlite3.Connection, Work], Outcomes]

# name -> (value to set, value that must be read back)
PRAGMAS: dict[str, tuple[str, object]] = {
    "journal_mode": ("WAL", "wal"),
    "synchronous": ("FULL", 2),  # what a client was told survives a power cut
    "foreign_keys": ("ON", 1),
    "busy_timeout": ("10000", 10000),
    "secure_delete": ("FAST", 2),  # what was replaced in a page is overwritten with it
    "cache_size": ("-32768", -32768),  # KiB: the inner pages of gigabytes
    "temp_store": ("MEMORY", 2),  # a full /tmp is no reason for a transaction to fail
}


# What is no defect of ours: SQLite's primary result codes, and how the system calls the same.
ERRNOS: dict[int, int] = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_CANTOPEN: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
}
PRIMARY = 0xFF  # the bits of an extended result code that are the primary one


class DatabaseError(Exception):
    """The database cannot be opened or does not keep its promises."""


class Database:
    """An open database. Use as `async with Database(path) as db`.

    `version` is another number after every change, before anybody is told of it: what was read
    under the same version is still true.

    Functions given to `read`, `watch` and `write` take the `sqlite3.Connection` first.

    log_limit: bytes of the write-ahead log from which on it is cut.
    """

    def __init__(self, path: Path, log_limit: int = LIMIT) -> None:
        self.path = path
        self.version = 0
        self._log = WriteAheadLog(path, log_limit)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            writer = await stack.enter_async_context(_connect(self.path))
            await _call(writer, migrate)
            await _call(writer, self._log.prepare)
            self._connection, self._changes = writer, writer.total_changes
            reader = await stack.enter_async_context(_connect(self.path))
            await _call(reader, _forbid_writes)
            watcher = await stack.enter_async_context(_connect(self.path))
            await _call(watcher, _forbid_writes)
            self._writer = Batches(writer, partial(_commit_and_trim, self._log), self._changed)
            self._reader = Batches(reader, _read_all)
            self._watcher = Batches(watcher, _read_all)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        for batches in (self._writer, self._reader, self._watcher):
            await batches.finish()
        await self._stack.aclose()

    def _changed(self) -> None:
        if self._changes != (changes := self._connection.total_changes):
            self._changes = changes
            self.version += 1

    async def sizes(self) -> FileSizes:
        """What the database takes on the disk."""
        return await self.read(file_sizes, self._log)

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Runs `function(connection, *args)` on the reader's thread."""
        return await self._reader.run(function, args)

    async def watch(self, function: Callable[..., T], *args: Any) -> T:
        """As `read`, for what may take long: no other reader waits for it."""
        return await self._watcher.run(function, args)

    async def write(self, function: Callable[..., T], *args: Any) -> T:
        """Runs `function(connection, *args)` as one transaction; returns once it is on disk.

        Whatever it raises rolls back this function's changes alone and is raised here. If the
        caller is cancelled the transaction is still carried out. Where the disk is in the way, that
        is an OSError (ERRNOS).
        """
        return await self._writer.run(function, args)

    async def check(self) -> None:
        """Commits something that changes nothing. Raises where the database refuses that."""
        await self.write(_touch)


class Batches:
    """Takes what has gathered to a connection's thread in one go: a hop costs more than a query."""

    def __init__(
        self, connection: aiosqlite.Connection, run_all: RunAll,
        done: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._connection = connection
        self._run_all = run_all
        self._done = done
        self._queue: list[tuple[Transaction, tuple[Any, ...], asyncio.Future[Any]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._closed = False

    async def run(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        """Runs `function(connection, *args)` with whatever else has gathered. Raises DatabaseError:
        the database is closed."""
        if self._closed:
            raise DatabaseError("the database is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append((function, args, future))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="store")
        return await future

    async def finish(self) -> None:
        """Takes nothing more, and waits for what is under way."""
        self._closed = True
        if self._flusher is not None:
            await asyncio.wait([self._flusher])

    async def _flush(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            work = [(function, args) for function, args, _ in batch]
            try:
                outcomes = await _call(self._connection, self._run_all, work)
            except Exception as error:
                outcomes = [(None, error)] * len(batch)
            self._done()
            for (_, _, future), (result, problem) in zip(batch, outcomes, strict=True):
                if future.done():
                    continue
                if problem is None:
                    future.set_result(result)
                else:
                    future.set_exception(_said(problem))


def _said(error: Exception) -> Exception:
    """The error as the system would say it, where it is the disk's: new for everybody who waits."""
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY
    if code in ERRNOS:
        said = OSError(ERRNOS[code], f"the database: {error}")
        said.__cause__ = error
        return said
    return error


async def _call(connection: aiosqlite.Connection, function: Callable[..., T], *args: Any) -> T:
    # The library has no public way to run a function on its thread; this is the call that
    # all its own methods are made of.
    return await connection._execute(function, connection._conn, *args)  # type: ignore[no-any-return]


@asynccontextmanager
async def _connect(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        await _call(connection, _prepare)
        yield connection


def _touch(connection: sqlite3.Connection) -> None:
    """Goes all the way to the disk: SQLite writes this number anew, the same as before."""
    (number,) = connection.execute("PRAGMA application_id").fetchone()
    connection.execute(f"PRAGMA application_id = {number}")


def _forbid_writes(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")


def _prepare(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    connection.create_function("host_of", 1, host_of, deterministic=True)
    connection.create_function("lane_of", 1, lane_of, deterministic=True)
    for name, (value, expected) in PRAGMAS.items():
        connection.execute(f"PRAGMA {name} = {value}").fetchall()
        found = connection.execute(f"PRAGMA {name}").fetchone()[0]
        if found != expected:
            raise DatabaseError(f"PRAGMA {name} is {found!r}, and must be {expected!r}")


def _read_all(connection: sqlite3.Connection, work: Work) -> Outcomes:
    """One after the other; what one raises is its own."""
    outcomes: Outcomes = []
    for function, args in work:
        try:
            outcomes.append((function(connection, *args), None))
        except Exception as error:
            outcomes.append((None, error))
    return outcomes


def _commit_and_trim(log: WriteAheadLog, connection: sqlite3.Connection, work: Work) -> Outcomes:
    outcomes = _commit_all(connection, work)
    log.trim(connection)
    return outcomes


def _commit_all(connection: sqlite3.Connection, work: Work) -> Outcomes:
    """All functions in one commit, each in a savepoint of its own."""
    outcomes: Outcomes = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        for function, args in work:
            outcomes.append(_run_one(connection, function, args))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return outcomes


def _run_one(
    connection: sqlite3.Connection, function: Transaction, args: tuple[Any, ...]
) -> tuple[Any, Exception | None]:
    connection.execute("SAVEPOINT one")
    try:
        result = function(connection, *args)
    except Exception as error:
        if not connection.in_transaction:  # a full disk rolls everything back by itself
            raise
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        return None, error
    connection.execute("RELEASE one")
    return result, None
