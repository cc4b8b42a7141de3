"""What can be seen of a job at each moment of its life."""

import numpy as np

from server.audio.peaks import COARSE, FINE
from server.jobs.listening import growing_peaks
from server.tracks import TRACKS
from tests.audio.test_peaks import slow_pairs
from tests.jobs.playing import FRAMES, GAIN, World, make_all_tracks
from tests.jobs.playing import play as play


def test_peaks_grow_with_the_tracks(play, monkeypatch) -> None:
    monkeypatch.setattr(growing_peaks, "AT_ONCE", 100)
    monkeypatch.setattr(growing_peaks, "BLOCK", 7)

    async def test(world: World) -> None:
        assert await world.listening.peaks("j", 0) == (0, {})
        await world.decode()
        await world.claim("separation")
        for frames, whole in ((300, 0), (FINE, 1), (40 * FINE + 3, 40), (200 * FINE, 140),
                              (200 * FINE, 200)):
            world.write("vocals.f32.7.part", "vocals", frames)
            total, tracks = await world.listening.peaks("j", 0)
            assert total == FRAMES
            if not whole:
                assert "vocals" not in tracks
                continue
            assert tracks["vocals"].frames == whole * FINE
            expected = slow_pairs(world.sounds["vocals"][: whole * FINE], FINE)
            assert tracks["vocals"].pairs.tolist() == expected
        (world.places.of("j") / "vocals.f32.7.part").unlink()
        _, tracks = await world.listening.peaks("j", 190 * FINE)
        assert tracks["vocals"].pairs.tolist() == expected[190:], "what is drawn stays"
        world.write("vocals.f32.8.part", "vocals", 20 * FINE)
        _, tracks = await world.listening.peaks("j", 0)
        assert tracks["vocals"].frames == 20 * FINE, "and begins again with the track"

    play(test)


def test_peaks_of_finished_tracks(play) -> None:
    async def test(world: World) -> None:
        await world.decode()
        await make_all_tracks(world)
        world.places.remove("j")
        total, tracks = await world.listening.peaks("j", 0)
        assert (total, list(tracks)) == (FRAMES, [*TRACKS, "mix"])
        for name, (frames, _, pairs) in tracks.items():
            assert frames == FRAMES
            assert pairs.tolist() == slow_pairs(world.sounds[name], FINE)
        later = (await world.listening.peaks("j", 3 * COARSE))[1]["bass"]
        assert later.pairs.tolist() == tracks["bass"].pairs.tolist()[48:]
        world.peaks_of("mix").unlink()  # as of a job that was made before they were kept
        pairs = (await world.listening.peaks("j", 0))[1]["mix"].pairs
        assert np.abs(pairs - tracks["mix"].pairs).max() <= 1.5 / GAIN

    play(test)
