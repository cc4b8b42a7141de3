"""One request over and over on kept-alive connections: how many are answered.

As lean as Python can be, so that the server is what is measured: no parsing but of the first head.
"""

import asyncio
import re
import time
from functools import partial
from typing import Final, cast

LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class _Asking(asyncio.Protocol):
    """Asks again as soon as it is answered, until told to stop."""

    def __init__(self, request: bytes, until: float, ended: asyncio.Future[int]) -> None:
        self._request, self._until, self._ended = request, until, ended
        self._count = 0
        self._got = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, _, body = self._got.partition(b"\r\n\r\n")
        length = LENGTH.search(head + b"\r\n")
        if not head.startswith(b"HTTP/1.1 200") or length is None:
            self._end(RuntimeError(self._got.decode(errors="replace")))
        elif len(body) >= int(length[1]):
            self._count += 1
            self._got.clear()
            if time.perf_counter() < self._until:
                self._transport.write(self._request)
            else:
                self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or RuntimeError("the server hung up"))

    def _end(self, error: Exception | None) -> None:
        if not self._ended.done():
            if error is None:
                self._ended.set_result(self._count)
            else:
                self._ended.set_exception(error)
        self._transport.close()


async def answered(
    port: int, path: str, key: str, seconds: float, connections: int = 16
) -> int:
    """Answers in so many seconds. Raises RuntimeError on any but 200."""
    request = (f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n"
               f"Authorization: Bearer {key}\r\n\r\n").encode()  # fmt: skip
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    ends = []
    for _ in range(connections):
        ended: asyncio.Future[int] = loop.create_future()
        asking = partial(_Asking, request, began + seconds, ended)
        await loop.create_connection(asking, "127.0.0.1", port)
        ends.append(ended)
    return sum(await asyncio.gather(*ends))
