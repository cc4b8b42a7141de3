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
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import structlog
from msgspec import structs

from server.audio.peaks import FINE
from server.errors import DiskFull
from server.jobs.disk.folders import Folders, files_below, written
from server.jobs.reading import options_of
from server.presets.inferences import files_between
from server.sound import FRAME_BYTES, SAMPLE_RATE
from server.tracks import tracks_of
from server.work.messages import Options
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


class Promise(NamedTuple):
    """Bytes that will be written: those that `caller` has announced come to lie in `place`, a file
    or a folder."""

    size: int
    caller: str | None = None
    place: Path | None = None


class Left(NamedTuple):
    """Bytes of the data's disk.

    free: that nothing is written to at this moment. stay_free: of those, the reserve that nobody
    may use. now: what is left of the others, and of what was promised, when running jobs have
    written all that they still will. later: what is left once all accepted jobs have ended;
    negative if more was promised than there is. largest: the most scratch that one of them needs.
    """

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
        self._promises: dict[str, Promise] = {}
        self._warned = -math.inf

    async def promise(
        self, name: str, wanted: int = 0, job: Room = NOTHING, *,
        caller: str | None = None, place: Path | None = None,
    ) -> None:  # fmt: skip
        """Keeps room for bytes that are on their way in, or for a new job, until `forget`; of what
        lies in `place` by then the disk itself tells.

        caller: who has announced the bytes. He may have under way as much as is left free beside
        that, as with `SharedPlaces`; but one alone may be as large as there is room.

        Raises DiskFull.
        """
        await self._check(wanted, job, name, caller)
        announced = Promise(wanted + job.outputs, caller, place)
        self._promises[name] = announced  # in the same step as the check

    def forget(self, name: str) -> None:
        """What was promised is written, or will not be."""
        self._promises.pop(name, None)

    async def check(self, wanted: int = 0, job: Room = NOTHING) -> None:
        """Whether so many more bytes, or another job, may come. Raises DiskFull."""
        await self._check(wanted, job)

    async def _check(
        self, wanted: int, job: Room, name: str = "", caller: str | None = None
    ) -> None:
        """`name`: of the promise that this one takes the place of."""
        left = await self._left(name)
        needed = wanted + job.outputs
        free, largest = left.free - left.stay_free, max(left.largest, job.scratch)
        if free < wanted or left.later - needed < largest:
            log.warning("work refused: the disk is almost full", **left._asdict(), needed=needed)
            raise DiskFull("The server's disk is almost full; no new work is accepted")
        announced = 0 if caller is None else sum(
            promise.size for other, promise in self._promises.items()
            if other != name and promise.caller == caller
        )  # fmt: skip
        if wanted and left.later - needed - announced < largest:
            log.warning("work refused: its caller has announced as much as is left",
                        **left._asdict(), needed=needed, announced=announced)  # fmt: skip
            raise DiskFull("The server's disk has little room: send this once the others that you "
                           "have under way are here")  # fmt: skip

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
        return wanted <= (await self._left()).now

    async def _left(self, name: str = "") -> Left:
        """What is left, but for the promise of this name."""
        promises = dict(self._promises)  # what arrives, or becomes a job, meanwhile counts twice
        unfinished = await self._rooms.unfinished()
        arrived = await asyncio.to_thread(_arrived, [*promises.values()])
        left = await asyncio.to_thread(self._count, unfinished)
        promised = sum(
            max(0, promise.size - arrived.get(promise, 0))
            for other, promise in (promises | self._promises).items() if other != name
        )  # fmt: skip
        return left._replace(now=left.now - promised, later=left.later - promised)

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


def _arrived(promises: Sequence[Promise]) -> dict[Promise, int]:
    """Bytes of each that lie in its place."""
    return {
        promise: written([promise.place, *files_below(promise.place)])
        for promise in promises if promise.place is not None
    }  # fmt: skip
