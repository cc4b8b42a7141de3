"""All figures together: counted as things happen, and rendered when somebody asks."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from server.metrics.happenings import HappeningFigures
from server.metrics.requests import RequestFigures
from server.metrics.state import Seats, StateCollector
from server.work.workers import Workers
from store import HappeningRepository

log = structlog.get_logger()
PATIENCE: Final = 2.0  # seconds that a scrape waits for the database; then it tells what it knows
SWEEP_SECONDS: Final = 60.0  # the longest that what has happened lies in memory, uncounted


class Metrics:
    """The registry. `run()` is its whole life; `answered` and `scrape` are for the HTTP side."""

    def __init__(
        self, happenings: HappeningRepository, workers: Workers, seats: Seats,
        places: Mapping[str, Path],
    ) -> None:  # fmt: skip
        disable_created_metrics()  # a second series beside each, which nothing here asks for
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # of the API process
        self._happenings = happenings
        self.answered = RequestFigures(registry).answered
        self._figures = HappeningFigures(registry)
        self._state = StateCollector(workers, seats, places)
        registry.register(self._state)
        self._failures = Counter(
            "stembox_scrape_failures_total",
            "Scrapes that the database did not answer: queue and jobs are as they were before.",
            registry=registry)  # fmt: skip
        self._refreshing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Counts what has happened even where nobody asks, until cancelled."""
        try:
            while True:
                await asyncio.sleep(SWEEP_SECONDS)
                await self._refreshed()
        finally:
            if self._refreshing is not None:
                await asyncio.wait([self._refreshing])

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """Every figure as of now, and its media type, by what the client accepts."""
        if not await self._refreshed():
            self._failures.inc()
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type

    async def _refreshed(self) -> bool:
        """Whether the database has told what is new. Those who ask together ask once."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh(), name="metrics")
        task = self._refreshing
        done, _ = await asyncio.wait([task], timeout=PATIENCE)
        if done and (error := task.exception()) is not None:
            log.warning("the figures of the database cannot be read", exc_info=error)
            return False
        return bool(done)

    async def _refresh(self) -> None:
        self._figures.count(await self._happenings.take())
        self._state.standing = await self._happenings.standing()
