"""Silence in a mix: found wherever it lies and whatever it consists of, and kept by the stems."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from server.config import Config
from server.engine.engine import Engine
from server.engine.library import catalog
from server.engine.models import Separator
from server.engine.songs import separation
from server.engine.songs.silence import BLOCK, STRETCH, Pauses, pauses_of
from server.engine.songs.targets import signal_targets, stem_targets
from server.presets.inferences import Inference, Signal
from server.starter.songs import synthesise
from server.stems import SIX
from server.work.messages import Options
from server.work.scratch import FrameReader, FrameWriter
from tests.engine.conftest import run, song, stems_of

RATE = 44100
LEAST = (STRETCH + 1) * BLOCK  # frames in which a whole stretch lies wherever they begin
RNG = np.random.default_rng(5)
LOUD = RNG.uniform(-0.5, 0.5, (3 * RATE, 2)).astype(np.float32)
TIME = np.arange(RATE)[:, None] / RATE


def noise(level: float) -> np.ndarray:
    return RNG.normal(0, 10 ** (level / 20), (RATE, 2))


def dither() -> np.ndarray:
    """What 16 bits are at rest: triangular noise of two steps, rounded."""
    return np.round(RNG.uniform(-0.5, 0.5, (2, RATE, 2)).sum(0)) / 2**15


def click(level: float) -> np.ndarray:
    quiet = np.zeros((RATE, 2))
    quiet[::2000, 1] = 10 ** (level / 20)
    return quiet


def hum(level: float, hertz: float) -> np.ndarray:
    return 10 ** (level / 20) * np.sin(2 * np.pi * hertz * TIME).repeat(2, axis=1)


def pauses(folder: Path, mix: np.ndarray, step: int | None = None) -> Pauses:
    """Those of the whole mix, asked for in pieces."""
    with FrameWriter(folder / "mix.f32") as writer:
        writer.write(mix)
    step = step or len(mix)
    with FrameReader(folder / "mix.f32") as reader:
        parts = []
        for start in range(0, len(mix), step):
            count = min(step, len(mix) - start)
            part = pauses_of(reader, start, count)
            parts.append(part or Pauses(np.ones(count), np.zeros((count, 2))))
    return Pauses(*map(np.concatenate, zip(*parts, strict=True)))


def share(folder: Path, mix: np.ndarray, step: int | None = None) -> np.ndarray:
    """The share of sound of each frame."""
    return pauses(folder, mix, step).sound


@pytest.mark.parametrize("quiet", [
    np.zeros((RATE, 2)), dither(), noise(-96), noise(-93), np.full((RATE, 2), 0.1),
    np.full((RATE, 2), [-0.3, 0.02]) + noise(-96), hum(-92, 50), hum(-100, 1000),
], ids=["zeros", "dither", "-96 dB", "-93 dB", "offset", "offset and noise", "hum", "tone"])
def test_what_is_silence(tmp_path: Path, quiet: np.ndarray) -> None:
    found = share(tmp_path, np.concatenate([LOUD, quiet, LOUD]))
    first, last = len(LOUD), len(LOUD) + RATE
    assert (found[:first] == 1).all()
    assert (found[last:] == 1).all()
    assert not found[first + 2 * BLOCK : last - 2 * BLOCK].any()
    assert np.abs(np.diff(found)).max() <= 1 / BLOCK + 1e-6, "no click"


@pytest.mark.parametrize(("quiet", "offset"), [
    (np.zeros((RATE, 2)), (0, 0)), (dither(), (0, 0)), (noise(-93), (0, 0)), (hum(-92, 50), (0, 0)),
    (np.full((RATE, 2), 2**-15), (0, 0)), (np.full((RATE, 2), [0.1, 0]), (0.1, 0)),
    (np.full((RATE, 2), [-0.3, 0.02]) + dither(), (-0.3, 0.02)),
], ids=["zeros", "dither", "noise", "hum", "one step", "one channel", "dither around it"])
@pytest.mark.parametrize("step", [None, 10_007])
def test_around_what_silence_lies(
    tmp_path: Path, quiet: np.ndarray, offset: tuple[float, float], step: int | None
) -> None:
    found = pauses(tmp_path, np.concatenate([LOUD, quiet, LOUD]), step)
    silent = found.offset[found.sound < 1]
    assert len(silent) > RATE - 2 * BLOCK
    np.testing.assert_allclose(silent, np.broadcast_to(offset, silent.shape), atol=2e-5)
    assert np.array_equal(silent == 0, np.broadcast_to(np.equal(offset, 0), silent.shape))


@pytest.mark.parametrize("quiet", [
    noise(-86), click(-60), click(-70), hum(-85, 50), hum(-75, 25), hum(-84, 1000),
    np.concatenate([LOUD[:RATE, :1] * 0, LOUD[:RATE, 1:]], axis=1),
], ids=["noise", "clicks", "faint clicks", "hum", "deep hum", "tone", "one channel"])
def test_what_is_sound(tmp_path: Path, quiet: np.ndarray) -> None:
    assert (share(tmp_path, np.concatenate([LOUD, quiet, LOUD])) == 1).all()


@pytest.mark.parametrize(("frames", "silent"), [(4000, False), (STRETCH * BLOCK - 1, False),
                                                (LEAST, True), (5000, True)])  # fmt: skip
@pytest.mark.parametrize("offset", [0, 1, 33, 63])
def test_a_short_pause_is_sound(tmp_path: Path, frames: int, silent: bool, offset: int) -> None:
    mix = np.concatenate([LOUD[: 10_000 + offset], np.zeros((frames, 2)), LOUD[:10_000]])
    assert (not share(tmp_path, mix).all()) == silent


@pytest.mark.parametrize("quiet", [0, 1, 63, 64, LEAST, 50_000])
def test_at_the_ends_there_is_no_ramp(tmp_path: Path, quiet: int) -> None:
    zeros = np.zeros((quiet, 2))
    found = share(tmp_path, np.concatenate([zeros, LOUD, zeros]))
    inner = max(0, quiet - 2 * BLOCK) if quiet >= LEAST else 0
    assert not found[:inner].any()
    assert not found[len(found) - inner :].any()
    assert (found[quiet : quiet + len(LOUD)] == 1).all()


@settings(max_examples=60)
@given(
    parts=st.lists(st.tuples(st.booleans(), st.integers(1, 9000)), min_size=1, max_size=6),
    step=st.integers(1, 12_000),
)
def test_it_does_not_matter_how_it_is_asked_for(
    parts: list[tuple[bool, int]], step: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("mix")
    mix = np.concatenate([LOUD[:count] * loud for loud, count in parts])
    at_once, sound = share(folder, mix), (mix != 0).any(1)
    np.testing.assert_array_equal(share(folder, mix, max(step, len(mix) // 40 + 1)), at_once)
    assert (at_once[sound] == 1).all()


def silent_song(offset: float = 0.0) -> tuple[np.ndarray, list[slice]]:
    """A song with silence in front, in the middle (dithered) and at the end; and where it is."""
    played = np.asarray(sum(synthesise(7, 4.0).values())).T
    half = 2 * RATE
    parts = [np.zeros((3 * RATE, 2)), played[:half], dither(), played[half:], np.zeros((RATE, 2))]
    edges = np.cumsum([0, *map(len, parts)])
    silent = [slice(edges[i] + (i > 0) * 128, edges[i + 1] - (i < 4) * 128) for i in (0, 2, 4)]
    return (np.concatenate(parts) + offset).astype(np.float32), silent


def separated(
    folder: Path, config: Config, mix: np.ndarray, stems: tuple[str, ...] | None = None
) -> tuple[np.ndarray, float]:
    """The starter's stems, float32 (stems, 2, frames), and their highest sample."""
    model = Separator(catalog.find("starter", config), torch.device("cpu"))
    entry, engine = song(folder, mix, model, stems=stems), Engine(max_batch=2)
    engine.add(entry)
    assert run(engine) == {"song": None}
    return stems_of(folder, model, stems), entry.separation.peak


@pytest.mark.parametrize("offset", [0.0, 0.02])
def test_the_shipped_model_is_silent_where_the_mix_is(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch, offset: float
) -> None:
    mix, silent = silent_song(offset)
    stems, peak = separated(tmp_path / "a", config, mix, SIX)
    assert peak == np.abs(stems).max() > 0.03
    for span in silent:  # an offset is no part of drums, bass or vocals, and of the mix it is one
        rest = np.zeros((len(SIX), 1, 1))
        rest[SIX.index("other")] = offset
        assert np.abs(stems[..., span] - rest).max() < 10 ** (-70 / 20)
        assert np.abs(stems[..., span].sum(0) - mix[span].T).max() < 10 ** (-70 / 20)
    monkeypatch.setattr(separation, "pauses_of", lambda *_: None)
    as_made, _ = separated(tmp_path / "b", config, mix, SIX)
    sound = np.abs(mix - np.float32(offset)).max(1) > 3e-4
    np.testing.assert_array_equal(stems[..., sound], as_made[..., sound])


def test_what_is_made_of_the_mix_still_adds_up_to_it(tmp_path: Path, config: Config) -> None:
    mix, silent = silent_song()
    stems, peak = separated(tmp_path, config, mix, ("vocals", "instrumental"))
    np.testing.assert_allclose(stems.sum(0), mix.T, atol=1e-6)
    assert peak == np.abs(stems).max()
    for span in silent:
        assert np.abs(stems[..., span]).max() < 10 ** (-70 / 20)


def test_what_is_the_mix_less_others_is_the_mix_where_there_are_none(tmp_path: Path) -> None:
    recipe = {"vocals": (1.0, 0.0), "other": (-1.0, 1.0)}
    options = Options(file_name="x", model="m", overlap=0.25, wav_format="PCM_16", target_lufs=-14,
                      true_peak_dbtp=-1, max_seconds=60, stems=("vocals", "other"))  # fmt: skip
    assert [target.stays for target in stem_targets(tmp_path, options, recipe)] == [0.0, 1.0]


@pytest.mark.parametrize("rest", ["other", "instrumental"])
@pytest.mark.parametrize("stems", [("vocals", "instrumental"), ("instrumental",), ("vocals",)])
def test_vocals_that_are_what_a_model_leaves_are_silent_in_a_pause(
    tmp_path: Path, rest: str, stems: tuple[str, ...]
) -> None:
    recipe = {"vocals": (-1.0, 1.0), rest: (1.0, 0.0)}
    options = Options(file_name="x", model="m", overlap=0.25, wav_format="PCM_16", target_lufs=-14,
                      true_peak_dbtp=-1, max_seconds=60, stems=stems)  # fmt: skip
    targets = stem_targets(tmp_path, options, recipe)
    assert {one.path.stem: one.stays + one.rests for one in targets} == {
        stem: float(stem == "instrumental") for stem in stems}
    apart = structs.replace(options, stems=("vocals", rest))
    assert [one.stays + one.rests for one in stem_targets(tmp_path, apart, recipe)] == [0.0, 1.0]


def test_an_offset_is_in_what_is_in_no_other_stem(tmp_path: Path) -> None:
    two = {"vocals": (1.0, 0.0, 0.0), "other": (0.0, 1.0, 0.0)}
    options = Options(file_name="x", model="m", overlap=0.25, wav_format="PCM_16", target_lufs=-14,
                      true_peak_dbtp=-1, max_seconds=60, stems=("vocals", "other"))  # fmt: skip
    assert [target.rests for target in stem_targets(tmp_path, options, two)] == [0.0, 1.0]
    left = {"vocals": (1.0, 0.0, 0.0), "other": (-1.0, 0.0, 1.0)}
    assert [target.rests for target in stem_targets(tmp_path, options, left)] == [0.0, 0.0]
    halves = Inference(model="m", overlap=0.25, signals=tuple(
        Signal(name=name, of={name: 0.5}) for name in two))  # fmt: skip
    assert [target.rests for target in signal_targets(tmp_path, halves, two)] == [0.0, 0.5]
