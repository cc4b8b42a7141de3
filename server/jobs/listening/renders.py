"""Renders mixes and stem files of finished jobs, by the audio pool, when somebody asks.

What was rendered stays among the job's outputs for who asks again, and goes with them.
"""

import asyncio
import hashlib
import os
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, cast

import msgspec
import structlog
from msgspec import structs

from server.config import Config
from server.errors import JobNotFound, StageFailed, WorkerGone, WorkerLost
from server.jobs.disk.folders import RENDERS_FOLDER, Folders
from server.jobs.disk.room import DiskRoom
from server.jobs.listening.mixing import COLORS, MixOrder, sheet, stem_sheets
from server.jobs.reading import Term, live_job, options_of, total_frames
from server.names import song_of
from server.sharing import SharedPlaces
from server.sound import FRAME_BYTES
from server.work.messages import Options, Task
from server.work.scratch import PART, whole_of
from server.work.workers import Workers
from store import Job, JobRepository

log = structlog.get_logger()
KEPT = 4  # mixes of a job; the one that was not asked for the longest goes first
OPENED_WITHIN = 30.0  # seconds, after which who asked for a file has opened it
KEPT_AT_MOST = 20  # of them, whoever is about to open more
AT_ONCE = 2  # more would only share the same workers
MOST_WAITING = 32  # of all callers


class Renders:
    """All renderings of one server. rooms: the disk that they go to."""

    def __init__(
        self, config: Config, jobs: JobRepository, folders: Folders, workers: Workers,
        rooms: DiskRoom,
    ) -> None:  # fmt: skip
        self._samples = {
            "WAV": config.pipeline.wav_format, "FLAC": config.stemsplit.flac_format, "MP3": "PCM_16"
        }  # fmt: skip
        self._jobs = jobs
        self._outputs = folders.outputs
        self._workers = workers
        self._rooms = rooms
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._running: dict[Path, asyncio.Task[Path]] = {}
        self._places = SharedPlaces(MOST_WAITING, "mixes are being rendered")
        self._shelf = Lock()  # none is handed out while it is chosen to go

    async def mix(self, job_id: str, order: MixOrder, caller: str = "") -> Path:
        """The file of a mix. caller: whose place it takes until it is rendered.

        Raises:
            JobNotFound, TrackNotFound, JobNotCompleted, InvalidRequest: as `mixing.sheet`.
            JobNotFound: the job was removed meanwhile, too.
            ServerBusy, DiskFull, StageFailed.
        """
        job = await live_job(self._jobs, job_id)
        wanted = sheet(job, order)
        samples = self._samples[wanted.format]
        key = hashlib.sha256(msgspec.json.encode([wanted, samples])).hexdigest()[:32]
        facts = {"parts": self._parts(job, wanted.terms), "start": wanted.start,
                 "count": wanted.count}  # fmt: skip
        options = structs.replace(
            options_of(job), format=cast(Any, wanted.format), wav_format=samples
        )
        name = f"{key}.{wanted.format.lower()}"
        return await self._rendered(job, "render_mix", name, facts, options, caller)

    async def stem_file(self, job_id: str, caller: str = "") -> Path:
        """The job's stems as one `.stem.m4a`. Raises as `mix`."""
        job = await live_job(self._jobs, job_id)
        mix, stems = stem_sheets(job)
        facts = {
            "mix": self._parts(job, mix),
            "stems": [
                {"name": name.capitalize(), "color": COLORS[name],
                 "parts": self._parts(job, terms)}
                for name, terms in stems.items()
            ],
            "count": total_frames(job),
            "title": song_of(options_of(job).file_name, otherwise=""),
        }  # fmt: skip
        return await self._rendered(
            job, "render_stem_file", "stems.stem.m4a", facts, options_of(job), caller
        )

    async def _check(self, job_id: str) -> None:
        """Raises JobNotFound: the job goes, or has gone; where its time is over, files go first."""
        job = await live_job(self._jobs, job_id)
        files = [self._outputs / job_id / track.path for track in job.tracks.values()]
        if not await asyncio.to_thread(lambda: all(file.exists() for file in files)):
            raise JobNotFound("Job not found")

    def _parts(self, job: Job, terms: Sequence[Term]) -> list[dict[str, Any]]:
        folder = self._outputs / job.id
        return [
            {**structs.asdict(term), "path": str(folder / term.path),
             "finer": [str(folder / path) for path in term.finer]}
            for term in terms
        ]  # fmt: skip

    async def _rendered(
        self, job: Job, stage: str, name: str, facts: dict[str, Any], options: Options, caller: str
    ) -> Path:
        """The file, rendered unless it is there. Who asks for the same waits for the same; it is
        brought to its end, and keeps the first one's place until then, even if they go."""
        path = self._outputs / job.id / RENDERS_FOLDER / name
        if await asyncio.to_thread(self._taken, path):
            return path
        running = self._running.get(path)
        if running is None:
            self._places.take(caller)
            task = Task(
                id=f"{stage}/{uuid.uuid4()}", job=job.id, stage=stage, due=time.time(), source="",
                scratch="", outputs=str(self._outputs / job.id), options=options,
                facts=facts | {"target": f"{RENDERS_FOLDER}/{name}"},
            )  # fmt: skip
            running = self._running[path] = asyncio.create_task(self._render(task, path))
            running.add_done_callback(partial(self._forget, path, caller))
        return await asyncio.shield(running)

    def _forget(self, path: Path, caller: str, task: asyncio.Task[Path]) -> None:
        del self._running[path]
        self._places.leave(caller)
        if not task.cancelled():
            task.exception()  # it was told to who still waited

    async def _render(self, task: Task, path: Path) -> Path:
        async with self._turns:
            await self._check(task.job)  # it may have gone while this waited
            if await asyncio.to_thread(self._taken, path):  # it was made while that was looked up
                return path
            began = time.monotonic()
            await asyncio.to_thread(self._sweep, path)
            await self._rooms.promise(task.id, task.facts["count"] * FRAME_BYTES)
            try:
                await self._run(task)
            except StageFailed:
                await self._check(task.job)  # without its files nothing else is to be expected
                raise
            finally:
                self._rooms.forget(task.id)
            log.info("rendered", job=task.job, stage=task.stage, file=path.name,
                     seconds=round(time.monotonic() - began, 3))  # fmt: skip
        try:
            await self._check(task.job)
        except JobNotFound:  # what was written behind its removal must not bring it back
            await asyncio.to_thread(_take_away, path)
            raise
        if not await asyncio.to_thread(self._taken, path):
            raise JobNotFound("Job not found")  # it took the file along
        await asyncio.to_thread(self._forget_oldest, path.parent)
        return path

    def _taken(self, path: Path) -> bool:
        """Whether the file is there; it stays for a while then, until it is opened.

        When it was asked for is kept as the time of its last access: that of its last change is in
        its ETag.
        """
        with self._shelf, suppress(FileNotFoundError):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
            return True
        return False

    def _forget_oldest(self, folder: Path) -> None:
        """Removes all but the last few mixes of a job, and those that are about to be opened."""
        with self._shelf, suppress(FileNotFoundError):  # the job takes them along
            asked = {file: file.stat().st_atime for file in folder.iterdir()
                     if file.suffix in (".wav", ".flac", ".mp3")}  # fmt: skip
            waited_for = time.time() - OPENED_WITHIN
            for place, file in enumerate(sorted(asked, key=asked.__getitem__, reverse=True)):
                if place >= KEPT_AT_MOST or (place >= KEPT and asked[file] < waited_for):
                    file.unlink()

    def _sweep(self, path: Path) -> None:
        """Removes what renders that died have left half-written, before `path` is begun."""
        with suppress(FileNotFoundError):  # the job takes them along
            for part in path.parent.glob(f"*{PART}"):
                whole = whole_of(part)
                if whole == path or whole not in self._running:
                    part.unlink(missing_ok=True)

    async def _run(self, task: Task) -> None:
        """A worker that dies may have been another task's victim: it is tried once again."""
        for last in (False, True):
            try:
                slot = await self._workers.reserve("audio", task.due)
                await slot.run(task)
                return
            except (WorkerGone, WorkerLost) as error:
                if last:
                    raise StageFailed(error.message) from None


def _take_away(path: Path) -> None:
    """A file, and the folders of its job that it alone has brought back."""
    path.unlink(missing_ok=True)
    for folder in (path.parent, path.parent.parent):
        with suppress(OSError):
            folder.rmdir()
