"""Sweeps: what ended long ago, and what a crash left behind. One loop."""

import asyncio
import time
from collections.abc import Callable

import structlog

from server.jobs.clock import Clock
from server.jobs.folders import Folders
from server.jobs.idempotency import ANSWER_HOURS
from server.jobs.uploads import KEPT_SECONDS, VALID_SECONDS, Uploads
from store import JobRepository, WebhookRepository

log = structlog.get_logger()
SWEEP_SECONDS = 60.0
DELIVERIES_KEPT = 7 * 86400.0  # seconds: what became of them, for who asks


class Janitor:
    """Removes files and rows whose time is over, by a clock that goes evenly.

    `run()` is its whole life.
    """

    def __init__(
        self,
        jobs: JobRepository,
        folders: Folders,
        uploads: Uploads,
        webhooks: WebhookRepository,
        retention_hours: float,
        incoming: Callable[[], set[str]],
        clock: Clock,
        history_days: float,
    ) -> None:
        self._jobs = jobs
        self._folders = folders
        self._uploads = uploads
        self._webhooks = webhooks
        self._retention = retention_hours * 3600
        self._incoming = incoming
        self._clock = clock
        self._history = history_days * 86400

    async def run(self) -> None:
        """Sweeps at once and then every minute, until cancelled."""
        while True:
            try:
                now = await self._clock.check()
            except Exception:  # a full disk: what goes by no clock makes room
                log.exception("the clock cannot be checked")
                now = time.time()
            await self.sweep(now)
            await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self, now: float) -> None:
        """One sweep. Each part by itself, and files before rows: on a full disk the database
        refuses until something is gone."""
        before, answers = now - self._retention, ANSWER_HOURS * 3600
        # Each with the age that it goes by: none of it is removed before the clock can tell that.
        parts = (
            (0.0, self._sweep_folders),
            (VALID_SECONDS + KEPT_SECONDS, lambda: self._uploads.sweep(now)),
            (self._retention, lambda: self._expire(before)),
            (self._retention, lambda: self._jobs.forget(before)),
            (self._history, lambda: self._jobs.forget_history(now - self._history)),
            (answers, lambda: self._jobs.forget_answers(now - answers)),
            (DELIVERIES_KEPT, lambda: self._webhooks.forget(now - DELIVERIES_KEPT)),
        )
        for age, part in parts:
            if age and not self._clock.even_for(age):
                continue
            try:
                await part()
            except Exception:
                log.exception("sweep failed: next one in a minute")

    async def _expire(self, before: float) -> None:
        for job_id in await self._jobs.due(before):
            await asyncio.to_thread(self._folders.remove, self._folders.outputs, job_id)
            await self._jobs.expire(job_id, time.time())
            log.info("job expired", job=job_id)

    async def _sweep_folders(self) -> None:
        # Names are listed before rows are read: an upload that becomes a job in between is
        # still among the incoming ones, or has its row already.
        places = [
            (self._folders.spool, self._arriving),
            (self._folders.scratch, self._jobs.unfinished_ids),
            (self._folders.outputs, self._jobs.live_ids),
        ]
        if self._folders.fast is not None:
            places.append((self._folders.fast, self._jobs.unfinished_ids))
        for folder, keep in places:
            names = await asyncio.to_thread(self._folders.leftovers, folder)
            kept = self._incoming() | await keep(names)
            for name in names - kept:
                await asyncio.to_thread(self._folders.remove, folder, name)
                log.info("leftover removed", folder=folder.name, name=name)

    async def _arriving(self, names: set[str]) -> set[str]:
        return names & self._uploads.spooled()
