"""What can be heard of a job at each moment of its life, and that it never is another sound."""

import asyncio
import contextlib
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from server.errors import JobNotFound, ServerBusy
from server.jobs.listening import listening
from server.jobs.reading import names_of
from server.stems import FOUR, OUTPUTS
from server.tracks import TRACKS
from store import Job
from tests.jobs.playing import FRAMES, GAIN, World
from tests.jobs.playing import play as play

STEP = 2**-15


def test_the_song_can_be_heard_while_it_is_decoded(play) -> None:
    async def test(world: World) -> None:
        assert (await world.hear("mix"))[1] == [0]
        claim = await world.claim("audio")
        part = world.write("mix.f32.7.part", "mix", 50_000)
        with part.open("ab") as file:
            file.write(b"\1\2\3")  # half a frame
        found, finals = await world.hear("mix", start=10, count=100_000)
        assert finals == [50_000]
        assert np.array_equal(found[:, 0], world.sounds["mix"][10:50_000])
        part.rename(part.with_name("mix.f32"))
        await world.end(claim, frames=50_000)
        assert (await world.hear("mix"))[1] == [50_000]

    play(test)


@pytest.mark.parametrize("fast", [False, True])
def test_stems_are_heard_as_far_as_all_that_are_asked_for_are_final(play, fast: bool) -> None:
    async def test(world: World) -> None:
        await world.decode()
        assert (await world.hear("vocals", "mix"))[1] == [0, FRAMES]
        assert (await world.listening.audible(await world.job())).tracks == {"mix": FRAMES}
        await world.claim("separation")
        for index, stem in enumerate(FOUR):
            world.write(f"{stem}.f32.7.part", stem, 60_000 - 1000 * index)  # drums, bass, other …
        names = ("mix", "vocals", "drums", "main")
        found, finals = await world.hear(*names[:3], start=1)
        assert finals == [FRAMES, 57_000, 60_000]
        for index, name in enumerate(names[:3]):
            assert np.array_equal(found[:, index], world.sounds[name][1:57_000])
        assert (await world.hear(*names))[1] == [*finals, 0]
        audible = await world.listening.audible(await world.job())
        assert audible == (57_000, FRAMES, {
            "vocals": 57_000, "drums": 60_000, "bass": 59_000, "other": 58_000, "mix": FRAMES})

    play(test, fast=fast)


def test_what_a_dead_attempt_has_written_stays_final(play) -> None:
    async def test(world: World) -> None:
        await world.decode()
        await world.claim("separation")
        world.write("bass.f32.7.part", "bass", 70_000)
        world.write("bass.f32.8.part", "bass", 400)
        found, finals = await world.hear("bass")
        assert finals == [70_000]
        assert np.array_equal(found[:, 0], world.sounds["bass"][:70_000])

    play(test)


def test_after_a_crash_of_the_machine_nothing_is_final(play) -> None:
    """Scratch files were not synced: what they hold may be zeros."""
    async def test(world: World) -> None:
        await world.jobs.stages.recover("boot", "machine 1", 1.0)
        await world.decode()
        claim = await world.claim("separation")
        world.write("bass.f32.7.part", "bass", 70_000)
        await world.jobs.stages.release(claim.stage, None, charge=False)
        await world.jobs.stages.recover("boot 2", "machine 2", 1.0)
        assert (await world.hear("bass", "mix"))[1] == [0, 0]
        claim = await world.claim("audio")
        world.places.open("j", 3.0)
        world.write("mix.f32.9.part", "mix", 100)
        assert (await world.hear("bass", "mix"))[1] == [0, 100]
        await world.end(claim, frames=FRAMES)
        await world.claim("separation")
        assert (await world.hear("bass"))[1] == [0]

    play(test)


def test_finished_tracks_are_heard_from_their_files(play) -> None:
    async def test(world: World) -> None:
        await world.decode()
        separation, parts = await world.claim("separation"), await world.claim("audio")
        for name in (*FOUR, "harmonic", "percussive"):
            world.write(f"{name}.f32", name, FRAMES)
            world.encode(name)
        await world.end(separation, stems=FOUR, peak=1.0)
        await world.end(await world.claim("audio"), FOUR)
        await world.end(parts, ("harmonic", "percussive"))
        await world.end(await world.claim("audio"), gains={"main": GAIN})
        found, finals = await world.hear("vocals", "harmonic", "mix", "main")
        assert finals == [FRAMES, FRAMES, FRAMES, 0]
        claim = await world.claim("audio")
        composites = [name for name, folder in TRACKS.items() if folder == "composite"]
        for name in composites:
            world.encode(name)
        await world.end(claim, composites)
        assert (await world.job()).state == "completed"
        world.places.remove("j")
        names = names_of(await world.job())
        found, finals = await world.hear(*names)
        assert finals == [FRAMES] * len(names)
        for index, name in enumerate(names):
            error = STEP if name == "mix" else STEP / 2
            assert np.abs(found[:, index] - world.sounds[name]).max() <= 1.01 * error, name
        integers, _ = await world.hear(*names, samples="s16")
        assert np.array_equal(integers, np.rint(found * 2**15).clip(-(2**15), 2**15 - 1))
        audible = await world.listening.audible(await world.job())
        assert audible == (FRAMES, FRAMES, dict.fromkeys(names, FRAMES))

    play(test)


def test_a_window_that_is_open_outlives_the_end_of_its_job(play) -> None:
    async def test(world: World) -> None:
        await world.decode()
        await world.claim("separation")
        for stem in FOUR:
            world.write(f"{stem}.f32.7.part", stem, 100_000)
        window = await world.listening.window("j", FOUR, 0, FRAMES)
        assert window is not None
        world.places.remove("j")
        data = b"".join([await window.read(*span, "f32") for span in window.spans()])
        found = np.frombuffer(data, "<f4").reshape(-1, 4, 2)
        for index, stem in enumerate(FOUR):
            assert np.array_equal(found[:, index], world.sounds[stem][:100_000])
        window.close()
        window.close()

    play(test)


def test_a_file_that_goes_in_between_is_found_where_it_is_then(play, monkeypatch) -> None:
    """The stage ends between the look at the job and the look at its files."""
    async def test(world: World) -> None:
        await world.decode()
        separation = await world.claim("separation")
        for stem in FOUR:
            world.write(f"{stem}.f32", stem, FRAMES)
            world.encode(stem)
        await world.end(separation, stems=FOUR, peak=1.0)
        await world.claim("audio")
        claim = await world.claim("audio")
        assert claim.stage.name == "encode_stems"
        really, loop = world.listening._places.open, asyncio.get_running_loop()
        looks = []

        def late(job: Job, names: Sequence[str]):
            looks.append(job)
            if len(looks) == 1:
                asyncio.run_coroutine_threadsafe(world.end(claim, FOUR), loop).result()
                world.places.remove("j")
            return really(job, names)

        monkeypatch.setattr(world.listening._places, "open", late)
        found, finals = await world.hear("drums", "vocals")
        assert finals == [FRAMES, FRAMES]
        assert np.abs(found[:, 0] - world.sounds["drums"]).max() <= STEP
        assert len(looks) == 2

    play(test)


def test_a_job_that_moves_to_the_disk_meanwhile(play) -> None:
    async def test(world: World) -> None:
        await world.decode()
        await world.claim("separation")
        assert world.places.of("j").parent == world.folders.fast
        world.write("bass.f32.7.part", "bass", 100)
        assert (await world.hear("bass", "mix"))[1] == [100, FRAMES]
        world.places.to_disk("j")
        _, finals = await world.hear("mix", "bass")
        assert finals == [FRAMES, 0], "the attempt begins again"
        assert (await world.hear("mix"))[0].tobytes() == world.sounds["mix"].tobytes()

    play(test, fast=True)


def test_only_what_the_job_has(play) -> None:
    async def test(world: World) -> None:
        assert await world.listening.window("j", ["vocals", "guitar"], 0, 10) is None
        assert await world.listening.window("j", ["../mix"], 0, 10) is None
        with pytest.raises(JobNotFound):
            await world.listening.window("other", ["vocals"], 0, 10)
        await world.jobs.cancel("j", "cancelled", 2.0)
        await world.jobs.expire("j", 3.0)
        with pytest.raises(JobNotFound):
            await world.listening.window("j", ["vocals"], 0, 10)
        with pytest.raises(JobNotFound):
            await world.listening.peaks("j", 0)

    play(test)


def test_windows_at_once_are_bounded_and_one_caller_leaves_some(play) -> None:
    async def test(world: World) -> None:
        await world.decode()

        async def most(caller: str) -> list[listening.Window]:
            windows = []
            with contextlib.suppress(ServerBusy):
                for _ in range(listening.MOST_WINDOWS + 1):
                    windows.append(await world.listening.window("j", ["mix"], 0, 9, caller))
            return windows

        windows = {caller: await most(caller) for caller in ("ann", "bob")}
        half = listening.MOST_WINDOWS // 2
        assert {caller: len(each) for caller, each in windows.items()} == {
            "ann": half, "bob": half // 2}  # fmt: skip
        for window in windows["ann"]:
            window.close()
        (await world.listening.window("j", ["mix"], 0, 9, "ann")).close()
        for window in windows["bob"]:
            window.close()

    play(test)


def test_a_window_keeps_its_place_while_a_thread_reads_its_files(play, monkeypatch) -> None:
    """Whoever has hung up takes no second one meanwhile."""
    monkeypatch.setattr(listening, "MOST_WINDOWS", 2)

    async def test(world: World) -> None:
        await world.decode()
        go = threading.Event()
        window = await world.listening.window("j", ["mix"], 0, 9, "ann")
        window._read = lambda *_: go.wait(20)
        reading = asyncio.create_task(window.read(0, 9, "f32"))
        await asyncio.sleep(0)
        reading.cancel()
        window.close()
        with pytest.raises(ServerBusy):
            await world.listening.window("j", ["mix"], 0, 9, "ann")
        go.set()
        await window._reading
        await asyncio.sleep(0)
        (await world.listening.window("j", ["mix"], 0, 9, "ann")).close()

    play(test)


def test_a_start_behind_the_end_is_an_empty_window(play) -> None:
    async def test(world: World) -> None:
        await world.decode()
        for start in (FRAMES, FRAMES + 1, 10**9):
            assert len((await world.hear("mix", start=start))[0]) == 0
        found, _ = await world.hear("mix", start=FRAMES - 1)
        assert np.array_equal(found[:, 0], world.sounds["mix"][-1:])

    play(test)


@pytest.mark.parametrize("output_type", ["BOTH", "VOCALS", "FOUR_STEMS", "SIX_STEMS"])
def test_a_stemsplit_job(play, output_type: str) -> None:
    async def test(world: World) -> None:
        stems = OUTPUTS[output_type]
        await world.decode()
        await world.end(await world.claim("audio"), bpm=None, key=None)  # describe
        claim = await world.claim("separation")
        for stem in stems:
            world.write(f"{stem}.f32.7.part", stem, 1000)
        assert (await world.hear(*stems, "mix"))[1] == [1000] * len(stems) + [FRAMES]
        await world.end(claim, stems=stems, peak=0.5)
        for stem in stems:
            world.encode(stem)
            await world.end(await world.claim("audio"), [stem])
            runs = (await world.job()).state == "processing"
            if runs or output_type != "VOCALS":
                found, _ = await world.hear("mix")
                error = np.abs(found[:, 0] - world.sounds["mix"]).max()
                assert error <= (0 if runs else len(stems) * STEP / 2 * 1.01), "exact while it runs"
        world.places.remove("j")
        assert (await world.job()).state == "completed"
        found, _ = await world.hear(*stems)
        for index, stem in enumerate(stems):
            assert np.abs(found[:, index] - world.sounds[stem]).max() <= STEP / 2 * 1.01
        whole = output_type != "VOCALS"
        if whole:
            found, _ = await world.hear("mix")
            error = len(stems) * STEP / 2 * 1.01
            assert np.abs(found[:, 0] - world.sounds["mix"]).max() <= error
        audible = await world.listening.audible(await world.job())
        names = [*stems, "mix"] if whole else stems
        assert audible == (FRAMES, FRAMES, dict.fromkeys(names, FRAMES))

    play(test, "stemsplit", output_type)
