"""Mixes on demand: rendered once, bounded, gone with the job.

The workers are pretended, and run the real stages.
"""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import soundfile

from server.errors import DiskFull, JobNotCompleted, JobNotFound, ServerBusy, StageFailed
from server.jobs.listening import renders as module
from server.work.messages import Result, Task
from tests.jobs.listening.rendering import PLAIN, STEP, Crew, complete, order, renders_of
from tests.jobs.playing import World
from tests.jobs.playing import play as play


@pytest.mark.parametrize("format", ["WAV", "FLAC", "MP3"])
def test_a_mix_is_rendered_once(play, format: str) -> None:
    async def test(world: World) -> None:
        await complete(world)
        crew = Crew()
        renders = renders_of(world, crew)
        wanted = order(gains={"bass": -40.0, "main": -40.0}, solo=("bass", "main"),
                       start=1.0, end=2.0, format=format)
        together = await asyncio.gather(*(renders.mix("j", wanted) for _ in range(3)))
        assert len({*together, await renders.mix("j", wanted)}) == 1
        assert len(crew.tasks) == 1
        found, rate = soundfile.read(together[0])
        assert (len(found), rate) == (44_100, 44_100)
        expected = (world.sounds["bass"] + world.sounds["main"])[44_100:88_200] / 100
        if format != "MP3":
            assert np.abs(found - expected).max() <= 0.6 * STEP
        again = order(gains={"bass": -40.0}, solo=("bass",), start=1.0, end=2.0, format=format)
        assert await renders.mix("j", again) != together[0]
        assert len(crew.tasks) == 2
        world.folders.remove(world.folders.outputs, "j")
        assert not together[0].exists()

    play(test)


def test_before_the_tracks_are_finished(play) -> None:
    async def test(world: World) -> None:
        renders = renders_of(world, Crew())
        await world.decode()
        for rendered in (renders.mix("j", PLAIN), renders.stem_file("j")):
            with pytest.raises(JobNotCompleted):
                await rendered
        with pytest.raises(JobNotFound):
            await renders.mix("other", PLAIN)
        await world.jobs.expire("j", 3.0)
        with pytest.raises(JobNotFound):
            await renders.mix("j", PLAIN)

    play(test)


@pytest.mark.parametrize("expired", [True, False])
def test_a_job_that_goes_meanwhile(play, expired: bool) -> None:
    """Its files may go before the database says so."""

    async def test(world: World) -> None:
        await complete(world)
        crew = Crew()
        crew.gate = asyncio.Event()
        renders = renders_of(world, crew)
        wanted = [renders.mix("j", order(start=0.5 * n)) for n in range(module.AT_ONCE)]
        asked = [asyncio.create_task(mix) for mix in (*wanted, renders.stem_file("j"))]
        while len(crew.tasks) < module.AT_ONCE:
            await asyncio.sleep(0.001)
        if expired:
            await world.jobs.expire("j", 3.0)
        world.folders.remove(world.folders.outputs, "j")
        crew.gate.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(result) for result in results] == [JobNotFound] * len(asked)
        assert len(crew.tasks) == module.AT_ONCE, "what waited is not begun any more"
        assert not (world.folders.outputs / "j").exists()

    play(test)


@pytest.mark.parametrize("stems", [False, True])
def test_a_render_that_ends_behind_its_job_brings_nothing_back(play, stems: bool) -> None:
    """A worker that has the tracks open goes on without their names, and makes folders anew."""

    async def test(world: World) -> None:
        await complete(world)
        crew = Crew()
        run = crew.run

        async def outlived(task: Task) -> Result:
            result = await run(task)
            target = world.folders.outputs / "j" / task.facts["target"]
            data = target.read_bytes()
            world.folders.remove(world.folders.outputs, "j")
            target.parent.mkdir(parents=True)
            target.write_bytes(data)
            return result

        crew.run = outlived  # type: ignore[method-assign]
        renders = renders_of(world, crew)
        with pytest.raises(JobNotFound):
            await (renders.stem_file("j") if stems else renders.mix("j", PLAIN))
        assert not (world.folders.outputs / "j").exists()

    play(test)


def test_what_fails_of_a_job_that_is_there(play) -> None:
    async def test(world: World) -> None:
        job = await complete(world)
        (world.folders.outputs / "j" / job.tracks["bass"].path).write_bytes(b"damaged")
        with pytest.raises(StageFailed):
            await renders_of(world, Crew()).mix("j", PLAIN)

    play(test)


def test_a_worker_may_die_once(play) -> None:
    async def test(world: World) -> None:
        await complete(world)
        crew = Crew()
        renders = renders_of(world, crew)
        crew.deaths = 1
        assert (await renders.mix("j", PLAIN)).exists()
        crew.deaths = 2
        with pytest.raises(StageFailed):
            await renders.mix("j", order(start=1.0))
        assert (await renders.mix("j", order(start=1.0))).exists(), "who asks again is served"

    play(test)


def test_waiting_mixes_are_bounded_and_go_on_without_who_asked(play, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 6)

    async def test(world: World) -> None:
        await complete(world)
        crew = Crew()
        crew.gate = asyncio.Event()
        renders = renders_of(world, crew)
        asked = [asyncio.create_task(renders.mix("j", order(start=0.5 * n))) for n in range(3)]
        while len(crew.tasks) < module.AT_ONCE:
            await asyncio.sleep(0.001)
        with pytest.raises(ServerBusy):
            await renders.mix("j", order(start=2.0))
        asked[0].cancel()
        crew.gate.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert len(crew.tasks) == 3
        assert (await renders.mix("j", PLAIN)).exists()
        assert len(crew.tasks) == 3

    play(test)


def test_who_hangs_up_keeps_the_place_and_leaves_others_theirs(play, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 4)

    async def test(world: World) -> None:
        await complete(world)
        crew = Crew()
        crew.gate = asyncio.Event()
        renders = renders_of(world, crew)

        async def ask(number: int, caller: str) -> asyncio.Task[Path]:
            asked = asyncio.create_task(renders.mix("j", order(start=0.5 * number), caller))
            await asyncio.wait([asked], timeout=0.2)
            return asked

        gone = [await ask(number, "ann") for number in range(2)]
        for one in gone:
            one.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        with pytest.raises(ServerBusy):
            await (await ask(2, "ann"))
        same, other = await ask(1, "ann"), await ask(3, "bob")
        assert not same.done() and not other.done()
        crew.gate.set()
        await asyncio.gather(same, other)
        assert (await renders.mix("j", order(start=1.0), "ann")).exists()

    play(test)


def test_the_last_mixes_are_kept(play, monkeypatch) -> None:
    monkeypatch.setattr(module, "OPENED_WITHIN", 0.0)

    async def test(world: World) -> None:
        await complete(world)
        renders = renders_of(world, Crew())
        await renders.stem_file("j")
        paths = [await renders.mix("j", order(start=0.1 * n)) for n in range(module.KEPT + 2)]
        assert [path.exists() for path in paths] == [False] * 2 + [True] * module.KEPT
        assert (paths[0].parent / "stems.stem.m4a").exists()
        changed = paths[2].stat().st_mtime_ns
        assert await renders.mix("j", order(start=0.2)) == paths[2]
        assert paths[2].stat().st_mtime_ns == changed, "a download of it may be taken up again"
        await renders.mix("j", order(start=1.0))
        assert (paths[2].exists(), paths[3].exists()) == (True, False), "what is asked for stays"

    play(test)


def test_no_mix_goes_before_who_asked_has_opened_it(play, monkeypatch) -> None:
    async def test(world: World) -> None:
        await complete(world)
        renders = renders_of(world, Crew())
        asked = [renders.mix("j", order(start=0.1 * n)) for n in range(2 * module.KEPT)]
        paths = await asyncio.gather(*asked)
        assert all(path.exists() for path in paths)
        monkeypatch.setattr(module, "OPENED_WITHIN", 0.0)
        await renders.mix("j", order(start=2.0))
        assert sum(path.exists() for path in paths) == module.KEPT - 1

    play(test)


def test_whoever_asks_for_many_fills_no_disk(play, monkeypatch) -> None:
    async def test(world: World) -> None:
        await complete(world)
        monkeypatch.setattr(module, "KEPT_AT_MOST", module.KEPT + 1)
        renders = renders_of(world, Crew())
        paths = [await renders.mix("j", order(start=0.1 * n)) for n in range(module.KEPT + 3)]
        assert [path.exists() for path in paths] == [False] * 2 + [True] * (module.KEPT + 1)

    play(test)


def test_what_died_half_written_goes_and_what_is_being_written_stays(play) -> None:
    async def test(world: World) -> None:
        await complete(world)
        crew = Crew()
        crew.gate = asyncio.Event()
        renders = renders_of(world, crew)
        first = asyncio.create_task(renders.mix("j", PLAIN))
        while not crew.tasks:
            await asyncio.sleep(0.001)
        outputs = world.folders.outputs / "j"
        running = outputs / f"{crew.tasks[0].facts['target']}.77.part"
        dead = running.with_name("other.wav.78.part")
        stage = outputs / "vocals.wav.79.part"
        running.parent.mkdir()
        for part in (running, dead, stage):
            part.touch()
        world.folders.remove_parts("j")
        assert (running.exists(), dead.exists(), stage.exists()) == (True, True, False)
        second = asyncio.create_task(renders.mix("j", order(start=1.0)))
        while len(crew.tasks) < 2:
            await asyncio.sleep(0.001)
        assert running.exists() and not dead.exists()
        second_dead = outputs / f"{crew.tasks[1].facts['target']}.77.part"
        second_dead.touch()
        crew.gate.set()
        (await second).unlink()
        assert (await first).exists()
        await renders.mix("j", order(start=1.0))
        assert not second_dead.exists(), "of the same mix, too"

    play(test)


def test_a_full_disk_is_said_before(play) -> None:
    async def test(world: World) -> None:
        await complete(world)
        crew = Crew()
        with pytest.raises(DiskFull):
            await renders_of(world, crew, keep_percent=100).mix("j", PLAIN)
        assert not crew.tasks

    play(test)
