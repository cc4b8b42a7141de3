"""What who waits is told: the place in the queue, the time that is left, when all is gone."""


import msgspec
import pytest

from server.jobs import outlook as module
from server.jobs.listening.listening import Audible
from server.jobs.outlook import Outlook, Outlooks
from server.jobs.plan import PIPELINE
from store import FETCH, Claim, StagePlan
from tests.jobs.playing import OPTIONS, World, new_job
from tests.jobs.playing import play as play

HOURS = 2.0


class Told:
    """How jobs stand, by their ids."""

    def __init__(self, world: World, since: float = 0.0) -> None:
        self._jobs = world.jobs
        self._outlooks = Outlooks(world.jobs, world.listening, HOURS, since)

    async def of(self, job_id: str) -> Outlook:
        job = await self._jobs.get(job_id)
        assert job is not None
        return await self._outlooks.of(job)


async def another(world: World, name: str, now: float, seconds: float) -> None:
    request = msgspec.json.encode({"seconds": seconds}).decode()
    options = msgspec.json.encode(OPTIONS).decode()
    await world.jobs.create(new_job(name, now, PIPELINE, options, request=request))


async def claimed(world: World, pool: str, job_id: str) -> Claim:
    claim = await world.claim(pool)
    assert claim.job.id == job_id
    return claim


def test_the_place_in_the_queue(play) -> None:
    """Jobs are separated in the order of their dues; who is being separated waits no more."""
    async def test(world: World) -> None:
        await another(world, "long", 1.5, 50.0)  # due after the others
        await another(world, "short", 2.0, 0.5)
        of = Told(world).of

        async def places() -> list[int]:
            return [(await of(name)).position for name in ("short", "j", "long")]

        assert await places() == [1, 2, 3]
        for job_id in ("short", "j", "long"):
            await world.end(await claimed(world, "audio", job_id), frames=44100)
            for _ in range(3):  # harmonic and percussive, compose, normalise
                await world.end(await claimed(world, "audio", job_id))
        assert await places() == [1, 2, 3]
        first = await claimed(world, "separation", "short")
        assert await places() == [0, 1, 2]
        await world.jobs.stages.release(first.stage, None, charge=False)
        assert await places() == [1, 2, 3], "its worker died"
        await world.jobs.cancel("j", "cancelled", 3.0)
        assert await places() == [1, 0, 2]

    play(test)


def test_sources_that_still_come_let_others_pass(play) -> None:
    """Nobody knows how long they take: neither are they in the way, nor is their end foretold."""
    async def test(world: World) -> None:
        decode, *rest = PIPELINE
        plan = (StagePlan("fetch", FETCH), msgspec.structs.replace(decode, needs=("fetch",)), *rest)
        options = msgspec.json.encode(OPTIONS).decode()
        for name in ("slow", "slower"):
            await world.jobs.create(new_job(name, 0.5, plan, options))
        of = Told(world).of
        assert [(await of(name)).position for name in ("j", "slow")] == [1, 1]
        claim = await world.claim(FETCH)
        assert claim.job.id in ("slow", "slower")
        assert (await of("j")).position == 1
        assert (await of(claim.job.id)).eta is None
        await world.end(claim)
        assert (await of("j")).position == 2, "its source is here, and it came before"

    play(test)


def test_what_is_told_of_a_job_that_waits_and_of_one_that_has_ended(play) -> None:
    async def test(world: World) -> None:
        of = Told(world).of
        waiting = await of("j")
        assert (waiting.seconds, waiting.eta, waiting.expires_at) == (None, None, None)
        assert waiting.audible == Audible(0, 0, {})
        assert waiting.tracks[-1] == "mix"
        await world.decode()
        assert (await of("j")).seconds == 3.0
        await world.jobs.cancel("j", "The job was cancelled", 5.0)
        ended = await of("j")
        assert (ended.eta, ended.error) == (0, "The job was cancelled")
        assert ended.expires_at == 5.0 + HOURS * 3600

    play(test)


@pytest.mark.parametrize(("progress", "eta"), [(4, None), (6, None), (14, None), (29, 57),
                                               (54, 19), (99, 1)])
def test_the_time_that_is_left_follows_the_pace(play, monkeypatch, progress, eta) -> None:
    """20 seconds of separation have made what is above the 4 % that come before it; of three
    seconds a few percent tell nothing."""
    async def test(world: World) -> None:
        await world.decode()
        claim = await world.claim("separation")
        await world.jobs.stages.set_progress("j", progress)
        assert claim.stage.started_at is not None
        monkeypatch.setattr(module.time, "time", lambda: claim.stage.started_at + 20.0)
        assert (await Told(world).of("j")).eta == eta

    play(test)


def test_the_time_that_is_left_runs_down_while_nothing_moves(play, monkeypatch) -> None:
    """It does not grow with every second that a segment takes; and where it is over, or nothing is
    known, none is told."""
    async def test(world: World) -> None:
        await world.decode()
        claim = await world.claim("separation")
        began, now = claim.stage.started_at, [0.0]
        assert began is not None
        monkeypatch.setattr(module.time, "time", lambda: began + now[0])
        told = Told(world)

        async def eta(after: float, progress: int) -> int | None:
            now[0] = after
            await world.jobs.stages.set_progress("j", progress)
            return (await told.of("j")).eta

        seen = [await eta(after, 52) for after in (12.0, 15.0, 18.0, 23.0, 30.0)]
        assert seen == [12, 9, 6, 1, None]
        assert [await eta(32.0, 68), await eta(40.0, 68)] == [16, 8]
        monkeypatch.setattr(module, "MOST_WATCHED", 0)
        assert await eta(41.0, 68) == 7

    play(test)


def test_a_song_that_has_just_begun_takes_as_long_as_others_did(play, monkeypatch) -> None:
    async def test(world: World) -> None:
        await world.decode()
        claim = await world.claim("separation")
        began = claim.stage.started_at
        await world.jobs.stages.set_progress("j", 7)
        told, now = Told(world), [began + 1.0]
        monkeypatch.setattr(module.time, "time", lambda: now[0])
        monkeypatch.setattr(world.jobs, "forecast", forecast)
        assert (await told.of("j")).eta == 6, "93 % of 3 s, at 2 s of work for each"
        now[0] += 2.0
        assert (await told.of("j")).eta == 4

    async def forecast() -> tuple[float, float]:
        return 2.0, 1000.0

    play(test)


def test_a_pace_that_a_restart_lies_in_tells_nothing(play, monkeypatch) -> None:
    """The separation began a day ago, and stood still while there was no server."""
    async def test(world: World) -> None:
        await world.decode()
        claim = await world.claim("separation")
        await world.jobs.stages.set_progress("j", 54)
        assert claim.stage.started_at is not None
        started = claim.stage.started_at + 86_400.0
        monkeypatch.setattr(module.time, "time", lambda: started + 5.0)
        told = Told(world, since=started)
        assert (await told.of("j")).eta is None, "no other job has told a pace"
        monkeypatch.setattr(world.jobs, "forecast", forecast)
        assert (await told.of("j")).eta == 3, "46 % of 3 s, at 2 s of work for each"

    async def forecast() -> tuple[float, float]:
        return 2.0, 1000.0

    play(test)


@pytest.mark.parametrize(("frames", "seconds"), [(1, 0.0), (22, 0.0), (23, 0.001), (44100, 1.0)])
def test_a_length_that_is_known_is_told_however_short(play, frames: int, seconds: float) -> None:
    async def test(world: World) -> None:
        of = Told(world).of
        assert (await of("j")).seconds is None, "it is not decoded yet"
        await world.end(await claimed(world, "audio", "j"), frames=frames)
        assert (await of("j")).seconds == seconds

    play(test)
