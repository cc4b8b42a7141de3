"""What triggers keep agrees with what it is kept of: the queue, lists and their tallies."""

import asyncio
import json
import random
import sqlite3
from contextlib import suppress
from typing import Any

import pytest

from store import (
    AccountRepository,
    CreditRepository,
    Database,
    DeliveryRepository,
    Entry,
    JobRepository,
    LeaseLost,
    StagePlan,
    WebhookRepository,
)
from store.credits import book
from store.lists import Spot, seek
from store.webhooks import Webhook
from tests.store.conftest import PLAN, new_job

LATE = (*PLAN, StagePlan("describe", "audio", needs=("decode",), late=True))
STATUSES = ("pending", "processing", "completed", "failed", "expired")


def rows(db: sqlite3.Connection, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in db.execute(sql)]


async def check(db: Database) -> None:
    """Everything that is kept, against the same worked out anew."""
    kept = await db.read(rows, "SELECT job_id, name, due, ready FROM stages"
                               " WHERE state = 'pending'")  # fmt: skip
    anew = await db.read(rows, "SELECT p.job_id, p.name, p.due, p.ready FROM stage_places p"
                               " JOIN stages s ON (s.job_id, s.name) = (p.job_id, p.name)"
                               " WHERE s.state = 'pending'")  # fmt: skip
    assert sorted(kept) == sorted(anew)
    gone = "SELECT * FROM stages WHERE state <> 'pending' AND due NOT NULL"
    assert await db.read(rows, gone) == []
    for table, kind in (("jobs", "status"), ("deliveries", "coalesce(webhook_id, '')")):
        kept = await db.read(rows, "SELECT account_id, shift, block, kind, rows FROM tallies"
                                   f" WHERE list = '{table}'")  # fmt: skip
        anew = await db.read(rows, f"SELECT account_id, shift, number >> shift, {kind}, count(*)"
                                   f" FROM {table} JOIN shifts WHERE number NOT NULL"
                                   " GROUP BY 1, 2, 3, 4")  # fmt: skip
        assert sorted(kept) == sorted(anew)
    gaps = ("SELECT account_id FROM ledger GROUP BY account_id"
            " HAVING max(number) <> count(*) OR min(number) <> 1")  # fmt: skip
    assert await db.read(rows, gaps) == []


class World:
    """Random traffic on one database."""

    def __init__(self, db: Database, seed: int) -> None:
        self.db, self.chance = db, random.Random(seed)
        self.jobs, self.hooks = JobRepository(db), WebhookRepository(db)
        self.claims: list[Any] = []
        self.ids: list[str] = []
        self.accounts: list[str] = []
        self.now = 1000.0

    async def begin(self) -> None:
        accounts = AccountRepository(self.db)
        for name in ("ann", "bob"):
            account = await accounts.ensure(name, 1.0)
            self.accounts.append(account)
            await CreditRepository(self.db).add(Entry(account, "grant", 10**6, 1.0))
            events = ["job.completed", "job.failed"]
            await self.hooks.add(Webhook(f"hook-{name}", account, "https://a.example", events,
                                         "whsec_x", 1.0), 9)  # fmt: skip

    async def create(self) -> None:
        account = self.chance.choice([*self.accounts, None])
        seconds = self.chance.choice([None, 30, 600])
        self.ids.append(f"job{len(self.ids)}")
        await self.jobs.create(new_job(
            self.ids[-1], self.now, self.chance.choice([PLAN, LATE, PLAN[:1]]),
            api="stemsplit" if account else "pipeline", account_id=account, seconds=seconds,
            callback_url=self.chance.choice([None, "https://b.example"]),
            request=json.dumps({"seconds": seconds} if seconds else {}),
        ))  # fmt: skip

    async def claim(self) -> None:
        pool = self.chance.choice(["audio", "separation"])
        claim = await self.jobs.stages.claim(pool, f"b/{self.now}", self.now)
        if claim is not None:
            self.claims.append(claim)

    async def end(self) -> None:
        if not self.claims:
            return
        stage = self.claims.pop(self.chance.randrange(len(self.claims))).stage
        how = self.chance.random()
        with suppress(LeaseLost):
            if how < 0.6:
                await self.jobs.stages.finish(stage, {}, {}, self.now)
            elif how < 0.8:
                await self.jobs.stages.release(stage, None, charge=False)
            else:
                await self.jobs.stages.fail(stage, "broken", self.now)

    async def change(self) -> None:
        job = self.chance.choice(self.ids or ["none"])
        how = self.chance.randrange(6)
        if how == 0:
            await self.jobs.cancel(job, "cancelled", self.now)
        elif how == 1:
            await self.jobs.remove(job, self.now)
        elif how == 2:
            await self.jobs.expire(job, self.now)
        elif how == 3:
            await self.jobs.stages.set_request(job, json.dumps({"seconds": self.chance.random()}))
        elif how == 4:
            await self.jobs.forget(self.now - 50)
            await self.hooks.forget(self.now - 50)
        else:
            await self.jobs.stages.recover(f"b{self.now}", self.chance.choice("mn"), self.now)


@pytest.mark.parametrize("seed", range(3))
def test_after_any_traffic(open_store, seed: int) -> None:
    async def main() -> None:
        async with open_store() as (db, _):
            world = World(db, seed)
            await world.begin()
            for step in range(250):
                world.now += 1
                act = world.chance.choices(
                    [world.create, world.claim, world.end, world.change], [3, 6, 5, 1])[0]
                await act()
                if step % 10 == 0:
                    await check(db)
            await check(db)
            for account in world.accounts:
                await check_pages(db, world.jobs, account)
            await world.hooks.delete(world.accounts[0], "hook-ann")
            await check(db)
            assert await db.read(rows, "SELECT 1 FROM deliveries WHERE account_id NOT NULL")

    asyncio.run(main())


async def check_pages(db: Database, jobs: JobRepository, account: str) -> None:
    """Pages of any size, one after the other, are the list."""
    everything: list[str] = []
    for status in STATUSES:
        found, total = await pages(lambda n, k, s=status: jobs.page(account, s, n, k), 3)
        assert len(found) == total
        everything += [job.id for job in found]
    found, total = await pages(lambda n, k: jobs.page(account, None, n, k), 7)
    assert sorted(everything) == sorted(job.id for job in found) and total == len(found)
    numbers = [int(job.id.removeprefix("job")) for job in found]
    assert numbers == sorted(numbers, reverse=True), "the newest first"
    sent = DeliveryRepository(db)
    found, total = await pages(lambda n, k: sent.page(account, None, n, k), 4)
    assert len({event.id for event in found}) == len(found) == total
    entries, total = await pages(lambda n, k: CreditRepository(db).page(account, n, k), 5)
    assert list(reversed(entries)) == await CreditRepository(db).entries(account)
    assert total == len(entries)


async def pages(page: Any, limit: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    while True:
        part, total = await page(limit, len(found))
        found += part
        if not part:
            return found, total


def test_pages_across_blocks_with_gaps(open_store) -> None:
    """Numbers far apart, as after years of forgetting."""
    async def main() -> None:
        async with open_store() as (db, jobs):
            account = await AccountRepository(db).ensure("ann", 1.0)
            for number in range(60):
                await jobs.create(new_job(f"j{number}", float(number), PLAN[:1], api="stemsplit",
                                          account_id=account))  # fmt: skip
                await db.write(lambda c: c.execute("DELETE FROM tallies"))
                await db.write(lambda c, n=number: c.execute(
                    "UPDATE jobs SET number = ? WHERE id = ?", (1 + n * n * 997, f"j{n}")))
            await db.write(lambda c: c.execute(
                "INSERT INTO tallies SELECT 'jobs', account_id, shift, number >> shift, status,"
                " count(*) FROM jobs JOIN shifts GROUP BY 2, 3, 4, 5"))
            wanted = [f"j{number}" for number in reversed(range(60))]
            for status in (None, "pending"):
                for limit in (1, 7, 100):
                    for offset in range(62):
                        found, total = await jobs.page(account, status, limit, offset)
                        assert [job.id for job in found] == wanted[offset : offset + limit]
                        assert total == 60

    asyncio.run(main())


def test_seeking() -> None:
    blocks = [(9, 2), (7, 1), (0, 3)]
    assert [seek(blocks, offset)[:2] for offset in range(7)] == [
        (9, 0), (9, 1), (7, 0), (0, 0), (0, 1), (0, 2), (-1, 0)]
    assert {seek(blocks, offset).total for offset in range(9)} == {6}
    assert seek([], 0) == Spot(-1, 0, 0)


def test_a_numbered_ledger_is_append_only_still(open_store) -> None:
    async def main() -> None:
        async with open_store() as (db, _):
            account = await AccountRepository(db).ensure("ann", 1.0)
            await db.write(book, Entry(account, "grant", 5, 1.0))
            for sql in ("UPDATE ledger SET number = NULL", "UPDATE ledger SET seconds = 9",
                        "UPDATE ledger SET number = 7", "DELETE FROM ledger"):
                with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                    await db.write(lambda c, sql=sql: c.execute(sql))

    asyncio.run(main())
