"""Long files are measured in the background: partners' clients wait for half a minute, then post
again, and would have made and paid a job with every attempt."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from server.errors import NotEnoughCredits, TooManyAtOnce
from server.jobs import bounds, stemsplit_jobs
from server.jobs.orders import Request
from server.sound import SAMPLE_RATE
from tests.jobs.ordering import SECONDS, World, plain, upload
from tests.jobs.ordering import play as play


@pytest.fixture(autouse=True)
def _answers_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stemsplit_jobs, "ANSWER_SECONDS", 0.3)


def slow_looks(world: World, go: asyncio.Event, frames: int = SECONDS * SAMPLE_RATE) -> list[str]:
    """Looks end when `go` says so; whose files were looked at, in that order."""
    looked: list[str] = []

    async def look(job_id: str, folder: Path, options: Any, stage: str) -> dict[str, Any]:
        looked.append(options.file_name)
        assert (folder / "input").exists()
        await go.wait()
        return {"frames": frames}

    world.intake.look = look  # type: ignore[method-assign]
    return looked


async def ordered(world: World, source: str) -> dict[str, Any]:
    """A job of an upload, or of a source that was fetched at once."""
    if source == "upload":
        return await world.create(upload_key=await upload(world))
    return await world.create()


@pytest.mark.parametrize("source", ["upload", "url"])
def test_an_answer_does_not_wait_for_a_long_song(play, source: str) -> None:
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(100)
        looked = slow_looks(world, go)
        made = await ordered(world, source)
        assert (made["seconds"], made["credits"]) == (0, 0)
        assert not go.is_set()
        assert (await world.credits.balance(world.account))[0] == 100, "nothing is held yet"
        job = await world.job(made["id"])
        assert (job.state, job.started_at) == ("processing", None)
        go.set()
        request = await world.settled(made["id"])
        assert (request.seconds, request.file_name) == (SECONDS, made["name"])
        assert request.size_bytes > 0
        assert (await world.credits.balance(world.account))[0] == 100 - SECONDS
        assert looked == [made["name"]] * 2, "once for the answer, once for the job"
        assert [place for place in world.left() if made["id"] not in place] == []
        assert len(world.server.calls) == (source == "url"), "no source is asked again"

    play(test, plain())


def test_what_is_found_out_late_fails_the_job(play) -> None:
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(10)
        slow_looks(world, go)
        made = await ordered(world, "upload")
        go.set()
        await world.settled(made["id"])
        error = (await world.job(made["id"])).error
        assert error == "Not enough credits for this job: it needs 57 seconds."
        await world.until(lambda: asyncio.sleep(0, not world.left()))
        assert (await world.credits.balance(world.account))[0] == 10

    play(test, plain())


def test_who_can_pay_for_nothing_is_told_so_in_the_answer(play) -> None:
    async def test(world: World) -> None:
        slow_looks(world, asyncio.Event())
        key = await upload(world)
        with pytest.raises(NotEnoughCredits) as refused:
            await world.create(upload_key=key)
        assert refused.value.required == 1
        assert world.left() == [path for path in world.left() if path.startswith("uploads")]

    play(test, plain())


def test_who_waits_for_others_measures_is_answered(play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind an account's own long sources there is no turn for a while."""
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(1000)
        looked = slow_looks(world, go)
        made = [await ordered(world, "upload") for _ in range(6)]
        assert all(one["seconds"] == 0 for one in made)
        go.set()
        requests: list[Request] = [await world.settled(one["id"]) for one in made]
        assert {request.seconds for request in requests} == {SECONDS}
        assert len(looked) <= 2 * 6

    play(test, plain())


def test_what_waits_to_be_measured_is_bounded(play, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds no credits yet; one upload makes any number of orders."""
    monkeypatch.setattr(bounds, "MOST_FETCHING", 3)
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(1000)
        slow_looks(world, go)
        key = await upload(world)
        orders = [world.create(upload_key=key) for _ in range(8)]
        ends = await asyncio.gather(*orders, return_exceptions=True)
        made = [end for end in ends if isinstance(end, dict)]
        assert len(made) == 3
        refused = [end for end in ends if isinstance(end, TooManyAtOnce)]
        assert len(refused) == 5
        with pytest.raises(TooManyAtOnce, match="fetched or measured"):
            await world.create()
        go.set()
        for one in made:
            assert (await world.settled(one["id"])).seconds == SECONDS
        assert (await world.create(upload_key=key))["seconds"] == SECONDS, "there is room again"

    play(test, plain())
