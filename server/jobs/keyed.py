"""Semaphores by key: work that concerns one thing waits for other work on it, and for no other."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
Waiting = tuple[float, int, asyncio.Future[None]]


class KeyedSemaphore(Generic[K]):
    """Lets so many at a time pass for each key; keys that nobody uses take no room."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._inside: dict[K, int] = {}
        self._waiting: dict[K, list[Waiting]] = {}  # heaps
        self._numbers = count()

    @asynccontextmanager
    async def enter(self, key: K, order: float = 0.0) -> AsyncIterator[None]:
        """Waits for a place: the lowest order first, and of equals the first that came."""
        await self._wait(key, order)
        try:
            yield
        finally:
            self._leave(key)

    async def _wait(self, key: K, order: float) -> None:
        if self._inside.get(key, 0) < self._at_once:
            self._inside[key] = self._inside.get(key, 0) + 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting.setdefault(key, []), (order, next(self._numbers), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(key)  # the place had just been given
            raise

    def _leave(self, key: K) -> None:
        """The next one takes the place over; nobody who comes now gets in between."""
        waiting = self._waiting.get(key, [])
        while waiting:
            turn = heappop(waiting)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._waiting.pop(key, None)
        self._inside[key] -= 1
        if not self._inside[key]:
            del self._inside[key]
