"""Webhooks of some accounts on a real database, and endpoints that answer as a test says."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import structlog

from server.jobs.clock import Clock, Reading
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
from store.deliveries import SentEvent
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
        job = new_job(
            f"j{self.ends}",
            self.now,
            ONE,
            account_id=account,
            callback_url=callback,
            api="pipeline" if account is None else "stemsplit",
        )
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
