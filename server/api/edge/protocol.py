"""HTTP on one connection: uvicorn's own protocol, with bounds on what comes before a request, on
how long an answer may wait for its reader, and on how many connections there are.

Without them one client could send headers for ever, or none at all, or read nothing, and hold the
connection and the memory. Its own refusals get this API's form.
"""

import asyncio
import re
import socket
import struct
import sys
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from itertools import chain
from types import MappingProxyType
from typing import Any, ClassVar, Final

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from server.api.bodies import API_VERSION, ENCODER, ErrorAnswer
from server.api.edge.proxies import is_within, read_address
from server.api.sharing import network_of
from server.api.signing import BASE
from server.api.v1.errors import error_body
from server.errors import ServerBusy
from server.net.addresses import Network
from server.sharing import SharedPlaces

HEADER_BYTES: Final = 64 << 10  # of request line and headers; ordinary requests have under 2 KiB
CHUNK_BYTES: Final = 32  # of the lines around a chunk of a body: its size, at times a word more
PIECE_BYTES: Final = 4 << 10  # that are parsed in one go: a request may have fewer than twenty
MOST_AHEAD: Final = 8  # requests that wait for an answer before theirs: the rest is parsed later
WRITE_SECONDS: Final = 120.0  # that a client may read nothing of what waits for it: players pause
LEAST_READ: Final = 1 << 10  # bytes a second that it has to take on average, beyond that
NO_LINGER: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
LOOKS: Final = 8  # at an answer's progress, in that time
BYTES_ACKED: Final = 120  # where Linux's tcp_info has them, an unsigned long long
FRAMING: Final = (b"content-length", b"transfer-encoding")  # what says where a body ends
LARGE: Final = "Request headers are too large"
SPLIT: Final = re.compile(re.escape(BASE.encode()) + rb"(?=[/?]|$)")
CODES: Final = MappingProxyType(  # in the StemSplit API's words
    {400: "INVALID_REQUEST", 408: "REQUEST_TIMEOUT", 431: "INVALID_REQUEST", 503: "SERVER_BUSY"}
)
HEADER_SECONDS: Final = 30.0  # from a connection's first moment, or a request's first byte


class _Flow(FlowControl):
    """Whoever wants to read on: nothing more comes in while what is here has not been parsed."""

    full = False

    def resume_reading(self) -> None:
        if not self.full:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """Refuses headers that are too large (431) or too slow (408), and one connection too many
    (503); cuts off who does not read; of requests that are sent ahead parses the next few."""

    places: ClassVar[SharedPlaces | None] = None  # of all connections; None: as many as come
    proxies: ClassVar[Sequence[Network]] = ()  # that are trusted

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.url = b""  # as far as it is here
        self._fed, self._rest = b"", memoryview(b"")  # what the parser has, and what it gets next
        self._answering: RequestResponseCycle | None = None  # last
        self._known = False  # the request whose head comes next
        self._refusal = b""  # that waits for the end of the answer before
        self._deadline: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._caller: str | None = None  # who holds a place
        self._look: asyncio.TimerHandle | None = None
        self._patience, self._acked = WRITE_SECONDS, 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow: _Flow = _Flow(transport)
        self._own: socket.socket = transport.get_extra_info("socket")
        # What the kernel has taken over is not seen here, and outlives the connection.
        milliseconds = round(1000 * WRITE_SECONDS)
        self._own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        self._watch_reader()
        self._await_headers()
        if self.places is None:
            return
        caller = self._owner()
        try:
            self.places.take(caller)
        except ServerBusy as busy:
            self._refuse(503, busy.message, f"retry-after: {busy.retry_after}\r\n")
        else:
            self._caller = caller

    def _owner(self) -> str:
        """Whose place it takes. Of a trusted proxy's connections each is an own one's: there are
        many behind it."""
        host, port = self.client or ("", 0)
        if self.proxies and is_within(read_address(host), self.proxies):
            return f"{host} {port}"
        return network_of(host)

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_are_here()
        if self._look is not None:
            self._look.cancel()
        if self.places is not None and self._caller is not None:
            self.places.leave(self._caller)
            self._caller = None
        if (answering := self._under_way()) is not None:
            answering.disconnected = True
            answering.message_event.set()
        super().connection_lost(exc)

    def _reset(self) -> None:
        """Ends the connection at once; else the kernel would go on to keep what it has of it."""
        self._own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.transport.abort()

    def _watch_reader(self) -> None:
        """Looks whether the client takes what is written for it, also behind the end of an answer
        or of the connection: what is closed still waits for its last bytes to be read."""
        pause, acked = WRITE_SECONDS / LOOKS, acknowledged(self._own)
        self._patience += (acked - self._acked) / LEAST_READ - pause
        if self._patience > WRITE_SECONDS or not self.transport.get_write_buffer_size():
            self._patience = WRITE_SECONDS
        self._acked = acked
        if self._patience <= 0:
            self.logger.warning("cut off: too little is read, by %s", self.client)
            self._reset()
            return
        self._look = self.loop.call_later(pause, self._watch_reader)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing() or self._refusal:  # refused already
            return
        self._rest = memoryview(b"".join((self._rest, data)) if self._rest else data)
        self._parse()

    def _parse(self) -> None:
        """Parses what is here, as long as not too many requests wait for their answers."""
        while self._rest and len(self.pipeline) < MOST_AHEAD:
            self._fed, self._rest = bytes(self._rest[:PIECE_BYTES]), self._rest[PIECE_BYTES:]
            self._header_bytes += len(self._fed)
            super().data_received(self._fed)
            if self._header_bytes > HEADER_BYTES:  # also of trailers, behind a chunked body
                self._refuse(431, LARGE)
            if self.transport.is_closing() or self._refusal:
                return
        if self._rest:
            self.flow.full = True
            self.flow.pause_reading()
        elif self._deadline is None and self.timeout_keep_alive_task is None and self._at_rest():
            self._await_headers()  # bytes that began no request have ended the idle time

    def _unsupported_upgrade_warning(self) -> None:
        """The client offers another protocol, or asks for a tunnel. Nobody takes that up here, so
        that HTTP goes on (RFC 9110, 7.8), and with it this request's body: but the parser thinks
        that there is none. Another gets the head once more, and what follows."""
        offer = sys.exception()
        assert isinstance(offer, httptools.HttpParserUpgrade)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        self._known = True
        framing = (b"%b: %b\r\n" % pair for pair in self.headers if pair[0] in FRAMING)
        head = b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing)
        behind = self._fed[offer.args[0] :]
        self._header_bytes -= len(head) + len(behind)  # they will be counted once more
        self._rest = memoryview(b"".join((head, behind, self._rest)))

    def on_url(self, url: bytes) -> None:
        if not self._known:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._known:
            super().on_header(name, value.rstrip(b" \t"))  # RFC 9110, 5.5: no part of it

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():  # else its body is still to come
            super().on_message_complete()

    def on_message_begin(self) -> None:
        if self._known:
            return
        if self._deadline is None:  # the next request on this connection
            self._await_headers()
            self._header_bytes = 1
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        lines = min(len(body), CHUNK_BYTES)  # any number of chunks is fine, but not of crumbs
        self._header_bytes = max(0, self._header_bytes - len(body) - lines)
        super().on_body(body)

    def _at_rest(self) -> bool:
        """No answer is under way."""
        return self.cycle is None or self.cycle.response_complete

    def on_headers_complete(self) -> None:
        if self._known:
            self._known = False
            return
        self._headers_are_here()
        spaces = 4 * len(self.headers)  # a colon, a space and a line break each
        if len(self.url) + spaces + sum(map(len, chain(*self.headers))) > HEADER_BYTES:
            self._refuse(431, LARGE)
            raise ValueError(LARGE)  # for the parser: not another byte of this is of interest
        super().on_headers_complete()

    def _under_way(self) -> RequestResponseCycle | None:
        """What is being answered: `cycle` is the last that was parsed, perhaps ahead of it."""
        begun = self._answering
        return None if begun is None or begun.response_complete else begun

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """The server stops: answers under way are brought to their end, if they have one."""
        super().shutdown()
        if (last := self._under_way()) and last.scope.get("state", {}).get("endless"):
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._refuse(400, msg)

    def _await_headers(self) -> None:
        self._header_bytes = 0
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._too_slow)

    def _headers_are_here(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self._at_rest():  # a request that was sent ahead waits for its turn
            self._deadline = self.loop.call_later(HEADER_SECONDS, self._too_slow)
        elif self._header_bytes:
            self._refuse(408, "The request's headers took too long")
        else:
            self.transport.close()

    def _refuse(self, status: int, sentence: str, more: str = "") -> None:
        self._headers_are_here()
        if self.transport.is_closing() or self._refusal:
            return
        answers = not self._at_rest()  # into whose middle nothing may be written
        if answers and (self.cycle.more_body or self.pipeline):
            if self.cycle.response_started or self.pipeline:
                self.transport.close()
                return
            # Nothing is said yet: this is the answer. Who waits for the rest of the body learns
            # that it will not come, and whatever he says of it is for nobody.
            self.cycle.disconnected, answers = True, False
            self.cycle.message_event.set()
        split = SPLIT.match(self.url) is not None
        answer = error_body(CODES[status], sentence) if split else ErrorAnswer(sentence)
        body = ENCODER.encode(answer)
        headers = (
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: {uuid.uuid4().hex}\r\nx-api-version: {API_VERSION}\r\n"
            "x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n"
            f"{more}connection: close\r\n\r\n"
        )
        self.logger.warning(
            "refused: %s %s, from %s", status, HTTPStatus(status).phrase, self.client
        )
        self._refusal = STATUS_LINE[status] + headers.encode() + body
        if not answers:
            self._end()

    def on_response_complete(self) -> None:
        if self._refusal and not self.transport.is_closing():
            self._end()
        super().on_response_complete()
        if self._rest and not self.transport.is_closing() and not self._refusal:
            self.flow.full = False
            self.flow.resume_reading()
            self._parse()

    def _end(self) -> None:
        """With the refusal."""
        self.transport.write(self._refusal)
        self.transport.close()


def acknowledged(connection: socket.socket) -> int:
    """How many bytes the other side has taken so far."""
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED + 8)
    acked: int = struct.unpack_from("Q", told, BYTES_ACKED)[0] if len(told) > BYTES_ACKED else 0
    return acked


def bounded_protocol(most: int, trusted: Sequence[Network] = ()) -> type[BoundedProtocol]:
    """The protocol of one server's connections, of which there are so many at the most; no caller
    has all of them but the proxies in these networks."""

    class Limited(BoundedProtocol):
        places = SharedPlaces(most, "connections are open")
        proxies = trusted

    return Limited
