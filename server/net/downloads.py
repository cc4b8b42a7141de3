"""The answer to a download: refused, or written to a file as it arrives.

Believes nothing that a header says about the length: it may refuse a file, never let one pass.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import BinaryIO, Final, ParamSpec, Protocol, TypeVar

import httpcore
from msgspec import Struct

from server.errors import FileTooLarge, Unreachable
from server.names import name_in_url
from server.net import disposition
from server.net.encodings import Decoder, Identity, decoder_of

CHUNK: Final = 256 << 10  # bytes: one hop to a thread each, and memory for each download

P = ParamSpec("P")
T = TypeVar("T")


class DownloadLimits(Struct, frozen=True):
    """Bytes of a file; seconds of its source's silence, and of all of it."""

    max_bytes: int
    silent_s: float
    total_s: float


class Downloaded(Struct, frozen=True):
    """What came. Names are without folders, None where there is none.

    file_name: what the source calls it. url_name: the end of the last URL's path.
    """

    size_bytes: int
    file_name: str | None
    url_name: str | None
    content_type: str | None


class Progress(Protocol):
    """See `Sink`."""

    def __call__(self, awaited: bool = True) -> None: ...


class Sink:
    """Where a body goes: unpacked, counted, into a file. `write` and `finish` are for a thread.

    progress: called at every sign of life of the source; with False, when it is not the source
        that is waited for.
    """

    def __init__(self, file: BinaryIO, max_bytes: int, progress: Progress) -> None:
        self.max_bytes = max_bytes
        self.progress = progress
        self.decoder: Decoder = Identity()
        self.size = 0  # bytes of the file
        self._file = file

    @property
    def most_to_come(self) -> int:
        """Bytes of a body that may come: packing makes some files a little larger."""
        spare = 0 if isinstance(self.decoder, Identity) else (64 << 10) + self.max_bytes // 64
        return self.max_bytes + spare

    def write(self, data: bytes) -> None:
        """Raises FileTooLarge, Unreachable, OSError."""
        for piece in self.decoder.feed(data):
            self._keep(piece)

    def finish(self, data: bytes) -> None:
        """The last bytes. Raises as `write`."""
        self.write(data)
        for piece in self.decoder.finish():
            self._keep(piece)

    def _keep(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self.max_bytes:
            raise too_large(self.max_bytes)
        self._file.write(piece)


async def receive(answer: httpcore.Response, url: str, sink: Sink) -> Downloaded:
    """The answer's body to the sink. `url`: what was called for it.

    Raises:
        Unreachable: another status than 200, a body that is empty, breaks off or cannot be
            unpacked.
        FileTooLarge: more than the sink takes, announced or noticed as they arrive.
        OSError: the disk.
    """
    if answer.status != 200:  # 206 would be a part of it, 204 nothing
        raise Unreachable(f"The source answered with HTTP {answer.status}")
    headers = headers_of(answer)
    sink.decoder = decoder_of(headers.get("content-encoding", ""))
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > sink.most_to_come:
        raise too_large(sink.max_bytes)
    await _save(answer, sink)
    if sink.size == 0:
        raise Unreachable("The source is empty")
    return Downloaded(
        sink.size, disposition.file_name(headers.get("content-disposition", "")),
        name_in_url(url) or None, headers.get("content-type"),
    )  # fmt: skip


def headers_of(answer: httpcore.Response) -> dict[str, str]:
    """Header fields by lower-case name; values in UTF-8 where they are, else in Latin-1."""
    return {name.decode("latin-1").lower(): _text(value) for name, value in answer.headers}


async def pieces_of(answer: httpcore.Response) -> AsyncGenerator[bytes, None]:
    """The body as it arrives. Raises Unreachable where it breaks off."""
    try:
        async for piece in answer.aiter_stream():
            yield piece
    except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError):
        raise Unreachable("The answer was cut off") from None


async def _save(answer: httpcore.Response, sink: Sink) -> None:
    came, pending = 0, bytearray()
    async with aclosing(pieces_of(answer)) as pieces:
        async for piece in pieces:
            sink.progress()
            came += len(piece)
            if came > sink.most_to_come:
                raise too_large(sink.max_bytes)
            pending += piece
            if len(pending) >= CHUNK:
                sink.progress(False)  # our own disk may be slow
                await to_its_end(sink.write, bytes(pending))
                sink.progress()
                pending = bytearray()
    sink.progress(False)
    await to_its_end(sink.finish, bytes(pending))


async def to_its_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In a thread. A cancelled caller waits as well: it must not close the file under it."""
    task = asyncio.create_task(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def sync(file: BinaryIO) -> None:
    """All that was written, to the disk."""
    file.flush()
    os.fsync(file.fileno())


def too_large(max_bytes: int) -> FileTooLarge:
    """The refusal of a file."""
    return FileTooLarge(f"The file is larger than {max_bytes} bytes")


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
