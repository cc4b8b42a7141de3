"""Jobs and uploads on a small disk: what will still be written is counted before it is."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import structlog

from server import errors
from server.jobs import attempts
from server.jobs import dispatcher as dispatcher_module
from server.jobs.disk.folders import Folders
from server.jobs.disk.room import DiskRoom, files_of, room_of, with_room
from server.jobs.dispatcher import Dispatcher
from server.jobs.plan import PIPELINE, split_plan
from server.presets.inferences import Inference, Signal
from server.stems import FOUR
from server.work.messages import Options, Result, Task
from server.work.scratch import FRAME_BYTES, SAMPLE_RATE
from store import Database, JobRepository
from store.records import Room
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
        files = [path for path in self.root.rglob("*") if path.suffix not in (".db", ".db-wal")]
        return sum(path.stat().st_size for path in files if path.is_file())

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


def test_what_lies_between_a_presets_passes_takes_room_too() -> None:
    options = msgspec.json.decode(OPTIONS, type=Options)
    steps = (
        Inference(model="a", overlap=0.1, signals=(Signal(name=".x", of={"x": 1.0}),)),
        Inference(model="b", overlap=0.1, input=".x", signals=(Signal(name=".y", of={"x": 1.0}),)),
        Inference(model="c", overlap=0.1, input=".y",
                  signals=(Signal(name="vocals", of={"x": 1.0}),)),
    )
    preset = msgspec.structs.replace(options, inferences=steps)
    model, more = (room_of("pipeline", each, SECONDS) for each in (options, preset))
    assert more.outputs == model.outputs
    assert more.scratch - model.scratch == 2 * FRAME_BYTES * (FRAMES + SAMPLE_RATE)
    assert files_of("stemsplit", preset) == 1 + len(options.stems) + 2


def test_decoding_does_not_run_ahead_of_the_room_for_what_follows(play) -> None:
    def slow(disk: Disk) -> Behaviour:
        return lambda task, run: 60.0 if task.stage == "separate" else attempt(disk, task)

    async def test(world: World, disk: Disk) -> None:
        await world.add(40)

        async def settled() -> bool:
            before = world.crew.runs.total()
            await asyncio.sleep(0.3)
            return world.crew.busy["separation"] > 0 and world.crew.runs.total() == before

        await world.run(settled)
        decoded = [job for job, stage in world.crew.runs if stage == "decode"]
        assert sorted(decoded) == ["j00", "j01", "j02"], "in their turn, and no more than fit"

    play(3.2, test, slow)


@pytest.mark.parametrize("room", [3.2, 1.0])
def test_all_of_them_are_done_without_ever_finding_the_disk_full(play, room: float) -> None:
    found_full: list[str] = []

    def watched(disk: Disk) -> Behaviour:
        def behave(task: Task, run: int) -> Result | Exception:
            result = attempt(disk, task)
            found_full.extend([task.stage] if isinstance(result, Exception) else [])
            return result
        return behave

    async def test(world: World, disk: Disk) -> None:
        await world.add(12)
        await world.run(world.all_taken_away)
        assert found_full == []
        assert {s for (_, s), n in world.crew.runs.items() if n > 1} == set(), "nothing twice"

    play(room, test, watched)


def test_a_job_that_alone_is_too_large_for_what_is_left_is_tried_all_the_same(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        await world.add(1, claimed=10 * SECONDS)
        await world.run(world.all_ended)
        assert (await world.jobs.get("j00")).state == "completed"  # type: ignore[union-attr]

    play(1.5, test)


def test_songs_longer_than_they_say_wait_for_the_room_that_they_take(play) -> None:
    """Each claims a second. Whoever is found out and does not fit is decoded again in its turn."""
    async def test(world: World, disk: Disk) -> None:
        await world.add(8, claimed=1.0)
        await world.run(world.all_taken_away)
        ended = [await world.jobs.get(f"j{number:02}") for number in range(8)]
        assert {job.state for job in ended if job} == {"completed"}
        assert not [n for (_, s), n in world.crew.runs.items() if s != "decode" and n > 1]

    play(2.2, test)


def test_where_all_wait_for_room_one_gets_it(play) -> None:
    """Somebody else fills the disk when three songs are decoded: they cannot all go on."""
    def filled(disk: Disk) -> Behaviour:
        def behave(task: Task, run: int) -> Result | Exception:
            result = attempt(disk, task)
            if len(list(disk.root.glob("scratch/*/mix.f32"))) == 3 and disk.size > 2 * NEEDED:
                disk.size = max(disk.used(), int(1.05 * NEEDED))  # one fits, alone
            return result
        return behave

    async def test(world: World, disk: Disk) -> None:
        await world.add(3)
        await world.run(world.all_taken_away)
        assert disk.size < 2 * NEEDED, "the disk was filled"
        ended = [await world.jobs.get(f"j{number:02}") for number in range(3)]
        assert [job.state for job in ended if job] == ["completed"] * 3
        assert {s.attempt for job in ended if job for s in job.stages} == {1}

    play(3.2, test, filled)


def test_what_accepted_jobs_will_write_is_not_given_away_again(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        tracks = room_of("pipeline", msgspec.json.decode(OPTIONS, type=Options), SECONDS)
        await world.rooms.check(job=tracks)
        await world.add(4)
        with pytest.raises(errors.DiskFull):
            await world.rooms.check(job=tracks)
        with pytest.raises(errors.DiskFull):
            await world.rooms.check(disk.size // 4)
        await world.jobs.cancel("j00", "x", 1.0)
        await world.jobs.cancel("j01", "x", 1.0)
        await world.rooms.check(job=tracks)

    play(2.5, test)


def test_a_refusal_says_what_is_free_and_what_is_to_stay_so(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        world.rooms._keep = 0.9
        disk.write(world.folders.spool / "x", disk.size // 2)
        with pytest.raises(errors.DiskFull), structlog.testing.capture_logs() as lines:
            await world.rooms.check(1)
        (line,) = lines
        assert 0 < line["free"] <= disk.size // 2 + 1
        assert line["stay_free"] == pytest.approx(0.9 * disk.size, abs=1)

    play(2.5, test)


def test_what_dead_attempts_wrote_is_still_to_be_written(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        await world.add(1)
        await world.jobs.stages.claim("audio", "b/1", 1.0)
        before = (await world.rooms._left()).now
        disk.write(world.folders.scratch / "j00/vocals.f32", 1000)
        disk.write(world.folders.outputs / "j00/vocals.wav.8.part", 100)
        assert (await world.rooms._left()).now == before, "what is written as was booked"
        disk.write(world.folders.scratch / "j00/vocals.f32.7.part", 900)
        disk.write(world.folders.outputs / "j00/vocals.wav.7.part", 90)
        assert (await world.rooms._left()).now == before - 990

    play(2, test)


def test_promises_count_until_they_are_kept_or_forgotten(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        half = disk.size // 2
        await asyncio.gather(world.rooms.promise("a", half), world.rooms.promise("b", half))
        with pytest.raises(errors.DiskFull):
            await world.rooms.promise("c", 1)
        world.rooms.forget("a")
        world.rooms.forget("a")
        await world.rooms.promise("c", half)

    play(2, test)


def test_many_promises_at_once_are_no_more_than_there_is(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        told = await asyncio.gather(
            *(world.rooms.promise(str(n), disk.size // 10) for n in range(50)),
            return_exceptions=True)
        assert sum(isinstance(one, errors.DiskFull) for one in told) == 40

    play(2, test)


def test_one_caller_announces_as_much_as_is_left_free_and_the_next_finds_some(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        async def most(caller: str) -> int:
            """How many tenths of the disk a caller may announce."""
            for number in range(20):
                try:
                    await world.rooms.promise(f"{caller}{number}", disk.size // 10, caller=caller)
                except errors.DiskFull:
                    return number
            raise AssertionError("no end")

        assert [await most(caller) for caller in ("ann", "bob", "cid")] == [5, 3, 1]
        await world.rooms.promise("a job's own", disk.size // 20)
        world.rooms.forget("bob0")
        assert await most("ann") == 0, "who has more than is left gets no more"

    play(2, test)


def test_one_upload_alone_may_be_as_large_as_there_is_room(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        await world.rooms.promise("a", disk.size - 10, caller="ann")
        with pytest.raises(errors.DiskFull, match="once the others that you have under way are"):
            await world.rooms.promise("b", 10, caller="ann")
        await world.rooms.promise("b", 10, caller="bob")
        with pytest.raises(errors.DiskFull, match="no new work is accepted"):
            await world.rooms.promise("c", 1, caller="cid")

    play(2, test)


def test_what_has_arrived_is_not_counted_twice(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        half, spool = disk.size // 2, world.folders.spool
        await world.rooms.promise("a", half, caller="ann", place=spool / "a")
        await world.rooms.promise("b", half // 2, caller="bob", place=spool / "b")
        disk.write(spool / "a/input", half - 100)
        disk.write(spool / "b", half // 2)
        await world.rooms.promise("c", disk.size - half - half // 2, caller="cid")
        with pytest.raises(errors.DiskFull):
            await world.rooms.promise("d", 1)

    play(2, test)


@pytest.mark.parametrize("format", ["WAV", "MP3", "FLAC"])
def test_the_room_of_a_job_holds_all_its_files(format: str) -> None:
    options = msgspec.structs.replace(
        msgspec.json.decode(OPTIONS, type=Options), format=format, wav_format="PCM_24")
    job = new_job("a", 1.0, split_plan(FOUR, True), msgspec.json.encode(options).decode(),
                  api="stemsplit")
    room = with_room(job, SECONDS).room
    assert room.scratch >= 5 * FRAMES * FRAME_BYTES
    sound = 320_000 / 8 * SECONDS if format == "MP3" else FRAMES * 6
    assert 4 * sound < room.outputs < 8 * sound
    assert job.room == Room()
