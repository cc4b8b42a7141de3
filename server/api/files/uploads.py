"""An upload on its way to the spool: from the socket through the form parser to the disk.

Knows neither jobs nor where the spool lies. Holds about 1 MiB of a file, however large it is.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import BinaryIO, Final

from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.answers import UploadStalled
from server.api.files.multipart import Form
from server.errors import FileTooLarge, InvalidRequest

CHUNK: Final = 1 << 20  # bytes: fewer, larger writes, each one hop to a thread
# A slow phone sends 16 KiB in a few seconds; who needs longer than this only holds the place.
PATIENCE_S: Final = 30.0
PATIENCE_BYTES: Final = 16 << 10
# What every upload has to bring on average, beyond its first half minute: who needs hours for a
# song holds a place that somebody else waits for.
LEAST_RATE: Final = 4 << 10  # bytes a second
# Many clients read no answer before they have sent their body. They get this long to do so.
LINGER_S: Final = 5.0


class Received(Struct, frozen=True):
    """A complete, fsynced file and the form's other fields."""

    file_name: str
    size_bytes: int
    fields: dict[str, list[str]]


class Body(Struct, frozen=True):
    """A raw body that came whole. `sha256`: of its bytes, in hex."""

    size_bytes: int
    sha256: str


def announced(request: Request, max_bytes: int) -> int:
    """How many bytes a body will have at the most, by its own word or by the limit."""
    length = length_of(request.headers)
    return max_bytes if length is None else min(length, max_bytes)


def length_of(headers: Mapping[str, str]) -> int | None:
    """Bytes of the body by its own word, None where it has not said so. The parser has seen that
    it is a number below 2**64; but zeros before it may be more than Python takes for one."""
    said = headers.get("content-length")
    return None if said is None else int(said.lstrip("0") or 0)


async def receive_form(request: Request, boundary: bytes, target: Path, max_bytes: int) -> Received:
    """Streams the form's file to `target`.

    What it leaves in `target` after an error is the caller's to remove.

    Raises:
        UploadRejected: not one valid form with one file.
        FileTooLarge: more than `max_bytes`, noticed as they arrive.
        UploadStalled: fewer than 16 KiB came in 30 seconds of waiting, or on average too few.
        ClientDisconnect: the client hung up.
        DiskFull: no room for the file.
    """
    form = Form(boundary, max_bytes)
    with target.open("wb") as file:
        async for piece in _body(request.receive):
            form.feed(piece)
            if len(form.pending) >= CHUNK:
                await asyncio.to_thread(file.write, form.take())
        name = form.finish()
        await asyncio.to_thread(_write_last, file, form.take())
    return Received(name, form.file_bytes, form.fields)


async def receive_body(request: Request, target: Path | None, max_bytes: int) -> Body:
    """Streams a raw body to `target`, synced, or where that is None to nowhere.

    What it leaves in `target` after an error is the caller's to remove. Raises as `receive_form`.
    """
    sha256, size, pending = hashlib.sha256(), 0, bytearray()
    with nullcontext() if target is None else target.open("wb") as file:
        async for piece in _body(request.receive):
            size += len(piece)
            if size > max_bytes:
                raise FileTooLarge(f"The file is larger than {max_bytes} bytes")
            pending += piece
            if len(pending) >= CHUNK:
                await asyncio.to_thread(_take, pending, sha256, file)
                pending = bytearray()
        await asyncio.to_thread(_take, pending, sha256, file)
        if file is not None:
            await asyncio.to_thread(_write_last, file, bytearray())
    return Body(size, sha256.hexdigest())


async def small_body(request: Request, max_bytes: int) -> bytes:
    """A short body, in memory.

    Raises:
        InvalidRequest: more than `max_bytes`.
        UploadStalled, ClientDisconnect: as `receive_form`.
    """
    body = bytearray()
    async for piece in _body(request.receive):
        body += piece
        if len(body) > max_bytes:
            raise InvalidRequest(f"The body is larger than {max_bytes} bytes")
    return bytes(body)


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    """The pieces of a request body, while they come fast enough.

    Only the time spent waiting counts: a slow disk of ours is no fault of the client.
    """
    now = asyncio.get_running_loop().time
    patience, got, more = PATIENCE_S, 0, True
    left = PATIENCE_S  # of what is allowed on average
    while more:
        began = now()
        try:
            async with asyncio.timeout(min(patience, left)):
                message = await receive()
        except TimeoutError:
            raise UploadStalled("The upload stalled") from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece, more = message.get("body", b""), message.get("more_body", False)
        waited = now() - began
        patience, got = patience - waited, got + len(piece)
        left += len(piece) / LEAST_RATE - waited
        if got >= PATIENCE_BYTES:
            patience, got = PATIENCE_S, 0
        yield piece


def _take(data: bytearray, sha256: "hashlib._Hash", file: BinaryIO | None) -> None:
    sha256.update(data)
    if file is not None:
        file.write(data)


def _write_last(file: BinaryIO, data: bytearray) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


class Lingering:
    """Ends a request that was answered before its body was read so that the answer arrives.

    Closing a socket with unread bytes resets it, and the client may never see the answer.
    So the answer says `Connection: close`, and the rest of the body is thrown away for a
    while before the connection goes (RFC 9112, section 9.6). Whoever refuses without a look at
    the body, a limit or a missing key, is behind it too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") not in ("POST", "PUT"):
            await self._app(scope, receive, send)
            return
        more_body = True

        async def watched_receive() -> Message:
            nonlocal more_body
            message = await receive()
            more_body = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def lingering_send(message: Message) -> None:
            if more_body and message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            if more_body and message["type"] == "http.response.body":  # errors are one message
                await send({**message, "more_body": True})
                with suppress(TimeoutError):
                    async with asyncio.timeout(LINGER_S):
                        while more_body:
                            await watched_receive()
                message = {"type": "http.response.body"}
            await send(message)

        await self._app(scope, watched_receive, lingering_send)
