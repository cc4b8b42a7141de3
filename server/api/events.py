"""How a job goes on, as server-sent events (HTML standard, 9.2): what a poll would answer, sent
when it has changed. A stream that ends with its job says so by its last event's id."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from server.api.sharing import SharedPlaces, caller_of
from server.errors import StemboxError

PAUSE: Final = 0.25  # seconds between two looks
QUIET_SECONDS: Final = 15.0  # after which a comment keeps proxies from closing the connection
MOST_STREAMS: Final = 256
END: Final = "end"
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Look(NamedTuple):
    """What a poll answers at the moment, as JSON, and whether it is the last word."""

    body: bytes
    ended: bool


Looking = Callable[[], Awaitable[Look]]


class EventStreams:
    """All streams of one API."""

    def __init__(self) -> None:
        self._places = SharedPlaces(MOST_STREAMS, "event streams are open")

    async def answer(self, request: Request, look: Looking) -> Response:
        """The stream of one job. `look` raises StemboxError where it is gone.

        Raises ServerBusy: too many are open.
        """
        first = await look()
        if request.headers.get("last-event-id") == END and first.ended:
            return Response(status_code=204, headers=HEADERS)  # which ends an EventSource
        if request.method == "HEAD":
            return Response(headers=HEADERS, media_type="text/event-stream")
        caller = caller_of(request.scope)
        self._places.take(caller)
        request.state.endless = True  # a server that stops does not wait for it
        return _Stream(_events(look, first), lambda: self._places.leave(caller))


class _Stream(StreamingResponse):
    def __init__(self, events: AsyncIterator[bytes], closed: Callable[[], None]) -> None:
        super().__init__(events, headers=HEADERS, media_type="text/event-stream")
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._closed()


async def _events(look: Looking, found: Look) -> AsyncIterator[bytes]:
    said, quiet = b"", 0.0
    while True:
        if found.body != said:
            said, quiet = found.body, 0.0
            yield _event(found)
        elif quiet >= QUIET_SECONDS:
            quiet = 0.0
            yield b": still here\n\n"
        if found.ended:
            return
        await asyncio.sleep(PAUSE)
        quiet += PAUSE
        try:
            found = await look()
        except StemboxError:  # removed: a new stream would be told so
            return


def _event(found: Look) -> bytes:
    name = f"id: {END}\n".encode() if found.ended else b""
    return b"event: job\n" + name + b"data: " + found.body + b"\n\n"
