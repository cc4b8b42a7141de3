"""Sends what the outbox holds until it has arrived.

The outbox is the database's; an event is sent at least once, always under the same id.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Protocol

import structlog
from msgspec import Struct

from server.errors import StemboxError
from server.jobs.clock import Clock
from server.jobs.webhooks import retry
from server.jobs.webhooks.signatures import signed_headers
from store import Job, JobRepository, WebhookRepository
from store.deliveries import Attempt
from store.sealing import Unreadable
from store.webhooks import Delivery, FailedDelivery, Shares

__all__ = ["Delivery", "Job", "Sender"]

log = structlog.get_logger()
TIMEOUT_S = 10.0  # of one attempt
PER_ENDPOINT = 4  # attempts at one endpoint at once
AT_ONCE = 512  # attempts at once in all
SHARES = Shares(PER_ENDPOINT, per_host=8, per_account=16, of_nobody=AT_ONCE // 2)
LONGEST_PAUSE = 60.0  # seconds: a clock that was set back does no harm
NEXT_LOOK = 0.5  # seconds until endpoints that a look has left out are looked at


class Answer(Protocol):
    """What an endpoint answered."""

    @property
    def status(self) -> int: ...

    @property
    def redirect(self) -> str | None: ...


class Client(Protocol):
    """The guarded HTTP client, as far as it is needed here."""

    async def post(
        self, url: str, body: bytes, headers: dict[str, str], timeout_s: float
    ) -> Answer: ...


class WebhookRequest(Struct, frozen=True):
    """One delivery made ready: where it goes, what it says, what signs it."""

    url: str
    body: bytes
    secret: str


Write = Callable[[Job | None, Delivery], bytes]
"""Makes the body that tells of a job's end; of none, where the delivery is a test."""


class Sender:
    """Sends the outbox. `run()` is its whole life; `wake()` tells that a job has ended.

    write: makes the body for a job, by the API that it came from.
    callback_secret: what signs a job's own callback, by its account (None: no account).
    """

    def __init__(
        self, webhooks: WebhookRepository, jobs: JobRepository, client: Client,
        write: Write, callback_secret: Callable[[str | None], str], clock: Clock,
    ) -> None:  # fmt: skip
        self._webhooks = webhooks
        self._jobs = jobs
        self._client = client
        self._write = write
        self._callback_secret = callback_secret
        self._clock = clock
        self._wake = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._whose: Counter[str | None] = Counter()  # of them: how many are of which account
        self._ended: set[str] = set()  # since the outbox was last looked into

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    async def run(self) -> None:
        """Sends until cancelled. What is under way then is sent again after the next start."""
        try:
            while True:
                self._wake.clear()
                pause = LONGEST_PAUSE
                try:
                    pause = await self._fill()
                except Exception:  # the database: its disk may be full for a while
                    log.exception("the outbox cannot be read: trying again")
                    pause = retry.DELAYS[0]
                try:
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            for task in list(self._running.values()):
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _fill(self) -> float:
        """Begins what is due; seconds until the next look, unless something wakes it before."""
        self._ended.clear()
        now = await self._clock.check()
        due = await self._webhooks.due(now, SHARES)
        due = [delivery for delivery in due if delivery.id not in self._ended]
        for delivery in due:
            if len(self._running) >= AT_ONCE:
                return LONGEST_PAUSE  # the end of one of them wakes
            if delivery.id not in self._running and self._has_a_place(delivery.account_id):
                self._whose[delivery.account_id] += 1
                task = asyncio.create_task(self._attempt(delivery), name=delivery.id)
                self._running[delivery.id] = task
                task.add_done_callback(partial(self._forget, delivery))
        pause = NEXT_LOOK if self._webhooks.more else LONGEST_PAUSE
        next_time = await self._webhooks.next_time(now)  # what has become due since, too
        return pause if next_time is None else min(pause, max(0.0, next_time - time.time()))

    def _has_a_place(self, account_id: str | None) -> bool:
        """A look into other lanes does not see what is under way in these."""
        share = SHARES.of_nobody if account_id is None else SHARES.per_account
        return self._whose[account_id] < share

    def _forget(self, delivery: Delivery, _: object) -> None:
        self._running.pop(delivery.id, None)
        self._whose[delivery.account_id] -= 1
        self._whose += Counter()  # without what is at zero
        self._ended.add(delivery.id)  # what was read meanwhile may still show it as waiting
        self.wake()

    async def _attempt(self, delivery: Delivery) -> None:
        """One attempt, and its end in the books."""
        structlog.contextvars.bind_contextvars(
            delivery=delivery.id, job=delivery.job_id, webhook=delivery.webhook_id,
            attempt=delivery.attempt + 1,
        )  # fmt: skip
        try:
            began, clock = time.time(), time.monotonic()
            status, error = await self._send(delivery)
            attempt = Attempt(began, time.monotonic() - clock, status, error)
            if error is None:
                await self._webhooks.delivered(delivery, attempt, time.time())
                log.info("webhook delivered", told=delivery.event, status=status)
                return
            now = await self._clock.check()
            failure = _failure(delivery, error, status == retry.GONE, now)
            await self._webhooks.missed(delivery, attempt, failure, now)
            following = None if failure.next_at is None else round(failure.next_at - now, 1)
            log.warning("webhook not delivered", told=delivery.event, error=error,
                        next_in_s=following)  # fmt: skip
        except Exception:  # a defect, or the database: the delivery stays in the outbox
            log.exception("webhook attempt failed")
            await asyncio.sleep(retry.DELAYS[0])

    async def _send(self, delivery: Delivery) -> tuple[int | None, str | None]:
        """The endpoint's status, and what went wrong, if anything did."""
        try:
            request = await self._request(delivery)
        except Unreadable:
            log.error("a webhook's secret cannot be read: the server's own is another than it was",
                      webhook=delivery.webhook_id)
            return None, "The webhook's secret is lost: register it again"
        if request is None:
            return None, "There is nobody to tell any more"
        headers = signed_headers(
            request.secret, delivery.id, time.time(), delivery.event, request.body
        )
        try:
            answer = await self._client.post(request.url, request.body, headers, TIMEOUT_S)
        except StemboxError as error:
            return None, error.message
        if answer.status in retry.SUCCESS:
            return answer.status, None
        return answer.status, retry.why(answer.status, answer.redirect)

    async def _request(self, delivery: Delivery) -> WebhookRequest | None:
        job = None if delivery.job_id is None else await self._jobs.get(delivery.job_id)
        if job is None and delivery.job_id is not None:
            return None
        if delivery.webhook_id is None:
            assert job is not None  # a test has a webhook
            secret = self._callback_secret(job.account_id)
            return WebhookRequest(job.callback_url or "", self._write(job, delivery), secret)
        webhook = await self._webhooks.get(delivery.webhook_id)
        if webhook is None:
            return None
        return WebhookRequest(webhook.url, self._write(job, delivery), webhook.secret)


def _failure(delivery: Delivery, error: str, gone: bool, now: float) -> FailedDelivery:
    """What follows a failed attempt. A test is tried once: somebody waits for what comes of it."""
    next_at = None
    if not gone and delivery.job_id is not None:
        next_at = retry.next_attempt(delivery.attempt + 1, now, random.random())
    return FailedDelivery(error, next_at, gone, retry.MAX_FAILURES)
