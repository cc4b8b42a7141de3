"""A small HTTP client for addresses that strangers named.

No proxies of the environment, no cookies, no redirects but those that are judged anew, and one
connection for each call: none waits for another's.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import httpcore
from msgspec import Struct

from server import __version__
from server.errors import Unreachable, in_seconds
from server.net.addresses import Guard
from server.net.connecting import GuardedBackend, Resolve, check_address
from server.net.downloads import (
    Downloaded,
    DownloadLimits,
    Progress,
    Sink,
    headers_of,
    pieces_of,
    receive,
    sync,
    to_its_end,
)
from server.net.resolver import Resolver
from server.net.urls import Endpoint, read_url

MOST_REDIRECTS: Final = 10
MOST_ANSWER: Final = 64 << 10  # bytes that are read of the answer to a POST
BODY_SECONDS: Final = 1.0  # for these, once its head is here
REDIRECTS: Final = (301, 302, 303, 307, 308)
HEADERS: Final = {"User-Agent": f"stembox/{__version__}", "Accept": "*/*", "Connection": "close"}
PLAIN: Final = {"Accept-Encoding": "identity"}


class Answer(Struct, frozen=True):
    """The answer to a POST; of its body what came soon, 64 KiB at the most.

    redirect: the URL that a redirect leads to.
    """

    status: int
    body: bytes
    redirect: str | None = None


class GuardedClient:
    """Downloads and posts, to addresses that the guard lets pass."""

    def __init__(
        self, guard: Guard, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """`resolve`: by default the system's resolver; `tls`: by default its authorities."""
        self._guard = guard
        self._backend = GuardedBackend(guard, resolve or Resolver())
        self._tls = tls or httpcore.default_ssl_context()

    def check_url(self, url: str) -> None:
        """What can be said of a URL without the network.

        Raises:
            AddressForbidden: it is malformed, or names an address that must not be called. A
                host's name passes: it is judged whenever it is called.
        """
        endpoint = read_url(url)
        if endpoint.address is not None:
            check_address(self._guard, endpoint.address, endpoint.port)

    async def download(self, url: str, target: Path, limits: DownloadLimits) -> Downloaded:
        """Fetches a URL into the file `target`, synced; follows ten redirects at the most.

        The file is opened before the first byte is sent, and may be moved while it is written.
        Whatever goes wrong, cancelling included, there is none at `target` afterwards.

        Raises:
            AddressForbidden, Unreachable: it leads where it must not, or to nothing.
            FileTooLarge: more than `limits` allow, noticed as they arrive.
            OSError: the disk.
        """
        try:
            with target.open("wb") as file:
                async with _in_time(limits) as progress:
                    found = await self._follow(url, Sink(file, limits.max_bytes, progress))
                await to_its_end(sync, file)  # however long our own disk takes
            return found
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    async def post(
        self, url: str, body: bytes, headers: dict[str, str], timeout_s: float
    ) -> Answer:
        """Posts `body`. A redirect is an answer like any other, and is not followed.

        timeout_s: for all of it together, up to the end of the answer's head: that is what counts,
        and the body may be cut off or not come at all.

        Raises:
            AddressForbidden, Unreachable.
        """
        async with AsyncExitStack() as stack:
            async with _deadline(timeout_s):
                call = self._call("POST", read_url(url), headers, body)
                answer = await stack.enter_async_context(call)
            return Answer(answer.status, await _beginning(answer), aim_of(answer, url))

    async def _follow(self, url: str, sink: Sink) -> Downloaded:
        for _ in range(MOST_REDIRECTS + 1):
            endpoint = read_url(url)
            async with self._call("GET", endpoint, PLAIN) as answer:
                sink.progress()
                onward = aim_of(answer, url)
                if onward is None:
                    return await receive(answer, url, sink)
            url = onward
        raise Unreachable(f"The source redirects more than {MOST_REDIRECTS} times")

    @asynccontextmanager
    async def _call(
        self, method: str, endpoint: Endpoint, headers: dict[str, str], body: bytes | None = None
    ) -> AsyncIterator[httpcore.Response]:
        """The answer, its body still to be read. Raises AddressForbidden, Unreachable."""
        url = httpcore.URL(
            scheme=endpoint.scheme, host=endpoint.host, port=endpoint.port, target=endpoint.target
        )
        sent = list(({"Host": endpoint.host_header} | HEADERS | headers).items())
        connection = httpcore.AsyncHTTPConnection(
            url.origin, self._tls, network_backend=self._backend
        )
        try:
            async with (
                connection,
                connection.stream(method, url, headers=sent, content=body) as answer,
            ):
                yield answer
        except httpcore.ConnectError:  # GuardedBackend has its own: this one is TLS
            raise Unreachable(f"{endpoint.host} makes no secure connection") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError):
            raise Unreachable(f"{endpoint.host} gives no proper answer") from None


@asynccontextmanager
async def _in_time(limits: DownloadLimits) -> AsyncIterator[Progress]:
    """Raises Unreachable after too long a silence, and when all of it takes too long.

    Yields what is to be called at every sign of life, and with False where nobody waits for one.
    """
    now = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(limits.total_s) as whole:
            async with asyncio.timeout(limits.silent_s) as silence:
                yield lambda awaited=True: silence.reschedule(
                    now() + limits.silent_s if awaited else None
                )
    except TimeoutError:
        if whole.expired():
            sentence = f"The source was not complete within {in_seconds(limits.total_s)}"
        else:
            sentence = f"The source was silent for {in_seconds(limits.silent_s)}"
        raise Unreachable(sentence) from None


@asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    """Raises Unreachable when the time is over."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unreachable(f"No answer within {in_seconds(seconds)}") from None


async def _beginning(answer: httpcore.Response) -> bytes:
    """As much of the body as comes soon and is read at all; the connection is closed behind it."""
    read = bytearray()
    with suppress(TimeoutError, Unreachable):
        async with asyncio.timeout(BODY_SECONDS), aclosing(pieces_of(answer)) as pieces:
            async for piece in pieces:
                read += piece
                if len(read) >= MOST_ANSWER:
                    break
    return bytes(read[:MOST_ANSWER])


def aim_of(answer: httpcore.Response, url: str) -> str | None:
    """Where a redirect that answers a call of `url` leads to; None where it is none."""
    onward = headers_of(answer).get("location")
    if answer.status not in REDIRECTS or onward is None:
        return None
    try:
        return urljoin(url, onward.strip().replace(" ", "%20"))  # as browsers read such a header
    except ValueError:  # no URL: whoever follows it is told so
        return onward
