"""Attempts that are cancelled: their stages go back into the queue, and their places are free."""

import asyncio
from pathlib import Path

import pytest

from server import errors
from server.jobs.attempts import Attempts
from server.jobs.disk.folders import Folders
from server.jobs.disk.room import DiskRoom, with_room
from server.jobs.dispatcher import Dispatcher
from server.jobs.plan import PIPELINE
from store import Database, JobRepository, StageRepository
from tests.jobs.test_dispatcher import OPTIONS, PretendedWorkers, fine, play
from tests.store.conftest import new_job


def test_attempts_that_are_cancelled_before_they_begin_free_their_place() -> None:
    """Both stages after decoding are claimed at once; the first to fail cancels the other."""
    jobs, _, _ = play(
        lambda task, run: fine(task, run) if task.stage == "decode" else errors.AudioError("no"),
        jobs_wanted=30,
    )
    assert {job.state for job in jobs} == {"failed"}


@pytest.mark.parametrize(("api", "kept"), [("pipeline", True), ("stemsplit", False)])
def test_a_failed_job_without_a_download_leaves_no_files(
    tmp_path: Path, api: str, kept: bool
) -> None:
    """Not even until the next sweep: an audit would find files of nobody's."""
    async def stop(job_id: str) -> None: ...

    async def main() -> None:
        folders = Folders(tmp_path)
        folders.create()
        (folders.outputs / "j").mkdir()
        (folders.outputs / "j" / "harmonic.mp3").write_bytes(b"song")
        async with Database(tmp_path / "t.db") as database:
            jobs = JobRepository(database)
            await jobs.create(new_job("j", 0.0, PIPELINE, OPTIONS, api=api))
            claim = await jobs.stages.claim("audio", "b/0", 1.0)
            assert claim is not None
            made = Attempts(jobs.stages, folders, DiskRoom(jobs.rooms, folders, 0), 3, stop,
                            lambda: None)  # fmt: skip
            await made._fail(claim, "no sound")
        assert (folders.outputs / "j").exists() == kept

    asyncio.run(main())


def test_an_attempt_that_is_cancelled_before_it_begins_is_put_back(tmp_path: Path) -> None:
    async def main() -> None:
        folders = Folders(tmp_path)
        folders.create()
        async with Database(tmp_path / "t.db") as database:
            jobs, crew = JobRepository(database), PretendedWorkers(fine)
            dispatcher = Dispatcher(
                jobs.stages, crew, folders, DiskRoom(jobs.rooms, folders, 0), max_attempts=3
            )
            for folder in (folders.scratch, folders.outputs):
                (folder / "j").mkdir()
            await jobs.create(with_room(new_job("j", 0.0, PIPELINE, OPTIONS), 1.0))
            claim = await jobs.stages.claim("audio", f"{dispatcher.boot}/0", 1.0)
            assert claim is not None
            dispatcher._start(claim, crew.try_reserve("audio"))
            await dispatcher._stop("j")
            assert not crew.runs
            loop = asyncio.create_task(dispatcher.run())
            async with asyncio.timeout(30):
                while await jobs.count_unfinished():
                    await asyncio.sleep(0.005)
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
            assert {stage.attempt for stage in (await jobs.get("j")).stages} == {1}

    asyncio.run(main())


def test_a_stage_whose_claim_nobody_hears_of_is_put_back_by_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed, claim = asyncio.Event(), StageRepository.claim

    async def unheard(self, *args):
        if await claim(self, *args) is not None:
            committed.set()
            await asyncio.Event().wait()

    async def main() -> None:
        folders = Folders(tmp_path)
        folders.create()
        async with Database(tmp_path / "t.db") as database:
            jobs = JobRepository(database)
            dispatcher = Dispatcher(
                jobs.stages, PretendedWorkers(fine), folders, DiskRoom(jobs.rooms, folders, 0),
                max_attempts=3,
            )
            await jobs.create(with_room(new_job("j", 0.0, PIPELINE, OPTIONS), 1.0))
            monkeypatch.setattr(StageRepository, "claim", unheard)
            dispatcher.wake()
            loop = asyncio.create_task(dispatcher.run())
            await asyncio.wait_for(committed.wait(), 30)
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
            first = (await jobs.get("j")).stages[0]
            assert (first.state, first.attempt) == ("pending", 0)

    asyncio.run(main())


def test_a_stop_puts_running_stages_back_uncharged() -> None:
    jobs, _, scratch = play(
        lambda task, run: 60.0 if task.stage == "separate" else fine(task, run), stop_after=0.5
    )
    states = {s.name: (s.state, s.attempt) for s in jobs[0].stages}
    assert states["separate"] == ("pending", 0)
    assert jobs[0].state == "processing"
    assert scratch == {"j0"}
