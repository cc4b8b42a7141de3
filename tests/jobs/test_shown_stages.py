"""What is shown of a failed job's stages: none runs any more, whatever it waited for at the end."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from server.jobs.plan import STOPPED, shown_stages
from store.stages import MAX_ORPHANED
from tests.jobs.playing import World
from tests.jobs.playing import play as play

FAILED = ("failed", "Processing failed 3 times and was given up")


async def fail(world: World, pool: str, stage: str) -> None:
    claim = await world.claim(pool)
    assert claim.stage.name == stage
    await world.jobs.stages.fail(claim.stage, FAILED[1], 9.0)


async def behind_other_songs(world: World) -> None:
    """Decoded; to be separated when its turn comes."""
    await world.decode()
    await fail(world, "audio", "harmonic_percussive")


async def between_two_attempts(world: World) -> None:
    await world.decode()
    claim = await world.claim("separation")
    await world.jobs.stages.release(claim.stage, "its worker died", charge=True)
    await fail(world, "audio", "harmonic_percussive")


async def separated_and_not_written(world: World) -> None:
    await world.decode()
    await world.end(await world.claim("separation"), peak=0.5)
    await fail(world, "audio", "harmonic_percussive")


async def the_other_way_round(world: World) -> None:
    await world.decode()
    claim = await world.claim("audio")
    await world.jobs.stages.release(claim.stage, "the disk was full", charge=False)
    await fail(world, "separation", "separate")


async def cut_off_for_ever(world: World) -> None:
    await world.decode()
    for boot in range(MAX_ORPHANED):
        claim = await world.jobs.stages.claim("audio", f"boot{boot}/1", 2.0)
        assert claim is not None
        await world.jobs.stages.recover(f"boot{boot + 1}", "machine", 9.0)


@pytest.mark.parametrize(("ends", "separation", "hpss"), [
    (behind_other_songs, ("failed", STOPPED), FAILED),
    (between_two_attempts, ("failed", STOPPED), FAILED),
    (separated_and_not_written, ("failed", STOPPED), FAILED),
    (the_other_way_round, FAILED, ("failed", STOPPED)),
    (cut_off_for_ever, ("failed", STOPPED),
     ("failed", f"Processing was cut off {MAX_ORPHANED} times and was given up")),
])  # fmt: skip
def test_what_had_begun_has_failed(
    play: Callable[..., None], ends: Callable[[World], Coroutine[Any, Any, None]],
    separation: tuple[str, str], hpss: tuple[str, str],
) -> None:  # fmt: skip
    async def test(world: World) -> None:
        await ends(world)
        job = await world.job()
        assert (job.state, job.completed_at) == ("failed", 9.0)
        first, second, *others = shown_stages(job)
        assert (first.state, first.error, first.completed_at) == (*separation, 9.0)
        assert (second.state, second.error, second.completed_at) == (*hpss, 9.0)
        for stage in others:
            assert (stage.state, stage.completed_at) == ("pending", None), "never begun"

    play(test)
