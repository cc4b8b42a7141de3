"""Semaphores by key: work that concerns one thing waits for other work on it, and for no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

K = TypeVar("K")


class KeyedSemaphore(Generic[K]):
    """Lets so many at a time pass for each key; keys that nobody uses take no room."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._places: dict[K, tuple[asyncio.Semaphore, list[None]]] = {}

    @asynccontextmanager
    async def enter(self, key: K) -> AsyncIterator[None]:
        """Waits for a place, in order."""
        gate, users = self._places.setdefault(key, (asyncio.Semaphore(self._at_once), []))
        users.append(None)
        try:
            async with gate:
                yield
        finally:
            users.pop()
            if not users:
                del self._places[key]
