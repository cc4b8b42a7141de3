"""The ledger, the jobs that hold and release, and the outbox, in one transaction each."""

import asyncio
import sqlite3

import pytest

from store import (
    AccountRepository,
    AnsweredBefore,
    CreditRepository,
    Entry,
    IdempotencyRecord,
    InsufficientCredits,
    JobRepository,
    StagePlan,
)
from store.credits import BookedBefore
from store.stages import LATE_SECONDS
from store.webhooks import Shares, Webhook, WebhookRepository
from tests.store.conftest import PLAN, new_job

ONE = PLAN[:1]


def ours(job_id: str, account: str, seconds: int | None, now: float = 1.0, **more: object):
    return new_job(job_id, now, ONE, api="stemsplit", account_id=account, seconds=seconds, **more)


async def run_to_end(jobs: JobRepository, fail: bool, lease: str = "b/1") -> None:
    claim = await jobs.stages.claim("audio", lease, 2.0)
    if fail:
        await jobs.stages.fail(claim.stage, "broken", 3.0)
    else:
        await jobs.stages.finish(claim.stage, {}, {}, 3.0)


@pytest.mark.parametrize(("fail", "kind", "left"), [(False, "capture", 70), (True, "release", 100)])
def test_a_job_holds_and_then_settles(open_store, fail: bool, kind: str, left: int) -> None:
    async def main() -> None:
        async with open_store() as (db, jobs):
            credits = CreditRepository(db)
            account = await AccountRepository(db).ensure("ann", 1.0)
            await credits.add(Entry(account, "grant", 100, 1.0))
            await jobs.create(ours("a", account, 30))
            assert await credits.balance(account) == (70, 1.0)
            assert (await jobs.get("a")).charged == 0
            await run_to_end(jobs, fail)
            assert (await credits.balance(account))[0] == left
            assert (await jobs.get("a")).charged == (0 if fail else 30)
            assert [e.kind for e in await credits.entries(account)] == ["grant", "hold", kind]

    asyncio.run(main())


def test_nobody_spends_more_than_there_is(open_store) -> None:
    """L3: 500 at once on credits for 100."""

    async def main() -> None:
        async with open_store() as (db, jobs):
            credits = CreditRepository(db)
            account = await AccountRepository(db).ensure("ann", 1.0)
            await credits.add(Entry(account, "grant", 100 * 7, 1.0))
            attempts = (jobs.create(ours(f"j{i}", account, 7)) for i in range(500))
            outcomes = await asyncio.gather(*attempts, return_exceptions=True)
            refused = [o for o in outcomes if isinstance(o, InsufficientCredits)]
            assert len(refused) == 400
            assert await credits.balance(account) == (0, 1.0)
            assert await jobs.count_unfinished() == 100

    asyncio.run(main())


def test_the_ledger_is_append_only(open_store) -> None:
    async def main() -> None:
        async with open_store() as (db, _):
            credits = CreditRepository(db)
            account = await AccountRepository(db).ensure("ann", 1.0)
            await credits.add(Entry(account, "grant", 5, 1.0))
            await credits.add(Entry(account, "hold", 5, 1.0, "a"))
            with pytest.raises(BookedBefore):
                await credits.add(Entry(account, "hold", 0, 1.0, "a"))
            for statement in ("UPDATE ledger SET seconds = 0", "DELETE FROM ledger"):
                with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                    await db.write(lambda c, s=statement: c.execute(s))

    asyncio.run(main())


def test_one_idempotency_key_makes_one_job(open_store) -> None:
    """J5, in the store: 100 at once; all others learn the first answer."""

    async def main() -> None:
        async with open_store() as (db, jobs):
            credits = CreditRepository(db)
            account = await AccountRepository(db).ensure("ann", 1.0)
            await credits.add(Entry(account, "grant", 100, 1.0))
            first = [IdempotencyRecord("k", "hash", f"answer {i}", 0.0) for i in range(100)]
            attempts = (
                jobs.create(ours(f"j{i}", account, 5, idempotency_record=first[i]))
                for i in range(100)
            )
            outcomes = await asyncio.gather(*attempts, return_exceptions=True)
            told = {o.answer for o in outcomes if isinstance(o, AnsweredBefore)}
            assert told == {"answer 0"}
            assert await jobs.count_unfinished() == 1
            assert (await credits.balance(account))[0] == 95
            with pytest.raises(AnsweredBefore):
                await jobs.check_idempotency(account, "k", 0.5)
            await jobs.check_idempotency(account, "k", 1.5)  # too old to count

    asyncio.run(main())


def test_a_job_that_ends_fills_the_outbox(open_store) -> None:
    async def main() -> None:
        async with open_store() as (db, jobs):
            hooks = WebhookRepository(db)
            ann, bob = [await AccountRepository(db).ensure(name, 1.0) for name in ("ann", "bob")]
            both = ["job.completed", "job.failed"]
            for name, account, events in (
                ("w1", ann, both), ("w2", ann, ["job.failed"]), ("w3", bob, both),
            ):
                assert await hooks.add(Webhook(name, account, "http://x", events, "s", 1.0), 9)
            await jobs.create(ours("a", ann, None, callback_url="http://y"))
            assert await hooks.due(99.0, Shares(10, 10, 10, 10)) == []
            await run_to_end(jobs, fail=False)
            due = await hooks.due(99.0, Shares(10, 10, 10, 10))
            assert {(d.webhook_id, d.event) for d in due} == {
                ("w1", "job.completed"), (None, "job.completed")}
            await jobs.create(ours("b", ann, None, 5.0))
            assert await jobs.cancel("b", "Cancelled", 6.0)
            assert not await jobs.cancel("b", "Cancelled", 6.0)
            due = await hooks.due(99.0, Shares(10, 10, 10, 10))
            told = {(d.webhook_id, d.event) for d in due if d.job_id == "b"}
            assert told == {("w1", "job.failed"), ("w2", "job.failed")}

    asyncio.run(main())


def test_a_late_stage_holds_nothing_up(open_store) -> None:
    plan = (*ONE, StagePlan("describe", "audio", needs=("decode",), late=True))

    async def main() -> None:
        async with open_store() as (_, jobs):
            await jobs.create(new_job("a", 1.0, plan))
            await jobs.create(new_job("b", 2.0, ONE))
            first = await jobs.stages.claim("audio", "b/1", 1.0)
            assert await jobs.stages.finish(first.stage, {}, {}, 2.0) == (True, False)
            late = await jobs.stages.claim("audio", "b/2", 1.0)
            assert late.job.id == "a", "what comes later does not go before it"
            assert await jobs.unfinished_ids("ab") == {"a", "b"}, "its scratch is needed still"
            assert await jobs.stages.finish(late.stage, {"bpm": 120.0}, {}, 3.0) == (False, True)
            assert (await jobs.get("a")).completed_at == 2.0

    asyncio.run(main())


@pytest.mark.parametrize("well", [True, False])
def test_the_news_of_a_job_waits_a_moment_for_its_late_stage(open_store, well: bool) -> None:
    plan = (*ONE, StagePlan("describe", "audio", needs=("decode",), late=True))

    async def main() -> None:
        async with open_store() as (db, jobs):
            hooks = WebhookRepository(db)
            ann = await AccountRepository(db).ensure("ann", 1.0)
            assert await hooks.add(Webhook("w", ann, "http://x", ["job.completed"], "s", 1.0), 9)

            async def told(now: float) -> list[str]:
                return sorted(d.job_id for d in await hooks.due(now, Shares(9, 9, 9, 9)))

            for name, stages in (("a", plan), ("b", plan), ("c", ONE)):
                await jobs.create(new_job(name, 1.0, stages, api="stemsplit", account_id=ann))
            claims = [await jobs.stages.claim("audio", f"b/{place}", 1.0) for place in range(3)]
            for claim in claims:
                await jobs.stages.finish(claim.stage, {}, {}, 2.0)
            assert await told(2.0) == ["c"], "it has no late stage"
            late = await jobs.stages.claim("audio", "b/4", 2.0)
            if well:
                await jobs.stages.finish(late.stage, {"bpm": 120.0}, {}, 3.0)
            else:
                await jobs.stages.fail(late.stage, "cannot tell", 3.0)
            assert await told(3.0) == sorted(["c", late.job.id])
            assert await told(2.0 + LATE_SECONDS) == ["a", "b", "c"], "it waits no longer"

    asyncio.run(main())


def test_a_late_stage_that_fails_costs_nothing(open_store) -> None:
    plan = (*ONE, StagePlan("describe", "audio", late=True))

    async def main() -> None:
        async with open_store() as (_, jobs):
            await jobs.create(new_job("a", 1.0, plan))
            for _ in range(2):
                claim = await jobs.stages.claim("audio", f"b/{_}", 1.0)
                if claim.stage.late:
                    await jobs.stages.fail(claim.stage, "cannot tell", 2.0)
                else:
                    await jobs.stages.finish(claim.stage, {}, {}, 2.0)
            assert (await jobs.get("a")).state == "completed"

    asyncio.run(main())


FETCHED = (StagePlan("fetch", "fetch"), StagePlan("decode", "audio", needs=("fetch",)))


def test_a_source_that_is_fetched_holds_its_credits_then_and_once(open_store) -> None:
    async def main() -> None:
        async with open_store() as (db, jobs):
            credits = CreditRepository(db)
            account = await AccountRepository(db).ensure("ann", 1.0)
            await credits.add(Entry(account, "grant", 100, 1.0))
            await jobs.create(new_job("a", 1.0, FETCHED, api="stemsplit", account_id=account))
            assert await jobs.count_fetching(account) == 1
            stage = (await jobs.stages.claim("fetch", "b/1", 2.0)).stage
            assert (await jobs.get("a")).started_at is None, "fetching is no work on the song"
            with pytest.raises(InsufficientCredits):
                await jobs.stages.settle(stage, "{}", 101, 3.0)
            assert not (await jobs.stages.settle(stage, '{"seconds": 40}', 40, 3.0)).completed
            assert (await credits.balance(account))[0] == 60
            assert await jobs.count_fetching(account) == 0
            decoding = (await jobs.stages.claim("audio", "b/2", 4.0)).stage
            await jobs.stages.recover("c", "boot 1", 5.0)
            await jobs.stages.recover("d", "boot 2", 6.0)  # the machine crashed: scratch is gone
            assert await jobs.stages.claim("fetch", "d/1", 7.0) is None, "the input was synced"
            again = (await jobs.stages.claim("audio", "d/2", 7.0)).stage
            assert (decoding.name, again.name) == ("decode", "decode")
            assert await jobs.stages.finish(again, {}, {}, 8.0) == (True, True)
            assert [e.kind for e in await credits.entries(account)] == ["grant", "hold", "capture"]

    asyncio.run(main())


def test_a_forecast_counts_the_time_in_which_any_song_was_separated(open_store) -> None:
    """Of whichever API."""
    plan = (StagePlan("separate", "separation"),)

    async def main() -> None:
        async with open_store() as (_, jobs):
            assert await jobs.forecast() == (None, 0)
            # Two of them at the same time; the last was begun again by the next server.
            spans = ((0.0, 10.0, {}), (5.0, 15.0, {}), (100.0, 9105.0, {"separate_s": 5.0}))
            for number, (began, ended, facts) in enumerate(spans):
                api = "pipeline" if number == 1 else "stemsplit"
                await jobs.create(new_job(f"j{number}", began, plan, api=api,
                                          request='{"seconds": 10}'))
                stage = (await jobs.stages.claim("separation", f"b/{number}", began)).stage
                await jobs.stages.finish(stage, facts, {}, ended)
            await jobs.create(new_job("waits", 200.0, plan, request='{"seconds": 30}'))
            assert await jobs.forecast() == (pytest.approx(20 / 30), 30)

    asyncio.run(main())


def test_a_forecast_counts_what_is_separated_before(open_store) -> None:
    """What is due later waits for this one, and what is separated waits for no worker."""
    plan = (StagePlan("separate", "separation"), StagePlan("encode", "audio", needs=("separate",)))

    async def main() -> None:
        async with open_store() as (_, jobs):
            for name, now, seconds in (
                ("separated", 0.0, 40), ("running", 10.0, 50), ("first", 100.0, 10),
                ("second", 100.0, 20), ("last", 100.0, 3600),
            ):  # fmt: skip
                await jobs.create(new_job(name, now, plan, request=f'{{"seconds": {seconds}}}'))
            stage = (await jobs.stages.claim("separation", "b/1", 1.0)).stage
            await jobs.stages.finish(stage, {}, {}, 5.0)
            await jobs.stages.claim("separation", "b/2", 6.0)
            await jobs.stages.set_progress("running", 80)

            async def waiting(**asked: object) -> float:
                return (await jobs.forecast(**asked))[1]

            assert await waiting(job_id="first") == 10 + 10
            assert await waiting(job_id="second") == 10 + 10 + 20
            assert await waiting(due=115.0) == 10 + 10, "of a job that is still to be posted"
            assert await waiting(due=100.0) == 10
            assert await waiting() == await waiting(job_id="last") == 10 + 10 + 20 + 3600

    asyncio.run(main())
