"""Stem files: what they hold, and what their mix is made of."""

import json
from collections.abc import Sequence
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest
from msgspec import structs

from server.errors import TrackNotFound
from server.jobs.listening import renders
from server.jobs.listening.mixing import stem_sheets
from server.jobs.reading import options_of
from server.presets.inferences import Inference, Signal
from server.stems import FOUR
from server.tracks import MIX
from tests.jobs.listening.rendering import STEP, Crew, complete, renders_of
from tests.jobs.playing import World
from tests.jobs.playing import play as play


def heard(path: Path) -> tuple[list[np.ndarray], list[str]]:
    """Its tracks, and the names of the stems."""
    tracks = []
    for index in range(5):
        with av.open(str(path)) as file:
            frames = [frame.to_ndarray() for frame in file.decode(audio=index)]
            tracks.append(np.concatenate(frames, axis=1).T / 2**15)
    data = path.read_bytes()
    start = data.rindex(b"stem{") + 4
    size = int.from_bytes(data[start - 8 : start - 4]) - 8
    return tracks, [stem["name"] for stem in json.loads(data[start : start + size])["stems"]]


@pytest.mark.parametrize(("api", "output_type"), [
    ("pipeline", "FOUR_STEMS"), ("stemsplit", "FOUR_STEMS"), ("stemsplit", "SIX_STEMS")])
def test_stem_files(play, api: str, output_type: str) -> None:
    async def test(world: World) -> None:
        for name in world.sounds:
            world.sounds[name] = world.sounds[name] / 8  # so that no sum clips
        await complete(world)
        path = await renders_of(world, Crew()).stem_file("j")
        (mix, *stems), names = heard(path)
        assert names == ["Drums", "Bass", "Other", "Vocals"]
        parts: list[Sequence[str]] = [(name.lower(),) for name in names]
        if output_type == "SIX_STEMS":
            parts[2] = ("other", "guitar", "piano")
        for found, made_of in zip(stems, parts, strict=True):
            wanted = sum(world.sounds[name] for name in made_of)
            assert np.abs(found - wanted).max() <= (len(made_of) + 1) / 2 * STEP * 1.01
        whole = world.sounds[MIX] if api == "pipeline" else sum(stems)
        assert np.abs(mix - whole).max() <= 4 * STEP

    play(test, api, output_type)


@pytest.mark.parametrize(("file_name", "title"), [
    ("01. My Song", "01. My Song"), ("Zoë – Live.flac", "Zoë – Live"), ("folder/a.b.mp3", "a.b")])
def test_a_stem_file_is_called_as_its_download_is(
    play, monkeypatch: pytest.MonkeyPatch, file_name: str, title: str
) -> None:
    monkeypatch.setattr(renders, "options_of",
                        lambda job: structs.replace(options_of(job), file_name=file_name))

    async def test(world: World) -> None:
        await complete(world)
        path = await renders_of(world, Crew()).stem_file("j")
        with av.open(str(path)) as file:
            assert file.metadata["title"] == title

    play(test, "pipeline", "FOUR_STEMS")


def test_what_another_model_found_in_other_is_not_added_to_it_again(play) -> None:
    """A preset's guitar, made of an `other` that has it still."""

    async def test(world: World) -> None:
        job = await complete(world)
        options = options_of(job)
        four = tuple(Signal(name=name, of={name: 1.0}) for name in FOUR)
        guitar = Signal(name="guitar", of={"guitar": 1.0})
        for inferences, others in (
            ([Inference(model="six", overlap=0.25, signals=(*four, guitar))], 3),
            ([Inference(model="four", overlap=0.25, signals=four),
              Inference(model="strings", overlap=0.25, input="other", signals=(guitar,))], 2),
        ):  # fmt: skip
            made = msgspec.structs.replace(options, inferences=tuple(inferences))
            mix, stems = stem_sheets(
                msgspec.structs.replace(job, options=msgspec.json.encode(made).decode())
            )
            assert len(stems["other"]) == others and len(mix) == others + 3

    play(test, "stemsplit", "SIX_STEMS")


def test_no_stem_file_without_four_stems(play) -> None:
    async def test(world: World) -> None:
        with pytest.raises(TrackNotFound):
            stem_sheets(await complete(world))

    play(test, "stemsplit", "BOTH")
