"""The answer to a download: refused, or written to a file as it arrives.

Believes nothing that a header says about the length: it may refuse a file, never let one pass.
"""

import asyncio
import os
import re
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO, Final, ParamSpec, TypeVar
from urllib.parse import unquote

import httpcore
from msgspec import Struct

from server.errors import FileTooLarge, Unreachable

CHUNK: Final = 1 << 20  # bytes: one hop to a thread each
LONGEST_NAME: Final = 255  # characters
DISPOSITION: Final = re.compile(r';\s*filename\s*=\s*(?:"([^"\\]+)"|([^\s;"]+))', re.IGNORECASE)

P = ParamSpec("P")
T = TypeVar("T")


class Downloaded(Struct, frozen=True):
    """What came. `file_name`: a name without folders; None where nobody said one."""

    size_bytes: int
    file_name: str | None
    content_type: str | None


async def receive(answer: httpcore.Response, path: str, target: Path, max_bytes: int) -> Downloaded:
    """The answer's body to the file `target`, synced. `path`: the URL's, for the name.

    Raises:
        Unreachable: another status than 200, a body that is encoded, empty or breaks off.
        FileTooLarge: more than `max_bytes`, announced or noticed as they arrive.
        OSError: the disk.
    """
    if answer.status != 200:  # 206 would be a part of it, 204 nothing
        raise Unreachable(f"The source answered with HTTP {answer.status}")
    headers = headers_of(answer)
    if headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise Unreachable("The source sends an encoded body")
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise _too_large(max_bytes)
    size = await _save(answer, target, max_bytes)
    if size == 0:
        raise Unreachable("The source is empty")
    name = file_name(headers.get("content-disposition", ""), path)
    return Downloaded(size, name, headers.get("content-type"))


def file_name(disposition: str, path: str) -> str | None:
    """The name that a Content-Disposition (RFC 6266, its plain form) or a URL's path gives."""
    match = DISPOSITION.search(disposition)
    text = (match[1] or match[2]) if match else unquote(path.partition("?")[0])
    name = "".join(filter(str.isprintable, re.split(r"[/\\]", text)[-1]))
    return None if name in ("", ".", "..") else name[-LONGEST_NAME:]


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


async def _save(answer: httpcore.Response, target: Path, max_bytes: int) -> int:
    """Writes the body; returns its size."""
    size, pending = 0, bytearray()
    with target.open("wb") as file:
        async with aclosing(pieces_of(answer)) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                pending += piece
                if len(pending) >= CHUNK:
                    await _to_its_end(file.write, pending)
                    pending = bytearray()
        await _to_its_end(_finish, file, pending)
    return size


async def _to_its_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In a thread. A cancelled caller waits as well: it must not close the file under it."""
    task = asyncio.create_task(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _finish(file: BinaryIO, data: bytearray) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _too_large(max_bytes: int) -> FileTooLarge:
    return FileTooLarge(f"The file is larger than {max_bytes} bytes")
