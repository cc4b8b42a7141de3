"""A small HTTP client for addresses that strangers named.

Every name is resolved here, every address that it has is judged, and the connection goes to the
very address that was judged; TLS still checks the certificate by the name. No proxies of the
environment, no cookies, no redirects but those that are judged anew.
"""

import asyncio
import ipaddress
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote, unquote, urljoin, urlsplit

import httpcore
from httpcore import AsyncNetworkBackend, AsyncNetworkStream
from httpcore._backends.auto import AutoBackend
from msgspec import Struct

from server import __version__
from server.errors import AddressForbidden, FileTooLarge, Unreachable
from server.net.addresses import Address, Guard

MOST_URL: Final = 2048  # characters
MOST_REDIRECTS: Final = 3
MOST_ANSWER: Final = 64 << 10  # bytes that are read of the answer to a POST
CHUNK: Final = 1 << 20  # bytes: one hop to a thread each
REDIRECTS: Final = (301, 302, 303, 307, 308)
AGENT: Final = f"stembox/{__version__}"
FORBIDDEN: Final = "This address may not be called"

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""All addresses of a host name, as text. Raises OSError."""


class Downloaded(Struct, frozen=True):
    """What came. `file_name`: the last part of the URL's path, if it has one."""

    size_bytes: int
    file_name: str | None
    content_type: str | None


class Answer(Struct, frozen=True):
    """The answer to a POST; of its body 64 KiB at the most."""

    status: int
    body: bytes


class GuardedBackend(AsyncNetworkBackend):
    """Connects to addresses that the guard lets pass, and to no other."""

    def __init__(self, guard: Guard, resolve: Resolve) -> None:
        self._guard = guard
        self._resolve = resolve
        self._inner = AutoBackend()

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        local_address: str | None = None, socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:  # fmt: skip
        """As httpcore asks for it. Raises AddressForbidden, Unreachable."""
        try:
            texts = await self._resolve(host, port)
        except OSError:
            raise Unreachable(f"No such host: {host}") from None
        addresses = [_address(text) for text in texts]
        if any(self._guard.forbids(address, port) for address in addresses):
            raise AddressForbidden(FORBIDDEN)
        for address in addresses:
            try:
                return await self._inner.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        raise Unreachable(f"{host} cannot be reached")

    async def connect_unix_socket(self, *_: Any, **__: Any) -> AsyncNetworkStream:
        """Never."""
        raise AddressForbidden(FORBIDDEN)

    async def sleep(self, seconds: float) -> None:
        """As httpcore asks for it."""
        await asyncio.sleep(seconds)


class GuardedClient:
    """Downloads and posts. One connection for each call: none waits for another's."""

    def __init__(self, guard: Guard, resolve: Resolve | None = None) -> None:
        self._guard = guard
        self._backend = GuardedBackend(guard, resolve or system_resolve)

    def check_url(self, url: str) -> None:
        """What can be said of a URL without the network. Raises AddressForbidden."""
        host, port = _parts(url)
        try:
            address = _address(host)
        except AddressForbidden:
            raise
        except ValueError:
            return  # a name: judged when it is called
        if self._guard.forbids(address, port):
            raise AddressForbidden(FORBIDDEN)

    async def download(
        self, url: str, target: Path, max_bytes: int, timeout_s: float
    ) -> Downloaded:
        """Fetches a URL into the file `target`, synced; follows three redirects at the most.

        timeout_s: for all of it together.

        Raises:
            AddressForbidden, Unreachable: it leads where it must not, or to nothing.
            FileTooLarge: more than `max_bytes`, noticed as they arrive.
            OSError: the disk.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._follow(url, target, max_bytes)
        except TimeoutError:
            target.unlink(missing_ok=True)
            raise Unreachable(f"The source took longer than {timeout_s:g} seconds") from None
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    async def post(
        self, url: str, body: bytes, headers: dict[str, str], timeout_s: float
    ) -> Answer:
        """Posts `body`. A redirect is an answer like any other.

        Raises:
            AddressForbidden, Unreachable: timeout_s, for all of it together, has passed as well.
        """
        try:
            async with asyncio.timeout(timeout_s), self._request("POST", url, headers, body) as got:
                answer = bytearray()
                async for piece in got.aiter_stream():
                    answer += piece
                    if len(answer) >= MOST_ANSWER:
                        break
                return Answer(got.status, bytes(answer[:MOST_ANSWER]))
        except TimeoutError:
            raise Unreachable(f"No answer within {timeout_s:g} seconds") from None

    async def _follow(self, url: str, target: Path, max_bytes: int) -> Downloaded:
        for _ in range(MOST_REDIRECTS + 1):
            async with self._request("GET", url, {"Accept-Encoding": "identity"}) as answer:
                headers = _headers(answer)
                if answer.status not in REDIRECTS or "location" not in headers:
                    size = await _save(answer, target, max_bytes)
                    name = unquote(urlsplit(url).path.rsplit("/", 1)[-1]) or None
                    return Downloaded(size, name, headers.get("content-type"))
                url = urljoin(url, headers["location"])
        raise Unreachable(f"More than {MOST_REDIRECTS} redirects")

    @asynccontextmanager
    async def _request(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None = None
    ) -> AsyncIterator[httpcore.Response]:
        self.check_url(url)
        own = {"User-Agent": AGENT, "Accept": "*/*", "Connection": "close"}
        sent = list((own | headers).items())
        try:
            async with (
                httpcore.AsyncConnectionPool(network_backend=self._backend) as pool,
                pool.stream(method, _ascii(url), headers=sent, content=body) as answer,
            ):
                yield answer
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException,
                httpcore.UnsupportedProtocol) as error:  # fmt: skip
            raise Unreachable(f"The connection failed: {type(error).__name__}") from None


async def system_resolve(host: str, port: int) -> list[str]:
    """By the system's resolver, off the event loop."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (UnicodeError, ValueError):
        raise OSError(f"no host name: {host}") from None
    return list(dict.fromkeys(str(info[4][0]) for info in found))


async def _save(answer: httpcore.Response, target: Path, max_bytes: int) -> int:
    """The body to a synced file; its size. Raises Unreachable, FileTooLarge."""
    if answer.status != 200:
        raise Unreachable(f"The source answered with HTTP {answer.status}")
    headers = _headers(answer)
    if headers.get("content-encoding", "identity") != "identity":
        raise Unreachable("The source sends an encoded body")
    too_large = FileTooLarge(f"The file is larger than {max_bytes >> 20} MB")
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > max_bytes:
        raise too_large
    size, pending = 0, bytearray()
    with target.open("wb") as file:
        async for piece in answer.aiter_stream():
            size += len(piece)
            if size > max_bytes:
                raise too_large
            pending += piece
            if len(pending) >= CHUNK:
                await asyncio.to_thread(file.write, pending)
                pending = bytearray()
        await asyncio.to_thread(_finish, file, pending)
    if size == 0:
        raise Unreachable("The source is empty")
    return size


def _finish(file: BinaryIO, data: bytearray) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _headers(answer: httpcore.Response) -> dict[str, str]:
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in answer.headers}


def _parts(url: str) -> tuple[str, int]:
    """Host and port of a URL that may be called at all. Raises AddressForbidden."""
    try:
        parts = urlsplit(url)
        port = {"http": 80, "https": 443}.get(parts.scheme, 0) if parts.port is None else parts.port
    except ValueError:
        raise AddressForbidden("This is no URL") from None
    if len(url) > MOST_URL or any(ord(c) <= 32 or ord(c) == 127 for c in url) or "\\" in url:
        raise AddressForbidden("This is no URL")
    if parts.scheme not in ("http", "https"):
        raise AddressForbidden("Only http and https URLs are called")
    if "@" in parts.netloc:
        raise AddressForbidden("A URL with a user name is not called")
    if not parts.hostname or "%" in parts.hostname or not port:
        raise AddressForbidden("This is no URL")
    return parts.hostname, port


def _address(text: str) -> Address:
    """An address from the text of one, in whatever spelling the system takes. Raises ValueError."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    try:  # 0x7f.1, 017700000001, 2130706433: what inet_aton takes, the resolver takes
        return ipaddress.IPv4Address(socket.inet_aton(text.rstrip(".")))
    except OSError:
        raise ValueError(f"{text} is no address") from None


def _ascii(url: str) -> str:
    """The URL with its host and path in ASCII."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            raise AddressForbidden("This is no host name") from None
    netloc = f"[{host}]" if ":" in host else host
    if parts.port is not None:
        netloc += f":{parts.port}"
    safe = "/%:@!$&'()*+,;=~-._?"
    query = f"?{quote(parts.query, safe)}" if parts.query else ""
    return f"{parts.scheme}://{netloc}{quote(parts.path, safe) or '/'}{query}"
