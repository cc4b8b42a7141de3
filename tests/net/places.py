"""Servers on loopback that answer byte by byte as a test tells them to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from server.net import Downloaded, DownloadLimits, Guard, GuardedClient
from server.net.connecting import Resolve

LOCAL = Guard.of(["127.0.0.0/8"])
TLS = ssl.create_default_context()  # one for all tests: making it takes longer than most of them
MUCH_LATER = 30.0  # seconds: what is not cut off by then never is


class WarpedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock the test moves."""

    skew = 0.0

    def time(self) -> float:
        return super().time() + self.skew


def guarded(guard: Guard = LOCAL, resolve: Resolve | None = None) -> GuardedClient:
    return GuardedClient(guard, resolve, TLS)


class Call(NamedTuple):
    """A request: its first line, its head in lower case, its body."""

    line: str
    head: dict[str, str]
    body: bytes


Behave = Callable[[Call, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """`calls`: every request so far; `connections`: also those that asked for nothing."""

    def __init__(self, behave: Behave) -> None:
        self._behave = behave
        self._tasks: set[asyncio.Task | None] = set()
        self.calls: list[Call] = []
        self.connections = self.closed = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.add(asyncio.current_task())
        try:
            call = await _read(reader)
            self.calls.append(call)
            await self._behave(call, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has had enough
        finally:
            self.closed += 1
            writer.close()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Call:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    head = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:] if line)}
    body = await reader.readexactly(int(head.get("content-length", 0)))
    return Call(lines[0], head, body)


@asynccontextmanager
async def serving(behave: Behave, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(behave)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.stop()


def says(data: bytes) -> Behave:
    """Always the same bytes, and the end."""

    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return behave


def ok(body: bytes, head: str = "") -> bytes:
    """A well-formed answer. `head`: further lines."""
    lines = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{head}\r\n"
    return lines.encode("latin-1") + body


def drips(head: bytes) -> Behave:
    """The head, and then a byte now and again for ever."""

    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            await asyncio.sleep(0.02)
            writer.write(b"x")
            await writer.drain()

    return behave


def floods(head: bytes, piece: bytes = b"x" * 65536) -> Behave:
    """The head, and then as many bytes as the client takes."""

    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        with suppress(OSError):
            while True:
                writer.write(piece)
                await writer.drain()

    return behave


async def fetch(client: GuardedClient, url: str, target: Path, **limits: float) -> Downloaded:
    """A download with limits that do not matter, but for those that are named."""
    defaults = {"max_bytes": 1 << 20, "silent_s": MUCH_LATER, "total_s": MUCH_LATER}
    return await client.download(url, target, DownloadLimits(**defaults | limits))
