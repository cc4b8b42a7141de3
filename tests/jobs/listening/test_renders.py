"""Mixes on demand: what they are made of, rendered once, bounded, gone with the job.

The workers are pretended, and run the real stages.
"""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

from server.audio.rendering import RENDERING
from server.audio.tracks import MIX
from server.config import load
from server.errors import (
    DiskFull,
    InvalidRequest,
    JobNotCompleted,
    JobNotFound,
    ServerBusy,
    StageFailed,
    TrackNotFound,
    WorkerLost,
)
from server.jobs.disk.room import DiskRoom
from server.jobs.listening import renders as module
from server.jobs.listening.mixing import MixOrder, sheet
from server.jobs.listening.renders import Renders
from server.jobs.reading import options_of
from server.stems import FOUR, OUTPUTS
from server.work.channel import failure, to_error
from server.work.messages import Result, Task
from server.work.steps import finish
from store import Job, Track
from tests.jobs.playing import FRAMES, GAIN, World, make_all_tracks
from tests.jobs.playing import play as play

STEP = 2**-15
PLAIN = MixOrder({}, (), (), 0.0, None, "WAV")


def order(**changes: Any) -> MixOrder:
    return msgspec.structs.replace(PLAIN, **changes)


class Crew:
    """A worker that does what it is told, or dies."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.deaths = 0
        self.gate: asyncio.Event | None = None

    async def reserve(self, pool: str, due: float) -> "Crew":
        assert pool == "audio"
        return self

    async def run(self, task: Task) -> Result:
        task = msgspec.msgpack.decode(msgspec.msgpack.encode(task), type=Task)
        self.tasks.append(task)
        if self.gate is not None:
            await self.gate.wait()
        if self.deaths:
            self.deaths -= 1
            raise WorkerLost("audio-0 died")
        try:
            return await asyncio.to_thread(finish, RENDERING[task.stage](task))
        except Exception as error:
            raise to_error(failure(task.id, error)) from error


def renders_of(world: World, crew: Crew, keep_percent: float = 0) -> Renders:
    config = load(environ={}, flags={})
    rooms = DiskRoom(world.jobs.rooms, world.folders, keep_percent)
    return Renders(config, world.jobs, world.folders, crew, rooms)  # type: ignore[arg-type]


async def complete(world: World) -> Job:
    """The job with all its tracks."""
    await world.decode()
    if world.api == "pipeline":
        await make_all_tracks(world)
    else:
        await world.end(await world.claim("audio"), bpm=None, key=None)
        await world.end(await world.claim("separation"), peak=0.5)
        for stem in OUTPUTS[world.output_type]:
            world.encode(stem)
            await world.end(await world.claim("audio"), [stem])
    assert (await world.job()).state == "completed"
    return await world.job()


def gains(job: Job, wanted: MixOrder) -> dict[str, float]:
    """Gain of each track that is summed."""
    return {Path(term.path).stem: term.gain for term in sheet(job, wanted).terms}


def test_what_a_mix_is_made_of(play) -> None:
    async def test(world: World) -> None:
        job = await complete(world)
        half = 10 ** (-6 / 20)
        assert gains(job, PLAIN) == dict.fromkeys(FOUR, 1.0)
        assert gains(job, order(gains={"bass": -6.0})) == dict.fromkeys(FOUR, 1.0) | {"bass": half}
        assert gains(job, order(muted=("bass", "drums"))) == {"other": 1.0, "vocals": 1.0}
        assert gains(job, order(solo=("bass",), gains={"bass": -6.0})) == {"bass": half}
        assert gains(job, order(solo=("harmonic", "bass"), muted=("bass",))) == {"harmonic": 1.0}
        assert gains(job, order(gains={"main": 0.0}, muted=FOUR)) == {"main": 1.0}
        assert gains(job, order(solo=(MIX,))) == {"main": 1 / GAIN}
        assert gains(job, order(muted=("percussive",))) == dict.fromkeys(FOUR, 1.0)
        whole, part = sheet(job, PLAIN), sheet(job, order(start=0.5, end=1.25))
        assert (whole.start, whole.count) == (0, FRAMES)
        assert (part.start, part.count) == (22_050, 33_075)
        assert sheet(job, order(start=1.0, end=9e5)).count == FRAMES - 44_100
        for wrong in (order(gains={"guitar": 0.0}), order(muted=("x",)), order(solo=("x",))):
            with pytest.raises(TrackNotFound):
                sheet(job, wrong)
        for wrong in (order(muted=FOUR), order(start=3.1), order(start=2.0, end=2.0)):
            with pytest.raises(InvalidRequest):
                sheet(job, wrong)

    play(test)


def test_no_sound_is_in_a_mix_twice(play) -> None:
    """Unless somebody asks for it."""

    async def test(world: World) -> None:
        job, stems = await complete(world), ("instrumental", "vocals", "drums")
        options = msgspec.json.encode(msgspec.structs.replace(options_of(job), stems=stems))
        tracks = {name: Track(f"{name}.wav") for name in stems}
        job = msgspec.structs.replace(job, options=options.decode(), tracks=tracks)
        whole = {"instrumental": 1.0, "vocals": 1.0}
        assert gains(job, PLAIN) == whole
        assert gains(job, order(muted=("drums",))) == whole
        assert gains(job, order(gains={"drums": 0.0})) == whole | {"drums": 1.0}
        assert gains(job, order(solo=("drums", "vocals"))) == {"drums": 1.0, "vocals": 1.0}

    play(test, "stemsplit", "BOTH")


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


@pytest.mark.parametrize("output_type", ["BOTH", "FOUR_STEMS", "SIX_STEMS"])
def test_the_original_of_a_stemsplit_job(play, output_type: str) -> None:
    async def test(world: World) -> None:
        job = await complete(world)
        original = gains(job, order(solo=(MIX,)))
        assert original == dict.fromkeys(OUTPUTS[output_type], 1.0)

    play(test, "stemsplit", output_type)
