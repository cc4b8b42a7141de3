"""A seeded load on the store, as the server's loops make it, and what each answer promised."""

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple

from store import (
    AccountRepository,
    AnsweredBefore,
    CreditRepository,
    Database,
    Entry,
    IdempotencyRecord,
    InsufficientCredits,
    JobRepository,
    LeaseLost,
    StagePlan,
    Track,
    UploadRepository,
    WebhookRepository,
)
from store.credits import BookedBefore
from store.deliveries import Attempt
from store.uploads import Ticket
from store.webhooks import FailedDelivery, Shares, Webhook
from tests.store.conftest import PLAN, new_job

STAGES = (*PLAN, StagePlan("describe", "audio", needs=("decode",), late=True))


class Promise(NamedTuple):
    """A row that was answered for: this statement finds it from then on. `at`: when, in whatever
    the load's `now()` counts."""

    statement: str
    values: tuple[object, ...]
    at: int


class Load:
    """Writers on one open database. `now()` is asked at every answer; `name` begins the names of
    all that they make, so that several loads may meet in one file."""

    def __init__(
        self, database: Database, seed: int, now: Callable[[], int] = lambda: 0, name: str = "j"
    ) -> None:
        self.database = database
        self.promises: list[Promise] = []
        self._chance = random.Random(seed)
        self._now = now
        self._name = name
        self._jobs = JobRepository(database)
        self._credits = CreditRepository(database)
        self._hooks = WebhookRepository(database)
        self._uploads = UploadRepository(database)
        self._sending: set[str] = set()
        self._count = 0
        self._time = 10.0

    async def begin(self) -> None:
        """Accounts with credits and endpoints, once for a database."""
        await self.join()
        for account in self._accounts:
            await self._credits.add(Entry(account, "grant", 500, 1.0))
            await self._hooks.add(Webhook(
                f"hook of {account}", account, "http://x", ["job.completed", "job.failed"], "s",
                2.0), 9)  # fmt: skip

    async def join(self) -> None:
        """The accounts that are there."""
        accounts = AccountRepository(self.database)
        self._accounts = [await accounts.ensure(name, 1.0) for name in ("ann", "bob", "eve")]

    async def run(self, writers: int, go_on: Callable[[], bool]) -> None:
        """That many writers at once, as long as `go_on()`."""
        async with asyncio.TaskGroup() as group:
            for _ in range(writers):
                group.create_task(self._write(go_on))

    async def _write(self, go_on: Callable[[], bool]) -> None:
        kinds = (self._post, self._post, self._work, self._work, self._work, self._work,
                 self._cancel, self._grant, self._refund, self._tell, self._upload)  # fmt: skip
        while go_on():
            await self._chance.choice(kinds)()

    def _promise(self, statement: str, *values: object) -> None:
        self.promises.append(Promise(statement, values, self._now()))

    def _named(self, number: int) -> str:
        return f"{self._name}{number}"

    def _tick(self) -> float:
        self._time += 1.0
        return self._time

    async def _post(self) -> None:
        self._count += 1
        account, name = self._chance.choice(self._accounts), self._named(self._count)
        once = None
        if self._chance.random() < 0.4:
            once = IdempotencyRecord(f"key {self._named(self._count // 2)}", "hash", name, 0.0)
        job = new_job(name, self._tick(), STAGES, api="stemsplit", account_id=account,
                      seconds=self._chance.randrange(60), callback_url="http://y",
                      idempotency_record=once)  # fmt: skip
        try:
            await self._jobs.create(job)
        except InsufficientCredits:
            return
        except AnsweredBefore as before:
            name = before.answer
        self._promise("SELECT 1 FROM jobs JOIN ledger h ON h.job_id = jobs.id AND kind = 'hold'"
                      " WHERE jobs.id = ?", name)  # fmt: skip

    async def _work(self) -> None:
        pool = self._chance.choice(("audio", "audio", "separation"))
        self._count += 1
        claim = await self._jobs.stages.claim(pool, f"{self._name}/{self._count}", self._tick())
        if claim is None:
            return
        stage, end = claim.stage, self._chance.random()
        try:
            if end < 0.1:
                await self._jobs.stages.release(stage, "died", charge=True)
            elif end < 0.2:
                await self._jobs.stages.fail(stage, "broken", self._tick())
                self._promise("SELECT 1 FROM stages WHERE job_id = ? AND name = ?"
                              " AND state = 'failed'", stage.job_id, stage.name)  # fmt: skip
            else:
                await self._jobs.stages.set_progress(stage.job_id, 50)
                tracks = {stage.name: Track(f"{stage.name}.wav", 1, 2)}
                ended = await self._jobs.stages.finish(stage, {}, tracks, self._tick())
                self._promise("SELECT 1 FROM tracks WHERE job_id = ? AND name = ?",
                              stage.job_id, stage.name)  # fmt: skip
                if ended.completed:
                    self._promise("SELECT 1 FROM ledger WHERE kind = 'capture' AND job_id = ?",
                                  stage.job_id)  # fmt: skip
        except LeaseLost:
            pass

    async def _cancel(self) -> None:
        job_id = self._named(self._chance.randrange(self._count + 1))
        if await self._jobs.cancel(job_id, "cancelled", self._tick()):
            self._promise("SELECT 1 FROM ledger WHERE kind = 'release' AND job_id = ?", job_id)

    async def _grant(self) -> None:
        self._count += 1
        seconds = 1000 + self._count
        account = self._chance.choice(self._accounts)
        await self._credits.add(Entry(account, "grant", seconds, self._tick()))
        self._promise("SELECT 1 FROM ledger WHERE kind = 'grant' AND seconds = ?", seconds)

    async def _refund(self) -> None:
        job = await self._jobs.get(self._named(self._chance.randrange(self._count + 1)))
        if job is None or job.account_id is None or not job.charged:
            return
        try:
            entry = Entry(job.account_id, "refund", job.charged, self._tick(), job.id)
            await self._credits.add(entry)
        except BookedBefore:
            pass
        self._promise("SELECT 1 FROM ledger WHERE kind = 'refund' AND job_id = ?", job.id)

    async def _tell(self) -> None:
        for delivery in await self._hooks.due(1e7, Shares(1, 1, 8, 8)):
            # As the sender does: one attempt at a time.
            if delivery.id in self._sending or not delivery.job_id.startswith(self._name):
                continue
            self._sending.add(delivery.id)
            attempt = Attempt(self._tick(), 0.1, 200, None)
            if self._chance.random() < 0.5:
                missed = FailedDelivery("no", self._tick(), False, 10**6)
                await self._hooks.missed(delivery, attempt, missed, self._tick())
                self._sending.discard(delivery.id)
            else:
                await self._hooks.delivered(delivery, attempt, self._tick())
                self._promise("SELECT 1 FROM deliveries WHERE id = ? AND state = 'delivered'",
                              delivery.id)  # fmt: skip

    async def _upload(self) -> None:
        self._count += 1
        key = f"uploads/x/{self._named(self._count)}/input.wav"
        await self._uploads.add(Ticket(key, self._accounts[0], "a.wav", 1e9))
        if await self._uploads.receive(key, 5, "00"):
            self._promise("SELECT 1 FROM uploads WHERE key = ? AND size = 5", key)
