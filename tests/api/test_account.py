"""Ledger and deliveries of an account: pages, strangers, sending again, tests, repeated keys."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.api import create_app
from server.api.signing import BASE, Signer
from server.api.v1 import all_routes
from server.api.v1.openapi import document
from server.config import load
from server.jobs import keys
from server.jobs.accounts import Accounts
from server.jobs.webhooks.deliveries import MOST_TESTS, Deliveries
from server.jobs.webhooks.registering import Webhooks
from server.sharing import SharedPlaces
from store import (
    AccountRepository,
    CreditRepository,
    Database,
    DeliveryRepository,
    Entry,
    JobRepository,
    WebhookRepository,
)
from store.accounts import NewKey
from store.deliveries import KEPT_ATTEMPTS, Attempt
from store.webhooks import FailedDelivery, Shares, Webhook
from tests.store.conftest import PLAN, new_job

from .fakes import FakeJobs, fake_services

BOTH = ["job.completed", "job.failed"]
BROKEN = Attempt(5.0, 0.25, 500, "HTTP 500")
GIVEN_UP = FailedDelivery("HTTP 500", None, False, 20)
CONFIG = load(environ={}, flags={"limits.requests_per_minute": 1000})


class World:
    """The whole app over a real database, called without a socket."""

    def __init__(self, root: Path, db: Database) -> None:
        self.db, self.woken = db, 0
        self.accounts, self.credits = AccountRepository(db), CreditRepository(db)
        self.jobs, self.hooks = JobRepository(db), WebhookRepository(db)
        services = fake_services()._replace(
            accounts=Accounts(self.accounts, self.credits), webhooks=Webhooks(self.hooks, None),
            deliveries=Deliveries(DeliveryRepository(db), self.hooks, self.wake),
        )
        app = create_app(CONFIG, FakeJobs(root), services, Signer(b"s" * 32))
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app),
                                      base_url=f"http://test{BASE}")

    def wake(self) -> None:
        self.woken += 1

    async def failed_delivery(self) -> tuple[dict[str, str], str]:
        """A customer whose endpoint took an event not: the header with its key, the event's id."""
        account, ann = await self.customer("ann")
        await self.hook(account, "one")
        await self.job(account, "a")
        await self.fails()
        return ann, (await self.get("/deliveries", ann))["deliveries"][0]["id"]

    async def customer(self, name: str) -> tuple[str, dict[str, str]]:
        """A new account: its id, and the header with its key."""
        account, key = await self.accounts.ensure(name, 1.0), keys.new_key()
        await self.accounts.create_key(
            NewKey(name, keys.hash_of(key), keys.shown(key), 0, None, 1.0)
        )
        return account, {"Authorization": f"Bearer {key}"}

    async def hook(self, account: str, name: str, events: list[str] = BOTH) -> str:
        webhook = Webhook(name, account, f"http://{name}", events, "whsec_AAAA", 1.0)
        assert await self.hooks.add(webhook, 99)
        return name

    async def job(self, account: str, name: str, now: float = 2.0, **more: object) -> None:
        """A job that ends at once."""
        await self.jobs.create(new_job(name, now, PLAN[:1], api="stemsplit", account_id=account,
                                       **more))
        claim = await self.jobs.stages.claim("audio", f"b/{name}", now)
        await self.jobs.stages.finish(claim.stage, {}, {}, now)

    async def fails(self, times: int = 1) -> None:
        """Attempts at all that is due, in vain and for good."""
        for delivery in await self.hooks.due(1e12, Shares(99, 99, 99, 99)):
            for _ in range(times):
                await self.hooks.missed(delivery, BROKEN, GIVEN_UP, 6.0)

    async def get(self, path: str, who: dict[str, str], **query: Any) -> Any:
        answer = await self.http.get(path, headers=who, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, who: dict[str, str], key: str | None = None) -> httpx.Response:
        return await self.http.post(
            path, headers=who if key is None else who | {"Idempotency-Key": key})


@pytest.fixture
def play(tmp_path: Path):
    def run(test: Callable[[World], Awaitable[None]]) -> None:
        async def main() -> None:
            async with Database(tmp_path / "t.db") as db:
                await test(World(tmp_path, db))

        asyncio.run(main())

    return run


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_the_document_has_the_routes_that_there_are() -> None:
    services = fake_services()
    routes = all_routes(CONFIG, services, Signer(b"s" * 32), SharedPlaces(2, "uploads"))
    served = {(route.path, method.lower()) for route in routes for method in route.methods or ()
              if method != "HEAD"}  # fmt: skip
    told = {(path, method) for path, item in document(CONFIG)["paths"].items()
            for method in item if method in ("get", "put", "post", "delete")}  # fmt: skip
    assert served == told


def test_every_conflict_is_told_by_its_code() -> None:
    told = {}
    for item in document(CONFIG)["paths"].values():
        for operation in (item[method] for method in item if method in ("get", "put", "post")):
            if "409" in operation["responses"]:
                text = operation["responses"]["409"]["description"]
                told[operation["operationId"]] = set(re.findall("[A-Z]+_[A-Z_]+", text))
    assert told == {
        "createJob": {"IDEMPOTENCY_CONFLICT"}, "putUpload": {"UPLOAD_ALREADY_USED"},
        "mix": {"JOB_NOT_COMPLETED"}, "stemFile": {"JOB_NOT_COMPLETED"},
        "resendDelivery": {"IDEMPOTENCY_CONFLICT", "ALREADY_DELIVERED"},
        "testWebhook": {"IDEMPOTENCY_CONFLICT"},
    }  # fmt: skip


@pytest.mark.parametrize(("days", "words"), [(7.0, "for 7 days."), (1.0, "for 1 day.")])
def test_deliveries_are_kept_as_long_as_the_settings_say(days: float, words: str) -> None:
    config = load(environ={}, flags={"jobs.deliveries_days": days})
    assert document(config)["paths"]["/deliveries"]["get"]["description"].endswith(words)


def test_the_ledger_page_by_page(play) -> None:
    async def test(world: World) -> None:
        account, ann = await world.customer("ann")
        _, bob = await world.customer("bob")
        await world.credits.add(Entry(account, "grant", 100, 1.0))
        await world.job(account, "a", seconds=30)
        whole = await world.get("/ledger", ann)
        assert [(e["kind"], e["seconds"], e["balanceSeconds"], e["jobId"])
                for e in whole["entries"]] == [
            ("CAPTURE", 30, 70, "a"), ("HOLD", 30, 70, "a"), ("GRANT", 100, 100, None)]  # fmt: skip
        assert whole["entries"][2]["createdAt"] == "1970-01-01T00:00:01.000Z"
        pages = [await world.get("/ledger", ann, limit=2, offset=offset) for offset in (0, 2, 4)]
        assert [e for page in pages for e in page["entries"]] == whole["entries"]
        assert [p["pagination"] for p in pages] == [
            {"total": 3, "limit": 2, "offset": o, "hasMore": m}
            for o, m in ((0, True), (2, False), (4, False))]  # fmt: skip
        assert (await world.get("/ledger", bob))["entries"] == []

    play(test)


def test_deliveries_with_their_attempts(play) -> None:
    async def test(world: World) -> None:
        account, ann = await world.customer("ann")
        await world.hook(account, "one")
        await world.hook(account, "two", ["job.failed"])
        await world.job(account, "a", 2.0, callback_url="http://own")
        await world.job(account, "b", 3.0)
        await world.fails()
        whole = await world.get("/deliveries", ann)
        assert [(d["jobId"], d["webhookId"], d["url"]) for d in whole["deliveries"]][:1] == [
            ("b", "one", "http://one")]  # fmt: skip
        assert {(d["jobId"], d["webhookId"], d["url"]) for d in whole["deliveries"][1:]} == {
            ("a", "one", "http://one"), ("a", None, "http://own")}  # fmt: skip
        assert whole["deliveries"][0]["attempts"] == [{
            "number": 1, "startedAt": "1970-01-01T00:00:05.000Z", "durationMs": 250,
            "statusCode": 500, "error": "HTTP 500"}]  # fmt: skip
        assert (whole["deliveries"][0]["state"], whole["deliveries"][0]["nextAttemptAt"],
                whole["deliveries"][0]["isTest"]) == ("GIVEN_UP", None, False)
        pages = [await world.get("/deliveries", ann, limit=2, offset=o) for o in (0, 2)]
        assert [d for page in pages for d in page["deliveries"]] == whole["deliveries"]
        one = await world.get("/deliveries", ann, webhookId="one")
        assert one["pagination"]["total"] == 2
        assert (await world.get("/deliveries", ann, webhookId="two"))["deliveries"] == []

    play(test)


def test_only_the_last_attempts_are_kept(play) -> None:
    async def test(world: World) -> None:
        account, ann = await world.customer("ann")
        await world.hook(account, "one")
        await world.job(account, "a")
        await world.fails(KEPT_ATTEMPTS + 5)
        attempts = (await world.get("/deliveries", ann))["deliveries"][0]["attempts"]
        assert [a["number"] for a in attempts] == list(range(6, KEPT_ATTEMPTS + 6))

    play(test)


def test_nobody_sees_or_sends_what_is_anothers(play) -> None:
    async def test(world: World) -> None:
        account, ann = await world.customer("ann")
        _, bob = await world.customer("bob")
        await world.hook(account, "one")
        await world.job(account, "a")
        await world.fails()
        delivery = (await world.get("/deliveries", ann))["deliveries"][0]["id"]
        assert (await world.get("/deliveries", bob))["pagination"]["total"] == 0
        for webhook in ("one", "never"):
            answer = await world.http.get("/deliveries", params={"webhookId": webhook}, headers=bob)
            assert error(answer) == (404, "WEBHOOK_NOT_FOUND")
            assert error(await world.post(f"/webhooks/{webhook}/test", bob)) == \
                (404, "WEBHOOK_NOT_FOUND")  # fmt: skip
        for name in (delivery, "never", "%00", "a%2Fb"):
            assert error(await world.post(f"/deliveries/{name}/resend", bob)) in (
                (404, "DELIVERY_NOT_FOUND"), (404, "NOT_FOUND"))
        assert await world.hooks.due(1e12, Shares(99, 99, 99, 99)) == []
        assert world.woken == 0
        for path in ("/ledger", "/deliveries"):
            assert error(await world.http.get(path)) == (401, "MISSING_API_KEY")
            for query in ("limit=0", "limit=101", "offset=-1", "offset=x", "limit=1e1"):
                answer = await world.http.get(f"{path}?{query}", headers=ann)
                assert error(answer) == (400, "INVALID_REQUEST"), query
        for path in (f"/deliveries/{delivery}/resend", "/webhooks/one/test"):
            assert error(await world.http.post(path)) == (401, "MISSING_API_KEY")
            assert error(await world.http.get(path, headers=ann)) == (405, "METHOD_NOT_ALLOWED")
            answer = await world.post(path, ann, "k" * 256)
            assert error(answer) == (400, "INVALID_REQUEST")
        limits = (await world.http.get("/ledger", headers=ann)).headers
        assert limits["x-ratelimit-limit"] == "1000"
        assert limits["ratelimit-policy"] == '"key";q=1000;w=60'
        left, seconds = re.fullmatch(r'"key";r=(\d+);t=(\d+)', limits["ratelimit"]).groups()
        assert left == limits["x-ratelimit-remaining"]
        assert seconds == limits["retry-after"]

    play(test)


def test_a_failed_delivery_is_due_again_under_its_id(play) -> None:
    async def test(world: World) -> None:
        ann, delivery = await world.failed_delivery()
        answer = await world.post(f"/deliveries/{delivery}/resend", ann)
        assert (answer.status_code, answer.json()["id"], answer.json()["state"]) == (
            202, delivery, "WAITING")  # fmt: skip
        assert len(answer.json()["attempts"]) == 1, "what was, is not forgotten"
        [due] = await world.hooks.due(1e12, Shares(99, 99, 99, 99))
        assert (due.id, due.attempt, world.woken) == (delivery, 0, 1)
        await world.hooks.delivered(due, Attempt(7.0, 0.1, 204, None), 7.0)
        answer = await world.post(f"/deliveries/{delivery}/resend", ann)
        assert error(answer) == (409, "ALREADY_DELIVERED")
        [sent] = (await world.get("/deliveries", ann))["deliveries"]
        assert [a["statusCode"] for a in sent["attempts"]] == [500, 204]
        assert (sent["state"], sent["lastError"]) == ("DELIVERED", None)

    play(test)


def test_a_repeated_key_sends_nothing_again(play) -> None:
    async def test(world: World) -> None:
        ann, delivery = await world.failed_delivery()
        path = f"/deliveries/{delivery}/resend"
        answers = await asyncio.gather(*(world.post(path, ann, "k") for _ in range(5)))
        assert len({answer.content for answer in answers}) == 1
        await world.fails()
        assert (await world.post(path, ann, "k")).content == answers[0].content
        assert await world.hooks.due(1e12, Shares(99, 99, 99, 99)) == []
        assert error(await world.post("/webhooks/one/test", ann, "k")) == \
            (409, "IDEMPOTENCY_CONFLICT")  # fmt: skip
        tests = [await world.post("/webhooks/one/test", ann, "t") for _ in range(2)]
        assert tests[0].json() == tests[1].json()
        assert len(await world.hooks.due(1e12, Shares(99, 99, 99, 99))) == 1
        account, bob = await world.customer("bob")
        await world.hook(account, "bobs")
        assert (await world.post("/webhooks/bobs/test", bob, "k")).status_code == 202

    play(test)


def test_tests_are_of_what_a_webhook_listens_to_and_few_at_a_time(play) -> None:
    async def test(world: World) -> None:
        account, ann = await world.customer("ann")
        await world.hook(account, "one", ["job.failed"])
        for number in range(MOST_TESTS):
            answer = (await world.post("/webhooks/one/test", ann)).json()
            assert (answer["event"], answer["isTest"], answer["jobId"]) == (
                "job.failed", True, None), number  # fmt: skip
        full = await world.post("/webhooks/one/test", ann)
        assert error(full) == (429, "RATE_LIMIT_EXCEEDED"), "nobody else is in the way"
        assert "retry-after" in full.headers
        await world.fails()
        assert (await world.post("/webhooks/one/test", ann)).status_code == 202
        assert json.loads((await world.http.get("/webhooks", headers=ann)).content)["webhooks"][0][
            "failCount"] == 0

    play(test)
