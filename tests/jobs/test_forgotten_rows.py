"""When the rows of jobs go, and what of them has to be told or read before."""

import pytest

from server.jobs.webhooks.sending import SHARES
from store import Entry
from store.webhooks import FailedDelivery
from tests.jobs.test_janitor import (
    BROKEN,
    DAYS,
    NOW,
    ONE,
    TAKEN,
    World,
    ended_pipeline_job,
)
from tests.jobs.test_janitor import play as play
from tests.store.conftest import new_job


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("delivered", [False, True])
def test_a_row_stays_while_a_delivery_waits(play, fail: bool, delivered: bool) -> None:
    """The schedule of deliveries takes ten hours; retention may be shorter."""
    async def test(world: World) -> None:
        later = await ended_pipeline_job(world, "j", fail)
        for _ in range(3):
            await world.janitor.sweep(later)
        (delivery,) = await world.hooks.due(later, SHARES)
        failure = FailedDelivery("HTTP 500", later + 5, False, 20)
        await world.hooks.missed(delivery, BROKEN, failure, later)
        await world.janitor.sweep(later + 1)
        (delivery,) = await world.hooks.due(later + 6, SHARES)
        assert (await world.jobs.get("j")).error == ("broken" if fail else None)
        if delivered:
            await world.hooks.delivered(delivery, TAKEN, later + 6)
        else:
            given_up = FailedDelivery("x", None, False, 20)
            await world.hooks.missed(delivery, BROKEN, given_up, later + 6)
        await world.janitor.sweep(later + 7)
        assert await world.jobs.get("j") is None, "and not a moment longer"

    play(test)


def test_what_an_account_was_told_outlives_the_files(play) -> None:
    """It may read its deliveries for days, and they go with their jobs."""
    async def test(world: World) -> None:
        later = await ended_pipeline_job(world, "j", False, world.account)
        (delivery,) = await world.hooks.due(later, SHARES)
        await world.hooks.delivered(delivery, TAKEN, later)
        for _ in range(3):
            await world.janitor.sweep(later)
        told = await world.jobs.get("j")
        assert told is not None and told.state == "expired"
        for _ in range(3):  # deliveries, and then their job
            await world.janitor.sweep(NOW + 8 * 86400)
        assert await world.jobs.get("j") is None

    play(test)


def test_jobs_of_an_account_are_forgotten_in_time_and_their_credits_never(play) -> None:
    """Once their files are gone, and everybody has been told."""
    async def test(world: World) -> None:
        await world.credits.add(Entry(world.account, "grant", 100, 1.0))
        for number, name in enumerate(("expired", "failed", "told", "kept")):
            await world.jobs.create(new_job(
                name, NOW + number, ONE, api="stemsplit", account_id=world.account, seconds=10,
                callback_url="https://a.example" if name == "told" else None))
            (world.folders.outputs / name).mkdir()
            stage = (await world.jobs.stages.claim("audio", f"b/{name}", NOW)).stage
            if name == "failed":
                await world.jobs.stages.fail(stage, "broken", NOW)
            else:
                later = NOW + 86400 if name == "kept" else NOW
                await world.jobs.stages.finish(stage, {}, {}, later)
        over = NOW + DAYS * 86400
        await world.janitor.sweep(over)
        assert (await world.jobs.page(world.account, None, 9, 0))[1] == 4, "to the second"
        await world.janitor.sweep(over + 1)
        left = (await world.jobs.page(world.account, None, 9, 0))[0]
        assert [job.id for job in left] == ["kept", "told"]
        (delivery,) = await world.hooks.due(over, SHARES)
        await world.hooks.delivered(delivery, TAKEN, over)
        await world.janitor.sweep(over + 2)
        assert [job.id for job in (await world.jobs.page(world.account, None, 9, 0))[0]] == ["kept"]
        assert len(await world.credits.entries(world.account)) == 1 + 4 + 4
        assert (await world.credits.balance(world.account))[0] == 70

    play(test)
