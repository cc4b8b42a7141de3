"""Jobs of test keys: they cost nothing, and go as they are told to."""

import asyncio
import uuid

import pytest

from server.errors import InvalidRequest, TooManyAtOnce
from server.jobs import bounds
from server.jobs.idempotency import meaning
from server.jobs.sources import fetching
from server.jobs.webhooks.sending import SHARES
from store import WebhookRepository
from tests.jobs.ordering import SECONDS, World, is_true, plain, slowly
from tests.jobs.ordering import play as play


@pytest.mark.parametrize("slow", [False, True])
def test_jobs_of_test_keys_cost_nothing_and_run_on_the_starter(play, slow: bool) -> None:
    """With not a second of credits, whether their length is known at once or later."""
    go = asyncio.Event()

    async def test(world: World) -> None:
        if not slow:
            go.set()
        made = await world.create(test=True, quality="BEST", output_type="SIX_STEMS")
        assert made["credits"] == 0
        go.set()
        request = await world.settled(made["id"])
        assert (request.model, request.seconds, request.test) == ("starter", SECONDS, True)
        assert await world.credits.entries(world.account) == []
        job = await world.job(made["id"])
        assert [stage.name for stage in job.stages][-1] == "describe"
        assert "simulate" not in {stage.name for stage in job.stages}

    play(test, slowly(go), now_s=0.2 if slow else 30.0)


@pytest.mark.parametrize("slow", [False, True])
def test_a_test_job_fails_when_it_is_told_to(play, slow: bool) -> None:
    go = asyncio.Event()

    async def test(world: World) -> None:
        if not slow:
            go.set()
        made = await world.create(
            test=True, metadata={"simulate": "failed", "mine": 1}, callback_url="https://a.example"
        )
        go.set()
        await world.until(lambda: ended(world, made["id"]))
        job = await world.job(made["id"])
        assert (job.state, job.error) == (
            "failed",
            "This job failed because its metadata asked for it",
        )
        hooks = WebhookRepository(world.jobs._db)
        assert [d.event for d in await hooks.due(2e9, SHARES)] == ["job.failed"]
        assert (await world.request(made["id"])).metadata == {"simulate": "failed", "mine": 1}
        await world.until(lambda: asyncio.sleep(0, not world.left()))

    play(test, slowly(go), now_s=0.2 if slow else 30.0)


async def ended(world: World, job_id: str) -> bool:
    return (await world.job(job_id)).state == "failed"


def test_a_test_job_is_slow_when_it_is_told_to_and_in_nobodys_way(play, monkeypatch) -> None:
    monkeypatch.setattr(fetching, "AT_ONCE", 1)
    pause = asyncio.Event()

    async def sleeping(_: object) -> None:
        await pause.wait()

    monkeypatch.setattr(fetching, "simulate", sleeping)

    async def test(world: World) -> None:
        slow = [await world.create(test=True, metadata={"simulate": "slow"}) for _ in range(3)]
        await world.until(lambda: is_true(len(world.fetcher._running) == 3))
        assert not world.fetcher._fetching
        assert await world.jobs.stages.claim("audio", "b/1", 2e9) is None, "nothing of it runs"
        pause.set()
        for _ in slow:
            await world.until(lambda: claimed(world))

    play(test, plain())


def test_what_costs_nothing_is_not_to_be_had_without_end(play, monkeypatch) -> None:
    monkeypatch.setattr(bounds, "MOST_TESTS", 2)

    async def test(world: World) -> None:
        await world.grant(100)
        made = [await world.create(test=True) for _ in range(2)]
        with pytest.raises(TooManyAtOnce, match="test jobs"):
            await world.create(test=True)
        await world.create()
        await world.split.delete(world.account, made[0]["id"])
        await world.create(test=True)

    play(test, plain())


@pytest.mark.parametrize(("fields", "most", "sentence"), [
    ({"test": True}, "MOST_TESTS", "test jobs"), ({}, "MOST_FETCHING", "sources"),
])  # fmt: skip
def test_nor_by_coming_all_at_once(
    play, monkeypatch, fields: dict[str, bool], most: str, sentence: str
) -> None:
    """An order counts from its first moment, not from when it is in the database."""
    monkeypatch.setattr(bounds, most, 3)
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(1000)
        coming = [asyncio.create_task(world.create(**fields)) for _ in range(8)]
        await asyncio.wait(coming, return_when=asyncio.FIRST_EXCEPTION)
        go.set()
        ended = await asyncio.gather(*coming, return_exceptions=True)
        refused = [one for one in ended if isinstance(one, TooManyAtOnce)]
        assert len(refused) == 5 and all(sentence in one.message for one in refused)
        for made in ended:
            if isinstance(made, dict):
                await world.split.delete(world.account, made["id"])
        assert (await world.create(**fields))["id"], "their places are free again"

    play(test, slowly(go), now_s=0.05)


async def claimed(world: World) -> bool:
    return await world.jobs.stages.claim("audio", f"b/{uuid.uuid4()}", 2e9) is not None


def test_what_a_live_job_says_of_simulating_is_metadata(play) -> None:
    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create(metadata={"simulate": "failed"})
        stages = {stage.name for stage in (await world.job(made["id"])).stages}
        assert "simulate" not in stages and made["credits"] == SECONDS
        for wish in ("nonsense", 7, ["failed"], {}):
            with pytest.raises(InvalidRequest, match=r"metadata\.simulate"):
                await world.create(test=True, metadata={"simulate": wish})
        assert len(world.left()) == 1, "what is refused leaves nothing"

    play(test, plain())


def test_a_test_job_is_no_repetition_of_a_live_one(play) -> None:
    async def test(world: World) -> None:
        await world.grant(100)
        live, trial = (world.order(source_url="http://a", test=test) for test in (False, True))
        assert meaning(live) != meaning(trial)

    play(test, plain())
