"""One process at a time compiles.

numba keeps what it has compiled in a folder that all workers share, and reads, adds to and writes
back the index of a module without a lock. Of two processes that do so at once, one may leave an
index that names the other's code: whoever loads it crashes, now and at each later start.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar

import numba

from server.work.steps import Steps

T = TypeVar("T")
LOCK = ".lock"
PAUSE = 0.5  # seconds between two looks whether it is one's turn


@contextmanager
def compiling() -> Iterator[None]:
    """Waits for the others, and keeps them waiting inside."""
    with _opened() as file:
        if file is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def in_turn(steps: Steps[T]) -> Steps[T]:
    """The same steps, which may compile; who waits for the others gives signs of life."""
    with _opened() as file:
        while file is not None and not _taken(file):
            time.sleep(PAUSE)
            yield 0.0
        return (yield from steps)


@contextmanager
def _opened() -> Iterator[TextIO | None]:
    """The folder's lock; None where there is no folder, or it cannot be written: then nothing is
    kept in it either."""
    settings: Any = numba.config
    with ExitStack() as stack:
        file = None
        if settings.CACHE_DIR:
            with suppress(OSError):
                folder = Path(settings.CACHE_DIR)
                folder.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(folder / LOCK, "w"))
        yield file


def _taken(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
