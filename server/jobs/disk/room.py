"""Room on the data disk: what jobs will still write is booked before they begin, so that none runs
out of it half-way. Knows sizes of files, not what is in them.

A job's tracks stay; what it needs while it runs comes back. So new work is admitted where all
tracks fit, with the largest job's scratch files; and jobs are decoded, in their turn, while there
is room for all that those before them will still write. One always gets through.
"""

import asyncio
import math
import shutil
import time
from typing import Final, NamedTuple

import msgspec
import structlog
from msgspec import structs

from server.audio.peaks import FINE
from server.audio.tracks import tracks_of
from server.errors import DiskFull
from server.jobs.disk.folders import Folders, files_below, written
from server.jobs.reading import options_of
from server.presets.inferences import files_between
from server.work.messages import Options
from server.work.scratch import FRAME_BYTES, SAMPLE_RATE
from store import Job, NewJob, Room, RoomRepository, Stage, Unfinished

log = structlog.get_logger()
PARTS: Final = 2  # scratch files of a pipeline job beside mix and stems: harmonic and percussive
SAMPLE_BYTES: Final = {"PCM_16": 2, "PCM_16_DITHERED": 2, "PCM_24": 3, "FLOAT": 4}
MP3_RATE: Final = 40_000  # bytes a second
PEAK_BYTES: Final = 2  # for FINE frames
TRACK_BYTES: Final = 64 << 10  # beside the samples: headers, names, the last block
NOTHING: Final = Room()
WARNING_PAUSE: Final = 60.0  # seconds between two lines in the log


def files_of(api: str, options: Options) -> int:
    """How many scratch files as long as its song a job has at once, at the most."""
    stems = len(options.stems) + files_between(options.inferences)
    return 1 + stems + (PARTS if api == "pipeline" else 0)


def room_of(api: str, options: Options, seconds: float) -> Room:
    """What the files of a job whose song lasts `seconds` take at the most."""
    frames = math.ceil((seconds + 1) * SAMPLE_RATE)  # a claim may be rounded
    tracks = len(tracks_of(options.stems) if api == "pipeline" else options.stems)
    scratch = files_of(api, options)
    sound = (seconds + 1) * MP3_RATE if options.format == "MP3" else \
        2 * SAMPLE_BYTES[options.wav_format] * frames  # fmt: skip
    peaks = PEAK_BYTES * (frames // FINE + 1)
    outputs = tracks * (math.ceil(sound) + TRACK_BYTES) + (tracks + 1) * peaks  # and the mix's
    return Room(scratch * FRAME_BYTES * frames, outputs)


def with_room(new: NewJob, seconds: float) -> NewJob:
    """A new job that says what its files take."""
    options = msgspec.json.decode(new.options, type=Options)
    return structs.replace(new, room=room_of(new.api, options, seconds))


class Left(NamedTuple):
    """Bytes that are free on the disk, and how many of them are to stay so. What is nobody's beside
    those, `now` with all that running jobs will still write, and `later`, once all accepted jobs
    have ended: less than nothing where more was promised. `largest`: of their scratch."""

    free: int
    stay_free: int
    now: int
    later: int
    largest: int


class DiskRoom:
    """The room on the disk of one server's data. keep_percent: of it stay free."""

    def __init__(self, rooms: RoomRepository, folders: Folders, keep_percent: float) -> None:
        self._rooms = rooms
        self._folders = folders
        self._keep = keep_percent / 100
        self._promises: dict[str, int] = {}
        self._warned = -math.inf

    async def promise(self, name: str, wanted: int = 0, job: Room = NOTHING) -> None:
        """Keeps room for bytes that are on their way in, or for a new job, until `forget`.

        Raises DiskFull.
        """
        await self.check(wanted, job)
        self._promises[name] = wanted + job.outputs  # in the same step as the check

    def forget(self, name: str) -> None:
        """What was promised is written, or will not be."""
        self._promises.pop(name, None)

    async def check(self, wanted: int = 0, job: Room = NOTHING) -> None:
        """Whether so many more bytes, or another job, may come. Raises DiskFull."""
        left = await self._left()
        needed = wanted + job.outputs + sum(self._promises.values())
        free, largest = left.free - left.stay_free, max(left.largest, job.scratch)
        if free < wanted or left.later - needed < largest:
            log.warning("work refused: the disk is almost full", **left._asdict(), needed=needed)
            raise DiskFull("The server's disk is almost full; no new work is accepted")

    async def next_to_decode(self) -> str | None:
        """The job that may be decoded now: the first in turn, if there is room for it, or no
        other has begun. "" while it has to wait; None where none waits."""
        first = await self._rooms.first_to_decode()
        if first is None:
            return None
        job_id, room = first
        if await self._fits(job_id, sum(room)):
            return job_id
        if time.monotonic() > self._warned + WARNING_PAUSE:
            self._warned = time.monotonic()
            log.warning("decoding waits for room on the disk", job=job_id, needed=sum(room))
        return ""

    async def settle(self, job: Job, frames: int) -> bool:
        """The song is decoded, and `frames` long: from here on that counts. False: it is longer
        than it said, and there is no room for the rest now."""
        options, seconds = options_of(job), frames / SAMPLE_RATE
        room = room_of(job.api, options, seconds)
        booked = (await self._rooms.unfinished()).begun.get(job.id, room)
        more = sum(room) - sum(booked)
        # Booked before it is looked at: of two that settle at once, each sees the other.
        await self._rooms.set(job.id, room, seconds if more > 0 else None)
        return more <= 0 or await self._fits(job.id, 0)

    async def give_way(self, stage: Stage) -> bool:
        """Rewinds the job of a claimed stage to its input, if one that is due earlier has begun.

        Raises LeaseLost.
        """
        return await self._rooms.give_way(stage)

    async def _fits(self, job_id: str, wanted: int) -> bool:
        unfinished = await self._rooms.unfinished()
        if not unfinished.begun.keys() - {job_id}:  # one always gets through
            return True
        left = await asyncio.to_thread(self._count, unfinished)
        return wanted <= left.now - sum(self._promises.values())

    async def _left(self) -> Left:
        return await asyncio.to_thread(self._count, await self._rooms.unfinished())

    def _count(self, unfinished: Unfinished) -> Left:
        usage = shutil.disk_usage(self._folders.data_dir)
        stay_free = math.ceil(self._keep * usage.total)
        now = math.floor(usage.free) - stay_free
        later = now - unfinished.waiting.outputs
        for job_id, room in unfinished.begun.items():
            scratch, outputs = self._written(job_id)
            tracks = max(0, room.outputs - outputs)
            now -= tracks + (0 if self._is_fast(job_id) else max(0, room.scratch - scratch))
            later += scratch - tracks
        scratches = [room.scratch for room in (*unfinished.begun.values(), unfinished.waiting)]
        return Left(math.floor(usage.free), stay_free, now, later, max(scratches))

    def _is_fast(self, job_id: str) -> bool:
        fast = self._folders.fast
        return fast is not None and (fast / job_id).is_dir()

    def _written(self, job_id: str) -> tuple[int, int]:
        """Bytes of a job's scratch files and of its tracks that are on the disk."""
        files = files_below(self._folders.scratch / job_id)
        scratch = written(file for file in files if ".f32" in file.name)
        return scratch, written(files_below(self._folders.outputs / job_id))
