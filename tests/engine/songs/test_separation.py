"""The engine against demucs's own apply_model, on the same weights."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.apply import apply_model
from hypothesis import given, settings
from hypothesis import strategies as st

from server.config import Config
from server.engine.engine import Engine
from server.engine.forwards import acceleration
from server.engine.library import catalog
from server.engine.loading import load_bag
from server.engine.models import Separator
from server.engine.songs.edges import read_segment
from server.engine.songs.overlap_add import OverlapAdd
from server.engine.songs.segments import fades, triangles
from server.errors import ModelError
from server.stems import OUTPUTS, SIX
from server.work.scratch import FrameReader, FrameWriter
from tests.engine.conftest import CPU, OFFICIAL, noise, run, song, stems_of


@pytest.fixture
def no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor that does not multiply it: where answers must be alike to the float32."""
    monkeypatch.setattr(acceleration, "multiplies_bfloat16", lambda: False)


@pytest.mark.parametrize(
    "name", ["single", "bag", "weighted", "hybrid", "masks", "mixture", *OFFICIAL]
)
@pytest.mark.parametrize("seconds", [2.63, 0.4, 1.0, 1 / 44100])
def test_equals_apply_model(
    name: str, seconds: float, config: Config, tmp_path: Path, no_bfloat16: None
) -> None:
    files = catalog.find(name, config)
    model, frames = Separator(files, CPU), noise(seconds)
    engine = Engine(max_batch=1)
    engine.add(song(tmp_path / "a", frames, model))
    assert run(engine) == {"song": None}
    mix = torch.from_numpy(frames.T.copy())[None]
    expected = apply_model(load_bag(files), mix, shifts=0, overlap=0.25)[0].numpy()
    made = stems_of(tmp_path / "a", model)
    assert made.shape == expected.shape
    np.testing.assert_allclose(made, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("output", sorted(OUTPUTS))
@pytest.mark.parametrize("name", ["single", "htdemucs_6s"])
def test_stems_are_sums_of_the_sources(
    name: str, output: str, config: Config, tmp_path: Path
) -> None:
    model, frames, wanted = Separator(catalog.find(name, config), CPU), noise(1.7), OUTPUTS[output]
    if wanted == SIX and name == "single":
        with pytest.raises(ModelError, match="single makes no guitar, piano"):
            song(tmp_path / "a", frames, model, stems=wanted)
        return
    engine = Engine(max_batch=2)
    engine.add(song(tmp_path / "sources", frames, model, name="sources"))
    engine.add(song(tmp_path / "stems", frames, model, name="stems", stems=wanted))
    assert run(engine) == {"sources": None, "stems": None}
    parts = dict(zip(model.sources, stems_of(tmp_path / "sources", model), strict=True))
    extra = [parts[s] for s in ("guitar", "piano") if s in parts and s not in wanted]
    expected = dict(parts, instrumental=frames.T - parts["vocals"])
    expected["other"] = parts["other"] + sum(extra)
    for stem, made in zip(wanted, stems_of(tmp_path / "stems", model, wanted), strict=True):
        np.testing.assert_allclose(made, expected[stem], atol=1e-6, err_msg=stem)
    written = {path.name for path in (tmp_path / "stems").iterdir()}
    assert written == {"mix.f32", *(f"{stem}.f32" for stem in wanted)}, "and nothing else"


@pytest.mark.parametrize("stems", OUTPUTS.values(), ids=" ".join)
def test_the_peak_is_that_of_all_stems_that_are_written(
    stems: tuple[str, ...], config: Config, tmp_path: Path
) -> None:
    name = "htdemucs_6s" if stems == SIX else "single"
    model = Separator(catalog.find(name, config), CPU)
    engine = Engine(max_batch=2)
    entry = song(tmp_path / "a", noise(1.7), model, stems=stems)
    engine.add(entry)
    run(engine)
    made = np.abs(stems_of(tmp_path / "a", model, stems))
    assert entry.separation.peak == made.max() > 0


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.5, 0.75])
def test_equals_apply_model_at_any_overlap(
    overlap: float, config: Config, tmp_path: Path
) -> None:
    files = catalog.find("single", config)
    model, frames = Separator(files, CPU), noise(2.2)
    engine = Engine(max_batch=3)
    engine.add(song(tmp_path / "a", frames, model, overlap))
    run(engine)
    mix = torch.from_numpy(frames.T.copy())[None]
    expected = apply_model(load_bag(files), mix, shifts=0, overlap=overlap)[0].numpy()
    np.testing.assert_allclose(stems_of(tmp_path / "a", model), expected, atol=1e-5, rtol=1e-5)


def test_a_song_of_no_samples_ends_at_once(config: Config, tmp_path: Path) -> None:
    model = Separator(catalog.find("single", config), CPU)
    engine = Engine(max_batch=1)
    engine.add(song(tmp_path / "a", np.zeros((0, 2), np.float32), model))
    assert run(engine) == {"song": None}
    assert stems_of(tmp_path / "a", model).shape == (4, 2, 0)


@pytest.mark.parametrize("frames", [
    np.zeros((30000, 2), np.float32),
    np.where(np.arange(60000)[:, None] // 100 % 2, 1, -1).astype(np.float32).repeat(2, axis=1),
], ids=["silence", "full-scale square"])
@pytest.mark.parametrize("name", ["single", "masks"])
def test_finite_and_silence_stays_silent(
    name: str, frames: np.ndarray, config: Config, tmp_path: Path
) -> None:
    model = Separator(catalog.find(name, config), CPU)
    engine = Engine(max_batch=1)
    engine.add(song(tmp_path / "a", frames, model))
    assert run(engine) == {"song": None}
    made = stems_of(tmp_path / "a", model)
    assert np.isfinite(made).all()
    if not frames.any():
        assert np.abs(made).max() < 1e-4


@settings(max_examples=60)
@given(
    frames=st.integers(1, 2000), segment=st.integers(1, 700), overlap=st.floats(0, 0.999)
)
def test_overlap_add_of_the_song_itself_is_the_song(
    frames: int, segment: int, overlap: float
) -> None:
    cuts = triangles(frames, segment, overlap)
    mix = torch.randn(1, 2, frames, generator=torch.Generator().manual_seed(frames))
    adder, made = OverlapAdd(cuts, 1, CPU), []
    for index in range(cuts.count):
        first = cuts.start(index)
        made.append(adder.add(index, mix[..., first : first + cuts.length(index)]))
    np.testing.assert_allclose(torch.cat(made, -1), mix, atol=1e-5)


@settings(max_examples=60)
@given(
    frames=st.integers(1, 2000), segment=st.integers(1, 700), overlap=st.floats(0, 0.999)
)
def test_faded_segments_of_the_song_itself_are_the_song(
    frames: int, segment: int, overlap: float
) -> None:
    """Whatever lies in the mirrored parts beyond its ends."""
    cuts = fades(frames, segment, overlap)
    mix = torch.randn(frames, 2, generator=torch.Generator().manual_seed(frames)).numpy()
    with tempfile.TemporaryDirectory() as folder:
        with FrameWriter(Path(folder) / "mix") as writer:
            writer.write(mix)
        adder, made, out = OverlapAdd(cuts, 1, CPU), [], np.empty((segment, 2), np.float32)
        with FrameReader(Path(folder) / "mix") as reader:
            for index in range(cuts.count):
                read_segment(reader, cuts, index, out)
                part = torch.from_numpy(out[: cuts.length(index)].T.copy())
                made.append(adder.add(index, part[None]))
    np.testing.assert_allclose(torch.cat(made, -1)[0], mix.T, atol=1e-5)


@pytest.mark.parametrize(("name", "output", "count"), [
    ("htdemucs_ft", "VOCALS", 1), ("htdemucs_ft", "INSTRUMENTAL", 1), ("htdemucs_ft", "BOTH", 1),
    ("htdemucs_ft", "FOUR_STEMS", 4), ("mdx_extra", "VOCALS", 4), ("htdemucs", "BOTH", 1),
    ("weighted", "VOCALS", 2), ("mixture", "BOTH", 1), ("mixture", "FOUR_STEMS", 2),
])
def test_only_the_specialists_that_are_needed_run(
    name: str, output: str, count: int, config: Config, tmp_path: Path, no_bfloat16: None
) -> None:
    files = catalog.find(name, config)
    model, frames, wanted = Separator(files, CPU), noise(1.7), OUTPUTS[output]
    ran: set[int] = set()
    for place, (member, _) in enumerate(model.models):
        member.register_forward_hook(lambda *_, place=place: ran.add(place))
    engine = Engine(max_batch=3)
    engine.add(song(tmp_path, frames, model, stems=wanted))
    assert run(engine) == {"song": None}
    assert len(ran) == count
    mix = torch.from_numpy(frames.T.copy())[None]
    expected = apply_model(load_bag(files), mix, shifts=0, overlap=0.25)[0].numpy()
    truth = dict(zip(model.sources, expected, strict=True))
    truth["instrumental"] = frames.T - truth["vocals"]
    made = stems_of(tmp_path, model, wanted)
    for stem, found in zip(wanted, made, strict=True):
        assert np.abs(found - truth[stem]).max() < 1e-5


@pytest.mark.parametrize("name", ["masks", "mixture"])
@pytest.mark.parametrize("output", ["BOTH", "FOUR_STEMS"])
def test_stems_add_up_to_the_mix(name: str, output: str, config: Config, tmp_path: Path) -> None:
    model, wanted, frames = Separator(catalog.find(name, config), CPU), OUTPUTS[output], noise(2.3)
    engine = Engine(max_batch=2)
    engine.add(song(tmp_path, frames, model, stems=wanted))
    assert run(engine) == {"song": None}
    error = stems_of(tmp_path, model, wanted).sum(0) - frames.T
    assert 10 * np.log10(np.square(frames).sum() / np.square(error).sum()) > 90
