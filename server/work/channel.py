"""The socket between the API process and a worker.

A message is four bytes of length and msgpack. Each worker listens at a place of its own, and the
API process calls: so a worker may be confined to the sockets that it has, and is found by the next
API process all the same. When either dies the kernel closes the connection, so the other knows at
once. Knows no LitServe, no database, no audio.
"""

import errno
import select
import socket
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from server import errors
from server.work.current_work import CurrentWork
from server.work.messages import Failed, FromWorker, Hello, Result, Task, ToWorker

HEADER = struct.Struct(">I")


class ChannelClosed(Exception):
    """The API process is gone (or was restarted): what was running is nobody's any more."""


def pack(message: FromWorker | ToWorker) -> bytes:
    """A message as it goes over the socket."""
    body = msgspec.msgpack.encode(message)
    return HEADER.pack(len(body)) + body


class WorkerEnd(Protocol):
    """Where a worker's tasks come from and its reports go to, for one thread."""

    def send(self, message: FromWorker) -> None:
        """Raises ChannelClosed."""

    def receive(self) -> ToWorker:
        """The next message; sleeps until there is one. Raises ChannelClosed."""
        ...

    def waiting(self, seconds: float | None = 0.0) -> bool:
        """Whether `receive` would return without sleeping, at once or within some seconds; None
        waits until it would."""
        ...


class Channel:
    """A worker's end: blocking, for one thread.

    at_work: is told what the worker is at, as `CurrentWork` does.
    """

    def __init__(
        self, path: Path, at_work: Callable[[Iterable[int]], None] = lambda marks: None
    ) -> None:
        self._path = path
        self._at_work = at_work
        self._decoder = msgspec.msgpack.Decoder(ToWorker)

    def listen(self) -> None:
        """From now on the API process finds this worker."""
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._path.chmod(0o600)
        self._listener.listen()

    def accept(self) -> None:
        """Waits until the API process calls."""
        self._socket, _ = self._listener.accept()

    def greet(self, hello: Hello) -> None:
        """Says who is there. Raises ChannelClosed."""
        self._hand = CurrentWork(self._at_work, hello.in_turns)
        self.send(hello)

    def close(self) -> None:
        self._at_work(())
        self._socket.close()

    def send(self, message: FromWorker) -> None:
        """Raises ChannelClosed."""
        if isinstance(message, Result | Failed):
            self._hand.drop(message.id)
        try:
            self._socket.sendall(pack(message))
        except OSError:
            raise ChannelClosed from None

    def receive(self) -> ToWorker:
        """The next message; sleeps until there is one. Raises ChannelClosed."""
        (length,) = HEADER.unpack(self._exactly(HEADER.size))
        message = self._decoder.decode(self._exactly(length))
        if isinstance(message, Task):
            self._hand.take(message)
        return message

    def waiting(self, seconds: float | None = 0.0) -> bool:
        """Whether `receive` would return without sleeping, at once or within some seconds; None
        waits until it would."""
        return bool(select.select([self._socket], [], [], seconds)[0])

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                part = self._socket.recv(count - len(data))
            except OSError:
                part = b""
            if not part:
                raise ChannelClosed
            data += part
        return data


# How an exception in a worker is called on the wire; the first that fits.
KINDS: tuple[tuple[str, type[errors.StemboxError]], ...] = (
    ("cancelled", errors.Cancelled),
    ("unsupported", errors.UnsupportedFormat),
    ("too_long", errors.AudioTooLong),
    ("input", errors.AudioError),
    ("no_room", errors.DiskFull),
)


def failure(task_id: str, error: Exception) -> Failed:
    """The message that tells of an exception."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        error = errors.DiskFull("The server's disk is full")
    for kind, known in KINDS:
        if isinstance(error, known):
            return Failed(task_id, kind, error.message)  # type: ignore[arg-type]
    return Failed(task_id, "internal", f"{type(error).__name__}: {error}")


def to_error(failed: Failed) -> Exception:
    """The exception that a `Failed` message stands for, on the API side."""
    return dict(KINDS).get(failed.kind, errors.StageFailed)(failed.message)
