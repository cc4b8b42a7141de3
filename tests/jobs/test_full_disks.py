"""Stages on a full disk, and their ends in a database that lies on one."""

import asyncio
import errno
import shutil
from pathlib import Path

import pytest
import structlog

from server import errors
from server.jobs import attempts, booking
from server.jobs import dispatcher as dispatcher_module
from server.jobs.disk.folders import Folders
from server.jobs.disk.room import DiskRoom, with_room
from server.jobs.dispatcher import Dispatcher
from server.jobs.plan import split_plan
from server.work.messages import FinishedTrack, Result, Task
from store import Database, Job, JobRepository, StageRepository
from tests.jobs.disk.test_places import Usage
from tests.jobs.test_dispatcher import OPTIONS, PretendedWorkers, fine, play
from tests.store.conftest import new_job


def fuller_elsewhere(folder: Path) -> Usage:
    return Usage(1e12, 0, 1e12 if folder.name == "scratch" else 5e11)


def test_a_full_disk_costs_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "DISK_PAUSE", 0.01)
    jobs, crew, _ = play(
        lambda task, run: (
            errors.DiskFull("full") if task.stage == "separate" and run < 8 else fine(task, run)
        )
    )
    assert jobs[0].state == "completed"
    assert crew.runs["j0", "separate"] == 8


@pytest.mark.parametrize("full", ["decode", "separate", "normalise"])
def test_a_job_leaves_a_faster_place_that_is_full(
    monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    monkeypatch.setattr(attempts, "DISK_PAUSE", 0.01)
    monkeypatch.setattr(shutil, "disk_usage", fuller_elsewhere)

    def behave(task: Task, run: int):
        folder = Path(task.scratch)
        if task.stage == full and folder.parent.name != "scratch":
            return errors.DiskFull("full")
        if task.stage == "decode":
            (folder / "mix.f32").write_bytes(b"sound")
        else:
            assert (folder / "mix.f32").read_bytes() == b"sound"
        return fine(task, run)

    jobs, crew, scratch = play(behave, jobs_wanted=3, fast=True)
    assert {job.state for job in jobs} == {"completed"}
    assert {s.attempt for job in jobs for s in job.stages} == {1}
    assert {crew.runs[f"j{i}", full] for i in range(3)} == {2}
    assert scratch == set()


def test_decoding_that_finds_every_place_full_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "DISK_PAUSE", 60.0)
    monkeypatch.setattr(shutil, "disk_usage", fuller_elsewhere)
    touch = Path.touch

    def full(path: Path) -> None:
        if path.parent.parent.name == "scratch":
            raise OSError(errno.ENOSPC, "full")
        touch(path)

    monkeypatch.setattr(Path, "touch", full)
    with structlog.testing.capture_logs():  # a traceback takes longer to draw
        jobs, crew, _ = play(lambda task, run: errors.DiskFull("full"), stop_after=0.5, fast=True)
    assert jobs[0].state == "processing"
    assert crew.runs == {("j0", "decode"): 1}


def test_a_stage_that_is_stopped_while_the_disk_is_full_is_put_back_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The database is on that disk too."""
    monkeypatch.setattr(attempts, "DISK_PAUSE", 0.1)  # its sibling is at work by then
    for module, pause in ((booking, "BOOKING_PAUSE"), (dispatcher_module, "CLAIM_PAUSE")):
        monkeypatch.setattr(module, pause, 0.01)
    refusals, release = iter(range(6)), StageRepository.release

    async def refuse(self, *args, **named):
        if next(refusals, None) is not None:
            raise OSError("disk full")
        return await release(self, *args, **named)

    monkeypatch.setattr(StageRepository, "release", refuse)

    def behave(task: Task, run: int):
        if task.stage == "separate" and run == 1:
            return 60.0
        full = task.stage == "harmonic_percussive" and run == 1
        return errors.DiskFull("full") if full else fine(task, run)

    jobs, crew, _ = play(behave)
    assert jobs[0].state == "completed"
    assert crew.runs["j0", "separate"] == 2
    assert {stage.attempt for stage in jobs[0].stages} == {1}


@pytest.mark.parametrize("faster", [False, True])
def test_a_job_gives_way_whose_tracks_find_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faster: bool
) -> None:
    """Also one whose scratch files lie elsewhere: what is full is the disk."""
    monkeypatch.setattr(attempts, "DISK_PAUSE", 0.01)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(
        1e12, 0, 1e11 if folder.name == "scratch" else 5e11))  # fmt: skip
    waiting: set[str] = set()

    def behave(task: Task, run: int):
        if task.stage == "harmonic_percussive" and (task.job, run) == ("j1", 1):
            waiting.add("j1")
            return errors.DiskFull("full")
        if task.job == "j0" and task.stage == "separate":  # due earlier, as long as it is needed
            return 0.5 if run == 1 else fine(task, run)
        return fine(task, run)

    jobs, crew, scratch = play(behave, jobs_wanted=2, fast=faster)
    assert waiting and {job.state for job in jobs} == {"completed"}
    assert crew.runs["j1", "decode"] == 2, "it began anew once j0 was done"
    assert crew.runs["j0", "decode"] == 1
    assert scratch == set()


@pytest.mark.parametrize("faster", [False, True])
def test_a_late_stage_without_room_costs_a_complete_job_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faster: bool
) -> None:
    """Tempo and key are gone without, though another job that is due earlier waits for room."""
    monkeypatch.setattr(attempts, "DISK_PAUSE", 0.01)
    monkeypatch.setattr(attempts, "RETRY_PAUSE", 0.01)

    def behave(task: Task, run: int):
        if task.stage == "describe":
            return errors.DiskFull("full")
        if (task.job, task.stage) == ("early", "separate"):
            return 60.0
        vocals = {"vocals": FinishedTrack("vocals.wav", 1, 2)}
        return Result(task.id, {"frames": 1}, vocals if "vocals" in task.stage else {})

    async def main() -> Job:
        folders = Folders(tmp_path, tmp_path if faster else None)
        folders.create()
        async with Database(tmp_path / "t.db") as database:
            jobs, crew = JobRepository(database), PretendedWorkers(behave)
            room = DiskRoom(jobs.rooms, folders, 0)
            dispatcher = Dispatcher(jobs.stages, crew, folders, room, max_attempts=3)
            for number, name in enumerate(("early", "late")):
                (folders.scratch / name).mkdir()
                (folders.outputs / name).mkdir()
                await jobs.create(with_room(new_job(
                    name, number, split_plan(["vocals"], True), OPTIONS, api="stemsplit",
                    request='{"seconds": 1.0}'), 1.0))  # fmt: skip
            (folders.outputs / "late" / "vocals.wav").write_bytes(b"sound")
            loop = asyncio.create_task(dispatcher.run())
            dispatcher.wake()
            async with asyncio.timeout(30):
                while (folders.scratch / "late").exists():
                    await asyncio.sleep(0.005)
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
            assert (folders.outputs / "late" / "vocals.wav").exists()
            assert crew.runs["late", "describe"] == 3
            found = await jobs.get("late")
            assert found is not None
            return found

    job = asyncio.run(main())
    assert job.state == "completed" and set(job.tracks) == {"vocals"}
    assert {stage.name: stage.state for stage in job.stages} == {
        "decode": "completed", "separate": "completed", "encode/vocals": "completed",
        "describe": "failed",
    }  # fmt: skip


def test_a_database_that_refuses_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(booking, "BOOKING_PAUSE", 0.01)
    monkeypatch.setattr(dispatcher_module, "CLAIM_PAUSE", 0.01)
    refusals = iter(range(6))

    def refuse(original):
        async def method(self, *args):
            if next(refusals, None) is not None:
                raise OSError("disk full")
            return await original(self, *args)

        return method

    monkeypatch.setattr(StageRepository, "finish", refuse(StageRepository.finish))
    monkeypatch.setattr(StageRepository, "claim", refuse(StageRepository.claim))
    jobs, crew, _ = play(fine)
    assert jobs[0].state == "completed"
    assert set(crew.runs.values()) == {1}
