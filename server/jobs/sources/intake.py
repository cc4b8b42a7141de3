"""The way in, the same for both APIs: admission, a spool folder, a look at the bytes, a job.

A spool folder is removed on every way out but the one that makes it a job.
"""

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

import structlog

from server.config import Config
from server.errors import AudioError, ServerBusy, WorkerGone, WorkerLost
from server.jobs.disk.folders import Folders, full_disk_is_said
from server.jobs.disk.room import DiskRoom, room_of
from server.jobs.keyed import KeyedSemaphore
from server.work.messages import Options, Task
from server.work.workers import POOLS, Workers
from store import Job, JobRepository, NewJob

log = structlog.get_logger()

# Of a probe waiting for a worker counts, too; for a measure one waits in the background, if long.
LOOK_SECONDS = {"probe": 30.0, "measure": 600.0}
MEASURED_AT_ONCE = 2  # files of one account
LOOKS = 1  # of one caller, at a time
LIKELY_RATE = 16_000  # bytes a second of song, before anybody has looked at it
UNREADY_SECONDS = 300.0  # without a separation worker, until no more work is accepted
RETRY_AFTER = 30  # seconds, told to clients that found the queue full


class Intake:
    """Admits new work while there is room for it."""

    def __init__(self, config: Config, jobs: JobRepository, workers: Workers) -> None:
        self._config = config
        self._jobs = jobs
        self._workers = workers
        self.folders = Folders(config.data_dir, config.scratch_dir)
        self.rooms = DiskRoom(jobs.rooms, self.folders, config.server.min_free_percent)
        self._incoming: set[str] = set()
        # Of those: whose they are that are complete, and jobs unless they are refused.
        self._entered: dict[str, str | None] = {}
        self._looks: KeyedSemaphore[str] = KeyedSemaphore(LOOKS)
        self._turns: KeyedSemaphore[str] = KeyedSemaphore(MEASURED_AT_ONCE)

    async def reserve(self, size: int = 0, caller: str | None = None) -> tuple[str, Path]:
        """Admits new work of so many bytes: its job's id and an empty folder for them. While they
        come in they are no job yet, and take no place in the queue.

        Raises:
            ServerBusy: too many jobs wait.
            DiskFull: the disk has too little room beside what comes already, or for one caller's.
        """
        job_id = await self._admit(size, caller)
        folder = self.folders.spool / job_id
        try:
            with full_disk_is_said():
                await asyncio.to_thread(folder.mkdir, mode=0o700)
        except BaseException:
            self._forget(job_id)
            raise
        return job_id, folder

    async def enter(self, job_id: str, caller: str | None = None) -> None:
        """Work that has come in takes its place in the queue. Raises ServerBusy: there is none."""
        await self._check_queue(caller)
        self._entered[job_id] = caller  # in the same step as the count

    async def discard(self, job_id: str) -> None:
        """Forgets what came in and removes its bytes."""
        self._forget(job_id)
        await asyncio.to_thread(self.folders.remove, self.folders.spool, job_id)

    async def accept(self, new: NewJob) -> Job:
        """Moves the files and stores the job: both, or neither.

        Raises DiskFull: what the job will write has no room; and as the store does.
        """
        try:
            await self.rooms.promise(new.id, job=new.room)
            with full_disk_is_said():
                await asyncio.to_thread(self.folders.accept, new.id)
                job = await self._jobs.create(new)
        except BaseException:
            await self.discard(new.id)
            for folder in (self.folders.scratch, self.folders.outputs):
                await asyncio.to_thread(self.folders.remove, folder, new.id)
            raise
        self._forget(new.id)
        return job

    async def measure(
        self, account_id: str, job_id: str, folder: Path, options: Options
    ) -> dict[str, Any]:
        """Has all of `folder/input` decoded, a few of an account's files at a time: nobody else
        waits for all of them. Raises as `look`."""
        async with self._turns.enter(account_id):
            return await self.look(job_id, folder, options, "measure")

    async def look(
        self, job_id: str, folder: Path, options: Options, stage: str = "probe", caller: str = ""
    ) -> dict[str, Any]:
        """Has a worker process look at `folder/input`: a crash there is the file's fault.

        stage: `probe`, or `measure`, which decodes all of it. Each has a pool of its own, so that
        long files delay nobody's quick look. A file waits as for one that came a little later:
        the longer, the later, by a clock that nobody sets; of one `caller`'s files one at a time is
        looked at. Returns the stage's facts.
        """
        seconds = (folder / "input").stat().st_size / LIKELY_RATE
        seconds = min(seconds, LOOK_SECONDS[stage] / 4)  # nobody is overtaken for long
        task = Task(id=f"{stage}/{job_id}", job=job_id, stage=stage, due=time.monotonic() + seconds,
                    source=str(folder / "input"), scratch="", outputs="", options=options)
        deaths = 0
        try:
            async with (
                asyncio.timeout(LOOK_SECONDS[stage] if stage == "probe" else None),
                self._looks.enter(caller or job_id, task.due),
            ):
                while deaths < 2:  # once may be the worker's own fault, twice is the file's
                    slot = await self._workers.reserve(stage, task.due)
                    try:
                        async with asyncio.timeout(LOOK_SECONDS[stage]):
                            return (await slot.run(task)).facts
                    except WorkerGone:
                        continue
                    except WorkerLost:
                        deaths += 1
        except TimeoutError:
            if not deaths:
                raise ServerBusy("The server cannot look at the file now", RETRY_AFTER) from None
        raise AudioError("The file cannot be read: the decoder failed on it")

    async def keep_room(self, job: Job, options: Options, seconds: float) -> None:
        """Counts what an accepted job takes, now that its length is known. Raises DiskFull."""
        room = room_of(job.api, options, seconds)
        await self.rooms.promise(job.id, job=room)
        try:
            await self._jobs.rooms.set(job.id, room)
        finally:
            self.rooms.forget(job.id)

    def incoming(self) -> set[str]:
        """Ids of what is still on its way in."""
        return set(self._incoming)

    def _forget(self, job_id: str) -> None:
        self._incoming.discard(job_id)
        self._entered.pop(job_id, None)
        self.rooms.forget(job_id)

    def _check_ready(self) -> None:
        """A pool that restarts is back in seconds; one that cannot start must not gather jobs."""
        for pool in POOLS:
            self._workers.check_breaker(pool)
        if self._workers.unready_for("separation") > UNREADY_SECONDS:
            raise ServerBusy("No separation worker is ready", RETRY_AFTER)

    async def _check_queue(self, caller: str | None) -> None:
        """A full queue takes one job each of those who have none in it, until it is twice as long:
        nobody keeps the others out alone. Raises ServerBusy."""
        entered = dict(self._entered)  # what becomes a job meanwhile is counted twice
        unfinished = await self._jobs.count_unfinished()
        has_one = caller is None or await self._jobs.has_unfinished(caller)
        entered |= self._entered
        most = self._config.limits.max_queued_jobs
        if not has_one and caller not in entered.values():
            most *= 2
        if unfinished + len(entered) >= most:
            raise ServerBusy("Too many jobs are waiting; try again later", RETRY_AFTER)

    async def _admit(self, size: int, caller: str | None) -> str:
        """The id of new work that may come in."""
        self._check_ready()
        await self._check_queue(caller)
        job_id = new_job_id(self._config.server.box)
        self._incoming.add(job_id)
        try:
            place = self.folders.spool / job_id
            await self.rooms.promise(job_id, size, caller=caller, place=place)
        except BaseException:
            self._incoming.discard(job_id)
            raise
        return job_id


def new_job_id(box: str) -> str:
    """A UUID4 that begins with the digits of its box, by which a proxy finds it again."""
    return f"{box}{str(uuid.uuid4())[len(box) :]}"
