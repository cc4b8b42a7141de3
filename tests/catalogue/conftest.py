"""Small models, short songs, and a clean environment of the stores' credentials."""

import functools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from server.config import Config, load
from server.starter.store import save_bag, save_hub_model
from tests.engine.conftest import tiny_masks

RATE = 44100


@functools.cache
def write_model(data: Path, name: str = "tiny") -> None:
    """A mask network of a second's segments, which serves BALANCED below the data folder."""
    folder = data / "models" / name
    folder.mkdir(parents=True)
    save_hub_model(tiny_masks(4), folder, "dddd")
    save_bag(folder, name, ["dddd"])


def write_song(path: Path, seed: int, seconds: float = 1.5) -> Path:
    """A song of noise, another one for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, (int(seconds * RATE), 2))
    soundfile.write(path, noise.astype(np.float32), RATE, subtype="PCM_16")
    return path


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Settings whose BALANCED tier is a tiny model, on one thread of a CPU."""
    data = tmp_path_factory.mktemp("data")
    write_model(data)
    return load(environ={}, flags={
        "server.data_dir": str(data), "models.balanced": ["tiny"], "separation.device": "cpu",
        "separation.threads": 1,
    })
