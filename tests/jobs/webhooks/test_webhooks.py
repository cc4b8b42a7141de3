"""The sender: at least once, one id, the schedule, 410, disabling; nobody waits for the slow."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import structlog
from msgspec import structs

from server.errors import Unreachable
from server.jobs.clock import Clock, Reading
from server.jobs.webhooks import retry
from server.jobs.webhooks import sending as module
from server.jobs.webhooks.sending import Sender
from store import (
    AccountRepository,
    ClockRepository,
    Database,
    DeliveryRepository,
    JobRepository,
    WebhookRepository,
)
from store.deliveries import Attempt, SentEvent
from store.hosts import host_of
from store.lanes import ACCOUNTS, NOBODYS, Rotation
from store.sealing import Sealer
from store.webhooks import Webhook
from tests.store.conftest import PLAN, new_job

BOTH = ["job.completed", "job.failed"]
ONE = PLAN[:1]


class Answer(NamedTuple):
    status: int
    redirect: str | None = None


class FakeClient:
    """Answers by `behave(url, number of the call)`."""

    def __init__(
        self, behave: Callable[[str, int], "int | Answer | Exception | Awaitable"]
    ) -> None:
        self._behave = behave
        self.calls: list[tuple[str, str, bytes]] = []  # url, id, body

    async def post(self, url: str, body: bytes, headers: dict, timeout_s: float) -> Answer:
        self.calls.append((url, headers["X-Webhook-Id"], body))
        answer = self._behave(url, len(self.calls) - 1)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Answer):
            return answer
        return Answer(answer if isinstance(answer, int) else await answer)


class World:
    """A database, a sender over a fake client, and a clock that the test moves."""

    def __init__(self, db: Database, client: FakeClient) -> None:
        self.client, self.now, self.ends = client, 1000.0, 0
        self.jobs, self.hooks = JobRepository(db), WebhookRepository(db)
        self.accounts, self.sent = AccountRepository(db), DeliveryRepository(db)
        clock = Clock(ClockRepository(db), lambda: Reading("boot", self.now, self.now))
        self.sender = Sender(
            self.hooks, self.jobs, client, write, lambda account: "whsec_AAAA", clock
        )

    async def webhook(self, name: str) -> None:
        account = await self.accounts.ensure("ann", 1.0)
        hook = Webhook(name, account, f"http://{name}", BOTH, "whsec_AAAA", 1.0)
        assert await self.hooks.add(hook, 99)

    async def job_ends(
        self, fail: bool = False, callback: str | None = None, name: str | None = "ann"
    ) -> str:
        """Of the account of this name; None: a pipeline job, which is nobody's."""
        account = None if name is None else await self.accounts.ensure(name, 1.0)
        self.ends += 1
        job = new_job(f"j{self.ends}", self.now, ONE, account_id=account, callback_url=callback,
                      api="pipeline" if account is None else "stemsplit")
        await self.jobs.create(job)
        stage = (await self.jobs.stages.claim("audio", f"b/{self.ends}", self.now)).stage
        if fail:
            await self.jobs.stages.fail(stage, "broken", self.now)
        else:
            await self.jobs.stages.finish(stage, {}, {}, self.now)
        return job.id

    async def settle(self, until: Callable[[], bool] | None = None) -> None:
        """Sends what is due at the present time, to its end."""
        loop = asyncio.create_task(self.sender.run())
        async with asyncio.timeout(30):
            while True:
                await asyncio.sleep(0.01)
                if until is not None and until():
                    break
                due = await self.hooks.due(self.now, module.SHARES)
                if until is None and not due and not self.sender._running:
                    break
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)

    async def hook(self, name: str) -> Webhook:
        found = await self.hooks.get(name)
        assert found is not None
        return found

    async def deliveries(self) -> list[SentEvent]:
        account = await self.accounts.ensure("ann", 1.0)
        return (await self.sent.page(account, None, 99, 0))[0]

    async def send_again(self, name: str) -> None:
        account = await self.accounts.ensure("ann", 1.0)
        assert await self.sent.send_again(account, name, self.now, None, lambda _: b"told")

    async def test(self, name: str) -> None:
        account = await self.accounts.ensure("ann", 1.0)
        assert await self.sent.test(account, name, 9, self.now, None, lambda _: b"told")


def write(job, delivery) -> bytes:
    return json.dumps([job and job.id, delivery.event]).encode()


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def run(test: Callable[[World], Awaitable[None]], behave=lambda url, number: 200) -> FakeClient:
        client = FakeClient(behave)

        async def main() -> None:
            async with Database(tmp_path / "t.db") as db:
                world = World(db, client)
                monkeypatch.setattr(module.time, "time", lambda: world.now)
                monkeypatch.setattr(module.random, "random", lambda: 0.5)
                await test(world)

        with structlog.testing.capture_logs() as lines:
            asyncio.run(main())
        defects = [line for line in lines if line.get("exc_info")]
        assert not defects, defects
        return client

    return run


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
        ("http://a", "job.completed"), ("http://a", "job.failed"),
        ("http://b", "job.completed"), ("http://b", "job.failed"),
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


def test_a_slow_endpoint_delays_nobody(play) -> None:
    """W3: one endpoint hangs with a long queue of its own; the other is told all the same."""
    async def test(world: World) -> None:
        await world.webhook("slow")
        await world.webhook("quick")
        for _ in range(30):
            await world.job_ends()
        calls = world.client.calls
        await world.settle(lambda: sum(url == "http://quick" for url, _, _ in calls) == 30)
        assert sum(url == "http://slow" for url, _, _ in calls) == module.PER_ENDPOINT

    play(test, lambda url, number: asyncio.Event().wait() if url == "http://slow" else 200)


HANGS = "http://hostile"


def hanging(url: str, number: int) -> int | Awaitable:
    return asyncio.Event().wait() if HANGS in url else 200


def test_hostile_callbacks_of_nobody_delay_no_honest_ones(play) -> None:
    """Each to an address of its own, which the limit for one endpoint does not see."""
    async def test(world: World) -> None:
        for number in range(60):
            await world.job_ends(callback=f"{HANGS}:{number}/{number}", name=None)
        for number in range(20):
            await world.job_ends(callback=f"http://honest/{number}", name=None)
        calls = world.client.calls
        await world.settle(lambda: sum("honest" in url for url, _, _ in calls) == 20)
        assert sum(HANGS in url for url, _, _ in calls) == module.SHARES.per_host

    play(test, hanging)


def test_hostile_hosts_without_number_delay_no_account(play, monkeypatch) -> None:
    """And an honest one of nobody's is among the first of them."""
    monkeypatch.setattr(module, "AT_ONCE", 40)
    monkeypatch.setattr(module, "SHARES", structs.replace(module.SHARES, of_nobody=20))

    async def test(world: World) -> None:
        await world.webhook("quick")
        for number in range(15):
            for turn in range(3):
                await world.job_ends(callback=f"{HANGS}-{number}.example/{turn}", name=None)
        await world.job_ends(callback="http://honest/", name=None)
        for _ in range(10):
            await world.job_ends()
        calls = world.client.calls
        await world.settle(lambda: sum(url == "http://quick" for url, _, _ in calls) == 10
                           and any("honest" in url for url, _, _ in calls))
        assert sum(HANGS in url for url, _, _ in calls) <= 20

    play(test, hanging)


def test_a_host_that_hangs_for_one_account_delays_neither_others_nor_its_own_rest(play) -> None:
    async def test(world: World) -> None:
        for number in range(30):
            await world.job_ends(callback=f"{HANGS}/{number}", name="bob")
        await world.job_ends(callback="http://other/", name="bob")
        await world.job_ends(callback=f"{HANGS}/ann", name="ann")
        calls = world.client.calls
        wanted = {"http://other/", f"{HANGS}/ann"}
        await world.settle(lambda: wanted <= {url for url, _, _ in calls})
        assert sum(HANGS in url for url, _, _ in calls) == module.SHARES.per_host + 1

    play(test, hanging)


def test_hosts_that_hang_keep_their_share_over_all_looks(play, monkeypatch) -> None:
    """More of them than a look goes into: what is under way in other lanes counts all the same."""
    monkeypatch.setattr(module, "NEXT_LOOK", 0.01)
    monkeypatch.setattr(module, "SHARES", structs.replace(module.SHARES, of_nobody=5))

    async def test(world: World) -> None:
        world.hooks._lanes = (Rotation(*NOBODYS, most=2), Rotation(*ACCOUNTS, most=2))
        await world.webhook("quick")
        for number in range(12):
            await world.job_ends(callback=f"{HANGS}-{number}.example/", name=None)
        calls = world.client.calls
        for _ in range(6):
            await world.job_ends()
        await world.settle(lambda: sum(url == "http://quick" for url, _, _ in calls) == 6
                           and sum(HANGS in url for url, _, _ in calls) >= 5)
        assert sum(HANGS in url for url, _, _ in calls) == 5

    play(test, hanging)


@pytest.mark.parametrize("url", [
    "http://Host/a", "https://host:8443/b", "http://host./c", "HTTP://HOST:1", "http://host?d",
])
def test_spellings_of_one_host(url: str) -> None:
    assert host_of(url) == "host"
    assert host_of("http://[::1]:80/") == "::1"
    assert host_of("http://[") == "http://[" and host_of(None) == ""


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
