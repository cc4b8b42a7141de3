"""Names for commands that must take effect once, however often they are given.

Who gets no answer gives the command again. Until an answer has come it keeps its name, in a file
of the data directory, and whoever carries it out knows the name again. But not for ever: the same
command weeks later is meant as another one.
"""

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TextIO

from server.errors import StemboxError
from server.work.durable import sync_folder

FOLDER = "pending"
PENDING_S = 20 * 3600.0
"""For so long after it was given last a command keeps its name: a night may lie between, and what
is given every day is another one each time."""


class Unanswered(StemboxError):
    """A command that nobody has answered: it may have been carried out, or may still be."""


@contextmanager
def named(data_dir: Path, meaning: str) -> Iterator[str]:
    """The name under which the command of this meaning is to be carried out, inside this context.

    Forgotten when the command ends with an answer, be it a refusal; kept when it ends with
    Unanswered, by any other error, or by this process's death. Commands of one meaning that are
    given at the same time have names of their own.
    """
    folder = data_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    _forget_old(folder)
    digest = hashlib.sha256(meaning.encode()).hexdigest()[:32]
    for number in count():
        with open(folder / f"{digest}-{number}", "a+") as file:
            if _locked(file) and _still_there(file):
                yield from _until_answered(file)
                return


def _forget_old(folder: Path) -> None:
    """Removes the names of commands that nobody has given again. Those at work are locked."""
    for path in folder.iterdir():
        with suppress(OSError), open(path) as file:  # gone, or another user's
            if not (_locked(file) and _still_there(file)):
                continue
            age = time.time() - os.fstat(file.fileno()).st_mtime
            if age > PENDING_S:
                path.unlink()
            elif age < 0:
                # The clock was put back, and nobody knows how old it is. It is kept: whoever is
                # not paid is told so, but who is paid twice is not. Its time begins now, lest it
                # last until the clock is there again.
                os.utime(file.fileno())


def _until_answered(file: TextIO) -> Iterator[str]:
    name = _read(file)
    os.utime(file.fileno())
    try:
        yield name
    except Unanswered:
        raise
    except StemboxError:
        os.unlink(file.name)
        raise
    os.unlink(file.name)


def _read(file: TextIO) -> str:
    """The name that the file holds; a new one, synced, where that is none."""
    file.seek(0)
    name = file.read()
    if len(name) != 32:
        name = secrets.token_hex(16)
        file.truncate(0)
        file.write(name)
        file.flush()
        os.fsync(file.fileno())
        sync_folder(Path(file.name).parent)
    return name


def _locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _still_there(file: TextIO) -> bool:
    """Whether the file is the one of its name: another process may have answered meanwhile."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))
    except FileNotFoundError:
        return False
