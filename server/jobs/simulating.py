"""How jobs of test keys go, so that partners try what they do when it does not go well.

`metadata.simulate` of such a job says it; of any other job it is metadata, and no more.
"""

import asyncio
from typing import Final

from server.errors import InvalidRequest, StemboxError
from server.jobs.orders import Order, Request

FAILED: Final = "failed"
SLOW: Final = "slow"
SLOW_SECONDS: Final = 30.0
SENTENCE: Final = "This job failed because its metadata asked for it"


class Simulated(StemboxError):
    """A test job that was to fail."""


def check_simulation(order: Order) -> None:
    """Raises InvalidRequest: a test job that is to go in a way that nobody knows."""
    wanted = (order.metadata or {}).get("simulate")
    if order.test and wanted not in (None, FAILED, SLOW):
        raise InvalidRequest(f"metadata.simulate must be {FAILED} or {SLOW}")


def simulation(request: Request) -> str | None:
    """How a job is to go: FAILED, SLOW, or (None) as it goes."""
    return (request.metadata or {}).get("simulate") if request.test else None


async def simulate(request: Request) -> None:
    """Takes the time that the job is to lose. Raises Simulated: it is to fail."""
    if simulation(request) == FAILED:
        raise Simulated(SENTENCE)
    await asyncio.sleep(SLOW_SECONDS)
