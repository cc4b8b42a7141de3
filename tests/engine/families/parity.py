"""What every family must hold: the package's own forward, its own overlap-add, and batches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from server.engine.engine import Engine
from server.engine.models import Separator
from tests.engine.conftest import CPU, noise, run, song, stems_of
from tests.engine.families.conftest import CHUNK

Demix = Callable[[torch.Tensor], dict[str, np.ndarray]]  # (2, samples) to (2, samples) by stem
CLOSE = 1e-4


def separated(folder: Path, model: Separator, frames: np.ndarray, overlap: float) -> np.ndarray:
    """The engine's stems of a song: (stems, 2, samples)."""
    engine = Engine(3, model.device)
    engine.add(song(folder, frames, model, overlap))
    assert run(engine) == {"song": None}
    return stems_of(folder, model)


def check_forward(model: Separator, network: nn.Module, samples: int) -> None:
    """A batch of the engine's model is what the package's network makes of each segment."""
    mix = torch.from_numpy(noise(samples / 44100)).T[None].repeat(3, 1, 1)
    mix = mix * torch.tensor([1.0, 0.3, -0.7])[:, None, None]
    with torch.inference_mode():
        expected = torch.cat([network(segment[None]) for segment in mix])
    made = model(mix)
    assert made.shape[:2] == (3, len(model.sources))
    torch.testing.assert_close(made.view_as(expected), expected, atol=CLOSE, rtol=CLOSE)


def check_demix(
    folder: Path, model: Separator, seconds: float, overlap: float, demix: Demix
) -> None:
    """A whole song by the engine is what the package makes of it."""
    frames = noise(seconds)
    made = separated(folder / "song", model, frames, overlap)
    expected = demix(torch.from_numpy(frames.T.copy()))
    for stem, ours in zip(model.sources, made, strict=True):
        theirs = expected[stem]
        assert np.abs(theirs).max() > 1e-3, "not silence"
        # Without an overlap the packages lose the samples at the seams, to which both neighbours
        # are faded out: zero by zero. The engine does not.
        lost = (theirs == 0).all(0)
        assert lost.sum() <= 2 * seconds * 44100 / CHUNK
        assert np.abs(ours[:, lost]).all()
        atol = CLOSE * np.abs(theirs).max()
        np.testing.assert_allclose(ours[:, ~lost], theirs[:, ~lost], atol=atol, err_msg=stem)


def check_batches(folder: Path, model: Separator) -> None:
    """Two songs in one batch are each what it is alone."""
    songs = {"a": noise(1.3, 1), "b": noise(1.9, 2)}
    alone = {name: separated(folder / f"{name} alone", model, frames, 0.5)
             for name, frames in songs.items()}
    engine = Engine(4, model.device)
    for name, frames in songs.items():
        engine.add(song(folder / name, frames, model, 0.5, name=name))
    assert run(engine) == {"a": None, "b": None}
    for name, expected in alone.items():
        made = stems_of(folder / name, model)
        np.testing.assert_allclose(made, expected, atol=1e-5 * np.abs(expected).max())
    assert model.device == CPU
