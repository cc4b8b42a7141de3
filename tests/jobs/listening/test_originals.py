"""The song as it came in, once its job has ended: made of tracks, and as exact as they allow."""

import av
import numpy as np
import pytest
import soundfile

from server.audio.tracks import MIX
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
