"""The pipeline's jobs as their API has them: removed at a word, told of as they ended."""

import pytest

from server.config import load
from server.errors import JobNotFound
from server.jobs.pipeline_jobs import PipelineJobs
from server.jobs.sources.intake import Intake
from server.work.workers import Workers
from tests.jobs.playing import World
from tests.jobs.playing import play as play


class Dispatcher:
    """Is told of jobs that have ended."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    async def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)


def service_of(world: World, dispatcher: Dispatcher) -> PipelineJobs:
    config = load(environ={}, flags={"server.data_dir": str(world.folders.data_dir)})
    workers = Workers(stall_seconds=60)
    intake = Intake(config, world.jobs, workers)
    return PipelineJobs(config, world.jobs, intake, workers, dispatcher)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["processing", "failed", "completed"])
def test_a_job_is_removed_whatever_it_does(play, state: str) -> None:
    async def test(world: World) -> None:
        dispatcher = Dispatcher()
        service = service_of(world, dispatcher)
        (world.folders.outputs / "j").mkdir()
        await world.decode()
        if state == "failed":
            claim = await world.claim("separation")
            await world.jobs.stages.fail(claim.stage, "The audio is broken", 3.0)
        if state == "completed":
            await world.end(await world.claim("separation"), stems=[], peak=0.0)
            for _ in range(4):
                await world.end(await world.claim("audio"))
        assert (await service.get("j")).state == state
        await service.delete("j")
        assert dispatcher.cancelled == ["j"]
        assert not (world.folders.outputs / "j").exists()
        for again in (service.get("j"), service.delete("j")):
            with pytest.raises(JobNotFound):
                await again
        told = service.view(await world.job())
        assert told.state == ("completed" if state == "completed" else "failed"), "a callback's"

    play(test)


@pytest.mark.parametrize("state", ["processing", "completed"])
def test_whoever_is_told_of_a_job_that_is_removed_is_told_of_no_files(
    play, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At no moment: not even while they go."""

    async def test(world: World) -> None:
        service = service_of(world, Dispatcher())
        await world.decode()
        await world.end(await world.claim("separation"), stems=[], peak=0.0)
        await world.end(await world.claim("audio"), ["main"])
        if state == "completed":
            for _ in range(3):
                await world.end(await world.claim("audio"))
        assert (await service.get("j")).tracks
        database = world.jobs._db
        told, write = [], database.write

        async def watched(*args):  # type: ignore[no-untyped-def]
            done = await write(*args)
            told.append(service.view(await world.job()))
            return done

        monkeypatch.setattr(database, "write", watched)
        await service.delete("j")
        assert [dict(view.tracks) for view in told] == [{}] * len(told) and told
        assert {view.state for view in told} == {
            "completed" if state == "completed" else "failed"}  # fmt: skip

    play(test)


def test_only_its_account_may_remove_a_job(play) -> None:
    async def test(world: World) -> None:
        service = service_of(world, Dispatcher())
        with pytest.raises(JobNotFound):
            await service.delete("j", "ann")
        assert (await service.get("j")).state == "processing"

    play(test)
