"""Jobs that wait for room on a small disk: each gets it in its turn, and nothing is done twice."""

import asyncio

import pytest

from server.work.messages import Result, Task
from tests.jobs.disk.filling import NEEDED, SECONDS, Behaviour, Disk, World, attempt
from tests.jobs.disk.filling import play as play


def test_decoding_does_not_run_ahead_of_the_room_for_what_follows(play) -> None:
    def slow(disk: Disk) -> Behaviour:
        return lambda task, run: 60.0 if task.stage == "separate" else attempt(disk, task)

    async def test(world: World, disk: Disk) -> None:
        await world.add(40)

        async def settled() -> bool:
            before = world.crew.runs.total()
            await asyncio.sleep(0.3)
            return world.crew.busy["separation"] > 0 and world.crew.runs.total() == before

        await world.run(settled)
        decoded = [job for job, stage in world.crew.runs if stage == "decode"]
        assert sorted(decoded) == ["j00", "j01", "j02"], "in their turn, and no more than fit"

    play(3.2, test, slow)


@pytest.mark.parametrize("room", [3.2, 1.0])
def test_all_of_them_are_done_without_ever_finding_the_disk_full(play, room: float) -> None:
    found_full: list[str] = []

    def watched(disk: Disk) -> Behaviour:
        def behave(task: Task, run: int) -> Result | Exception:
            result = attempt(disk, task)
            found_full.extend([task.stage] if isinstance(result, Exception) else [])
            return result
        return behave

    async def test(world: World, disk: Disk) -> None:
        await world.add(12)
        await world.run(world.all_taken_away)
        assert found_full == []
        assert {s for (_, s), n in world.crew.runs.items() if n > 1} == set(), "nothing twice"

    play(room, test, watched)


def test_a_job_that_alone_is_too_large_for_what_is_left_is_tried_all_the_same(play) -> None:
    async def test(world: World, disk: Disk) -> None:
        await world.add(1, claimed=10 * SECONDS)
        await world.run(world.all_ended)
        assert (await world.jobs.get("j00")).state == "completed"  # type: ignore[union-attr]

    play(1.5, test)


def test_songs_longer_than_they_say_wait_for_the_room_that_they_take(play) -> None:
    """Each claims a second. Whoever is found out and does not fit is decoded again in its turn."""
    async def test(world: World, disk: Disk) -> None:
        await world.add(8, claimed=1.0)
        await world.run(world.all_taken_away)
        ended = [await world.jobs.get(f"j{number:02}") for number in range(8)]
        assert {job.state for job in ended if job} == {"completed"}
        assert not [n for (_, s), n in world.crew.runs.items() if s != "decode" and n > 1]

    play(2.2, test)


def test_where_all_wait_for_room_one_gets_it(play) -> None:
    """Somebody else fills the disk when three songs are decoded: they cannot all go on."""
    def filled(disk: Disk) -> Behaviour:
        def behave(task: Task, run: int) -> Result | Exception:
            result = attempt(disk, task)
            if len(list(disk.root.glob("scratch/*/mix.f32"))) == 3 and disk.size > 2 * NEEDED:
                disk.size = max(disk.used(), int(1.05 * NEEDED))  # one fits, alone
            return result
        return behave

    async def test(world: World, disk: Disk) -> None:
        await world.add(3)
        await world.run(world.all_taken_away)
        assert disk.size < 2 * NEEDED, "the disk was filled"
        ended = [await world.jobs.get(f"j{number:02}") for number in range(3)]
        assert [job.state for job in ended if job] == ["completed"] * 3
        assert {s.attempt for job in ended if job for s in job.stages} == {1}

    play(3.2, test, filled)
