"""Deliveries as their account sees them: attempts, sending again, tests."""

import json

import pytest

from server.errors import Unreachable, WebhookNotFound
from server.jobs.webhooks import retry
from server.jobs.webhooks import sending as module
from server.jobs.webhooks.deliveries import Deliveries
from store import WebhookRepository
from store.deliveries import Attempt
from store.sealing import Sealer
from tests.jobs.webhooks.playing import World
from tests.jobs.webhooks.playing import play as play


def test_each_attempt_is_kept_as_it_went(play) -> None:
    async def test(world: World) -> None:
        await world.webhook("a")
        await world.job_ends()
        for _ in range(3):
            await world.settle()
            world.now = await world.hooks.next_time(world.now) or world.now
        [sent] = await world.deliveries()
        assert [(a.number, a.status, a.error) for a in sent.attempts] == [
            (1, None, "no such host"), (2, 503, "HTTP 503"), (3, 204, None)]  # fmt: skip
        assert [a.began_at for a in sent.attempts] == [1000.0, 1005.0, 1035.0]
        assert sent.state == "delivered"

    play(test, lambda url, number: [Unreachable("no such host"), 503, 204][number])


def test_sent_again_it_has_its_old_id_and_a_new_schedule(play) -> None:
    async def test(world: World) -> None:
        await world.webhook("a")
        await world.job_ends()
        while (following := await world.hooks.next_time(world.now - 1)) is not None:
            world.now = following
            await world.settle()
        [sent] = await world.deliveries()
        assert (sent.state, len(sent.attempts)) == ("given_up", 8)
        await world.send_again(sent.id)
        await world.settle()
        assert await world.hooks.next_time(world.now) == world.now + retry.DELAYS[0]
        world.now += retry.DELAYS[0]
        await world.settle()
        assert (await world.deliveries())[0].state == "delivered"

    client = play(test, lambda url, number: 500 if number < 9 else 200)
    assert (len(client.calls), len({name for _, name, _ in client.calls})) == (10, 1)


def test_what_is_sent_by_hand_reaches_a_webhook_that_was_switched_off(play) -> None:
    """All that somebody sends goes out; the first that is taken switches the webhook on again."""
    answers = {"http://a": 410}

    async def test(world: World) -> None:
        await world.webhook("a")
        for _ in range(2):
            await world.job_ends()
        await world.settle(lambda: len(world.client.calls) == 2)
        await world.settle()
        assert not (await world.hook("a")).is_active
        sent, calls = await world.deliveries(), len(world.client.calls)
        for delivery in sent:
            await world.send_again(delivery.id)
        await world.settle()
        told = world.client.calls[calls:]
        assert len(told) == 2, "the first failure does not keep the other back"
        assert {d.state for d in await world.deliveries()} == {"given_up"}, "each was tried once"
        answers["http://a"] = 200
        await world.send_again(sent[0].id)
        await world.settle()
        hook = await world.hook("a")
        assert (hook.is_active, hook.fail_count, hook.last_error) == (True, 0, None)

    play(test, lambda url, _: answers[url])


def test_what_is_sent_again_while_it_is_under_way_goes_out_once_more(play) -> None:
    """At once, also to a webhook that is switched off: what fails is the attempt before."""

    async def test(world: World) -> None:
        async def gone_at_last(name: str) -> int:
            await world.send_again(name)
            return 410

        answers.append(410)
        await world.webhook("a")
        await world.job_ends()
        await world.settle()
        [sent] = await world.deliveries()
        for active, status in ((False, 410), (False, 200), (True, 500)):
            assert (await world.hook("a")).is_active == active
            if active:
                await world.job_ends()
                [sent] = [one for one in await world.deliveries() if one.state == "waiting"]
            before = len(world.client.calls)
            answers[:] = [gone_at_last(sent.id), status]
            await world.send_again(sent.id)
            await world.settle()
            assert [name for _, name, _ in world.client.calls[before:]] == [sent.id] * 2

    answers: list = []
    play(test, lambda url, number: answers.pop(0))


def test_deliveries_are_listed_where_a_secret_cannot_be_read(play) -> None:
    async def test(world: World) -> None:
        await world.webhook("a")
        await world.job_ends()
        account = await world.accounts.ensure("ann", 1.0)
        other = WebhookRepository(world.hooks._db, Sealer(b"o" * 32))
        listed = Deliveries(world.sent, other, world.sender.wake)
        assert (await listed.page(account, "a", 9, 0))[1] == 1
        for stranger, name in ((account, "b"), ("bob", "a")):
            with pytest.raises(WebhookNotFound):
                await listed.page(stranger, name, 9, 0)

    play(test)


def test_a_test_is_tried_once_and_does_not_count(play) -> None:
    async def test(world: World) -> None:
        await world.webhook("a")
        for _ in range(21):
            await world.test("a")
            await world.settle()
        hook = await world.hook("a")
        assert (hook.is_active, hook.fail_count) == (True, 0)
        assert (hook.last_error, hook.last_called_at) == ("the endpoint is gone (HTTP 410)", 1000.0)
        assert {(d.state, len(d.attempts)) for d in await world.deliveries()} == {("given_up", 1)}
        assert await world.hooks.next_time(0) is None

    client = play(test, lambda url, number: 410)
    assert {json.loads(body)[0] for _, _, body in client.calls} == {None}


def test_a_webhook_that_goes_takes_its_attempts_with_it(play) -> None:
    async def test(world: World) -> None:
        await world.webhook("a")
        await world.job_ends()
        [due] = await world.hooks.due(world.now, module.SHARES)
        await world.settle()
        assert await world.hooks.delete(await world.accounts.ensure("ann", 1.0), "a")
        await world.hooks.delivered(due, Attempt(1.0, 0.1, 200, None), world.now)  # too late
        assert await world.deliveries() == []

    play(test, lambda url, number: 500)
