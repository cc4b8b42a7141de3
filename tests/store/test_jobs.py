"""Claims, fences and recoveries."""

import asyncio
import json
import threading

import pytest

from store import AccountRepository, JobRepository, LeaseLost, Track
from tests.store.conftest import PLAN, new_job


async def finish_all(jobs: JobRepository, pool: str) -> list[str]:
    done = []
    while claim := await jobs.stages.claim(pool, f"b/{len(done)}{pool}", 1.0):
        await jobs.stages.finish(claim.stage, {claim.stage.name: True}, {}, 2.0)
        done.append(claim.stage.name)
    return done


def test_stages_come_when_their_needs_are_met(open_store) -> None:
    async def main() -> None:
        async with open_store() as (_, jobs):
            await jobs.create(new_job("a", 1.0))
            assert await jobs.stages.claim("separation", "b/1", 1.0) is None
            assert await finish_all(jobs, "audio") == ["decode", "hpss"]
            assert await finish_all(jobs, "separation") == ["separate"]
            claim = await jobs.stages.claim("audio", "b/9", 3.0)
            assert claim.facts == {"decode": True, "hpss": True, "separate": True}
            assert (await jobs.get("a")).state == "processing"
            tracks = {"vocals": Track("v.wav", 9, 2**32 - 1)}
            assert await jobs.stages.finish(claim.stage, {}, tracks, 4.0) == (True, True)
            job = await jobs.get("a")
            assert (job.state, job.completed_at, job.tracks) == (
                "completed", 4.0, tracks)
            assert await jobs.count_unfinished() == 0

    asyncio.run(main())


def test_the_oldest_job_is_first(open_store) -> None:
    async def main() -> None:
        async with open_store() as (_, jobs):
            for job_id, now in (("young", 5.0), ("old", 1.0)):
                await jobs.create(new_job(job_id, now))
            claims = [(await jobs.stages.claim("audio", f"b/{i}", 6.0)).job.id for i in range(2)]
            assert claims == ["old", "young"]
            assert await jobs.stages.claim("audio", "b/3", 6.0) is None

    asyncio.run(main())


def test_a_clip_goes_before_a_long_song_that_has_not_waited_long(open_store) -> None:
    async def main() -> None:
        async with open_store() as (_, jobs):
            for job_id, now, seconds in (("hour", 0.0, 3600), ("early clip", 3570.0, 20),
                                         ("late clip", 3590.0, 20), ("unknown", 3599.0, None)):
                request = json.dumps({"seconds": seconds} if seconds else {})
                await jobs.create(new_job(job_id, now, request=request))
            claims = [await jobs.stages.claim("audio", f"b/{i}", 4000.0) for i in range(3)]
            assert [(claim.job.id, claim.due) for claim in claims] == [
                ("early clip", 3590.0), ("unknown", 3599.0), ("hour", 3600.0)]
            assert await jobs.stages.claim("audio", "b/3", 4000.0, before=3610.0) is None
            late = await jobs.stages.claim("audio", "b/3", 4000.0, before=3610.1)
            assert (late.job.id, late.due) == ("late clip", 3610.0)

    asyncio.run(main())


def test_simultaneous_claims_get_different_stages(open_store) -> None:
    async def main() -> None:
        async with open_store() as (_, jobs):
            for i in range(20):
                await jobs.create(new_job(f"j{i}", float(i)))
            claims = await asyncio.gather(
                *(jobs.stages.claim("audio", f"b/{i}", 1.0) for i in range(30)))
            taken = [claim.job.id for claim in claims if claim]
            assert sorted(taken) == sorted({f"j{i}" for i in range(20)})

    asyncio.run(main())


def test_a_lost_lease_changes_nothing(open_store) -> None:
    async def main() -> None:
        async with open_store() as (_, jobs):
            await jobs.create(new_job("a", 1.0))
            stale = (await jobs.stages.claim("audio", "b/1", 1.0)).stage
            await jobs.stages.release(stale, "died", charge=True)
            current = (await jobs.stages.claim("audio", "b/2", 2.0)).stage
            assert current.attempt == 2
            before = await jobs.get("a")
            for attempt in (
                jobs.stages.finish(stale, {}, {"x": Track("y")}, 9.0),
                jobs.stages.fail(stale, "no", 9.0),
                jobs.stages.release(stale, None, charge=True),
            ):
                with pytest.raises(LeaseLost):
                    await attempt
            assert await jobs.get("a") == before

    asyncio.run(main())


def test_release_without_charge_gives_the_attempt_back(open_store) -> None:
    async def main() -> None:
        async with open_store() as (_, jobs):
            await jobs.create(new_job("a", 1.0))
            for lease in range(5):
                claim = await jobs.stages.claim("audio", f"b/{lease}", 1.0)
                assert claim.stage.attempt == 1
                await jobs.stages.release(claim.stage, None, charge=False)

    asyncio.run(main())


def test_a_failed_stage_fails_the_job_and_stops_its_siblings(open_store) -> None:
    async def main() -> None:
        async with open_store() as (_, jobs):
            await jobs.create(new_job("a", 1.0))
            decode = (await jobs.stages.claim("audio", "b/1", 1.0)).stage
            await jobs.stages.finish(decode, {}, {}, 1.0)
            separate = (await jobs.stages.claim("separation", "b/2", 1.0)).stage
            hpss = (await jobs.stages.claim("audio", "b/3", 1.0)).stage
            await jobs.stages.fail(separate, "a sentence", 2.0)
            job = await jobs.get("a")
            assert (job.state, job.error) == ("failed", "a sentence")
            states = {stage.name: stage.state for stage in job.stages}
            assert states == {"decode": "completed", "separate": "failed", "hpss": "failed",
                              "encode": "pending"}
            with pytest.raises(LeaseLost):
                await jobs.stages.finish(hpss, {}, {}, 3.0)
            assert await jobs.stages.claim("audio", "b/4", 3.0) is None

    asyncio.run(main())


def test_recovery_takes_orphans_back(open_store) -> None:
    async def main() -> None:
        async with open_store() as (_, jobs):
            assert await jobs.stages.recover("boot1", "machine1", 3.0) == (0, [])
            await jobs.create(new_job("a", 1.0))
            await jobs.stages.claim("audio", "boot1/1", 1.0)
        async with open_store() as (_, jobs):
            assert await jobs.stages.recover("boot2", "machine1", 3.0) == (1, [])
            claim = await jobs.stages.claim("audio", "boot2/1", 2.0)
            assert claim.stage.attempt == 1, "a stop of the server costs no attempt"

    asyncio.run(main())


def test_a_job_that_takes_the_server_down_is_given_up(open_store) -> None:
    async def main() -> None:
        for boot in range(10):
            async with open_store() as (_, jobs):
                await jobs.stages.recover(f"boot{boot}", "machine1", 3.0)
                if boot == 0:
                    await jobs.create(new_job("deadly", 1.0))
                assert (await jobs.stages.claim("audio", f"boot{boot}/1", 1.0)).stage.attempt == 1
        async with open_store() as (_, jobs):
            assert (await jobs.stages.recover("last", "machine1", 9.0)).failed == ["deadly"]
            job = await jobs.get("deadly")
            assert (job.state, job.completed_at) == ("failed", 9.0)
            assert "10 times" in job.error
            assert await jobs.stages.claim("audio", "last/1", 10.0) is None

    asyncio.run(main())


def test_after_a_crash_of_the_machine_jobs_start_from_their_inputs(open_store) -> None:
    async def main() -> None:
        async with open_store() as (_, jobs):
            await jobs.stages.recover("boot1", "machine1", 3.0)
            await jobs.create(new_job("done", 1.0, PLAN[:1]))
            done = (await jobs.stages.claim("audio", "boot1/0", 1.0)).stage
            await jobs.stages.finish(done, {}, {"x": Track("x.wav")}, 1.0)
            await jobs.create(new_job("a", 1.0))
            stage = (await jobs.stages.claim("audio", "boot1/1", 1.0)).stage
            await jobs.stages.finish(stage, {"frames": 1}, {"y": Track("y.wav")}, 1.0)
            await jobs.stages.claim("separation", "boot1/2", 1.0)
            await jobs.stages.recover("boot2", "machine2", 3.0)
            job = await jobs.get("a")
            assert {(s.state, s.attempt, s.facts) for s in job.stages} == {("pending", 0, "{}")}
            assert job.tracks == {}
            assert (await jobs.get("done")).tracks == {"x": Track("x.wav")}

    asyncio.run(main())


def test_expiry(open_store) -> None:
    async def main() -> None:
        async with open_store() as (_, jobs):
            for name, now in (("old", 0.0), ("new", 1.0), ("running", 2.0)):
                await jobs.create(new_job(name, now, PLAN[:1]))
            for end in (10.0, 99.0):
                stage = (await jobs.stages.claim("audio", f"b/{end}", 3.0)).stage
                await jobs.stages.finish(stage, {}, {"x": Track("x.wav")}, end)
            assert await jobs.due(50.0) == [("old", False)]
            for job_id, _ in await jobs.due(50.0):
                await jobs.expire(job_id, 60.0)
            assert await jobs.due(50.0) == []
            assert (await jobs.get("old")).state == "expired"
            assert await jobs.live_ids({"old", "new", "running", "never"}) == {"new", "running"}
            assert await jobs.unfinished_ids({"old", "new", "running"}) == {"running"}
            await jobs.forget(50.0)
            assert await jobs.get("old") is None

    asyncio.run(main())


@pytest.mark.parametrize("ends", ["cancel", "discard", "finish"])
def test_whose_jobs_wait_and_that_no_address_is_kept_of_one_that_has_ended(
    open_store, ends: str
) -> None:
    async def main() -> None:
        async with open_store() as (database, jobs):
            await jobs.create(new_job("a", 1.0, PLAN[:1], address="10.0.0.1"))
            ann = await AccountRepository(database).ensure("ann", 1.0)
            await jobs.create(new_job("b", 2.0, PLAN[:1], account_id=ann))
            callers = ("10.0.0.1", ann, "10.0.0.2")
            assert [await jobs.has_unfinished(one) for one in callers] == [True, True, False]
            if ends == "finish":
                stage = (await jobs.stages.claim("audio", "b/1", 3.0)).stage
                await jobs.stages.finish(stage, {}, {}, 4.0)
            else:
                await getattr(jobs, ends)("a", "x", 3.0)
            assert [await jobs.has_unfinished(one) for one in callers] == [False, True, False]
            query = "SELECT address FROM jobs ORDER BY id"
            found = await database.read(lambda db: db.execute(query).fetchall())
            assert [row[0] for row in found] == [None, None]

    asyncio.run(main())


def test_what_is_remembered_of_a_job_is_never_older_than_an_answered_write(open_store) -> None:
    """Also if it was read before the write and comes after it; and while readers poll."""

    async def main() -> None:
        async with open_store() as (database, jobs):
            await jobs.create(new_job("a", 1.0))
            read, written = threading.Event(), threading.Event()

            def hold(_: object) -> None:
                read.set()
                written.wait(60)

            early = asyncio.create_task(jobs.get("a"))
            held = asyncio.create_task(database.read(hold))  # taken to the thread with it
            await asyncio.to_thread(read.wait)
            await jobs.stages.set_progress("a", 50)
            late = asyncio.create_task(jobs.get("a"))
            await asyncio.sleep(0)  # what is remembered from now on is of after the write
            written.set()
            assert ((await early).progress, (await jobs.get("a")).progress) == (0, 50)
            assert (await late).progress == 50
            await held
            done = False

            async def poll() -> None:
                while not done:
                    await jobs.get("a")
                    await asyncio.sleep(0.001)  # what is remembered comes at once

            pollers = [asyncio.create_task(poll()) for _ in range(3)]
            for percent in range(51, 81):
                await jobs.stages.set_progress("a", percent)
                assert (await jobs.get("a")).progress == percent
            done = True
            await asyncio.gather(*pollers)
            first = await jobs.get("a")
            assert await jobs.get("a") is first, "nothing has changed"
            assert await jobs.cancel("a", "x", 2.0)
            assert (await jobs.get("a")).state == "failed"

    asyncio.run(main())
