"""Sweeps: what ended long ago, and what a crash left behind. One loop."""

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Self

import structlog

from server.config import Jobs
from server.jobs.clock import Clock
from server.jobs.disk.folders import Folders
from server.jobs.idempotency import ANSWER_HOURS
from server.jobs.sources.uploads import Uploads
from store import FileSizes, JobRepository, WebhookRepository
from store.uploads import KEPT_SECONDS, VALID_SECONDS

log = structlog.get_logger()
SWEEP_SECONDS = 60.0
DAY = 86400.0  # seconds

Part = Callable[[float], Awaitable[int]]
"""Removes what is from before a time; returns how much."""


class Retention(NamedTuple):
    """Seconds for which is kept: a finished job's files, a StemSplit job without files, what became
    of a delivery."""

    files: float
    history: float
    deliveries: float

    @classmethod
    def of(cls, settings: Jobs) -> Self:
        """From the settings."""
        return cls(settings.retention_hours * 3600, settings.history_days * DAY,
                   settings.deliveries_days * DAY)  # fmt: skip


class Janitor:
    """Removes files and rows whose time is over, by a clock that goes evenly.

    `run()` is its whole life. cancel: for a job that waited and was given up.
    """

    def __init__(
        self,
        jobs: JobRepository,
        folders: Folders,
        uploads: Uploads,
        webhooks: WebhookRepository,
        retention: Retention,
        incoming: Callable[[], set[str]],
        clock: Clock,
        sizes: Callable[[], Awaitable[FileSizes]],
        cancel: Callable[[str], Awaitable[None]],
    ) -> None:
        self._jobs = jobs
        self._folders = folders
        self._uploads = uploads
        self._webhooks = webhooks
        self._kept = retention
        self._incoming = incoming
        self._clock = clock
        self._sizes = sizes
        self._cancel = cancel

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
        kept, answers = self._kept, ANSWER_HOURS * 3600.0
        # Each with the age that it goes by: none of it is removed before the clock can tell that.
        parts: dict[str, tuple[float, Part]] = {
            "leftovers": (0.0, lambda before: self._sweep_folders()),
            "uploads": (VALID_SECONDS + KEPT_SECONDS, lambda before: self._uploads.sweep(now)),
            "expired": (kept.files, self._expire),
            "pipeline_jobs": (kept.files, self._jobs.forget),
            "stemsplit_jobs": (kept.history, self._jobs.forget_history),
            "answers": (answers, self._jobs.forget_answers),
            "deliveries": (kept.deliveries, self._webhooks.forget),
        }
        removed: dict[str, int] = {}
        for name, (age, part) in parts.items():
            if age and not self._clock.even_for(age):
                continue
            try:
                removed[name] = await part(now - age)
            except Exception:
                log.exception("sweep failed: next one in a minute")
        try:
            await self._report({name: count for name, count in removed.items() if count})
        except Exception:
            log.exception("what was swept cannot be reported")

    async def _report(self, removed: dict[str, int]) -> None:
        """What went, and what the database takes now: its file does not shrink, it is filled again
        from what is free in it."""
        if not removed:
            return
        sizes = await self._sizes()
        log.info("swept", **removed, database_bytes=sizes.file, database_free_bytes=sizes.free,
                 database_log_bytes=sizes.log)  # fmt: skip

    async def _expire(self, before: float) -> int:
        expired = 0
        for job_id, waits in await self._jobs.due(before):
            # What waited may be at work by now, or even done: then its files stay.
            if waits and not await self._jobs.give_up(job_id, time.time()):
                continue
            if not waits:
                await self._expire_one(job_id)
            await asyncio.to_thread(self._folders.remove, self._folders.outputs, job_id)
            if waits:
                await self._cancel(job_id)
            log.info("job expired", job=job_id)
            expired += 1
        return expired

    async def _expire_one(self, job_id: str) -> None:
        """The row before the files, so that nobody is told of files that are gone; but on a full
        disk there is room for a row when files have gone, and these are overdue."""
        try:
            await self._jobs.expire(job_id, time.time())
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            await asyncio.to_thread(self._folders.remove, self._folders.outputs, job_id)
            await self._jobs.expire(job_id, time.time())

    async def _sweep_folders(self) -> int:
        removed = 0
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
            removed += len(names - kept)
        return removed

    async def _arriving(self, names: set[str]) -> set[str]:
        return names & self._uploads.spooled()
