"""How a job goes on, as server-sent events (HTML standard, 9.2): what a poll would answer, sent
when it has changed. Streams of one job look at it together. One that ends with its job says so by
its last event's id."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from server.api.sharing import caller_of
from server.errors import StemboxError
from server.sharing import SharedPlaces

PAUSE: Final = 0.25  # seconds between two looks
QUIET_SECONDS: Final = 15.0  # after which a comment keeps proxies from closing the connection
MOST_STREAMS: Final = 256
END: Final = "end"
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

T = TypeVar("T")


class Look(NamedTuple):
    """What a poll answers at the moment, as JSON, and whether it is the last word."""

    body: bytes
    ended: bool


Looking = Callable[[], Awaitable[T]]
Telling = Callable[[T], Look]


class EventStreams:
    """All streams of one API."""

    def __init__(self) -> None:
        self._places = SharedPlaces(MOST_STREAMS, "event streams are open")
        self._watches: WeakValueDictionary[Hashable, _Watch[Any]] = WeakValueDictionary()

    async def answer(
        self, request: Request, job: Hashable, look: Looking[T], tell: Telling[T]
    ) -> Response:
        """The stream of one job. `look` raises StemboxError where it is gone; what it finds is for
        all who give the same `job`, `tell` says it to this one.

        Raises ServerBusy: too many are open.
        """
        facts = await look()
        first = tell(facts)
        if request.headers.get("last-event-id") == END and first.ended:
            return Response(status_code=204, headers=HEADERS)  # which ends an EventSource
        if request.method == "HEAD":
            return _Head(headers=HEADERS, media_type="text/event-stream")
        watch = self._watches.get(job)
        if watch is None:
            watch = self._watches[job] = _Watch(look)
        await watch.settled()
        caller = caller_of(request.scope)
        self._places.take(caller)
        request.state.endless = True  # a server that stops does not wait for it
        return _Stream(_events(watch, tell, facts), lambda: self._places.leave(caller))


class _Watch(Generic[T]):
    """One look after another, for all streams that wait for the next; for none, none."""

    def __init__(self, look: Looking[T]) -> None:
        self._look = look
        self._coming: asyncio.Task[T] | None = None
        self._looking: asyncio.Task[T] | None = None  # the one that comes, when it has begun

    async def settled(self) -> None:
        """When a look that has begun is over: what it finds may be older than what is known."""
        if self._looking is not None:
            await asyncio.wait([self._looking])

    async def next(self) -> T:
        """What is found at the next look. Raises as `look`."""
        if self._coming is None or self._coming.done():
            self._coming = asyncio.create_task(self._find())
            self._coming.add_done_callback(_told)
        return await asyncio.shield(self._coming)  # who goes leaves the others theirs

    async def _find(self) -> T:
        await asyncio.sleep(PAUSE)
        self._looking = self._coming
        try:
            return await self._look()
        finally:
            self._looking = None


def _told(look: asyncio.Task[Any]) -> None:
    """What it raised was told to who still waited; all may have gone, and the job with them."""
    if not look.cancelled():
        look.exception()


class _Head(Response):
    """Of a stream, whose length nobody knows."""

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        super().init_headers(headers)
        del self.headers["content-length"]


class _Stream(StreamingResponse):
    def __init__(self, events: AsyncIterator[bytes], closed: Callable[[], None]) -> None:
        super().__init__(events, headers=HEADERS, media_type="text/event-stream")
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._closed()


async def _events(watch: _Watch[T], tell: Telling[T], facts: T) -> AsyncIterator[bytes]:
    found, said, until = tell(facts), b"", 0.0
    now = asyncio.get_running_loop().time
    while True:
        if found.body != said:
            said, until = found.body, now() + QUIET_SECONDS
            yield _event(found)
        if found.ended:
            return
        try:
            async with asyncio.timeout_at(until):
                new = await watch.next()
        except TimeoutError:  # however long a look takes
            until = now() + QUIET_SECONDS
            yield b": still here\n\n"
            continue
        except StemboxError:  # removed: a new stream would be told so
            return
        if new != facts:
            facts, found = new, tell(new)


def _event(found: Look) -> bytes:
    name = f"id: {END}\n".encode() if found.ended else b""
    return b"event: job\n" + name + b"data: " + found.body + b"\n\n"
