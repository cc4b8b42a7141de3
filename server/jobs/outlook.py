"""How a job stands, for who waits for it: how far, since when audible, when its turn comes."""

import math
import time
from collections import OrderedDict
from collections.abc import Sequence

from msgspec import Struct

from server.jobs.listening.listening import Audible, Listening
from server.jobs.reading import names_of, total_frames
from server.sound import SAMPLE_RATE
from store import Job, JobRepository, Stage

BEFORE = 4  # percent of the whole that come before the separation
# So much of a song must be done before its own pace counts: the first segments wait for the model,
# and for other songs.
TELLING_PERCENT = 25
TELLING_SECONDS = 20.0
MOST_WATCHED = 4096  # jobs


class Outlook(Struct, frozen=True):
    """`progress`: percent; `tracks`: all names that the job will have, and the mix, and once it has
    ended those that it has; `expires_at`: unix seconds, None until it has ended; `seconds` of
    audio, None while not known; `position`: 1 is the next to be separated, 0 waits no more; `eta`:
    seconds until the job's end, None where it cannot be told."""

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
        self._risen: OrderedDict[str, tuple[int, float]] = OrderedDict()  # how far, and since when

    async def of(self, job: Job) -> Outlook:
        """How a job stands, as it has been read."""
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
        if _unseen(job):
            return None
        if position:
            pace, waiting = await self._jobs.forecast(job.id)
            return None if pace is None else math.ceil(pace * waiting)
        began, seconds = _separation(job).started_at, total_frames(job) / SAMPLE_RATE
        if began is None or not seconds:
            return None
        now, done = time.time(), job.progress - BEFORE
        risen = self._risen_at(job, now)
        told = done >= min(TELLING_PERCENT, 100 * TELLING_SECONDS / seconds)
        if told and self._since <= began <= risen:  # and no server, no attempt, in between
            left = (risen - began) * (100 - job.progress) / done
        else:
            pace, _ = await self._jobs.forecast()
            if pace is None:
                return None
            left = pace * seconds * (100 - job.progress) / 100
        # It runs down while nothing is seen to move. When it is over, nobody knows.
        left -= max(0.0, now - max(risen, began, self._since))
        return math.ceil(left) if left > 0 else None

    def _risen_at(self, job: Job, now: float) -> float:
        """When a job was first seen to be as far as it is, in unix seconds."""
        progress, risen = self._risen.get(job.id, (-1, now))
        if progress != job.progress or risen > now:  # or the clock was put back
            risen = now
        self._risen[job.id] = job.progress, risen
        self._risen.move_to_end(job.id)
        if len(self._risen) > MOST_WATCHED:
            self._risen.popitem(last=False)
        return risen


def _unseen(job: Job) -> bool:
    """Whether its source is not here: how long it takes to come, and lasts, nobody knows."""
    return any(stage.name == "fetch" and stage.state != "completed" for stage in job.stages)


def _separation(job: Job) -> Stage:
    return next(stage for stage in job.stages if stage.name == "separate")
