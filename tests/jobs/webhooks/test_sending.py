"""The sender: at least once, one id, the schedule, 410, disabling."""

import asyncio
import json
from itertools import pairwise

from server.errors import Unreachable
from server.jobs.webhooks import retry
from store.sealing import Sealer
from store.webhooks import Delivery, Shares
from tests.jobs.webhooks.playing import Answer, World
from tests.jobs.webhooks.playing import play as play


def test_every_endpoint_is_told_once(play) -> None:
    async def test(world: World) -> None:
        await world.webhook("a")
        await world.webhook("b")
        await world.job_ends(callback="http://c")
        await world.job_ends(fail=True)
        await world.settle()
        assert (await world.hook("a")).last_called_at == 1000.0

    calls = play(test).calls
    assert sorted((url, json.loads(body)[1]) for url, _, body in calls) == [
        ("http://a", "job.completed"),
        ("http://a", "job.failed"),
        ("http://b", "job.completed"),
        ("http://b", "job.failed"),
        ("http://c", "job.completed"),
    ]
    assert len({name for _, name, _ in calls}) == 5


def test_the_schedule_by_a_fake_clock(play) -> None:
    """W2."""
    began: list[float] = []

    async def test(world: World) -> None:
        await world.webhook("a")
        await world.job_ends()
        for _ in range(12):
            before = len(world.client.calls)
            await world.settle()
            if len(world.client.calls) > before:
                began.append(world.now)
            following = await world.hooks.next_time(world.now)
            if following is None:
                break
            world.now = following - 0.001
            await world.settle()
            assert len(world.client.calls) == before + 1, "not a moment too early"
            world.now = following
        hook = await world.hook("a")
        assert (hook.fail_count, hook.last_error, hook.is_active) == (8, "no such host", True)

    client = play(test, lambda url, number: Unreachable("no such host"))
    assert [b - a for a, b in pairwise(began)] == list(retry.DELAYS)
    assert len({name for _, name, _ in client.calls}) == 1, "one id over all attempts"


def test_what_becomes_due_while_it_looks_is_sent_at_once(play) -> None:
    """And not a minute later."""
    async def test(world: World) -> None:
        await world.webhook("a")
        await world.job_ends()
        await world.settle()
        again = await world.hooks.next_time(world.now)
        assert again is not None
        world.now, look = again - 0.01, world.hooks.due

        async def slow(now: float, shares: Shares) -> list[Delivery]:
            found = await look(now, shares)
            world.now = max(world.now, again + 0.05)
            return found

        world.hooks.due = slow
        await world.settle(lambda: len(world.client.calls) == 2)

    play(test, lambda url, number: Unreachable("no such host"))


def test_a_success_resets_the_count(play) -> None:
    async def test(world: World) -> None:
        await world.webhook("a")
        await world.job_ends()
        for _ in range(3):
            await world.settle()
            world.now = await world.hooks.next_time(world.now) or world.now
        hook = await world.hook("a")
        assert (hook.fail_count, hook.last_error) == (0, None)

    client = play(test, lambda url, number: 503 if number < 2 else 204)
    assert len(client.calls) == 3


def test_a_redirect_is_no_success(play) -> None:
    async def test(world: World) -> None:
        await world.webhook("a")
        await world.job_ends()
        await world.settle()
        assert (await world.hook("a")).last_error == "HTTP 302"

    play(test, lambda url, number: 302)


def test_a_redirect_says_where_to(play) -> None:
    aim = "https://new.example/hook?a=b"

    async def test(world: World) -> None:
        await world.webhook("a")
        await world.job_ends()
        await world.settle()
        hook = await world.hook("a")
        assert hook.last_error.startswith(f"HTTP 308, a redirect to {aim}")
        assert (hook.fail_count, hook.is_active) == (1, True)

    play(test, lambda url, number: Answer(308, aim))


def test_gone_disables_at_once(play) -> None:
    async def test(world: World) -> None:
        await world.webhook("a")
        await world.webhook("b")
        await world.job_ends()
        await world.settle()
        gone = await world.hook("a")
        assert (gone.is_active, gone.fail_count) == (False, 1)
        assert "410" in gone.last_error
        await world.job_ends()
        await world.settle()
        assert (await world.hook("b")).is_active

    client = play(test, lambda url, number: 410 if url == "http://a" else 200)
    assert sorted(url for url, _, _ in client.calls) == ["http://a", "http://b", "http://b"]


def test_twenty_failures_in_a_row_disable(play) -> None:
    async def test(world: World) -> None:
        await world.webhook("a")
        for end in range(20):
            assert (await world.hook("a")).is_active, end
            await world.job_ends()
            await world.settle()
        hook = await world.hook("a")
        assert (hook.is_active, hook.fail_count) == (False, 20)
        assert await world.hooks.next_time(world.now) is None, "nothing more is sent to it"

    play(test, lambda url, number: 500)


def test_what_was_under_way_at_the_end_is_sent_again(play) -> None:
    async def test(world: World) -> None:
        await world.webhook("a")
        await world.job_ends()
        await world.settle(lambda: len(world.client.calls) == 1)  # and the process ends there
        await world.settle()
        assert (await world.hook("a")).fail_count == 0

    client = play(test, lambda url, n: asyncio.Event().wait() if n == 0 else 200)
    assert len(client.calls) == 2
    assert client.calls[0][1] == client.calls[1][1]


def test_a_sender_that_forgets_would_be_caught(play, monkeypatch) -> None:
    """The planted bug: a failure that is booked as a success."""

    async def test(world: World) -> None:
        await world.webhook("a")
        await world.job_ends()
        await world.settle()
        world.now = await world.hooks.next_time(world.now) or world.now
        await world.settle()

    monkeypatch.setattr(retry, "SUCCESS", range(200, 600))
    assert len(play(test, lambda url, n: 500 if n == 0 else 200).calls) == 1
    monkeypatch.setattr(retry, "SUCCESS", range(200, 300))
    # the same events on a new database
    assert retry.why(500) == "HTTP 500"
    assert "\n" not in retry.why(301, "http://x/\n\x1b[31m")
    assert len(retry.why(301, "http://x/".ljust(99_999, "y"))) < 9000


def test_a_secret_that_is_lost_is_a_failure_of_its_endpoint_alone(play) -> None:
    """The server's own secret was replaced: what was sealed with the older one stays shut."""

    async def scenario(world: World) -> None:
        world.hooks._sealer = Sealer(b"o" * 32)
        await world.webhook("lost")
        world.hooks._sealer = Sealer(b"n" * 32)
        await world.webhook("new")
        await world.job_ends()
        await world.settle(lambda: [url for url, *_ in world.client.calls] == ["http://new"])
        await world.settle()
        told = {sent.url: sent.last_error for sent in await world.deliveries()}
        assert "register it again" in told["http://lost"]
        assert told["http://new"] is None

    play(scenario, lambda url, number: 200)
