"""How a job stands, for who waits for it: how far, since when audible, when its turn comes."""

import math
import time
from collections.abc import Sequence

from msgspec import Struct

from server.errors import JobNotFound
from server.jobs.listening.listening import Audible, Listening
from server.jobs.listening.track_places import names_of, total_frames
from server.work.scratch import SAMPLE_RATE
from store import Job, JobRepository, Stage

LEAST_DONE = 2  # percent of the separation, before its pace tells anything
BEFORE = 4  # percent of the whole that come before the separation


class Outlook(Struct, frozen=True):
    """`progress`: percent; `tracks`: all names that the job will have, and the mix; `expires_at`:
    unix seconds, None until it has ended; `seconds` of audio, None while not known; `position`:
    1 is the next to be separated, 0 waits no more; `eta`: seconds until the job's end, None where
    it cannot be told."""

    progress: int
    tracks: Sequence[str]
    expires_at: float | None
    seconds: float | None
    audible: Audible
    position: int
    eta: int | None
    error: str | None


class Outlooks:
    """How jobs of both APIs stand. since: unix seconds when this server began to work."""

    def __init__(
        self, jobs: JobRepository, listening: Listening, retention_hours: float, since: float = 0.0
    ) -> None:
        self._since = since
        self._retention = retention_hours * 3600
        self._jobs = jobs
        self._listening = listening

    async def of(self, job_id: str) -> Outlook:
        """Raises JobNotFound."""
        job = await self._jobs.get(job_id)
        if job is None:
            raise JobNotFound("Job not found")
        position = await self._position(job)
        frames = total_frames(job)
        return Outlook(
            progress=job.progress,
            tracks=names_of(job),
            expires_at=None if job.completed_at is None else job.completed_at + self._retention,
            seconds=round(frames / SAMPLE_RATE, 3) if frames else None,
            audible=await self._listening.audible(job),
            position=position,
            eta=await self._eta(job, position),
            error=job.error,
        )

    async def _position(self, job: Job) -> int:
        if job.state != "processing" or _separation(job).state != "pending":
            return 0
        return 1 + await self._jobs.count_before(job.id)

    async def _eta(self, job: Job, position: int) -> int | None:
        if job.state != "processing":
            return 0
        if position:
            pace, waiting = await self._jobs.forecast(job.id)
            return None if pace is None else math.ceil(pace * waiting)
        began = _separation(job).started_at
        done = job.progress - BEFORE
        if began is None or done < LEAST_DONE:
            return None
        if began < self._since:  # who knows for how long there was no server
            pace, _ = await self._jobs.forecast()
            left = total_frames(job) / SAMPLE_RATE * (100 - job.progress) / 100
            return None if pace is None else math.ceil(pace * left)
        return math.ceil(max(0.0, time.time() - began) * (100 - job.progress) / done)


def _separation(job: Job) -> Stage:
    return next(stage for stage in job.stages if stage.name == "separate")
