"""What is counted: all that was committed, and nothing else."""

import asyncio
import sqlite3
from pathlib import Path

from store import (
    FETCH,
    AccountRepository,
    CreditRepository,
    Database,
    Entry,
    Happening,
    HappeningRepository,
    JobRepository,
    StagePlan,
)
from store.deliveries import Attempt
from store.happenings import STANDING
from store.webhooks import FailedDelivery, Shares, Webhook, WebhookRepository
from tests.store.conftest import PLAN, new_job

OPTIONS = '{"model": "m"}'
SHARES = Shares(9, 9, 9, 9)
TRIED = Attempt(5.0, 0.1, 200, None)


def seen(found: list[Happening], *kinds: str) -> list[tuple]:
    return [(h.what, h.name, h.detail, h.seconds, h.frames) for h in found if h.what in kinds]


async def work(jobs: JobRepository, pool: str, began: float, ended: float, **facts: int) -> None:
    claim = await jobs.stages.claim(pool, f"b/{began}", began)
    await jobs.stages.finish(claim.stage, facts, {}, ended)


def test_a_job_is_counted_as_it_begins_goes_on_and_ends(open_store) -> None:
    async def main() -> None:
        async with open_store() as (db, jobs):
            happenings = HappeningRepository(db)
            await happenings.begin()
            await jobs.create(new_job("a", 1.0, options=OPTIONS))
            assert await happenings.take() == []
            await work(jobs, "audio", 3.0, 4.0, frames=44100)
            assert seen(await happenings.take(), "start", "stage") == [
                ("stage", "decode", "", 1.0, 0)]
            await work(jobs, "separation", 4.0, 7.0)
            assert seen(await happenings.take(), "start", "stage") == [
                ("start", "pipeline", "", 3.0, 0), ("stage", "separate", "m", 3.0, 44100)]
            await work(jobs, "audio", 4.0, 5.0)
            await work(jobs, "audio", 7.0, 9.0)
            found = await happenings.take()
            assert seen(found, "stage") == [
                ("stage", "hpss", "", 1.0, 0), ("stage", "encode", "", 2.0, 0)]
            assert seen(found, "completed", "start") == [("completed", "pipeline", "", 8.0, 0)]
            assert await happenings.take() == []

    asyncio.run(main())


def test_every_way_to_end_is_seen(open_store) -> None:
    async def main() -> None:
        async with open_store() as (db, jobs):
            happenings = HappeningRepository(db)
            await happenings.begin()
            for name in ("failed", "cancelled", "expired"):
                await jobs.create(new_job(name, 1.0, PLAN[:1], api="stemsplit"))
            claim = await jobs.stages.claim("audio", "b/1", 2.0)
            await jobs.stages.fail(claim.stage, "no audio", 4.0)
            for job_id in {"failed", "cancelled"} - {claim.job.id}:
                await jobs.cancel(job_id, "cancelled", 5.0)
            await jobs.expire("expired", 9.0)
            await jobs.cancel(claim.job.id, "too late", 10.0)
            await jobs.expire(claim.job.id, 11.0)
            ends = seen(await happenings.take(), "completed", "failed", "expired")
            assert sorted(end[:4] for end in ends) == [
                ("expired", "stemsplit", "The job waited too long and was given up", 8.0),
                ("failed", "stemsplit", "cancelled", 4.0),
                ("failed", "stemsplit", "no audio", 3.0)]

    asyncio.run(main())


def test_what_is_rolled_back_is_not_counted(open_store) -> None:
    async def main() -> None:
        async with open_store() as (db, jobs):
            happenings = HappeningRepository(db)
            await happenings.begin()
            await jobs.create(new_job("a", 1.0))

            def end_and_fail(connection: sqlite3.Connection) -> None:
                connection.execute("UPDATE jobs SET state = 'failed', completed_at = 2")
                raise ValueError

            for result in await asyncio.gather(
                db.write(end_and_fail), jobs.cancel("a", "no", 3.0), return_exceptions=True
            ):
                assert result is True or isinstance(result, ValueError)
            assert seen(await happenings.take(), "failed") == [("failed", "pipeline", "no", 2.0, 0)]

    asyncio.run(main())


def test_credits_and_deliveries(open_store) -> None:
    async def main() -> None:
        async with open_store() as (db, jobs):
            accounts, credits = AccountRepository(db), CreditRepository(db)
            hooks, happenings = WebhookRepository(db), HappeningRepository(db)
            await happenings.begin()
            account = await accounts.ensure("ann", 1.0)
            await credits.add(Entry(account, "grant", 60, 1.0))
            await hooks.add(Webhook("w", account, "http://w", ["job.completed"], "s", 1.0), 9)
            await jobs.create(new_job("a", 1.0, PLAN[:1], api="stemsplit", account_id=account,
                                      seconds=20))  # fmt: skip
            await work(jobs, "audio", 2.0, 3.0)
            assert (await happenings.standing()).deliveries == 1
            for next_at in (6.0, None):
                (delivery,) = await hooks.due(7.0, SHARES)
                failure = FailedDelivery("HTTP 500", next_at, False, 20)
                await hooks.missed(delivery, Attempt(5.0, 0.1, 500, "HTTP 500"), failure, 5.0)
            found = await happenings.take()
            assert [h[1:4:2] for h in seen(found, "credits")] == [
                ("grant", 60), ("hold", 20), ("capture", 20)]
            assert [h[1] for h in seen(found, "delivery")] == ["retried", "given_up"]
            assert (await happenings.standing()).deliveries == 0

    asyncio.run(main())


def test_a_delivery_that_arrives_is_counted_once(open_store) -> None:
    async def main() -> None:
        async with open_store() as (db, jobs):
            hooks, happenings = WebhookRepository(db), HappeningRepository(db)
            await happenings.begin()
            await jobs.create(new_job("a", 1.0, PLAN[:1], callback_url="http://own"))
            await work(jobs, "audio", 2.0, 3.0)
            (delivery,) = await hooks.due(7.0, SHARES)
            await hooks.delivered(delivery, TRIED, 8.0)
            assert seen(await happenings.take(), "delivery") == [
                ("delivery", "delivered", "", 0.0, 0)]

    asyncio.run(main())


def test_only_stages_that_could_begin_are_waiting(open_store) -> None:
    plan = (StagePlan("fetch", FETCH), StagePlan("decode", "audio", needs=("fetch",)),
            StagePlan("late", "audio", needs=("decode",), late=True))  # fmt: skip

    async def main() -> None:
        async with open_store() as (db, jobs):
            happenings = HappeningRepository(db)
            assert (await happenings.standing()).oldest is None
            request = '{"source_url": "https://x/song"}'
            for job_id, now in (("a", 5.0), ("b", 3.0), ("c", 4.0)):
                await jobs.create(new_job(job_id, now, plan, request=request))
            standing = await happenings.standing()
            assert (standing.waiting, standing.running) == ({"fetch": 3}, {})
            assert standing.oldest == 3.0
            fetching = await jobs.stages.claim(FETCH, "b/8", 6.0)
            assert (await happenings.standing()).oldest == 4.0, "b waits for its source, not for us"
            await jobs.stages.set_request("b", "{}")
            assert (await happenings.standing()).oldest == 3.0, "its source waits to be measured"
            await jobs.stages.finish(fetching.stage, {}, {}, 7.0)
            assert (await happenings.standing()).oldest == 3.0
            claim = await jobs.stages.claim("audio", "b/9", 8.0)
            standing = await happenings.standing()
            assert (standing.waiting, standing.running) == ({"fetch": 2}, {"decode": 1})
            assert standing.oldest == 4.0, "b has begun"
            await jobs.stages.finish(claim.stage, {}, {}, 9.0)
            standing = await happenings.standing()
            assert standing.waiting == {"fetch": 2, "late": 1}, "completed, but for an addition"
            for job_id in "abc":
                await jobs.cancel(job_id, "no", 10.0)
                await jobs.expire(job_id, 11.0)
            standing = await happenings.standing()
            assert (standing.waiting, standing.running, standing.oldest) == ({}, {}, None)

    asyncio.run(main())


def test_what_is_decoded_and_not_separated_waits(open_store) -> None:
    """Songs are decoded far ahead of the models."""
    async def main() -> None:
        async with open_store() as (db, jobs):
            happenings = HappeningRepository(db)

            async def oldest() -> float | None:
                return (await happenings.standing()).oldest

            for job_id, now in (("a", 1.0), ("b", 2.0)):
                await jobs.create(new_job(job_id, now))
            for _ in range(4):  # decode and hpss of both
                await work(jobs, "audio", 3.0, 4.0)
            assert await oldest() == 1.0
            first = await jobs.stages.claim("separation", "b/5", 5.0)
            assert await oldest() == 2.0
            await jobs.stages.finish(first.stage, {}, {}, 6.0)
            assert await oldest() == 2.0, "what is left of the first is the encoders' affair"
            await jobs.stages.claim("separation", "b/6", 6.0)
            assert await oldest() is None

    asyncio.run(main())


def test_counting_begins_with_open_stages_however_many_jobs_there_were(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database(tmp_path / "t.db") as db:
            def plan(connection: sqlite3.Connection, name: str) -> list[str]:
                rows = connection.execute(f"EXPLAIN QUERY PLAN {STANDING[name]}").fetchall()
                return [row["detail"] for row in rows]

            for name, index in (("count_stages", "stages_queued"),
                                ("select_oldest", "jobs_unfinished"),
                                ("count_deliveries", "deliveries_waiting")):  # fmt: skip
                steps = await db.read(plan, name)
                assert any(index in step for step in steps), steps
                scans = [step for step in steps if "SCAN" in step and "INDEX" not in step]
                assert not scans

    asyncio.run(main())
