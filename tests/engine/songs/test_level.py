"""Songs that a model hears without their mean and with a deviation of 1: all is undone again."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from demucs.apply import apply_model

from server.config import Config, load
from server.engine.engine import Engine
from server.engine.library import catalog
from server.engine.loading import load_bag
from server.engine.models import Separator
from server.engine.songs import level
from server.engine.songs.level import Level, LevelledReader, level_of
from server.errors import ModelError, StageFailed
from server.work.scratch import FrameReader, FrameWriter
from tests.engine.conftest import CPU, noise, run, song, stems_of
from tests.engine.families.test_families import DEMUCS, drums

VOICES = {"training": DEMUCS["training"] | {"instruments": ["vocals", "other"]}}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(environ={}, flags={"server.data_dir": str(tmp_path)})


def model_of(config: Config, normalize: bool = True, **more: object) -> Separator:
    folder = config.data_dir / "models" / "drumsep"
    folder.mkdir(parents=True)
    said = DEMUCS | {"inference": {"num_overlap": 4, "normalize": normalize}} | more
    (folder / "config.yaml").write_text(yaml.safe_dump(said))
    torch.save(drums().state_dict(), folder / "model.ckpt")
    return Separator(catalog.find("drumsep", config), CPU, "float32")


def separated(folder: Path, frames: np.ndarray, model: Separator, **more: object) -> np.ndarray:
    engine = Engine(3)
    engine.add(song(folder, frames, model, **more))
    assert run(engine) == {"song": None}
    return stems_of(folder, model, more.get("stems"))


def quiet(seconds: float, seed: int = 0) -> np.ndarray:
    """Far from both: a hundredth of the level, and a mean."""
    return (0.01 * noise(seconds, seed) + 0.02).astype(np.float32)


@pytest.mark.parametrize("seconds", [2.3, 0.4])
def test_the_whole_song_is_normalised_and_that_is_undone(
    seconds: float, config: Config, tmp_path: Path
) -> None:
    model, frames = model_of(config), quiet(seconds)
    mono = frames.mean(1, dtype=np.float64)
    mean, deviation = mono.mean(), mono.std()
    mix = torch.from_numpy(((frames - mean) / deviation).T.astype(np.float32))[None]
    expected = apply_model(drums(), mix, shifts=0, overlap=0.25)[0].numpy() * deviation + mean
    made = separated(tmp_path / "song", frames, model)
    np.testing.assert_allclose(made, expected, atol=1e-4 * np.abs(expected - mean).max())


def test_without_it_the_song_stays_as_it_is(config: Config, tmp_path: Path) -> None:
    model, frames = model_of(config, normalize=False), quiet(1.3)
    mix = torch.from_numpy(frames.T.copy())[None]
    expected = apply_model(drums(), mix, shifts=0, overlap=0.25)[0].numpy()
    made = separated(tmp_path / "song", frames, model)
    np.testing.assert_allclose(made, expected, atol=1e-4 * np.abs(expected).max())


def test_what_is_left_of_the_mix_is_that_of_the_song_itself(config: Config, tmp_path: Path) -> None:
    model, frames = model_of(config, **VOICES), quiet(1.7)
    vocals, rest = separated(tmp_path / "s", frames, model, stems=("vocals", "instrumental"))
    np.testing.assert_allclose(vocals + rest, frames.T, atol=1e-7)


def test_songs_in_one_batch_keep_their_own_level(config: Config, tmp_path: Path) -> None:
    model, songs = model_of(config), {"a": quiet(1.3, 1), "b": 5 * noise(1.9, 2)}
    engine = Engine(4)
    for name, frames in songs.items():
        engine.add(song(tmp_path / name, frames, model, name=name))
    assert run(engine) == {"a": None, "b": None}
    for name, frames in songs.items():
        alone = separated(tmp_path / f"{name} alone", frames, model)
        made = stems_of(tmp_path / name, model)
        np.testing.assert_allclose(made, alone, atol=1e-5 * np.abs(alone).max())


@pytest.mark.parametrize("frames", [3000, 60000])
@pytest.mark.parametrize("value", [0.0, 0.1])
def test_silence_stays_silence(frames: int, value: float, config: Config, tmp_path: Path) -> None:
    made = separated(tmp_path / "s", np.full((frames, 2), value, np.float32), model_of(config))
    np.testing.assert_allclose(np.diff(made), 0, atol=1e-7)
    if not value:
        assert not made.any()


def test_a_song_that_is_not_finite_fails_as_any_other(config: Config, tmp_path: Path) -> None:
    model, bad = model_of(config), noise(2.0)
    bad[50000] = np.nan
    engine = Engine(2)
    engine.add(song(tmp_path / "s", bad, model))
    assert isinstance(run(engine)["song"], StageFailed)


def written(path: Path, frames: np.ndarray) -> Path:
    with FrameWriter(path) as writer:
        writer.write(frames)
    return path


def test_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(level, "BLOCK", 1000)
    frames = noise(0.3) + np.float32(0.7)
    with FrameReader(written(tmp_path / "mix", frames)) as reader:
        found = level_of(reader)
    mono = frames.mean(1, dtype=np.float64)
    assert found == pytest.approx((mono.mean(), mono.std()), rel=1e-9)
    with LevelledReader(tmp_path / "mix", found) as reader:
        heard = reader.read(0, reader.frames).mean(1, dtype=np.float64)
    assert (heard.mean(), heard.std()) == pytest.approx((0, 1), abs=1e-4)
    apart = frames[:, :1] * np.array([1, -1], np.float32)
    for name, odd, expected in (
        ("empty", frames[:0], Level(0, 1)), ("inf", frames * np.float32(np.inf), Level(0, 1)),
        ("same", np.full((3000, 2), 0.1, np.float32), Level(float(np.float32(0.1)), 0)),
        ("apart", apart, Level(0, pytest.approx(frames[:, 0].std(), rel=1e-5))),
    ):  # fmt: skip
        with FrameReader(written(tmp_path / name, odd)) as reader:
            assert level_of(reader) == expected, name


def test_demucs_own_way_of_running_it_is_refused(config: Config) -> None:
    model_of(config)
    with pytest.raises(ModelError, match="normalize"):
        load_bag(catalog.find("drumsep", config))
