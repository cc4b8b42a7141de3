"""The socket between the API process and the workers of both pools.

A message is four bytes of length and msgpack. A worker holds one connection; when it dies the
kernel closes it, so the API process knows at once. Knows no LitServe, no database, no audio.
"""

import errno
import select
import socket
import struct
import time
from pathlib import Path
from typing import Protocol

import msgspec

from server import errors
from server.work.messages import (
    Failed,
    FromWorker,
    Hello,
    ToWorker,
)

HEADER = struct.Struct(">I")
RECONNECT_SECONDS = 0.05


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

    def waiting(self) -> bool:
        """Whether `receive` would return without sleeping."""
        ...


class Channel:
    """A worker's end: blocking, for one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decoder = msgspec.msgpack.Decoder(ToWorker)

    def connect(self, hello: Hello) -> None:
        """Waits until the API process listens, and says hello."""
        pause = RECONNECT_SECONDS
        while True:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._socket.connect(str(self._path))
                break
            except OSError:
                self._socket.close()
                time.sleep(pause)
                pause = min(1.0, 2 * pause)
        self.send(hello)

    def close(self) -> None:
        self._socket.close()

    def send(self, message: FromWorker) -> None:
        """Raises ChannelClosed."""
        try:
            self._socket.sendall(pack(message))
        except OSError:
            raise ChannelClosed from None

    def receive(self) -> ToWorker:
        """The next message; sleeps until there is one. Raises ChannelClosed."""
        (length,) = HEADER.unpack(self._exactly(HEADER.size))
        return self._decoder.decode(self._exactly(length))

    def waiting(self) -> bool:
        """Whether `receive` would return without sleeping."""
        return bool(select.select([self._socket], [], [], 0)[0])

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
