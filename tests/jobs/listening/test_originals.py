"""The song as it came in, once its job has ended: made of tracks, and as exact as they allow."""

import av
import numpy as np
import pytest
import soundfile

from server.audio.peaks import FINE
from server.errors import TrackNotFound
from server.jobs.reading import names_of
from server.stems import OUTPUTS
from server.tracks import MIX
from tests.audio.test_peaks import slow_pairs
from tests.jobs.listening.test_renders import STEP, Crew, complete, order, renders_of
from tests.jobs.playing import World
from tests.jobs.playing import play as play


def quieten(world: World, gain: float) -> np.ndarray:
    """Has `main` this gain, and the percussive part of a loud song be cut off here and there:
    there, bool (frames, 2)."""
    sounds = world.sounds
    for name in (MIX, "harmonic", "percussive"):
        sounds[name] = sounds[name] * np.float32(1.1)
    world.gain, sounds["main"] = gain, sounds[MIX] * np.float32(gain)
    return np.abs(sounds["percussive"]) >= 1


@pytest.mark.parametrize("gain", [0.05, 0.7])
def test_a_window_of_the_original(play, gain: float) -> None:
    """Half a step of a track that is a twentieth as loud as the mix would be ten steps of it."""

    async def test(world: World) -> None:
        cut = quieten(world, gain)
        await complete(world)
        world.places.remove("j")
        found, _ = await world.hear(MIX)
        error = np.abs(found[:, 0] - world.sounds[MIX])
        assert error[~cut].max() <= 1.01 * STEP
        assert 0 < cut.mean() < 0.01
        assert error[cut].max() <= 1.01 * STEP / 2 / gain

    play(test)


def test_renderings_of_the_original(play) -> None:
    async def test(world: World) -> None:
        cut = quieten(world, 0.05)
        await complete(world)
        renders = renders_of(world, Crew())
        alone = soundfile.read(await renders.mix("j", order(solo=(MIX,))), dtype="float32")[0]
        with av.open(str(await renders.stem_file("j"))) as file:
            frames = [frame.to_ndarray() for frame in file.decode(audio=0)]
        original = world.sounds[MIX]
        for found in (alone, np.concatenate(frames, axis=1).T / 2**15):
            level = np.vdot(found, original) / np.vdot(original, original)
            assert np.abs(found - level * original)[~cut].max() <= 1.6 * STEP

    play(test)


def test_an_original_beside_tracks_that_are_made_quieter_together(play) -> None:
    """At their level from the end of the job on; nobody is told before that it stays as it is."""

    async def level(world: World) -> tuple[float, bool]:
        window = await world.listening.window("j", [MIX], 0, 44100)
        assert window is not None
        try:
            found = np.frombuffer(await window.read(0, window.frames, "f32"), "<f4")
            return float(np.abs(found).max()), window.finished
        finally:
            window.close()

    async def test(world: World) -> None:
        await world.decode()
        loud, stays = await level(world)
        assert not stays
        late = await world.claim("audio")
        await world.end(await world.claim("separation"), peak=1.9)
        for name in OUTPUTS["BOTH"]:
            world.sounds[name] = world.sounds[name] * np.float32(0.5)
            world.encode(name)
            await world.end(await world.claim("audio"), [name], gain=0.5)
        quiet, stays = await level(world)
        assert quiet == pytest.approx(loud / 2, rel=0.01) and stays, "while tempo is looked for"
        await world.end(late, bpm=None, key=None)
        world.places.remove("j")
        assert await level(world) == (quiet, True)

    play(test, "stemsplit", "BOTH")


@pytest.mark.parametrize("output_type", ["VOCALS", "INSTRUMENTAL"])
def test_an_original_that_no_track_gives_back(play, output_type: str) -> None:
    """It is there while the job runs, and is told of until then."""

    async def test(world: World) -> None:
        await world.decode()
        assert names_of(await world.job())[-1] == MIX
        assert MIX in (await world.listening.peaks("j", 0))[1]
        await world.end(await world.claim("audio"), bpm=None, key=None)
        await world.end(await world.claim("separation"), peak=0.5)
        for stem in OUTPUTS[output_type]:
            world.encode(stem)
            await world.end(await world.claim("audio"), [stem])
        job = await world.job()
        assert job.state == "completed" and names_of(job) == OUTPUTS[output_type]
        assert list((await world.listening.peaks("j", 0))[1]) == [*OUTPUTS[output_type]]
        assert await world.listening.window("j", [MIX], 0, 10) is None
        renders = renders_of(world, Crew())
        for named in (order(solo=(MIX,)), order(gains={MIX: 0.0}), order(muted=(MIX,))):
            with pytest.raises(TrackNotFound):
                await renders.mix("j", named)

    play(test, "stemsplit", output_type)


@pytest.mark.parametrize("gain", [1.0, 0.5])
@pytest.mark.parametrize("output_type", ["BOTH", "FOUR_STEMS", "SIX_STEMS"])
def test_peaks_of_an_original_that_stems_give_back(play, output_type: str, gain: float) -> None:
    """As loud as it is heard then: as its stems, which are scaled where one of them would clip."""

    async def test(world: World) -> None:
        world.sounds[MIX] = world.sounds[MIX] / 8
        await world.decode()
        await world.end(await world.claim("audio"), bpm=None, key=None)
        await world.end(await world.claim("separation"), peak=0.5)
        whole = slow_pairs(world.sounds[MIX], FINE)
        for stem in OUTPUTS[output_type]:
            assert (await world.listening.peaks("j", 0))[1][MIX].pairs.tolist() == whole
            world.encode(stem)
            await world.end(await world.claim("audio"), [stem], gain=gain)
        pairs = (await world.listening.peaks("j", 0))[1][MIX].pairs
        assert np.abs(pairs - gain * np.array(whole)).max() <= 0.5

    play(test, "stemsplit", output_type)


def test_what_a_job_that_failed_has_left(play) -> None:
    async def test(world: World) -> None:
        await world.decode()
        world.encode("harmonic")
        world.encode("percussive")
        await world.end(await world.claim("audio"), ("harmonic", "percussive"))
        claim = await world.claim("separation")
        await world.jobs.stages.fail(claim.stage, "It failed", 4.0)
        assert names_of(await world.job()) == ("harmonic", "percussive")
        assert await world.listening.window("j", ["vocals"], 0, 10) is None
        assert (await world.hear("harmonic"))[1] != [0]

    play(test)
