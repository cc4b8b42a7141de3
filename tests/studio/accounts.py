"""The StemSplit API over a real database, and really sent webhooks, beside the songs in memory.

Only what makes and plays songs is left out: tests of the account need no models.
"""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.api import by_path, v1
from server.api.edge.limits import RateLimit
from server.api.signing import Signer
from server.api.webhook_payloads import WebhookPayloads
from server.config import load
from server.jobs import keys
from server.jobs.accounts import Accounts
from server.jobs.clock import Clock
from server.jobs.orders import Request
from server.jobs.stemsplit_jobs import StemSplitJobs
from server.jobs.webhooks.deliveries import Deliveries
from server.jobs.webhooks.registering import Webhooks
from server.jobs.webhooks.sending import Sender
from server.net import Guard, GuardedClient
from server.sharing import SharedPlaces
from store import (
    AccountRepository,
    ClockRepository,
    CreditRepository,
    Database,
    DeliveryRepository,
    Entry,
    JobRepository,
    WebhookRepository,
)
from store.accounts import NewKey
from store.webhooks import Webhook
from tests.api.fakes import fake_services, serving
from tests.store.conftest import PLAN, new_job

from .fakes import FakeServer

BOTH = ["job.completed", "job.failed"]
REFUSED = "Failed to load resource: the server responded with a status of "


class AccountServer:
    """The ASGI app. A test changes `limit` before the first request, and `away` at any time."""

    def __init__(self, root: Path) -> None:
        self.root, self.limit, self.away = root, 100_000, False
        self.requests: list[str] = []
        self._stack = AsyncExitStack()
        self._open: asyncio.Future[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.away:
            raise ConnectionError("the server is away")
        self.requests.append(f"{scope['method']} {scope['path']}")
        if self._open is None:
            self._loop = asyncio.get_running_loop()
            self._open = asyncio.ensure_future(self._build())
        await (await self._open)(scope, receive, send)

    def do(self, what: Callable[[], Awaitable[Any]]) -> Any:
        """Runs a coroutine where the app runs."""
        assert self._loop is not None, "no request yet"
        return asyncio.run_coroutine_threadsafe(what(), self._loop).result(30)

    def close(self) -> None:
        if self._loop is not None:
            self.do(self._stack.aclose)
            assert threading.current_thread() is threading.main_thread()

    def customer(self, name: str = "ann", minutes: int = 60) -> tuple[str, str]:
        """A new account with credits: its id, and a key."""
        async def make() -> tuple[str, str]:
            account, key = await self.accounts.ensure(name, time.time()), keys.new_key()
            await self.accounts.create_key(
                NewKey(name, keys.hash_of(key), keys.shown(key), 0, None, time.time())
            )
            if minutes:
                await self.credits.add(Entry(account, "grant", 60 * minutes, time.time()))
            return account, key

        made: tuple[str, str] = self.do(make)
        return made

    def revoke(self, key: str) -> None:
        self.do(lambda: self.accounts.revoke(keys.shown(key), time.time()))

    def hook(self, account: str, url: str) -> None:
        webhook = Webhook(f"hook{len(url)}", account, url, BOTH, "whsec_AAAA", time.time())
        self.do(lambda: self.hooks.add(webhook, 99))

    def job(self, account: str, name: str, state: str = "completed") -> str:
        """A job of twelve seconds that stands as `state` says."""
        async def make() -> str:
            request = Request(output_type="FOUR_STEMS", quality="FAST", output_format="FLAC",
                              model="starter", file_name=name, seconds=12.0)  # fmt: skip
            now, job_id = time.time(), f"job-{name.partition('.')[0]}"
            await self.jobs.create(new_job(
                job_id, now, PLAN[:1], api="stemsplit", account_id=account, seconds=12,
                request=msgspec.json.encode(request).decode()))  # fmt: skip
            if state != "processing":
                claim = await self.jobs.stages.claim("audio", "b/1", 1e12)
                if state == "failed":
                    await self.jobs.stages.fail(claim.stage, "The file is damaged", time.time())
                else:
                    await self.jobs.stages.finish(claim.stage, {}, {}, time.time())
            self._sender.wake()
            return job_id

        made: str = self.do(make)
        return made

    async def _build(self) -> Any:
        config = load(environ={}, flags={"limits.requests_per_minute": self.limit})
        db = await self._stack.enter_async_context(Database(self.root / "accounts.db"))
        self.accounts, self.credits = AccountRepository(db), CreditRepository(db)
        self.jobs, self.hooks = JobRepository(db), WebhookRepository(db)
        accounts = Accounts(self.accounts, self.credits)
        split = StemSplitJobs(config, self.jobs, None, accounts, None, None, None)
        client, signer = GuardedClient(Guard.of(["127.0.0.0/8"], 1)), Signer(b"s" * 32)
        payloads = WebhookPayloads(None, split, signer)
        self._sender = Sender(self.hooks, self.jobs, client, payloads.write,
                              lambda _: "whsec_AAAA", Clock(ClockRepository(db)))  # fmt: skip
        task = asyncio.create_task(self._sender.run())
        self._stack.push_async_callback(_stop, task)
        deliveries = Deliveries(DeliveryRepository(db), self.hooks, self._sender.wake)
        services = fake_services()._replace(
            stemsplit=split, accounts=accounts, webhooks=Webhooks(self.hooks, client),
            deliveries=deliveries)  # fmt: skip
        self.songs = FakeServer()
        uploading = SharedPlaces(99, "uploads are on their way in")
        api = v1.create_app(config, services, signer, RateLimit(self.limit), uploading)
        return by_path(api, self.songs)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def events(receiver: Any) -> list[tuple[str, str, Any]]:
    """Id, event and job of everything that came to a receiver."""
    return [(got.headers["X-Webhook-Id"], json.loads(got.body)["event"],
             json.loads(got.body)["data"]["jobId"]) for got in receiver.got]  # fmt: skip


@pytest.fixture
def box(tmp_path: Path) -> AccountServer:
    return AccountServer(tmp_path)


@pytest.fixture
def url(box: AccountServer) -> Iterator[str]:
    with serving(box) as port:
        yield f"http://127.0.0.1:{port}/"
        box.away = False
        box.close()


def sign_in(page: Any, key: str) -> Any:
    page.get_by_role("link", name="Account").click()
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    return page.get_by_role("region", name="Account")


def part(page: Any, name: str) -> Any:
    return page.locator(f'[data-section="{name}"]')


def rows(page: Any, name: str) -> list[str]:
    """The first cell of each row that a section shows."""
    cells: list[str] = part(page, name).locator("tbody tr td:first-child").all_inner_texts()
    return [cell.strip() for cell in cells]
