"""What a worker is working on, as two 64-bit hashes of each task: its job's and its file's.

A file that kills its worker does so at every attempt, at every look at its upload, and when it is
sent once more. By its hash whoever counts deaths tells that from workers that die by themselves.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress

from server.work.messages import Task

SAMPLES, SAMPLE_BYTES = 16, 4096  # of a file, spread over all of it: two songs begin alike
LONGEST = SAMPLES * SAMPLE_BYTES


class CurrentWork:
    """The tasks that one worker has. tell: is given the marks of those that it works on."""

    def __init__(self, tell: Callable[[Iterable[int]], None], in_turns: bool) -> None:
        """in_turns: it works on the one that is due first, and the others are paused."""
        self._tell = tell
        self._in_turns = in_turns
        self._tasks: dict[str, tuple[float, list[int]]] = {}
        self._say()

    def take(self, task: Task) -> None:
        """It comes to the others."""
        self._tasks[task.id] = (task.due, marks(task))
        self._say()

    def drop(self, task_id: str) -> None:
        """It has ended."""
        self._tasks.pop(task_id, None)
        self._say()

    def _say(self) -> None:
        at_work = list(self._tasks.values())
        if self._in_turns and at_work:
            at_work = [min(at_work)]
        self._tell(mark for _, found in at_work for mark in found)


def marks(task: Task) -> list[int]:
    """Of the task's job, and of the bytes of its file where they can be read. 64 bits each."""
    found = [_number(task.job.encode())]
    with suppress(OSError):
        found.append(_number(_samples(task.source)))
    return found


def _samples(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= LONGEST:
            return file.read(LONGEST)
        pieces = [str(size).encode()]
        for number in range(SAMPLES):
            file.seek((size - SAMPLE_BYTES) * number // (SAMPLES - 1))
            pieces.append(file.read(SAMPLE_BYTES))
        return b"".join(pieces)


def _number(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())
