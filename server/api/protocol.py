"""HTTP on one connection: uvicorn's own protocol, with bounds on what comes before a request.

Without them one client could send headers for ever, or none at all, and hold the connection and
the memory. Its own refusals get this API's form.
"""

import asyncio
import uuid
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from server.api.wire import API_VERSION, ENCODER, ErrorAnswer

HEADER_BYTES: Final = 64 << 10  # of request line and headers; ordinary requests have under 2 KiB
HEADER_SECONDS: Final = 30.0  # from a connection's first moment, or a request's first byte


class BoundedProtocol(HttpToolsProtocol):
    """Refuses headers that are too large (431) or too slow (408)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_are_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():  # refused already
            return
        self._header_bytes += len(data)
        super().data_received(data)
        if self._header_bytes > HEADER_BYTES:  # also of trailers, behind a chunked body
            self._refuse(431, "Request headers are too large")
        elif self._deadline is None and self.timeout_keep_alive_task is None and self._at_rest():
            self._await_headers()  # bytes that began no request have ended the idle time

    def on_message_begin(self) -> None:
        if self._deadline is None:  # the next request on this connection
            self._await_headers()
            self._header_bytes = 1
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        self._header_bytes = max(0, self._header_bytes - len(body))
        super().on_body(body)

    def _at_rest(self) -> bool:
        """No answer is under way."""
        return self.cycle is None or self.cycle.response_complete

    def on_headers_complete(self) -> None:
        self._headers_are_here()
        super().on_headers_complete()

    def shutdown(self) -> None:
        """The server stops: answers under way are brought to their end, if they have one."""
        super().shutdown()
        if not self._at_rest() and self.cycle.scope.get("state", {}).get("endless"):
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

    def _refuse(self, status: int, sentence: str) -> None:
        self._headers_are_here()
        if not self._at_rest():  # nothing may be written into the middle of an answer
            self.transport.close()
        if self.transport.is_closing():
            return
        body = ENCODER.encode(ErrorAnswer(sentence))
        headers = (
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: {uuid.uuid4().hex}\r\nx-api-version: {API_VERSION}\r\n"
            "connection: close\r\n\r\n"
        )
        self.logger.warning(
            "refused: %s %s, from %s", status, HTTPStatus(status).phrase, self.client
        )
        self.transport.write(STATUS_LINE[status] + headers.encode() + body)
        self.transport.close()
