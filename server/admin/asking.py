"""Has commands carried out, by the server that runs on a data directory or here.

The database has one writer: a running server carries commands out itself and is asked through a
socket in its data directory; without one, the command line opens the database.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from server.admin.messages import (
    LONGEST_ANSWER,
    PATIENCE_S,
    Answer,
    Asked,
    Command,
    CreateKey,
    Grant,
    Refused,
    RevokeKeys,
    Snapshot,
    Unsure,
    patience_for,
    proof_of,
)
from server.admin.once import Unanswered, named
from server.admin.server import AdminServer, seconds_of
from server.admin.snapshots import remove_snapshot, take_snapshot
from server.errors import StemboxError
from server.jobs.disk.database import DATABASE, check_database
from server.jobs.disk.folders import (
    CANNOT_LOCK,
    Folders,
    full_disk_is_said,
    server_secret,
    socket_path,
)
from store import Database
from store.copying import DAMAGED


def carry_out(command: Command, data_dir: Path) -> str:
    """Runs a command by the server that runs on `data_dir`, or here if there is none.

    Raises:
        StemboxError: it was refused, or there is no database, which the first key alone makes.
        Unanswered: it may have been carried out. Given again, it pays no second time.
    """
    os.umask(0o077)
    folders = Folders(data_dir)
    folders.check()
    if not isinstance(command, CreateKey) and not (data_dir / DATABASE).exists():
        raise StemboxError(f"there is no database in {data_dir}")
    with full_disk_is_said():
        folders.create()
    if isinstance(command, CreateKey | Grant) and command.minutes:
        seconds_of(command.minutes)  # what is no number could not even be told to a server
    if not isinstance(command, CreateKey | Grant) or command.reference:
        return _carry_out(command, data_dir)
    with named(data_dir, msgspec.json.encode(command).decode()) as reference:
        return _carry_out(msgspec.structs.replace(command, reference=reference), data_dir)


@contextmanager
def snapshot(data_dir: Path) -> Iterator[Path]:
    """A copy of the database, removed behind this context. Raises StemboxError."""
    copy = Path(carry_out(Snapshot(), data_dir))
    try:
        yield copy
    finally:
        remove_snapshot(copy)


def _carry_out(command: Command, data_dir: Path) -> str:
    """Asks again and again: a server may start just now, another command may end just now."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with open(data_dir / "lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            except OSError as error:
                raise StemboxError(f"{data_dir} {CANNOT_LOCK}: {error.strerror}") from None
            else:
                return asyncio.run(_here(command, data_dir))
        with suppress(OSError):
            asked = Asked(proof_of(server_secret(data_dir)), command)
            return asyncio.run(_ask(asked, socket_path(data_dir, "admin.sock")))
        if time.monotonic() > deadline:
            raise Unanswered("the server on this data directory is silent")
        time.sleep(0.1)


async def _here(command: Command, data_dir: Path) -> str:
    if isinstance(command, Snapshot):  # of the schema that it is
        return str(take_snapshot(data_dir))
    path = data_dir / DATABASE
    check_database(Folders(data_dir))  # a new one beside songs would know none of them
    async with AsyncExitStack() as stack:
        try:
            database = await stack.enter_async_context(Database(path))
            return await AdminServer(database, server_secret(data_dir), lambda: None).run(command)
        except (RuntimeError, *DAMAGED) as error:  # a newer stembox's, none at all, a damaged one
            raise StemboxError(f"{path}: {error}") from None


async def _ask(asked: Asked, path: Path) -> str:
    """Raises OSError: nobody was asked."""
    command = asked.command
    reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_ANSWER)
    try:
        async with asyncio.timeout(2 * patience_for(command)):
            writer.write(msgspec.json.encode(asked) + b"\n")
            await writer.drain()
            answer = msgspec.json.decode(await reader.readline(), type=Answer)
    except (msgspec.DecodeError, ValueError, OSError):
        raise Unanswered(f"the server has not answered{unknown(command)}") from None
    finally:
        writer.close()
    if isinstance(answer, Refused):
        raise StemboxError(answer.reason)
    if isinstance(answer, Unsure):
        raise Unanswered(f"{answer.reason}{unknown(command)}")
    return answer.text


def unknown(command: Command) -> str:
    """What is to be said of a command that may have changed something."""
    if isinstance(command, CreateKey | Grant):
        return ": it may have been done; given again, the command grants nothing twice"
    return ": it may have been done" if isinstance(command, RevokeKeys) else ""
