"""What mixes are made of: which tracks, how loud, from where to where."""

from pathlib import Path

import msgspec
import pytest

from server.errors import InvalidRequest, TrackNotFound
from server.jobs.listening.mixing import MixOrder, sheet
from server.jobs.reading import options_of
from server.stems import FOUR, OUTPUTS
from server.tracks import MIX
from store import Job, Track
from tests.jobs.listening.rendering import PLAIN, complete, order
from tests.jobs.playing import FRAMES, GAIN, World
from tests.jobs.playing import play as play


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


@pytest.mark.parametrize("output_type", ["BOTH", "FOUR_STEMS", "SIX_STEMS"])
def test_the_original_of_a_stemsplit_job(play, output_type: str) -> None:
    async def test(world: World) -> None:
        job = await complete(world)
        original = gains(job, order(solo=(MIX,)))
        assert original == dict.fromkeys(OUTPUTS[output_type], 1.0)

    play(test, "stemsplit", output_type)
