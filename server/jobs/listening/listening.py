"""Hearing and seeing a job's tracks, finished or not: windows of frames, and peaks.

Knows no HTTP. Files are read on threads of its own, so that nobody who listens waits for a disk
that an upload keeps busy. What is final of a running job is read where its stages write it; when a
file is finished or moved in between, it is looked for again.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from server.audio.peaks import FINE, Pairs, louder
from server.errors import JobNotFound
from server.jobs.disk.folders import PEAKS_FOLDER, Folders
from server.jobs.listening.growing_peaks import GrowingPeaks
from server.jobs.listening.track_places import OpenTrack, TrackPlaces
from server.jobs.reading import (
    finished_of,
    joint_gain,
    live_job,
    mix_gain,
    names_of,
    stems_of,
    total_frames,
)
from server.sharing import SharedPlaces
from server.tracks import MIX
from store import Job, JobRepository

T = TypeVar("T")
THREADS = 4
MOST_WINDOWS = 32  # open at once, of all callers; each holds a file for every track
BLOCK_BYTES = 1 << 20  # of a window, at a time
TRIES, TRY_PAUSE = 20, 0.01  # seconds: a file is moved in less than that, as a rule


class Audible(NamedTuple):
    """How far a job can be heard: each of its `tracks` of which anything is final, in frames;
    `stems`: all that the model makes; `total`: the song's length, 0 while it is not known."""

    stems: int
    total: int
    tracks: dict[str, int]


class TrackPeaks(NamedTuple):
    """The fine pairs of a track from its pair number `first` on; `frames`: how far they reach."""

    frames: int
    first: int
    pairs: Pairs


class Window:
    """A part of some tracks at the same place; to be closed.

    Attributes:
        start: its first frame.
        frames: its length: all of it is final in every track.
        finals: how far each track is final.
        total: the song's length, 0 while it is not known.
        finished: whether these frames can never come out differently.
    """

    def __init__(
        self, tracks: Sequence[OpenTrack | None], start: int, count: int, total: int,
        threads: ThreadPoolExecutor, closed: Callable[[], None],
    ) -> None:  # fmt: skip
        self.finals = [0 if track is None else track.frames for track in tracks]
        self.start = start
        self.frames = max(0, min(count, min(self.finals) - start))
        self.total = total
        self.finished = all(track is not None and track.finished for track in tracks)
        self._tracks = [track for track in tracks if track is not None]
        self._threads = threads
        self._closed = closed
        self._reading: asyncio.Future[bytes] | None = None

    async def read(self, start: int, count: int, samples: str) -> bytes:
        """Frames from the window's own frame `start` on: for each frame, for each track, left
        and right; little-endian floats (`f32`) or 16-bit integers (`s16`)."""
        loop = asyncio.get_running_loop()
        self._reading = loop.run_in_executor(self._threads, self._read, start, count, samples)
        return await asyncio.shield(self._reading)  # a thread goes on, whoever waits for it no more

    def spans(self) -> Iterator[tuple[int, int]]:
        """Start and length of the blocks to read it in, each of a good size."""
        step = max(1, BLOCK_BYTES // (8 * len(self.finals)))
        for start in range(0, self.frames, step):
            yield start, min(step, self.frames - start)

    def close(self) -> None:
        """Lets go of the files, once no thread reads them any more; may be called again."""
        if self._reading is not None and not self._reading.done():
            self._reading.add_done_callback(lambda _: self._let_go())
        else:
            self._let_go()

    def _let_go(self) -> None:
        tracks, self._tracks = self._tracks, []
        for track in tracks:
            track.sound.close()
        closed, self._closed = self._closed, lambda: None
        closed()

    def _read(self, start: int, count: int, samples: str) -> bytes:
        out = np.empty((count, len(self._tracks), 2), np.float32)
        for index, track in enumerate(self._tracks):
            out[:, index] = track.read(self.start + start, count)
        if samples == "f32":
            return out.astype("<f4", copy=False).tobytes()
        np.clip(np.rint(np.multiply(out, 2**15, out=out), out=out), -(2**15), 2**15 - 1, out=out)
        return out.astype("<i2").tobytes()


class Listening:
    """What can be heard of all jobs."""

    def __init__(self, jobs: JobRepository, folders: Folders) -> None:
        self._jobs = jobs
        self._outputs = folders.outputs
        self._places = TrackPlaces(folders)
        self._growing = GrowingPeaks()
        self._threads = ThreadPoolExecutor(THREADS, "listening")
        self._windows = SharedPlaces(MOST_WINDOWS, "windows are being sent")

    async def window(
        self, job_id: str, names: Sequence[str], start: int, count: int, caller: str = ""
    ) -> Window | None:
        """`count` frames of these tracks from frame `start` on, or as many as are final.

        None: the job never has one of these tracks. caller: whose place the window takes until it
        has let go of its files.

        Raises:
            JobNotFound: the job, or a finished track of it, has been removed.
            ServerBusy: too many windows are being sent.
        """
        job = await live_job(self._jobs, job_id)
        if not set(names) <= set(names_of(job)):
            return None
        self._windows.take(caller)
        closed = partial(self._windows.leave, caller)
        try:
            job, tracks = await self._found(job_id, names)
        except BaseException:
            closed()
            raise
        return Window(tracks, start, count, total_frames(job), self._threads, closed)

    async def audible(self, job: Job) -> Audible:
        """How far a job can be heard. Reads no sound."""
        names = names_of(job)
        total = total_frames(job)
        if job.state == "processing":
            finals = await self._in_thread(self._places.frames, job, names)
        else:
            finals = [total if finished_of(job, name) else 0 for name in names]
        tracks = {name: final for name, final in zip(names, finals, strict=True) if final}
        stems = min(tracks.get(stem, 0) for stem in stems_of(job))
        return Audible(stems, total, tracks)

    async def peaks(self, job_id: str, since: int) -> tuple[int, dict[str, TrackPeaks]]:
        """The song's length, 0 while it is not known, and the peaks of every track of which there
        are any, from the stretch that holds frame `since` on. Raises JobNotFound."""
        job = await live_job(self._jobs, job_id)
        if job.state != "processing":
            self._growing.forget(job_id)
        found = {}
        for name in names_of(job):
            peaks = await self._finished_peaks(job, name, since // FINE)
            if peaks is None:
                peaks = await self._growing_peaks(job, name, since // FINE)
            if peaks is not None:
                found[name] = peaks
        return total_frames(job), found

    async def _finished_peaks(self, job: Job, name: str, first: int) -> TrackPeaks | None:
        pairs = None
        if name == MIX:
            pairs = await self._mix_pairs(job, first)
        elif name in job.tracks:
            pairs = await self._pairs(job, name, first)
        return None if pairs is None else TrackPeaks(total_frames(job), first, pairs)

    async def _mix_pairs(self, job: Job, first: int) -> Pairs | None:
        """Those of the decoded mix, at the level at which it is heard."""
        if not total_frames(job):  # what is there is of an attempt that was given up
            return None
        pairs, gain = await self._pairs(job, MIX, first), 1.0
        if pairs is not None and job.state != "processing":
            gain = joint_gain(job)
        if pairs is None and "main" in job.tracks:  # decoded before they were kept
            pairs, gain = await self._pairs(job, "main", first), 1 / mix_gain(job)
        return pairs if pairs is None or gain == 1 else louder(pairs, gain)

    async def _pairs(self, job: Job, name: str, first: int) -> Pairs | None:
        path = self._outputs / job.id / PEAKS_FOLDER / name
        return await self._in_thread(_read_pairs, path, first)

    async def _growing_peaks(self, job: Job, name: str, first: int) -> TrackPeaks | None:
        """What is final at this moment is enough: who wants more asks again."""
        if job.state != "processing":
            return None
        pairs = await self._growing.look(
            job.id, name, lambda: self._places.open(job, [name])[0], self._in_thread
        )
        return TrackPeaks(len(pairs) * FINE, first, pairs[first:]) if len(pairs) else None

    async def _found(
        self, job_id: str, names: Sequence[str]
    ) -> tuple[Job, list[OpenTrack | None]]:
        """The job and its open tracks, as they belong together.

        What is neither finished nor growing any more has moved on: it is looked for again.
        """
        for _ in range(TRIES):
            job = await live_job(self._jobs, job_id)
            try:
                found = await self._in_thread(self._places.open, job, names)
            except FileNotFoundError:
                await asyncio.sleep(TRY_PAUSE)
                continue
            if all(found) or await self._jobs.get(job_id) == job:
                return job, found
            _close(found)
        raise JobNotFound("Job not found")

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)


def _close(tracks: list[OpenTrack | None]) -> None:
    for track in tracks:
        if track is not None:
            track.sound.close()


def _read_pairs(path: Path, first: int) -> Pairs | None:
    try:
        with path.open("rb") as file:
            file.seek(2 * first)
            data = file.read()
    except FileNotFoundError:
        return None
    return np.frombuffer(data, np.int8).reshape(-1, 2)
