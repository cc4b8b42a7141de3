"""How what has happened gets into the database: however long that takes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from store import InsufficientCredits, LeaseLost

log = structlog.get_logger()
T = TypeVar("T")
BOOKING_PAUSE = 2.0  # seconds between attempts to write to a database that refuses


async def book(change: Callable[[], Awaitable[T]]) -> T:
    """Writes into the database, again and again where it refuses: a full disk passes.

    Raises:
        LeaseLost, InsufficientCredits: what the database says of the change itself.
    """
    while True:
        try:
            return await change()
        except (LeaseLost, InsufficientCredits):
            raise
        except Exception:
            log.exception("booking failed: trying again")
            await asyncio.sleep(BOOKING_PAUSE)
