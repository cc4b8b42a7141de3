"""Names to addresses by the system's resolver, each lookup in a thread of its own.

Not in asyncio's threads: a name server that never answers holds a thread for half a minute, and
would so hold up everybody else's files. Daemons, so that none of them delays the exit either.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

MOST_LOOKUPS: Final = 128  # at once; the next ones wait for a thread

Lookup = Callable[..., list[tuple[Any, ...]]]
"""As `socket.getaddrinfo`."""


class Resolver:
    """Call it with a host and a port: all addresses, as text, in the system's order."""

    def __init__(self, lookup: Lookup = socket.getaddrinfo, most: int = MOST_LOOKUPS) -> None:
        self._lookup = lookup
        self._free = asyncio.Semaphore(most)

    async def __call__(self, host: str, port: int) -> list[str]:
        """Raises OSError: there is no such host, or nobody who knows."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        found: Future[list[str]] = Future()
        found.set_running_or_notify_cancel()  # a thread cannot be stopped: the slot is its own
        found.add_done_callback(lambda _: _tell(loop, self._free.release))
        thread = threading.Thread(
            target=self._look, args=(found, host, port), name="resolver", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            found.set_exception(OSError(str(error)))
        return await asyncio.wrap_future(found)

    def _look(self, found: Future[list[str]], host: str, port: int) -> None:
        try:
            answers = self._lookup(host, port, type=socket.SOCK_STREAM)
            found.set_result(list(dict.fromkeys(str(answer[4][0]) for answer in answers)))
        except UnicodeError:  # Python's own, for a label that is too long
            found.set_exception(OSError("no host name"))
        except BaseException as error:
            found.set_exception(error)


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop has closed meanwhile
        loop.call_soon_threadsafe(callback)
