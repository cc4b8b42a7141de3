"""Names for commands that must take effect once, however often they are given.

Who gets no answer gives the command again. Until an answer has come it keeps its name, in a file
of the data directory, and whoever carries it out knows the name again.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TextIO

from server.errors import StemboxError
from server.work.durable import sync_folder

FOLDER = "pending"


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
    digest = hashlib.sha256(meaning.encode()).hexdigest()[:32]
    for number in count():
        with open(folder / f"{digest}-{number}", "a+") as file:
            if _locked(file) and _still_there(file):
                yield from _until_answered(file)
                return


def _until_answered(file: TextIO) -> Iterator[str]:
    name = _read(file)
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
