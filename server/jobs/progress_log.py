"""Writes down how far jobs are, for those who poll."""

import asyncio
import time
from contextlib import suppress

from server.jobs import progress
from store import Job, StageRepository

PAUSE = 0.5  # seconds between two writes of one job's progress


class ProgressLog:
    """Writes one job's progress down, as often as is of use."""

    def __init__(self, stages: StageRepository) -> None:
        self._stages = stages
        self._running: dict[str, float] = {}
        self._percent = 0
        self._next = 0.0
        self._write: asyncio.Task[None] | None = None

    def tell(self, job: Job, stage: str, done: float) -> None:
        """Stage `stage` of the job (as it was when that was claimed) is `done`, 0 to 1."""
        self._running[stage] = done
        value, now = progress.percent(job.stages, self._running), time.monotonic()
        busy = self._write is not None and not self._write.done()
        if value > self._percent and now >= self._next and not busy:
            self._percent, self._next = value, now + PAUSE
            self._write = asyncio.create_task(self._set(job.id, value))

    async def _set(self, job_id: str, value: int) -> None:
        with suppress(Exception):  # the next one may get through: nothing depends on it
            await self._stages.set_progress(job_id, value)
