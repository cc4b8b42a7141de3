"""Jobs on a small disk, and workers that only write the files of their stages."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

import msgspec
import pytest
import structlog

from server import errors
from server.jobs import attempts
from server.jobs import dispatcher as dispatcher_module
from server.jobs.disk.folders import Folders
from server.jobs.disk.room import DiskRoom, room_of, with_room
from server.jobs.dispatcher import Dispatcher
from server.jobs.plan import PIPELINE
from server.sound import FRAME_BYTES, SAMPLE_RATE
from server.stems import FOUR
from server.work.messages import Options, Result, Task
from store import Database, JobRepository
from tests.jobs.disk.test_places import Usage
from tests.jobs.test_dispatcher import OPTIONS, PretendedWorkers
from tests.store.conftest import new_job

SECONDS = 10.0
FRAMES = int(SECONDS * SAMPLE_RATE)
NEEDED = sum(room_of("pipeline", msgspec.json.decode(OPTIONS, type=Options), SECONDS))
Behaviour = Callable[[Task, int], Result | Exception | float]


class Disk:
    """A disk of so many bytes, all of it for one data directory. Files may have holes."""

    def __init__(self, root: Path, size: float) -> None:
        self.root, self.size, self.fullest = root, int(size), 0

    def used(self) -> int:
        total = 0
        for folder, _, names in os.walk(self.root):  # which minds no folder that goes meanwhile
            for name in names:
                with suppress(FileNotFoundError):  # a thread removes what an ended job leaves
                    found = os.lstat(os.path.join(folder, name))
                    total += found.st_size if S_ISREG(found.st_mode) else 0
        return total

    def usage(self, _: object) -> Usage:
        return Usage(self.size, self.used(), self.size - self.used())

    def write(self, path: Path, size: int) -> None:
        """Raises DiskFull, as a worker would."""
        if self.used() + size > self.size:
            raise errors.DiskFull("full")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.truncate(path, size)
        self.fullest = max(self.fullest, self.used())

    def work(self, task: Task, frames: int = FRAMES) -> Result:
        """What a stage of a pipeline job leaves."""
        if task.stage == "decode":
            files = ["mix"]
        else:
            files = {"separate": list(FOUR), "harmonic_percussive": ["harmonic", "percussive"]}.get(
                task.stage, [])
        tracks = {"encode_stems": 4, "harmonic_percussive": 2, "normalise": 3}.get(task.stage, 0)
        for name in files:
            self.write(Path(task.scratch) / f"{name}.f32", frames * FRAME_BYTES)
        for number in range(tracks):
            self.write(Path(task.outputs) / f"{task.stage}{number}.wav", frames * 4)
        return Result(task.id, {"frames": frames}, {})


class World:
    """Pipeline jobs of ten seconds on a small disk, and workers that only write files."""

    def __init__(self, root: Path, database: Database, behave: Behaviour) -> None:
        self.folders = Folders(root)
        self.folders.create()
        self.jobs, self.crew = JobRepository(database), PretendedWorkers(behave)
        self.rooms = DiskRoom(self.jobs.rooms, self.folders, 0)
        self.dispatcher = Dispatcher(
            self.jobs.stages, self.crew, self.folders, self.rooms, max_attempts=3  # type: ignore[arg-type]
        )

    async def add(self, count: int, claimed: float = SECONDS) -> None:
        for number in range(count):
            job_id = f"j{number:02}"
            for folder in (self.folders.scratch, self.folders.outputs):
                (folder / job_id).mkdir()
            job = new_job(job_id, float(number), PIPELINE, OPTIONS,
                          request=msgspec.json.encode({"seconds": claimed}).decode())
            await self.jobs.create(with_room(job, claimed))

    async def run(self, until: Callable[[], Awaitable[bool]]) -> None:
        loop = asyncio.create_task(self.dispatcher.run())
        self.dispatcher.wake()
        try:
            async with asyncio.timeout(30):
                while not await until():
                    await asyncio.sleep(0.01)
        finally:
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)

    async def all_ended(self) -> bool:
        return not await self.jobs.count_unfinished()

    async def all_taken_away(self) -> bool:
        """Tracks go as soon as a job is completed, so that the next have room."""
        for path in list(self.folders.outputs.iterdir()):
            job = await self.jobs.get(path.name)
            if job is not None and job.state == "completed":
                shutil.rmtree(path)
        return await self.all_ended()


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a test on a disk that has room for so many jobs."""
    monkeypatch.setattr(attempts, "DISK_PAUSE", 0.02)
    monkeypatch.setattr(dispatcher_module, "ROOM_PAUSE", 0.05)

    def run(jobs: float, test: Callable[[World, Disk], Awaitable[None]],
            behave: Callable[[Disk], Behaviour] | None = None) -> Disk:
        root = tmp_path / "data"
        root.mkdir()
        disk = Disk(root, jobs * NEEDED)
        monkeypatch.setattr(shutil, "disk_usage", disk.usage)
        working = behave(disk) if behave else lambda task, run: attempt(disk, task)

        async def main() -> None:
            async with Database(tmp_path / "t.db") as database:
                await test(World(root, database, working), disk)

        with structlog.testing.capture_logs():
            asyncio.run(main())
        return disk

    return run


def attempt(disk: Disk, task: Task, frames: int = FRAMES) -> Result | Exception:
    try:
        return disk.work(task, frames)
    except errors.DiskFull as error:
        return error
